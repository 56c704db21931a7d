//! API Security Service: the data plane.

pub mod edge;

//! API Security Service: the data plane.

pub mod edge;
pub mod upstreams;

//! Tests of the identity system over its router, without sockets, on both databases.

pub(crate) mod actors;
mod grants;
pub(crate) mod people;
mod introspection;
pub(crate) mod platform;

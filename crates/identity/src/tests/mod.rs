//! Tests of the identity system over its router, without sockets, on both databases.

pub(crate) mod actors;
mod grants;
mod introspection;
pub(crate) mod people;
pub(crate) mod platform;
mod refresh;
mod revocation;
mod token_endpoint;

//! Tests of the identity system over its router, without sockets, on both databases.

mod grants;
pub(crate) mod people;
pub(crate) mod platform;

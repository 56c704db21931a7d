//! Tests of the identity system over its router, without sockets, on both databases.

pub(crate) mod actors;
mod assertions;
mod audit;
mod clients;
mod exchange;
mod feed;
mod granted;
mod grants;
mod housekeeping;
mod introspection;
mod keys;
mod metadata;
mod nodes;
mod pages;
pub(crate) mod people;
pub(crate) mod platform;
mod refresh;
mod revocation;
mod secrets;
mod token_endpoint;

//! The pipeline without sockets: a scripted token service, heads made by hand.

mod answers;
mod caching;
mod compositions;
mod configuration;
mod flow;
mod forging;
mod house;
mod mocks;
mod plans;
mod revocations;
mod wire;

use house::{House, Sent};

//! The pipeline without sockets: a scripted token service, heads made by hand.

mod answers;
mod caching;
mod compositions;
mod configuration;
mod decision_points;
mod flow;
mod forging;
pub mod house;
pub mod ledger;
mod mocks;
mod plans;
mod policies;
mod published;
mod revocations;
mod told;
mod wire;

use house::{House, Sent};

//! API Security Service: the data plane.
//!
//! `edge` has the sockets, `pipeline` the order of what is decided, `phantom` the tokens, `upstreams`
//! the services behind. The gateway has no database: what it serves from is one immutable picture.

mod access_log;
mod api;
mod authorize;
mod challenges;
mod compose;
mod cors;
mod deny;
pub mod edge;
mod files;
mod forward;
mod gateway;
mod limits;
mod loader;
mod management;
mod metrics;
mod phantom;
mod pipeline;
mod policy;
mod published;
mod registry;
mod route;
mod secrets;
mod snapshot;
mod token;
mod trace;
pub mod upstreams;
mod usage;
mod watch;
mod wellknown;

pub use gateway::{Check, Gateway, GatewayConfig, Readiness};
pub use loader::{Applied, ApplyMode, read_all};
pub use management::ManagementConfig;
pub use secrets::Environment;
pub use snapshot::Version;
pub use usage::{Aside, OnFailure, UsageConfig, set_aside_in};

#[cfg(test)]
mod tests;

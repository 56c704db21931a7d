//! The words that every part of Cardea uses: ids, time, randomness, secrets, problems, handles,
//! security events, settings and peers. No rules of any pillar live here.

pub mod egress;
pub mod event;
pub mod handle;
pub mod ids;
pub mod peer;
pub mod problem;
pub mod random;
pub mod scope;
pub mod secret;
pub mod time;

pub use problem::Problem;
pub use secret::Secret;
pub use time::{Clock, SystemClock, Time};

//! What tests of all crates share: a clock, databases, actors and fakes. A dev-dependency only.

pub mod clock;
pub mod db;
pub mod http;

pub use clock::ManualClock;

//! What tests of all crates share: a clock, databases, actors and fakes. A dev-dependency only.

pub mod browser;
pub mod clock;
pub mod db;
pub mod http;

pub use browser::Browser;
pub use clock::ManualClock;

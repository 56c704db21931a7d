//! API Integration Service: new APIs out of several backends, or of none.
//!
//! A `Composition` is data: steps that depend on each other by what they read, an answer made of what
//! they brought, and what becomes of it if a part is missing. [`Composition::compile`] finds the
//! dependencies, refuses what cannot work and plans; [`Runner::run`] sends each step as soon as what
//! it reads is there, keeps one deadline over all, and tells of each part how it went. No sockets here:
//! requests leave through a [`Caller`], tokens come from a [`TokenSource`].
//!
//! RFC 9110 §9.2.2 (what may be sent twice), RFC 8693 (exchange), RFC 6749 §4.4 (client credentials),
//! RFC 9457 (problems), RFC 9651 (the header `Cardea-Parts`), OpenAPI 3.1.

mod answer;
mod caller;
mod compensate;
mod compile;
mod composition;
mod finish;
mod input;
mod openapi;
mod partial;
mod plan;
mod preview;
mod request;
mod run;
mod shape;
mod step;
mod time;
mod tokens;

pub use answer::Answer;
pub use caller::{Call, CallError, Caller, PeerCaller, Target};
pub use composition::{Composition, Needs, Step};
pub use input::{Claims, Input, Subject};
pub use openapi::openapi;
pub use partial::{Compensated, Ending, Outcome, PartReport, Report, Trouble};
pub use plan::Plan;
pub use preview::{Preview, PreviewStep};
pub use run::{GIVEN_UP, Runner};
pub use time::Timer;
pub use tokens::{TokenEndpoint, TokenError, TokenSource};

#[cfg(test)]
mod tests;

//! Question → decision, and why: the fence around the Cedar policy language.
//!
//! Policies are Cedar text, checked against a schema before they are used. Nothing is permitted unless a
//! policy permits it, a `forbid` outranks every `permit`, the order of policies means nothing, and an error
//! during evaluation denies. A [`PolicySet`] is compiled once and sliced, so that a decision looks only at
//! the policies that can apply to its action and to the entities asked about. No I/O, no clock: the question
//! brings its time along.

mod compile;
mod condition;
mod decide;
mod directory;
mod explain;
mod fault;
mod height;
mod question;
mod quick;
mod schema;
mod shape;
mod slices;
mod snapshot;
mod source;
mod suite;
mod value;

#[cfg(test)]
mod tests;

pub use compile::{PolicyInfo, PolicySet};
pub use decide::{Decision, Engine, StepUp, Verdict};
pub use directory::{Directory, EntitySpec};
pub use explain::{Condition, Considered, Explanation, Outcome};
pub use fault::{Fault, Faults, Misfit};
pub use question::{Action, Authentication, CallFacts, Device, EntityRef, HttpRequest, Network, Party, Question};
pub use quick::{Call, Caller, Target};
pub use schema::BASE_SCHEMA;
pub use shape::same_type;
pub use snapshot::Snapshot;
pub use source::{Effect, File, Limits, Source};
pub use suite::{Case, Expect, Failure, Suite};

//! Policies as the entitlement system keeps them: management is one of its callers and keeps nothing itself.
//!
//! What is asked are the messages of its administration interface (`/admin/v1/policies`, `/admin/v1/decisions`), with
//! a secret of our own. What comes back is judged like anything from outside: within limits, and every member may be
//! missing. A decision about a call is never asked here.

mod answers;
mod ask;
mod difference;
#[cfg(test)]
pub(crate) mod tests;
mod trouble;

pub(crate) use answers::{
    Activation, Condition, Considered, Decided, Decisions, Explained, Fault, History, Policy, State, Suite, Version,
    Versions,
};
pub(crate) use ask::{Publication, Search, decisions, explain, history, in_force, publish, version, versions};
pub(crate) use difference::{Changed, changes};
pub(crate) use trouble::Trouble;

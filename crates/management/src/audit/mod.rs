//! The audit log: who did what to what, written in the transaction of the act.

mod store;
#[cfg(test)]
mod tests;

use ::store::StoreError;
use serde_json::Value;

pub use store::{Entry, Filter, list};

use crate::Cx;

/// What was done to what. `act` is `object.verb`, such as `plan.changed`; `object` is `kind:id`.
#[derive(Debug)]
pub struct Record<'a> {
    pub act: &'static str,
    pub object: String,
    /// Whose thing it is, where it is an organisation's.
    pub organisation: Option<&'a str>,
    /// What changed; never a secret.
    pub detail: Value,
}

pub async fn record(cx: &mut Cx, record: Record<'_>) -> Result<(), StoreError> {
    store::append(cx, record).await
}

//! Policy administration: versions with their author and tests, of which one is in force.
//!
//! A version is written once and never changed. It is published if it compiles, its tests pass, and the stored
//! entities fit its schema; publishing an older one is the way back. Every publication stays in the history.

pub mod http;
mod store;

use std::sync::Arc;

use ::store::StoreError;
use base::Time;
use policy::{Directory, Engine, Explanation, Failure, Fault, PolicySet, Question, Source, Suite};
use serde::{Deserialize, Serialize};

pub use store::{source, state, touch_entities};

use crate::error::Refused;
use crate::live::{Live, TOPIC};
use crate::{Cx, attributes};

/// What somebody writes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    pub source: Source,
    #[serde(default)]
    pub tests: Suite,
    #[serde(default)]
    pub comment: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Version {
    pub version: i64,
    pub author: String,
    pub comment: String,
    pub created_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<Suite>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Activation {
    pub activation: i64,
    pub version: i64,
    pub author: String,
    pub comment: String,
    pub request_id: String,
    pub activated_at: Time,
}

/// Which policies and entities are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct State {
    pub version: i64,
    pub activation: i64,
    pub revision: i64,
}

/// What came of looking at a draft.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub policies: usize,
    pub tests: usize,
    pub warnings: Vec<Fault>,
    pub failures: Vec<Failure>,
}

/// Compiles a draft and runs its tests; nothing is stored.
pub async fn check(draft: Draft) -> Result<Report, Refused> {
    let (_, report) = examine(draft.source, draft.tests).await?;
    Ok(report)
}

/// Stores a draft that compiles as a new version. Its tests may still fail: it is not in force.
pub async fn create(cx: &mut Cx, draft: Draft) -> Result<Version, Refused> {
    let _report = examine(draft.source.clone(), draft.tests.clone()).await?;
    store::insert(cx, &draft).await?.ok_or(Refused::Conflict("another version was made at the same moment; try again"))
}

pub async fn find(cx: &mut Cx, version: i64) -> Result<Version, Refused> {
    store::find(cx, version).await?.ok_or(Refused::NotFound("version"))
}

/// Newest first; `before` is the number of the last one seen.
pub async fn list(cx: &mut Cx, before: Option<i64>) -> Result<Vec<Version>, StoreError> {
    store::list(cx, before.unwrap_or(i64::MAX)).await
}

pub async fn history(cx: &mut Cx, before: Option<i64>) -> Result<Vec<Activation>, StoreError> {
    store::history(cx, before.unwrap_or(i64::MAX)).await
}

pub async fn in_force(cx: &Cx) -> Result<Arc<Live>, Refused> {
    cx.entitlement.live.get(&cx.entitlement).await
}

/// Puts a version in force; an older one too. With `known` only if that publication is still in force.
pub async fn publish(cx: &mut Cx, version: i64, comment: &str, known: Option<i64>) -> Result<Activation, Refused> {
    let before = store::state(&mut cx.tx).await?;
    if known.is_some_and(|known| known != before.activation) {
        return Err(Refused::Conflict("another version was put in force meanwhile; look at it and try again"));
    }
    let found = find(cx, version).await?;
    let (source, tests) = (found.source.unwrap_or_default(), found.tests.unwrap_or_default());
    if tests.tests.is_empty() {
        let message = "a version without tests is not published".to_owned();
        return Err(Refused::Tests(vec![Failure { test: "tests".to_owned(), message }]));
    }
    let entities = attributes::all(&mut cx.tx).await?;
    let (policies, report) = examine(source, tests).await?;
    if !report.failures.is_empty() {
        return Err(Refused::Tests(report.failures));
    }
    Directory::new(&policies, &entities).map_err(Refused::Entities)?;

    let changed = Refused::Conflict("policies or entities were changed at the same moment; try again");
    let activation = store::activate(cx, version, &before, comment).await?.ok_or(changed)?;
    cx.tx.notify(TOPIC);
    Ok(activation)
}

/// Why a question is decided as it is: by the policies in force, or by another version with today's entities.
pub async fn explain(cx: &mut Cx, mut question: Question, version: Option<i64>) -> Result<Explanation, Refused> {
    question.now = cx.now;
    let engine = match version {
        None => cx.entitlement.live.get(&cx.entitlement).await?.engine.clone(),
        Some(version) => {
            let source = find(cx, version).await?.source.unwrap_or_default();
            let entities = attributes::all(&mut cx.tx).await?;
            let (policies, _) = examine(source, Suite::default()).await?;
            let directory = Directory::new(&policies, &entities).map_err(Refused::Entities)?;
            Engine::new(policies, Arc::new(directory))
        }
    };
    Ok(engine.explain(&question))
}

/// Away from the threads that answer, since it takes its time.
async fn examine(source: Source, tests: Suite) -> Result<(Arc<PolicySet>, Report), Refused> {
    let work = move || {
        let policies = Arc::new(PolicySet::compile(&source).map_err(Refused::Policies)?);
        let report = Report {
            policies: policies.len(),
            tests: tests.tests.len(),
            warnings: policies.warnings().to_vec(),
            failures: tests.run(&policies),
        };
        Ok((policies, report))
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| Refused::Broken(error.to_string()))?
}

//! Policies in the console: what is in force, versions and their differences, who published what, why a question is
//! decided as it is, and which were. All of it is the entitlement system's ([`crate::policies`]); when it does not
//! answer, a page says so and what to do.

mod change;
mod decisions;
mod explain;
mod read;
mod text;

use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use store::StoreError;

use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::policies::{Policy, Trouble};
use crate::router::{Guard, Route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        ("/console/policies", Guard::Public, get(read::in_force)),
        ("/console/policies/versions", Guard::Public, get(read::versions)),
        ("/console/policies/versions/{version}", Guard::Public, get(read::version)),
        ("/console/policies/versions/{version}/publish", Guard::Public, get(change::confirm).post(change::publish)),
        ("/console/policies/difference", Guard::Public, get(change::difference)),
        ("/console/policies/history", Guard::Public, get(read::history)),
        ("/console/policies/decisions", Guard::Public, get(decisions::list)),
        ("/console/policies/explain", Guard::Public, get(explain::form).post(explain::explain)),
    ]
}

/// Why a page is not shown.
enum Stop {
    Halt(Halt),
    Trouble(Trouble),
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Halt(refused.into())
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Halt(error.into())
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// The page, or the one that says what is in the way.
fn answer(visit: &Visit, made: Result<Response, Stop>) -> Response {
    match made {
        Ok(response) => response,
        Err(Stop::Halt(halt)) => visit.answer(Err(halt)),
        Err(Stop::Trouble(trouble)) => in_the_way(visit, &trouble),
    }
}

fn in_the_way(visit: &Visit, trouble: &Trouble) -> Response {
    #[derive(Serialize)]
    struct Content<'a> {
        title: &'a str,
        text: &'a str,
        todo: &'a str,
        errors: &'a [String],
        not_set: bool,
        address: Option<&'a str>,
    }
    let told = trouble.told();
    let entitlement = visit.cx.management.config.entitlement.as_ref();
    let content = Content {
        title: told.title,
        text: &told.text,
        todo: told.todo,
        errors: match trouble {
            Trouble::Refused { errors, .. } => errors,
            _ => &[],
        },
        not_set: told.status == StatusCode::OK,
        address: entitlement.map(|peer| peer.url.as_str()),
    };
    visit.show_with(told.status, "console/policies_trouble.html", content)
}

/// A policy with the place where one reads it.
#[derive(Serialize)]
struct PolicyView {
    #[serde(flatten)]
    policy: Policy,
    place: String,
    /// Names of the `@advice_…`s with what they say.
    advices: Vec<(String, String)>,
    more_reads: usize,
}

/// Attributes that are named of one policy.
const READS: usize = 20;

fn view(mut policy: Policy, version: i64) -> PolicyView {
    let place = format!("/console/policies/versions/{version}#{}", text::anchor(&policy.file, policy.line));
    let advices = std::mem::take(&mut policy.advice).into_iter().take(READS).collect();
    let more_reads = policy.reads.len().saturating_sub(READS);
    policy.reads.truncate(READS);
    PolicyView { place, advices, more_reads, policy }
}

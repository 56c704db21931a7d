//! Reading: what is in force, versions, one version, and who put what in force.

use axum::extract::Path;
use axum::response::Response;
use base::Time;
use serde::Serialize;
use serde_json::{Value, json};
use web::{When, when};

use super::text::{self, Text};
use super::{PolicyView, Stop, answer, view};
use crate::actor::Right;
use crate::pages::Visit;
use crate::policies::{self, Activation, Fault, Policy, Trouble, Version};

/// Policies on one page.
const PAGE: usize = 100;
/// Warnings, and tests of a version, on one page.
const WARNINGS: usize = 50;
const TESTS: usize = 500;
/// The name that faults give it.
const SCHEMA: &str = "schema";

pub(super) async fn in_force(visit: Visit) -> Response {
    let made = in_force_page(&visit).await;
    answer(&visit, made)
}

async fn in_force_page(visit: &Visit) -> Result<Response, Stop> {
    #[derive(Serialize)]
    struct Content {
        version: i64,
        activation: i64,
        entities: u64,
        permits: usize,
        forbids: usize,
        policies: Vec<PolicyView>,
        warnings: Vec<Fault>,
        text: String,
        effect: String,
        next: Option<String>,
        by: Option<ActivationView>,
    }
    visit.need(Right::Read)?;
    let state = policies::in_force(&visit.cx).await?;
    let by = policies::history(&visit.cx, None).await?.items.into_iter().next();
    let count = |effect: &str| state.policies.iter().filter(|policy| policy.effect == effect).count();
    let (permits, forbids) = (count("permit"), count("forbid"));
    let (text, effect) = (visit.query.text("q").trim().to_lowercase(), visit.query.text("effect").to_owned());
    let mut found: Vec<Policy> = state
        .policies
        .into_iter()
        .filter(|policy| (effect.is_empty() || policy.effect == effect) && mentions(policy, &text))
        .collect();
    found.sort_by(|a, b| (&a.file, a.line, &a.id).cmp(&(&b.file, b.line, &b.id)));
    let after = visit.query.text("after");
    let from = found.iter().position(|policy| policy.id == after).map_or(0, |at| at.saturating_add(1));
    let more = found.len() > from.saturating_add(PAGE);
    let page: Vec<Policy> = found.into_iter().skip(from).take(PAGE).collect();
    let next = page.last().filter(|_| more).map(|last| visit.with("after", &last.id));
    let content = Content {
        version: state.version,
        activation: state.activation,
        entities: state.entities,
        permits,
        forbids,
        policies: page.into_iter().map(|policy| view(policy, state.version)).collect(),
        warnings: state.warnings.into_iter().take(WARNINGS).collect(),
        text: visit.query.text("q").to_owned(),
        effect,
        next,
        by: by.map(|by| activation(by, None, visit.cx.now)),
    };
    Ok(visit.show("console/policies.html", content))
}

/// Whether a search for this text, in small letters, finds the policy.
fn mentions(policy: &Policy, text: &str) -> bool {
    let own = [&policy.id, &policy.file].into_iter().chain(&policy.reason).chain(&policy.reads);
    text.is_empty() || own.chain(policy.advice.values()).any(|words| words.to_lowercase().contains(text))
}

#[derive(Serialize)]
struct VersionView {
    number: i64,
    author: String,
    comment: String,
    made: When,
    active: bool,
}

fn version_view(of: &Version, active: i64, now: Time) -> VersionView {
    VersionView {
        number: of.version,
        author: of.author.clone(),
        comment: of.comment.clone(),
        made: when(of.created_at, now),
        active: of.version == active,
    }
}

pub(super) async fn versions(visit: Visit) -> Response {
    let made = versions_page(&visit).await;
    answer(&visit, made)
}

async fn versions_page(visit: &Visit) -> Result<Response, Stop> {
    #[derive(Serialize)]
    struct Content {
        versions: Vec<VersionView>,
        active: i64,
        next: Option<String>,
        first_page: bool,
    }
    visit.need(Right::Read)?;
    let found = policies::versions(&visit.cx, number(visit, "before")).await?;
    let content = Content {
        versions: found.items.iter().map(|one| version_view(one, found.active, visit.cx.now)).collect(),
        active: found.active,
        next: found.next.map(|before| visit.with("before", &before.to_string())),
        first_page: visit.query.one("before").is_none(),
    };
    Ok(visit.show("console/policy_versions.html", content))
}

pub(super) fn number(visit: &Visit, name: &str) -> Option<i64> {
    visit.query.one(name).and_then(|number| number.trim().parse().ok())
}

/// The version that an address names.
pub(super) fn chosen(number: &str) -> Result<i64, Trouble> {
    number.parse().map_err(|_| Trouble::NotFound)
}

/// A test as one reads it.
#[derive(Serialize)]
struct TestView {
    name: String,
    question: String,
    expect: String,
    because: Vec<String>,
    whole: String,
}

fn test_view(test: &Value) -> TestView {
    let at = |pointer: &str| test.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let because = test.get("because").and_then(Value::as_array).into_iter().flatten();
    TestView {
        name: at("/name").to_owned(),
        question: format!(
            "{} {} · {} · {} {}",
            at("/question/subject/type"),
            at("/question/subject/id"),
            at("/question/action/name"),
            at("/question/resource/type"),
            at("/question/resource/id")
        ),
        expect: at("/expect").to_owned(),
        because: because.filter_map(Value::as_str).map(str::to_owned).collect(),
        whole: serde_json::to_string_pretty(test).unwrap_or_default(),
    }
}

pub(super) async fn version(visit: Visit, Path(number): Path<String>) -> Response {
    let made = version_page(&visit, &number).await;
    answer(&visit, made)
}

async fn version_page(visit: &Visit, number: &str) -> Result<Response, Stop> {
    #[derive(Serialize)]
    struct Content {
        version: VersionView,
        active: i64,
        may_publish: bool,
        files: Vec<Text>,
        schema: Option<Text>,
        tests: Vec<TestView>,
        more_tests: usize,
        entities: String,
    }
    visit.need(Right::Read)?;
    let found = policies::version(&visit.cx, chosen(number)?).await?;
    let state = policies::in_force(&visit.cx).await?;
    let schema = Some(found.source.schema.as_str()).filter(|schema| !schema.is_empty());
    let entities = &found.tests.entities;
    let files = text::texts(found.source.files.iter().map(|file| (file.name.as_str(), file.text.as_str())));
    let content = Content {
        version: version_view(&found, state.version, visit.cx.now),
        active: state.version,
        may_publish: state.may_publish && visit.cx.actor.may(Right::Publish),
        files,
        schema: schema.into_iter().flat_map(|schema| text::texts([(SCHEMA, schema)])).next(),
        tests: found.tests.tests.iter().take(TESTS).map(test_view).collect(),
        more_tests: found.tests.tests.len().saturating_sub(TESTS),
        entities: match entities.as_slice() {
            [] => String::new(),
            some => serde_json::to_string_pretty(&json!(some)).unwrap_or_default(),
        },
    };
    Ok(visit.show("console/policy_version.html", content))
}

#[derive(Serialize)]
struct ActivationView {
    number: i64,
    version: i64,
    /// What was in force before, if that is known.
    before: Option<i64>,
    author: String,
    comment: String,
    request_id: String,
    at: When,
}

fn activation(of: Activation, before: Option<i64>, now: Time) -> ActivationView {
    ActivationView {
        number: of.activation,
        version: of.version,
        before,
        at: when(of.activated_at, now),
        author: of.author,
        comment: of.comment,
        request_id: of.request_id,
    }
}

pub(super) async fn history(visit: Visit) -> Response {
    let made = history_page(&visit).await;
    answer(&visit, made)
}

async fn history_page(visit: &Visit) -> Result<Response, Stop> {
    #[derive(Serialize)]
    struct Content {
        activations: Vec<ActivationView>,
        next: Option<String>,
    }
    visit.need(Right::Read)?;
    let found = policies::history(&visit.cx, number(visit, "before")).await?;
    let before: Vec<i64> = found.items.iter().skip(1).map(|one| one.version).collect();
    let mut before = before.into_iter();
    let content = Content {
        next: found.next.map(|before| visit.with("before", &before.to_string())),
        activations: found.items.into_iter().map(|one| activation(one, before.next(), visit.cx.now)).collect(),
    };
    Ok(visit.show("console/policy_history.html", content))
}

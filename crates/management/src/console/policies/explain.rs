//! Why a question is decided as it is: a form in the words of AuthZEN, and each policy that could have applied.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value, json};
use web::Fields;

use super::{PolicyView, Stop, answer, view};
use crate::actor::Right;
use crate::pages::Visit;
use crate::policies::{self, Condition, Considered, Explained, Trouble};

/// Policies, and conditions of one, on one page.
const SHOWN: usize = 100;

/// The form as it was typed.
#[derive(Default, Serialize)]
struct Typed {
    subject_type: String,
    subject_id: String,
    subject_properties: String,
    action: String,
    resource_type: String,
    resource_id: String,
    resource_properties: String,
    context: String,
    version: String,
}

impl Typed {
    fn of(fields: &Fields) -> Self {
        let text = |name: &str| fields.text(name).trim().to_owned();
        Self {
            subject_type: text("subject_type"),
            subject_id: text("subject_id"),
            subject_properties: text("subject_properties"),
            action: text("action"),
            resource_type: text("resource_type"),
            resource_id: text("resource_id"),
            resource_properties: text("resource_properties"),
            context: text("context"),
            version: text("version"),
        }
    }
}

/// What is wrong, by field.
#[derive(Default, Serialize)]
struct Faults {
    subject_type: String,
    subject_id: String,
    subject_properties: String,
    action: String,
    resource_type: String,
    resource_id: String,
    resource_properties: String,
    context: String,
    version: String,
    /// Name and words of each, for the summary.
    all: Vec<(&'static str, String)>,
    /// What the entitlement system says of the whole.
    whole: Vec<String>,
}

#[derive(Serialize)]
struct ConsideredView {
    policy: PolicyView,
    applies: bool,
    scope: &'static str,
    conditions: Vec<(String, &'static str)>,
}

#[derive(Serialize)]
struct Why {
    allow: bool,
    verdict: String,
    reasons: Vec<PolicyView>,
    errors: Vec<String>,
    missing: Vec<String>,
    considered: Vec<ConsideredView>,
    /// Their scope does not fit; so many that they are told apart.
    elsewhere: Vec<ConsideredView>,
    /// Policies that are not shown.
    left_out: usize,
    version: i64,
    /// The same question on the command line.
    command: String,
}

#[derive(Serialize)]
struct Content {
    form: Typed,
    faults: Faults,
    why: Option<Why>,
    /// The question comes from the log, which keeps no attributes.
    from_log: bool,
    active: i64,
}

pub(super) async fn form(visit: Visit) -> Response {
    let made = first_form(&visit).await;
    answer(&visit, made)
}

async fn first_form(visit: &Visit) -> Result<Response, Stop> {
    visit.need(Right::Read)?;
    let state = policies::in_force(&visit.cx).await?;
    let mut form = Typed::of(&visit.query);
    let from_log = visit.query.one("logged").is_some();
    if form.subject_type.is_empty() && form.action.is_empty() {
        for (field, word) in
            [(&mut form.subject_type, "user"), (&mut form.action, "call"), (&mut form.resource_type, "operation")]
        {
            word.clone_into(field);
        }
    }
    let content = Content { form, faults: Faults::default(), why: None, from_log, active: state.version };
    Ok(visit.show("console/policy_explain.html", content))
}

pub(super) async fn explain(visit: Visit, body: Bytes) -> Response {
    let made = explained(&visit, &body).await;
    answer(&visit, made)
}

async fn explained(visit: &Visit, body: &[u8]) -> Result<Response, Stop> {
    visit.need(Right::Read)?;
    let form = Typed::of(&visit.form(body)?);
    let state = policies::in_force(&visit.cx).await?;
    let mut content = Content { form, faults: Faults::default(), why: None, from_log: false, active: state.version };
    let (question, version) = question(&content.form, &mut content.faults);
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if content.faults.all.is_empty() {
        match policies::explain(&visit.cx, &question, version).await {
            Ok(found) => {
                status = StatusCode::OK;
                content.why = Some(why(found, version.unwrap_or(state.version), command(&question, version)));
            }
            Err(Trouble::Refused { title, errors, .. }) => {
                content.faults.whole = [title].into_iter().chain(errors).collect();
            }
            Err(Trouble::NotFound) => wrong(&mut content.faults, "version", "there is no such version".to_owned()),
            Err(trouble) => return Err(trouble.into()),
        }
    }
    Ok(visit.show_with(status, "console/policy_explain.html", content))
}

fn wrong(faults: &mut Faults, name: &'static str, what: String) {
    let field = match name {
        "subject_type" => &mut faults.subject_type,
        "subject_id" => &mut faults.subject_id,
        "subject_properties" => &mut faults.subject_properties,
        "action" => &mut faults.action,
        "resource_type" => &mut faults.resource_type,
        "resource_id" => &mut faults.resource_id,
        "resource_properties" => &mut faults.resource_properties,
        "context" => &mut faults.context,
        _ => &mut faults.version,
    };
    field.clone_from(&what);
    faults.all.push((name, what));
}

/// The question that the form asks, and the version it is asked of; what cannot be is in `faults`.
fn question(form: &Typed, faults: &mut Faults) -> (Value, Option<i64>) {
    for (name, value, what) in [
        ("subject_type", &form.subject_type, "say what the subject is, such as user or client"),
        ("subject_id", &form.subject_id, "say who: the sub or the client_id of a token"),
        ("action", &form.action, "say what is done, such as call"),
        ("resource_type", &form.resource_type, "say what the resource is, such as operation"),
        ("resource_id", &form.resource_id, "say which one"),
    ] {
        if value.is_empty() {
            wrong(faults, name, what.to_owned());
        }
    }
    let mut object = |name: &'static str, text: &str| match text {
        "" => Map::new(),
        text => serde_json::from_str(text).unwrap_or_else(|error| {
            wrong(faults, name, format!("write a JSON object: {error}"));
            Map::new()
        }),
    };
    let subject = object("subject_properties", &form.subject_properties);
    let resource = object("resource_properties", &form.resource_properties);
    let context = object("context", &form.context);
    let version = match form.version.as_str() {
        "" => None,
        text => text.parse().ok().filter(|number| *number > 0).or_else(|| {
            wrong(faults, "version", "write its number, or nothing for the one in force".to_owned());
            None
        }),
    };
    let question = json!({
        "subject": {"type": form.subject_type, "id": form.subject_id, "properties": subject},
        "action": {"name": form.action},
        "resource": {"type": form.resource_type, "id": form.resource_id, "properties": resource},
        "context": context,
    });
    (question, version)
}

fn command(question: &Value, version: Option<i64>) -> String {
    let version = version.map_or_else(String::new, |version| format!(" --version {version}"));
    let question = serde_json::to_string_pretty(question).unwrap_or_default();
    format!("cardea policy explain{version} --question - <<'EOF'\n{question}\nEOF")
}

fn why(found: Explained, version: i64, command: String) -> Why {
    let decision = found.explanation.decision;
    let considered = found.explanation.considered.into_iter();
    let (mut near, mut elsewhere): (Vec<_>, Vec<_>) = considered.partition(|one| one.scope != "fails");
    let left_out = near.len().saturating_sub(SHOWN) + elsewhere.len().saturating_sub(SHOWN);
    near.truncate(SHOWN);
    elsewhere.truncate(SHOWN);
    let shown = |of: Vec<Considered>| of.into_iter().map(|one| considered_view(one, version)).collect();
    Why {
        allow: decision.allow,
        verdict: match decision.verdict.as_str() {
            "permitted" => "A policy permits it, and none forbids it.",
            "forbidden" => "A policy forbids it, whatever others permit.",
            "not_permitted" => "No policy permits it, and what is not permitted is denied.",
            "failed" => "It cannot be decided, and so it is denied.",
            other => other,
        }
        .to_owned(),
        reasons: decision.reasons.into_iter().take(SHOWN).map(|policy| view(policy, version)).collect(),
        errors: decision.errors.into_iter().take(SHOWN).collect(),
        missing: found.missing.into_iter().take(SHOWN).collect(),
        considered: shown(near),
        elsewhere: shown(elsewhere),
        left_out,
        version,
        command,
    }
}

fn considered_view(of: Considered, version: i64) -> ConsideredView {
    ConsideredView {
        policy: view(of.policy, version),
        applies: of.applies,
        scope: match of.scope.as_str() {
            "holds" => "fits",
            "fails" => "does not fit",
            _ => "cannot be evaluated",
        },
        conditions: of.conditions.into_iter().take(SHOWN).map(condition).collect(),
    }
}

/// An `unless` holds when what stands in it is not so; said that way nobody understands it.
fn condition(of: Condition) -> (String, &'static str) {
    let words = match (of.outcome.as_str(), of.text.starts_with("unless")) {
        ("holds", false) => "holds",
        ("fails", false) => "does not hold",
        ("holds", true) => "no exception",
        ("fails", true) => "an exception",
        ("not_reached", _) => "not reached",
        _ => "cannot be evaluated",
    };
    (of.text, words)
}

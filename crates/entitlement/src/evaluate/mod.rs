//! Decision point: AuthZEN Authorization API 1.0, evaluation, evaluations and metadata.
//!
//! A question that is not whole is 400. One that is whole but does not fit the schema is denied (§5.5): the
//! asking side then knows what it may do, and the answer's `context` says why.

pub mod http;

use std::sync::Arc;

use ::http::StatusCode;
use base::ids::RequestId;
use policy::{Decision, Question, Verdict};
use serde_json::{Map, Value, json};

use crate::callers::Called;
use crate::decisions::Record;
use crate::error::Refused;
use crate::live::Live;
use crate::{SharedEntitlement, attributes};

pub const WELL_KNOWN: &str = "/.well-known/authzen-configuration";
pub const EVALUATION: &str = "/access/v1/evaluation";
pub const EVALUATIONS: &str = "/access/v1/evaluations";

/// Questions in one request.
pub const MOST: usize = 100;

/// Permits whose conditions an answer names.
const EXPLAINED: usize = 5;

/// The members of a question, which a batch gives once for all (§7.1.1).
const PARTS: [&str; 4] = ["subject", "action", "resource", "context"];

/// Which answers a batch wants (§7.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// A request to the evaluations endpoint.
#[derive(Debug)]
pub enum Asked {
    One(Box<Question>),
    /// Questions in their order; one that is not whole is denied, and says why.
    Many(Semantic, Vec<Result<Question, String>>),
}

impl Semantic {
    fn of(request: &Map<String, Value>) -> Result<Self, Refused> {
        let named = request.get("options").and_then(|options| options.get("evaluations_semantic"));
        match named.map(Value::as_str) {
            None | Some(Some("execute_all")) => Ok(Self::ExecuteAll),
            Some(Some("deny_on_first_deny")) => Ok(Self::DenyOnFirstDeny),
            Some(Some("permit_on_first_permit")) => Ok(Self::PermitOnFirstPermit),
            Some(_) => Err(Refused::BadRequest("`options.evaluations_semantic` is not known".to_owned())),
        }
    }

    /// Whether nothing more is asked after this answer.
    fn ends(self, allow: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !allow,
            Self::PermitOnFirstPermit => allow,
        }
    }
}

/// One question; members that are not known are ignored.
pub fn question(request: Value) -> Result<Question, String> {
    let mut request = match request {
        Value::Object(request) => request,
        _ => return Err("the request is not an object".to_owned()),
    };
    let mut members = Map::new();
    for part in PARTS {
        match request.remove(part) {
            // A member that is null counts as absent (§11.5).
            None | Some(Value::Null) => {}
            Some(Value::Object(mut value)) => {
                value.retain(|_, inner| !inner.is_null());
                members.insert(part.to_owned(), Value::Object(value));
            }
            Some(_) => return Err(format!("`{part}` is not an object")),
        }
    }
    serde_json::from_value(Value::Object(members)).map_err(|error| error.to_string())
}

/// One or many.
pub fn questions(request: Value) -> Result<Asked, Refused> {
    let bad = Refused::BadRequest;
    let Value::Object(mut request) = request else { return Err(bad("the request is not an object".to_owned())) };
    let items = match request.remove("evaluations") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(bad("`evaluations` is not a list".to_owned())),
    };
    if items.is_empty() {
        return question(Value::Object(request)).map(|one| Asked::One(Box::new(one))).map_err(bad);
    }
    if items.len() > MOST {
        return Err(Refused::TooMany(MOST));
    }
    let semantic = Semantic::of(&request)?;
    let mut defaults = Map::new();
    for part in PARTS {
        match request.remove(part) {
            None | Some(Value::Null) => {}
            // It need not be whole, as long as each item brings its own.
            Some(value @ Value::Object(_)) => _ = defaults.insert(part.to_owned(), value),
            Some(_) => return Err(bad(format!("`{part}` is not an object"))),
        }
    }
    let whole = |item: Value| match item {
        Value::Object(item) => {
            let mut merged = defaults.clone();
            merged.extend(item.into_iter().filter(|(_, value)| !value.is_null()));
            question(Value::Object(merged))
        }
        _ => Err("the evaluation is not an object".to_owned()),
    };
    Ok(Asked::Many(semantic, items.into_iter().map(whole).collect()))
}

/// Decides, logs, and says it in the form of the standard.
pub async fn answer(entitlement: &SharedEntitlement, called: &Called, asked: Asked) -> Result<Value, Refused> {
    // All questions of one request are decided by the same policies.
    let live = entitlement.live.get(entitlement).await?;
    match asked {
        Asked::One(question) => Ok(decide(entitlement, &live, called, *question).await.1),
        Asked::Many(semantic, questions) => {
            let mut answers = Vec::with_capacity(questions.len());
            for question in questions {
                let (allow, answer) = match question {
                    Ok(question) => decide(entitlement, &live, called, question).await,
                    Err(message) => {
                        let error = json!({"status": StatusCode::BAD_REQUEST.as_u16(), "message": message});
                        (false, json!({"decision": false, "context": {"error": error}}))
                    }
                };
                answers.push(answer);
                if semantic.ends(allow) {
                    break;
                }
            }
            Ok(json!({"evaluations": answers}))
        }
    }
}

async fn decide(
    entitlement: &SharedEntitlement,
    live: &Arc<Live>,
    called: &Called,
    mut question: Question,
) -> (bool, Value) {
    question.now = entitlement.clock.now();
    let (decision, missing) = match attributes::enrich(entitlement, &mut question).await {
        Ok(()) => {
            let decision = live.engine.decide(&question);
            // Only where nobody said no in words is it worth looking for what was lacking.
            let silent = decision.verdict == Verdict::NotPermitted;
            let missing = if silent { live.engine.missing(&question, EXPLAINED) } else { Vec::new() };
            (decision, missing)
        }
        Err(why) => {
            let verdict = Verdict::Failed;
            (Decision { allow: false, verdict, reasons: Vec::new(), errors: vec![why] }, Vec::new())
        }
    };
    entitlement.metrics.decision(decision.verdict);
    let record = Record::new(&question, &decision, live.version, &called.caller, &called.request_id);
    let context = context(&decision, &missing, live.version, &record.decision_id);
    entitlement.log.put(record);
    (decision.allow, json!({"decision": decision.allow, "context": context}))
}

/// The decision's `context` (§5.5.1): reasons for the administrator and for the person concerned, and what
/// would help.
fn context(decision: &Decision, missing: &[String], version: i64, decision_id: &RequestId) -> Value {
    let policies: Vec<&str> = decision.reasons.iter().map(|info| info.id.as_str()).collect();
    let mut context = Map::new();
    context.insert("decision_id".to_owned(), json!(decision_id));
    context.insert("policy_version".to_owned(), json!(version));
    if !policies.is_empty() {
        context.insert("policies".to_owned(), json!(policies));
    }
    if decision.allow {
        return Value::Object(context);
    }
    let because = match decision.verdict {
        Verdict::Failed => decision.errors.join("; "),
        Verdict::Forbidden => {
            let places = decision.reasons.iter().map(|info| format!("{} ({}:{})", info.id, info.file, info.line));
            format!("forbidden by {}", places.collect::<Vec<_>>().join(", "))
        }
        _ if missing.is_empty() => "no policy permits it".to_owned(),
        _ => format!("no policy permits it; not fulfilled: {}", missing.join("; ")),
    };
    context.insert("reason_admin".to_owned(), json!({"403": because}));
    if let Some(reason) = decision.reason() {
        context.insert("reason_user".to_owned(), json!({"403": reason}));
    }
    if decision.verdict == Verdict::Failed {
        let status = StatusCode::UNPROCESSABLE_ENTITY.as_u16();
        context.insert("error".to_owned(), json!({"status": status, "message": because}));
    }
    if let Some(step_up) = decision.step_up() {
        context.insert("step_up".to_owned(), json!(step_up));
    }
    for (name, value) in decision.advice() {
        context.entry(name.to_owned()).or_insert_with(|| json!(value));
    }
    Value::Object(context)
}

/// The decision point's metadata (§9).
pub fn metadata(url: &str) -> Value {
    json!({
        "policy_decision_point": url,
        "access_evaluation_endpoint": format!("{url}{EVALUATION}"),
        "access_evaluations_endpoint": format!("{url}{EVALUATIONS}"),
    })
}

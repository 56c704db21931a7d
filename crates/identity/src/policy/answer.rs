//! The answer: as many decisions as there were questions, or it is none.

use base::scope::Scopes;
use serde_json::{Map, Value, json};

/// What policy says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    Granted {
        scopes: Scopes,
        /// The login by which further scopes could be had.
        more: Option<StepUp>,
    },
    Denied(Denied),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denied {
    /// For the person concerned, in the operator's words.
    pub reason: Option<String>,
    /// For the log.
    pub reason_admin: Option<String>,
    pub step_up: Option<StepUp>,
}

/// A login that would help (RFC 9470 §3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepUp {
    pub acr_values: Vec<String>,
    pub max_age: Option<u64>,
}

impl StepUp {
    /// Whether one of our logins is of that kind: as one with this `acr`, and newer than the one there is.
    pub fn is_met_by(&self, acr: &str) -> bool {
        self.acr_values.is_empty() || self.acr_values.iter().any(|value| value == acr)
    }

    pub(crate) fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        if !self.acr_values.is_empty() {
            members.insert("acr_values".to_owned(), json!(self.acr_values.join(" ")));
        }
        if let Some(max_age) = self.max_age {
            members.insert("max_age".to_owned(), json!(max_age));
        }
        members
    }

    /// `step_up` of our entitlement system, or an `advice` of the type `step_up`.
    fn read(context: &Value) -> Option<Self> {
        let advice = context.get("advice").filter(|advice| advice.get("type").is_some_and(|kind| kind == "step_up"));
        let told = context.get("step_up").or(advice)?;
        let acr_values = match told.get("acr_values") {
            Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let max_age = told.get("max_age").and_then(Value::as_u64);
        (max_age.is_some() || !acr_values.is_empty()).then_some(Self { acr_values, max_age })
    }
}

struct Decision<'a> {
    allow: bool,
    context: &'a Value,
}

impl Decision<'_> {
    fn denied(&self) -> Denied {
        Denied {
            reason: self.text("reason_user").and_then(public),
            reason_admin: self.text("reason_admin").map(str::to_owned),
            step_up: StepUp::read(self.context),
        }
    }

    /// AuthZEN §5.5.1: an object of reasons by code, or a text.
    fn text(&self, name: &str) -> Option<&str> {
        match self.context.get(name)? {
            Value::Object(reasons) => reasons.values().find_map(Value::as_str),
            other => other.as_str(),
        }
    }
}

/// What may stand in `error_description` (RFC 6749 §4.1.2.1), of a sane length.
fn public(reason: &str) -> Option<String> {
    let fine = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    let text: String = reason.chars().map(|c| if c == '"' { '\'' } else { c }).filter(fine).take(200).collect();
    (!text.trim().is_empty()).then_some(text)
}

/// First whether anything may be issued, then the scopes in their order.
pub(super) fn rule(scopes: &Scopes, answer: &Value) -> Result<Ruling, &'static str> {
    const NOT_WHOLE: &str = "the answer is not whole";
    let decisions = answer.get("evaluations").and_then(Value::as_array).ok_or(NOT_WHOLE)?;
    if decisions.len() != scopes.len() + 1 {
        return Err(NOT_WHOLE);
    }
    let read = |value: &'_ Value| value.get("decision").and_then(Value::as_bool);
    let nothing = Value::Null;
    let mut read_all = Vec::with_capacity(decisions.len());
    for value in decisions {
        let allow = read(value).ok_or(NOT_WHOLE)?;
        read_all.push(Decision { allow, context: value.get("context").unwrap_or(&nothing) });
    }
    let (issue, of_scopes) = read_all.split_first().ok_or(NOT_WHOLE)?;
    if !issue.allow {
        return Ok(Ruling::Denied(issue.denied()));
    }
    let granted: Scopes = scopes.iter().zip(of_scopes).filter(|(_, one)| one.allow).map(|(scope, _)| scope).collect();
    let refused = || of_scopes.iter().filter(|one| !one.allow).map(Decision::denied);
    let helpful = refused().find(|denied| denied.step_up.is_some());
    if granted.is_empty() && !scopes.is_empty() {
        return Ok(Ruling::Denied(helpful.or_else(|| refused().next()).unwrap_or_default()));
    }
    Ok(Ruling::Granted { scopes: granted, more: helpful.and_then(|denied| denied.step_up) })
}

//! The conditions of a policy, one by one: what an explanation shows, and which attributes they read.

use std::collections::BTreeSet;

use cedar_policy::{Policy, PolicyId, PolicySet};
use serde_json::{Value, json};

/// One part of a `when` or `unless` that must hold by itself.
#[derive(Debug)]
pub(crate) struct Clause {
    /// As Cedar prints it: `when { resource.doctor == principal }`.
    pub text: String,
    /// A policy that permits if, and only if, the clause holds.
    pub alone: PolicySet,
    pub reads: BTreeSet<String>,
}

/// `when { a && b }` has two clauses, and so has `unless { a || b }`.
pub(crate) fn clauses(policy: &Policy) -> Option<Vec<Clause>> {
    let json = policy.to_json().ok()?;
    let conditions = json.get("conditions")?.as_array()?;
    let mut clauses = Vec::new();
    for condition in conditions {
        let kind = condition.get("kind")?.as_str()?;
        let operator = if kind == "when" { "&&" } else { "||" };
        for body in split(condition.get("body")?, operator) {
            clauses.push(clause(kind, body)?);
        }
    }
    Some(clauses)
}

/// The policy without its conditions.
pub(crate) fn scope(policy: &Policy) -> Option<PolicySet> {
    let mut json = policy.to_json().ok()?;
    json.as_object_mut()?.insert("conditions".to_owned(), json!([]));
    PolicySet::from_policies([Policy::from_json(Some(policy.id().clone()), json).ok()?]).ok()
}

fn clause(kind: &str, body: &Value) -> Option<Clause> {
    // Cedar prints `unless` as the `when` of the contrary; people shall see their own words.
    let printed = alone("when", body)?.to_cedar()?;
    let at = printed.find("when {")? + "when".len();
    let text = format!("{kind}{}", printed.get(at..)?.trim_end().trim_end_matches(';'));
    let mut reads = BTreeSet::new();
    collect(body, &mut reads);
    Some(Clause {
        text: text.split_whitespace().collect::<Vec<_>>().join(" "),
        alone: PolicySet::from_policies([alone(kind, body)?]).ok()?,
        reads,
    })
}

/// A permit for everybody and everything under this condition.
fn alone(kind: &str, body: &Value) -> Option<Policy> {
    let all = json!({"op": "All"});
    let policy = json!({
        "effect": "permit", "principal": all, "action": all, "resource": all,
        "conditions": [{"kind": kind, "body": body}],
    });
    Policy::from_json(Some(PolicyId::new("clause")), policy).ok()
}

fn split<'a>(body: &'a Value, operator: &str) -> Vec<&'a Value> {
    let sides = body.get(operator).and_then(|both| Some((both.get("left")?, both.get("right")?)));
    match sides {
        Some((left, right)) => {
            let mut parts = split(left, operator);
            parts.extend(split(right, operator));
            parts
        }
        None => vec![body],
    }
}

/// The longest attribute paths below `principal`, `resource` and `context`.
fn collect(body: &Value, reads: &mut BTreeSet<String>) {
    if let Some(path) = path(body) {
        if path.contains('.') {
            reads.insert(path);
        }
        return;
    }
    match body {
        Value::Object(members) => members.values().for_each(|value| collect(value, reads)),
        Value::Array(values) => values.iter().for_each(|value| collect(value, reads)),
        _ => {}
    }
}

fn path(body: &Value) -> Option<String> {
    if let Some(variable) = body.get("Var") {
        return variable.as_str().map(str::to_owned);
    }
    let access = body.get(".").or_else(|| body.get("has"))?;
    Some(format!("{}.{}", path(access.get("left")?)?, access.get("attr")?.as_str()?))
}

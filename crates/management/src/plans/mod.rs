//! Plans: what a subscription allows and what it costs (kind `Plan`).
//!
//! A change is a new version. Limits and APIs of the newest version hold at once for everybody. A price holds
//! from the next calendar month on (UTC), and at once only for whoever subscribes after the change: what was
//! agreed is not rated anew ([`price_at`]). A retired plan takes no new subscriptions; old ones go on.

mod describe;
mod http;
mod store;
#[cfg(test)]
mod tests;

use base::Time;
use base::problem::FieldError;
use catalog::published::Document;
use catalog::{PlanSpec, PriceSpec, Resource, Window};
use serde_json::{Value, json};

pub(crate) use self::describe::{operations, shapes};
pub use self::http::routes;

use crate::actor::Right;
use crate::audit::{self, Record};
use crate::error::Refused;
use crate::{Cx, publish, subscriptions, usage};

#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub version: i64,
    pub spec: PlanSpec,
    pub created_at: Time,
    pub changed_at: Time,
    pub retired_at: Option<Time>,
}

/// A plan as it was from a moment on.
#[derive(Debug, Clone)]
pub struct Version {
    pub plan: String,
    pub number: i64,
    pub spec: PlanSpec,
    pub since: Time,
    pub changed_by: String,
}

impl Plan {
    /// Whether people of this organisation may subscribe.
    pub fn is_for(&self, organisation: &str) -> bool {
        let all = self.spec.organisations.is_empty();
        self.retired_at.is_none() && (all || self.spec.organisations.iter().any(|name| name == organisation))
    }
}

/// The `spec` of a document, or all that is wrong with it.
pub fn parse(name: &str, spec: &Value) -> Result<PlanSpec, Refused> {
    let mut errors = Vec::new();
    if !is_name(name) {
        let detail = "a name has letters, digits, `.`, `_` and `-`, at most 63, and begins with a letter or digit";
        errors.push(FieldError { pointer: "/name".to_owned(), detail: detail.to_owned() });
    }
    let read = Resource::new("Plan", name, spec.clone()).read::<PlanSpec>();
    let parsed = match read {
        Ok(parsed) => {
            let faults = parsed.faults().into_iter();
            errors.extend(faults.map(|(pointer, detail)| FieldError { pointer, detail }));
            Some(parsed)
        }
        Err(faults) => {
            errors.extend(faults.into_iter().map(|fault| FieldError { pointer: fault.pointer, detail: fault.message }));
            None
        }
    };
    match parsed {
        Some(parsed) if errors.is_empty() => Ok(parsed),
        _ => Err(Refused::Invalid("the plan has faults".to_owned(), errors)),
    }
}

/// Makes or changes a plan; the same once more is no new version.
pub async fn put(cx: &mut Cx, name: &str, spec: &Value) -> Result<Plan, Refused> {
    cx.need(Right::Publish)?;
    let spec = parse(name, spec)?;
    let before = store::find(cx, name).await?;
    if let Some(same) = before.as_ref().filter(|plan| plan.spec == spec && plan.retired_at.is_none()) {
        return Ok(same.clone());
    }
    // Before the first write, so that those who publish take turns in one order.
    publish::touched(cx).await?;
    let document = document(&spec);
    let version = store::put(cx, name, &document, spec.quota.as_ref().map(|quota| window_word(quota.per))).await?;
    store::add_version(cx, name, version, &document).await?;
    if let Some(before) = &before {
        if before.spec.apis != spec.apis {
            subscriptions::claim_for_plan(cx, name, &spec.apis).await?;
        }
        if before.spec.quota.as_ref().map(|quota| quota.per) != spec.quota.as_ref().map(|quota| quota.per) {
            usage::tell_again_of_plan(cx, name).await?;
        }
    }
    publish::verify(cx).await?;
    let detail = json!({"version": version, "spec": spec});
    let act = if before.is_some() { "plan.changed" } else { "plan.made" };
    tell(cx, act, name, detail).await?;
    let created_at = before.map_or(cx.now, |plan| plan.created_at);
    Ok(Plan { name: name.to_owned(), version, spec, created_at, changed_at: cx.now, retired_at: None })
}

/// No new subscriptions from now on. False: there is no such plan, or it is retired already.
pub async fn retire(cx: &mut Cx, name: &str) -> Result<bool, Refused> {
    cx.need(Right::Publish)?;
    publish::touched(cx).await?;
    if !store::retire(cx, name).await? {
        return Ok(false);
    }
    tell(cx, "plan.retired", name, json!({})).await?;
    Ok(true)
}

pub async fn find(cx: &mut Cx, name: &str) -> Result<Option<Plan>, Refused> {
    store::find(cx, name).await
}

/// All, by name.
pub async fn list(cx: &mut Cx) -> Result<Vec<Plan>, Refused> {
    store::list(cx).await
}

/// Those that people of this organisation may subscribe to.
pub async fn offered(cx: &mut Cx, organisation: &str) -> Result<Vec<Plan>, Refused> {
    let mut plans = store::list(cx).await?;
    plans.retain(|plan| plan.is_for(organisation));
    Ok(plans)
}

/// The oldest first.
pub async fn versions(cx: &mut Cx, name: &str) -> Result<Vec<Version>, Refused> {
    store::versions(cx, name).await
}

/// What gateways are told: plans in sale, and those that somebody still has.
pub async fn published(cx: &mut Cx) -> Result<Vec<Document>, Refused> {
    let document = |(name, spec)| Document { kind: "Plan".to_owned(), name, spec };
    Ok(store::published(cx).await?.into_iter().map(document).collect())
}

/// The price of a plan in a calendar month for whoever has had it since `agreed`: as the plan was when the month
/// began, or when it was agreed, if that was later.
pub fn price_at(versions: &[Version], month_begin: Time, agreed: Time) -> Option<&PriceSpec> {
    let moment = month_begin.max(agreed);
    let valid = versions.iter().rfind(|version| version.since <= moment).or(versions.first());
    valid.and_then(|version| version.spec.price.as_ref())
}

pub(crate) fn window_word(window: Window) -> &'static str {
    match window {
        Window::Hour => "hour",
        Window::Day => "day",
        Window::Week => "week",
        Window::Month => "month",
    }
}

fn document(spec: &PlanSpec) -> String {
    serde_json::to_string(spec).unwrap_or_default()
}

fn is_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.len() <= 63 && name.bytes().all(fine) && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

async fn tell(cx: &mut Cx, act: &'static str, name: &str, detail: Value) -> Result<(), Refused> {
    audit::record(cx, Record { act, object: format!("plan:{name}"), organisation: None, detail }).await?;
    subscriptions::changed(cx).await
}

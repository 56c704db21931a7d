//! Subscriptions: which application of which organisation has which plan.
//!
//! requested → active ⇄ suspended → cancelled, or requested → rejected. Each move is one guarded statement. An
//! application has at most one living subscription (requested, active, suspended) to an API; the table of claims
//! says so, not a look before. Which plan was in force when stands in terms, and invoices rest on those.

mod changes;
mod describe;
mod http;
mod store;
#[cfg(test)]
mod tests;

use base::Time;
use base::ids::RequestId;
use catalog::Approval;
use catalog::published::PublishedSubscription;
use serde_json::{Value, json};

pub use self::changes::{apply_due, change_plan};
pub(crate) use self::describe::{operations, shapes};
pub use self::http::{routes, view};
pub use self::store::{Filter, Term};

use crate::actor::{Right, Share};
use crate::audit::{self, Record};
use crate::error::Refused;
use crate::{Cx, applications, plans, usage};

const LONGEST_NOTE: usize = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The provider has to say yes or no.
    Requested,
    Active,
    /// Paid for and not served: by the provider.
    Suspended,
    Rejected,
    Cancelled,
}

impl State {
    pub const ALL: [Self; 5] = [Self::Requested, Self::Active, Self::Suspended, Self::Rejected, Self::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether it stands in the way of another one to the same API.
    pub fn is_living(self) -> bool {
        matches!(self, Self::Requested | Self::Active | Self::Suspended)
    }
}

#[derive(Debug, Clone)]
pub struct Subscription {
    pub id: String,
    pub organisation: String,
    pub application: String,
    /// `client_id`, as soon as the identity system has given one.
    pub client: Option<String>,
    pub plan: String,
    pub state: State,
    /// What the applicant says.
    pub note: Option<String>,
    pub requested_at: Time,
    pub requested_by: String,
    pub decided_at: Option<Time>,
    pub decided_by: Option<String>,
    /// What the applicant is told.
    pub reason: Option<String>,
    pub next: Option<NextPlan>,
    pub changed_at: Time,
}

/// Another plan that is asked for, or agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextPlan {
    pub plan: String,
    pub agreed: bool,
    pub from: Time,
}

#[derive(Debug, Clone)]
pub struct Wanted {
    pub organisation: String,
    pub application: String,
    pub client: Option<String>,
    pub plan: String,
    pub note: Option<String>,
}

/// Subscribes: at once, or after the provider's yes, as the plan says. The caller has seen to it that the
/// application is the organisation's.
pub async fn request(cx: &mut Cx, wanted: Wanted) -> Result<Subscription, Refused> {
    cx.need_for(&wanted.organisation, Share::Develop)?;
    let plan = plans::find(cx, &wanted.plan).await?.filter(|plan| plan.is_for(&wanted.organisation));
    let plan = plan.ok_or(Refused::NotFound("such plan for this organisation"))?;
    let note = wanted.note.as_deref().map(str::trim).filter(|note| !note.is_empty()).map(str::to_owned);
    if note.as_ref().is_some_and(|note| note.chars().count() > LONGEST_NOTE || note.contains('\0')) {
        return Err(Refused::invalid("/note", format!("a note has at most {LONGEST_NOTE} characters")));
    }
    let trusted = cx.actor.may(Right::Publish);
    let at_once = trusted
        || (plan.spec.approval == Approval::Automatic
            && !is_suspended(cx, &wanted.organisation, &plan.spec.apis).await?);
    let subscription = Subscription {
        id: RequestId::random().0,
        organisation: wanted.organisation,
        application: wanted.application,
        client: wanted.client,
        plan: wanted.plan,
        state: if at_once { State::Active } else { State::Requested },
        note,
        requested_at: cx.now,
        requested_by: cx.actor.to_string(),
        decided_at: at_once.then_some(cx.now),
        decided_by: at_once.then(|| "plan".to_owned()),
        reason: None,
        next: None,
        changed_at: cx.now,
    };
    store::insert(cx, &subscription).await?;
    // What an ended one has used up of this plan is used up: a quota does not begin anew by cancelling.
    usage::carry_over(cx, &subscription.organisation, &subscription.plan, &subscription.id).await?;
    claim(cx, &subscription, &plan.spec.apis).await?;
    if at_once {
        store::begin_term(cx, &subscription.id, &subscription.plan).await?;
        applications::subscribed(cx, &subscription.application, &plan.spec.apis).await?;
        changed(cx).await?;
    }
    tell(cx, "subscription.requested", &subscription, json!({"plan": subscription.plan, "atOnce": at_once})).await?;
    Ok(subscription)
}

/// Says yes: to the subscription, or to the other plan that is asked for.
pub async fn approve(cx: &mut Cx, id: &str, note: Option<&str>) -> Result<Subscription, Refused> {
    cx.need(Right::Publish)?;
    let before = find(cx, id).await?.ok_or(Refused::NotFound("such subscription"))?;
    if before.state != State::Requested && before.next.as_ref().is_some_and(|next| !next.agreed) {
        return changes::approve(cx, before).await;
    }
    let after = moved(cx, &before, &[State::Requested], State::Active, note).await?;
    store::forgive(cx, &after.organisation).await?;
    store::begin_term(cx, id, &after.plan).await?;
    if let Some(plan) = plans::find(cx, &after.plan).await? {
        applications::subscribed(cx, &after.application, &plan.spec.apis).await?;
    }
    tell(cx, "subscription.approved", &after, json!({"note": note})).await?;
    Ok(after)
}

/// As [`approve`], if it is still this plan that is asked for: what somebody read and said yes to, and not what was put
/// in its place meanwhile.
pub async fn approve_plan(cx: &mut Cx, id: &str, plan: &str, note: Option<&str>) -> Result<Subscription, Refused> {
    cx.need(Right::Publish)?;
    let before = find(cx, id).await?.ok_or(Refused::NotFound("such subscription"))?;
    let asked = before.next.as_ref().filter(|next| !next.agreed).map_or(&before.plan, |next| &next.plan);
    if asked != plan {
        return Err(Refused::Conflict(format!("another plan is asked for by now: `{asked}`; look again")));
    }
    approve(cx, id, note).await
}

/// Says no, and why: to the subscription, or to the other plan that is asked for.
pub async fn reject(cx: &mut Cx, id: &str, reason: &str) -> Result<Subscription, Refused> {
    cx.need(Right::Publish)?;
    let before = find(cx, id).await?.ok_or(Refused::NotFound("such subscription"))?;
    if before.state != State::Requested && before.next.as_ref().is_some_and(|next| !next.agreed) {
        return changes::reject(cx, before, reason).await;
    }
    let after = moved(cx, &before, &[State::Requested], State::Rejected, Some(reason)).await?;
    store::release(cx, id).await?;
    tell(cx, "subscription.rejected", &after, json!({"reason": reason})).await?;
    Ok(after)
}

/// Gateways refuse its calls until it is resumed.
pub async fn suspend(cx: &mut Cx, id: &str, reason: &str) -> Result<Subscription, Refused> {
    cx.need(Right::Publish)?;
    let before = find(cx, id).await?.ok_or(Refused::NotFound("such subscription"))?;
    let after = moved(cx, &before, &[State::Active], State::Suspended, Some(reason)).await?;
    store::mark_suspended(cx, id, true).await?;
    tell(cx, "subscription.suspended", &after, json!({"reason": reason})).await?;
    Ok(after)
}

pub async fn resume(cx: &mut Cx, id: &str) -> Result<Subscription, Refused> {
    cx.need(Right::Publish)?;
    let before = find(cx, id).await?.ok_or(Refused::NotFound("such subscription"))?;
    let after = moved(cx, &before, &[State::Suspended], State::Active, None).await?;
    store::mark_suspended(cx, id, false).await?;
    tell(cx, "subscription.resumed", &after, json!({})).await?;
    Ok(after)
}

/// Ends it for good; by the organisation itself, or by the provider.
pub async fn cancel(cx: &mut Cx, id: &str, reason: Option<&str>) -> Result<Subscription, Refused> {
    let before = find(cx, id).await?.ok_or(Refused::NotFound("such subscription"))?;
    if !cx.actor.may(Right::Publish) {
        cx.need_for(&before.organisation, Share::Develop)?;
    }
    end(cx, &before, reason).await
}

async fn end(cx: &mut Cx, before: &Subscription, reason: Option<&str>) -> Result<Subscription, Refused> {
    let from = [State::Requested, State::Active, State::Suspended];
    let after = moved(cx, before, &from, State::Cancelled, reason).await?;
    store::end_term(cx, &before.id).await?;
    store::release(cx, &before.id).await?;
    tell(cx, "subscription.cancelled", &after, json!({"reason": reason})).await?;
    Ok(after)
}

/// The identity system has given an application its `client_id`.
pub async fn client_known(cx: &mut Cx, application: &str, client: &str) -> Result<(), Refused> {
    if store::set_client(cx, application, client).await? {
        changed(cx).await?;
    }
    Ok(())
}

/// An application goes: so do its subscriptions.
pub async fn application_gone(cx: &mut Cx, application: &str) -> Result<(), Refused> {
    for subscription in store::living_of_application(cx, application).await? {
        end(cx, &subscription, Some("the application was deleted")).await?;
    }
    Ok(())
}

pub async fn find(cx: &mut Cx, id: &str) -> Result<Option<Subscription>, Refused> {
    store::find(cx, id).await
}

/// As [`find`], for those who may see it; the others are not told that it is there.
pub async fn see(cx: &mut Cx, id: &str) -> Result<Subscription, Refused> {
    let found = find(cx, id).await?.ok_or(Refused::NotFound("such subscription"))?;
    match cx.need_for(&found.organisation, Share::See) {
        Ok(()) => Ok(found),
        Err(_) => Err(Refused::NotFound("such subscription")),
    }
}

/// By id, from behind `filter.after`.
pub async fn list(cx: &mut Cx, filter: &Filter, limit: i64) -> Result<Vec<Subscription>, Refused> {
    store::list(cx, filter, limit).await
}

/// The terms of an organisation's subscriptions that touch a time; the oldest first.
pub async fn terms(cx: &mut Cx, organisation: &str, from: Time, until: Time) -> Result<Vec<Term>, Refused> {
    store::terms(cx, organisation, from, until).await
}

/// What gateways are told: those in force whose application has a `client_id`.
pub async fn published(cx: &mut Cx) -> Result<Vec<PublishedSubscription>, Refused> {
    store::published(cx).await
}

/// The APIs of a plan have changed: its subscriptions claim the new ones.
pub(crate) async fn claim_for_plan(cx: &mut Cx, plan: &str, apis: &[String]) -> Result<(), Refused> {
    store::release_plan(cx, plan).await?;
    let living = store::count_living(cx, plan).await?;
    for api in apis {
        if store::claim_for_plan(cx, plan, api).await? != living {
            return Err(Refused::Conflict(format!(
                "an application with this plan has a subscription to `{api}` by another plan; end one of the two first"
            )));
        }
    }
    Ok(())
}

/// The next snapshot for gateways is another one.
pub(crate) async fn changed(cx: &mut Cx) -> Result<(), Refused> {
    crate::publish::touched(cx).await?;
    Ok(())
}

/// Whether the provider has suspended the organisation at one of these APIs. Ending the suspended subscription and making
/// another one is no way around it: that waits for the provider's yes.
async fn is_suspended(cx: &mut Cx, organisation: &str, apis: &[String]) -> Result<bool, Refused> {
    for name in store::suspended_plans(cx, organisation).await? {
        let plan = plans::find(cx, &name).await?;
        if plan.is_some_and(|plan| plan.spec.apis.iter().any(|api| apis.contains(api))) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn claim(cx: &mut Cx, subscription: &Subscription, apis: &[String]) -> Result<(), Refused> {
    for api in apis {
        if !store::claim(cx, &subscription.application, api, &subscription.id).await? {
            return Err(Refused::Conflict(format!(
                "this application has a subscription to `{api}` already; change its plan, or cancel it first"
            )));
        }
    }
    Ok(())
}

/// One guarded statement; who comes second is told how things stand.
async fn moved(
    cx: &mut Cx,
    before: &Subscription,
    from: &[State],
    to: State,
    reason: Option<&str>,
) -> Result<Subscription, Refused> {
    let (first, second, third) = (from.first(), from.get(1), from.get(2));
    let states = [first, second, third].map(|state| state.copied());
    let Some(after) = store::move_to(cx, &before.id, states, to, reason).await? else {
        let now = store::find(cx, &before.id).await?.map_or(before.state, |found| found.state);
        return Err(Refused::Conflict(format!(
            "the subscription is {}; it cannot become {}",
            now.as_str(),
            to.as_str()
        )));
    };
    changed(cx).await?;
    Ok(after)
}

async fn tell(cx: &mut Cx, act: &'static str, of: &Subscription, detail: Value) -> Result<(), Refused> {
    let object = format!("subscription:{}", of.id);
    audit::record(cx, Record { act, object, organisation: Some(&of.organisation), detail }).await?;
    Ok(())
}

/// Whose a subscription or a client is.
pub(crate) async fn organisation_of(cx: &mut Cx, id_or_client: &str) -> Result<Option<String>, Refused> {
    store::organisation_of(cx, id_or_client).await
}

/// All that ever subscribed.
pub(crate) async fn organisations(cx: &mut Cx) -> Result<Vec<String>, Refused> {
    store::organisations(cx).await
}

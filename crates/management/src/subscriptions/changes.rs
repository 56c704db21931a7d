//! Another plan for a subscription, now or from a moment on.

use base::Time;
use catalog::Approval;
use serde_json::json;

use super::{State, Subscription, changed, claim, find, store, tell};
use crate::actor::{Right, Share};
use crate::error::Refused;
use crate::plans::{self, Plan};
use crate::{Cx, usage};

/// Changes the plan at `from`, or at once. Where the new plan is given only on request, that is where it ends first.
pub async fn change_plan(cx: &mut Cx, id: &str, plan: &str, from: Option<Time>) -> Result<Subscription, Refused> {
    let before = find(cx, id).await?.ok_or(Refused::NotFound("such subscription"))?;
    if !cx.actor.may(Right::Publish) {
        cx.need_for(&before.organisation, Share::Develop)?;
    }
    if before.state != State::Active {
        let state = before.state.as_str();
        return Err(Refused::Conflict(format!("the subscription is {state}; only an active one gets another plan")));
    }
    if before.plan == plan {
        return Err(Refused::Conflict("the subscription has this plan".to_owned()));
    }
    let wanted = plans::find(cx, plan).await?.filter(|plan| plan.is_for(&before.organisation));
    let wanted = wanted.ok_or(Refused::NotFound("such plan for this organisation"))?;
    same_currency(cx, &before.plan, &wanted).await?;
    let from = from.unwrap_or(cx.now).max(cx.now);
    let agreed = wanted.spec.approval == Approval::Automatic || cx.actor.may(Right::Publish);
    if agreed && from == cx.now {
        return switch(cx, before, &wanted).await;
    }
    let state = if agreed { "agreed" } else { "requested" };
    let after = store::plan_next(cx, id, plan, state, from).await?.ok_or_else(overtaken)?;
    tell(cx, "subscription.plan_requested", &after, json!({"plan": plan, "from": from, "agreed": agreed})).await?;
    Ok(after)
}

/// Says yes to the plan that is asked for.
pub(super) async fn approve(cx: &mut Cx, before: Subscription) -> Result<Subscription, Refused> {
    let next = before.next.clone().ok_or_else(overtaken)?;
    if next.from > cx.now {
        let after = store::plan_next(cx, &before.id, &next.plan, "agreed", next.from).await?.ok_or_else(overtaken)?;
        tell(cx, "subscription.plan_agreed", &after, json!({"plan": next.plan, "from": next.from})).await?;
        return Ok(after);
    }
    let plan = plans::find(cx, &next.plan).await?.ok_or(Refused::NotFound("such plan"))?;
    switch(cx, before, &plan).await
}

pub(super) async fn reject(cx: &mut Cx, before: Subscription, reason: &str) -> Result<Subscription, Refused> {
    let after = store::drop_next(cx, &before.id, reason).await?.ok_or_else(overtaken)?;
    tell(cx, "subscription.plan_rejected", &after, json!({"reason": reason})).await?;
    Ok(after)
}

/// Makes the changes whose moment has come; how many. What has become impossible is dropped and told.
pub async fn apply_due(cx: &Cx) -> Result<usize, Refused> {
    let mut done = 0;
    for id in store::due(&mut cx.again()).await? {
        let mut one = cx.again();
        let Some(before) = find(&mut one, &id).await? else { continue };
        let Some(next) = before.next.clone() else { continue };
        let result = match plans::find(&mut one, &next.plan).await? {
            Some(plan) => switch(&mut one, before.clone(), &plan).await,
            None => Err(Refused::NotFound("such plan")),
        };
        match result {
            Ok(_) => one.commit().await?,
            Err(Refused::Store(error)) => return Err(error.into()),
            Err(why) => {
                let mut instead = cx.again();
                reject(&mut instead, before, &why.to_string()).await?;
                instead.commit().await?;
            }
        }
        done += 1;
    }
    Ok(done)
}

async fn switch(cx: &mut Cx, before: Subscription, plan: &Plan) -> Result<Subscription, Refused> {
    let after = store::switch(cx, &before.id, &before.plan, &plan.name).await?.ok_or_else(overtaken)?;
    store::release(cx, &before.id).await?;
    claim(cx, &after, &plan.spec.apis).await?;
    store::end_term(cx, &before.id).await?;
    store::begin_term(cx, &before.id, &plan.name).await?;
    usage::tell_again(cx, &before.id).await?;
    changed(cx).await?;
    tell(cx, "subscription.plan_changed", &after, json!({"from": before.plan, "to": plan.name})).await?;
    Ok(after)
}

/// An invoice has one currency, and a month has one price.
async fn same_currency(cx: &mut Cx, old: &str, new: &Plan) -> Result<(), Refused> {
    let old = plans::find(cx, old).await?.and_then(|plan| plan.spec.price);
    match (old, &new.spec.price) {
        (Some(old), Some(new)) if old.currency != new.currency => Err(Refused::Conflict(format!(
            "the plans are in {} and {}; cancel this subscription and make a new one",
            old.currency.as_str(),
            new.currency.as_str()
        ))),
        _ => Ok(()),
    }
}

fn overtaken() -> Refused {
    Refused::Conflict("the subscription was changed meanwhile; look again".to_owned())
}

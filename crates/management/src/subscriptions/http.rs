//! `/management/v1/…/subscriptions`.

use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use base::Time;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Filter, State, Subscription};
use crate::Cx;
use crate::actor::{Right, Share};
use crate::admin::{Listed, Sent, created, ok};
use crate::error::Refused;
use crate::router::{Guard, Route};

pub fn routes() -> Vec<Route> {
    vec![
        ("/management/v1/subscriptions", Guard::Api, get(list_subscriptions)),
        (
            "/management/v1/organisations/{organisation}/subscriptions",
            Guard::Api,
            get(list_subscriptions_of).post(create_subscription),
        ),
        ("/management/v1/subscriptions/{subscription}", Guard::Api, get(show_subscription)),
        ("/management/v1/subscriptions/{subscription}/approve", Guard::Api, post(approve_subscription)),
        ("/management/v1/subscriptions/{subscription}/reject", Guard::Api, post(reject_subscription)),
        ("/management/v1/subscriptions/{subscription}/suspend", Guard::Api, post(suspend_subscription)),
        ("/management/v1/subscriptions/{subscription}/resume", Guard::Api, post(resume_subscription)),
        ("/management/v1/subscriptions/{subscription}/cancel", Guard::Api, post(cancel_subscription)),
        ("/management/v1/subscriptions/{subscription}/plan", Guard::Api, post(change_plan)),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    application: Option<String>,
    plan: Option<String>,
    state: Option<String>,
}

async fn list_subscriptions(mut cx: Cx, asked: Listed<Question>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    page(&mut cx, None, asked).await
}

async fn list_subscriptions_of(
    mut cx: Cx,
    Path(organisation): Path<String>,
    asked: Listed<Question>,
) -> Result<Response, Refused> {
    cx.need_for(&organisation, Share::See)?;
    page(&mut cx, Some(organisation), asked).await
}

async fn page(cx: &mut Cx, organisation: Option<String>, asked: Listed<Question>) -> Result<Response, Refused> {
    let state = match asked.which.state.as_deref() {
        None => None,
        Some(word) => Some(State::parse(word).ok_or_else(|| {
            Refused::BadRequest("`state` is requested, active, suspended, rejected or cancelled".to_owned())
        })?),
    };
    let filter = Filter {
        organisation,
        application: asked.which.application.clone(),
        plan: asked.which.plan.clone(),
        state,
        to_decide: None,
        after: asked.after()?,
    };
    let found = super::list(cx, &filter, asked.many()).await?;
    Ok(asked.page(&found, view, |subscription| subscription.id.clone()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    application: String,
    plan: String,
    note: Option<String>,
}

async fn create_subscription(mut cx: Cx, Path(organisation): Path<String>, sent: Sent) -> Result<Response, Refused> {
    cx.need_for(&organisation, Share::Develop)?;
    let new: New = sent.read()?;
    let application = crate::applications::see(&mut cx, &new.application).await?;
    if application.organisation != organisation {
        return Err(Refused::NotFound("such application"));
    }
    let client = application.client;
    let wanted = super::Wanted { organisation, application: application.id, client, plan: new.plan, note: new.note };
    let made = super::request(&mut cx, wanted).await?;
    cx.commit().await?;
    Ok(created(&format!("/management/v1/subscriptions/{}", made.id), &view(&made)))
}

async fn show_subscription(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    Ok(ok(&view(&super::see(&mut cx, &id).await?)))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    note: Option<String>,
    /// The plan that is said yes to; if another one is asked for by now, it is no yes.
    plan: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MayReason {
    reason: Option<String>,
}

async fn approve_subscription(mut cx: Cx, Path(id): Path<String>, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let Note { note, plan } = sent.or_default()?;
    let after = match &plan {
        Some(plan) => super::approve_plan(&mut cx, &id, plan, note.as_deref()).await?,
        None => super::approve(&mut cx, &id, note.as_deref()).await?,
    };
    done(cx, &after).await
}

async fn reject_subscription(mut cx: Cx, Path(id): Path<String>, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let Reason { reason } = sent.read()?;
    let after = super::reject(&mut cx, &id, &reason).await?;
    done(cx, &after).await
}

async fn suspend_subscription(mut cx: Cx, Path(id): Path<String>, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let Reason { reason } = sent.read()?;
    let after = super::suspend(&mut cx, &id, &reason).await?;
    done(cx, &after).await
}

async fn resume_subscription(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    let after = super::resume(&mut cx, &id).await?;
    done(cx, &after).await
}

async fn cancel_subscription(mut cx: Cx, Path(id): Path<String>, sent: Sent) -> Result<Response, Refused> {
    super::see(&mut cx, &id).await?;
    let MayReason { reason } = sent.or_default()?;
    let after = super::cancel(&mut cx, &id, reason.as_deref()).await?;
    done(cx, &after).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherPlan {
    plan: String,
    /// Milliseconds since the epoch; left out: now.
    from: Option<Time>,
}

async fn change_plan(mut cx: Cx, Path(id): Path<String>, sent: Sent) -> Result<Response, Refused> {
    super::see(&mut cx, &id).await?;
    let OtherPlan { plan, from } = sent.read()?;
    let after = super::change_plan(&mut cx, &id, &plan, from).await?;
    done(cx, &after).await
}

async fn done(cx: Cx, after: &Subscription) -> Result<Response, Refused> {
    cx.commit().await?;
    Ok(ok(&view(after)))
}

/// As the interface shows it.
pub fn view(of: &Subscription) -> Value {
    let next = of.next.as_ref().map(|next| json!({"plan": next.plan, "agreed": next.agreed, "from": next.from}));
    json!({
        "id": of.id, "organisation": of.organisation, "application": of.application, "client": of.client,
        "plan": of.plan, "state": of.state.as_str(), "note": of.note, "requestedAt": of.requested_at,
        "requestedBy": of.requested_by, "decidedAt": of.decided_at, "decidedBy": of.decided_by,
        "reason": of.reason, "next": next, "changedAt": of.changed_at,
    })
}

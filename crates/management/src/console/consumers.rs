//! Who consumes: organisations, their subscriptions, and those that wait for a decision.

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::Response;
use serde::Serialize;
use web::{When, when};

use crate::PROVIDER;
use crate::actor::Right;
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::people;
use crate::portal::organisation::{Members, members};
use crate::portal::subscribe::standing;
use crate::portal::usage::{self as shared, Days};
use crate::subscriptions::{self, Filter, Subscription};
use crate::usage::Group;

const PAGE: i64 = 50;

#[derive(Serialize)]
struct SubscriptionView {
    id: String,
    organisation: String,
    organisation_name: String,
    application: String,
    client: Option<String>,
    plan: String,
    wanted: Option<String>,
    state: &'static str,
    tone: &'static str,
    note: Option<String>,
    reason: Option<String>,
    by: String,
    requested: When,
}

async fn view(visit: &mut Visit, of: Subscription) -> Result<SubscriptionView, Halt> {
    let name = people::organisation_name(&mut visit.cx, &of.organisation).await?;
    let now = visit.cx.now;
    Ok(SubscriptionView {
        organisation_name: name.unwrap_or_else(|| of.organisation.clone()),
        tone: standing(of.state).0,
        state: of.state.as_str(),
        requested: when(of.requested_at, now),
        wanted: of.next.filter(|next| !next.agreed).map(|next| next.plan),
        id: of.id,
        organisation: of.organisation,
        application: of.application,
        client: of.client,
        plan: of.plan,
        note: of.note,
        reason: of.reason,
        by: of.requested_by,
    })
}

pub(super) async fn approvals(mut visit: Visit) -> Response {
    let made = approvals_page(&mut visit).await;
    visit.answer(made)
}

async fn approvals_page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        waiting: Vec<SubscriptionView>,
        next: Option<String>,
    }
    visit.need(Right::Read)?;
    let after = visit.query.one("after").map(str::to_owned);
    let filter = Filter { to_decide: Some(()), after, ..Filter::default() };
    let found = subscriptions::list(&mut visit.cx, &filter, PAGE).await?;
    let full = i64::try_from(found.len()).unwrap_or(0) >= PAGE;
    let next = found.last().filter(|_| full).map(|last| visit.with("after", &last.id));
    let mut waiting = Vec::new();
    for subscription in found {
        waiting.push(view(visit, subscription).await?);
    }
    Ok(visit.show("console/approvals.html", Content { waiting, next }))
}

pub(super) async fn decide(mut visit: Visit, Path(id): Path<String>, body: Bytes) -> Response {
    let made = decided(&mut visit, &id, &body).await;
    visit.answer(made)
}

async fn decided(visit: &mut Visit, id: &str, body: &[u8]) -> Result<Response, Halt> {
    visit.need(Right::Publish)?;
    let fields = visit.form(body)?;
    let reason = fields.one("reason").map(str::trim).filter(|reason| !reason.is_empty());
    let why = || reason.ok_or_else(|| Refused::invalid("/reason", "say why: the organisation reads it"));
    let mut cx = visit.cx.again();
    match fields.text("action") {
        "approve" => subscriptions::approve_plan(&mut cx, id, fields.text("plan"), reason).await?,
        "reject" => subscriptions::reject(&mut cx, id, why()?).await?,
        "suspend" => subscriptions::suspend(&mut cx, id, why()?).await?,
        "resume" => subscriptions::resume(&mut cx, id).await?,
        _ => return Err(Refused::BadRequest("the form says nothing to do".to_owned()).into()),
    };
    cx.commit().await?;
    Ok(visit.go(crate::session::safe_return(fields.text("return_to"))))
}

pub(super) async fn list(mut visit: Visit) -> Response {
    let made = list_page(&mut visit).await;
    visit.answer(made)
}

async fn list_page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Line {
        id: String,
        name: String,
        since: When,
    }
    #[derive(Serialize)]
    struct Content {
        organisations: Vec<Line>,
        next: Option<String>,
    }
    visit.need(Right::Read)?;
    let after = visit.query.text("after").to_owned();
    let found = people::list_organisations(&mut visit.cx, &after, PAGE).await?;
    let full = i64::try_from(found.len()).unwrap_or(0) >= PAGE;
    let next = found.last().filter(|_| full).map(|last| visit.with("after", &last.id));
    let now = visit.cx.now;
    let organisations = found
        .into_iter()
        .filter(|one| one.id != PROVIDER)
        .map(|one| Line { since: when(one.created_at, now), id: one.id, name: one.name })
        .collect();
    Ok(visit.show("console/consumers.html", Content { organisations, next }))
}

pub(super) async fn show(mut visit: Visit, Path(id): Path<String>) -> Response {
    let made = consumer(&mut visit, &id).await;
    visit.answer(made)
}

async fn consumer(visit: &mut Visit, id: &str) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        #[serde(flatten)]
        members: Members,
        subscriptions: Vec<SubscriptionView>,
        usage: Days,
    }
    visit.need(Right::Read)?;
    if people::organisation_name(&mut visit.cx, id).await?.is_none() {
        return Err(Refused::NotFound("such organisation").into());
    }
    let filter = Filter { organisation: Some(id.to_owned()), ..Filter::default() };
    let mut all = Vec::new();
    for subscription in subscriptions::list(&mut visit.cx, &filter, 200).await? {
        all.push(view(visit, subscription).await?);
    }
    let content = Content {
        members: members(visit, id, None).await?,
        subscriptions: all,
        usage: shared::days(visit, Some(id), None, Group::Api).await?,
    };
    Ok(visit.show("console/consumer.html", content))
}

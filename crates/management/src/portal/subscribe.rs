//! Subscriptions of the visitor's organisation: choosing a plan, seeing what is left of it, changing it, ending it.

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::Response;
use serde::Serialize;
use web::{When, when};

use crate::actor::Share;
use crate::applications;
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::plans;
use crate::quotas;
use crate::subscriptions::{self, Filter, State, Subscription, Wanted};
use crate::views::{self, PlanView};

const MOST: i64 = 200;

/// A subscription of one's own, as lists show it.
#[derive(Serialize, Clone)]
pub(super) struct Mine {
    pub id: String,
    pub plan: String,
    pub application: String,
    pub application_name: String,
    pub state: &'static str,
    pub tone: &'static str,
    pub said: &'static str,
    pub reason: Option<String>,
    pub since: When,
    pub quota: Option<Left>,
    pub next: Option<String>,
}

#[derive(Serialize, Clone)]
pub(super) struct Left {
    pub used: String,
    pub of: String,
    pub left: String,
    pub per: &'static str,
    pub share: u64,
    pub tone: &'static str,
    pub ends: When,
    pub hard: bool,
}

/// How things stand, for who has asked for it.
pub(crate) fn standing(state: State) -> (&'static str, &'static str) {
    match state {
        State::Requested => ("info", "waits for the provider's approval"),
        State::Active => ("good", "in force"),
        State::Suspended => ("bad", "suspended by the provider: calls are refused"),
        State::Rejected => ("bad", "was not approved"),
        State::Cancelled => ("", "has ended"),
    }
}

/// The organisation's applications, as (id, name).
pub(super) async fn applications(visit: &mut Visit, organisation: &str) -> Result<Vec<(String, String)>, Halt> {
    let filter = applications::Filter { organisation: Some(organisation.to_owned()), ..Default::default() };
    let found = applications::list(&mut visit.cx, &filter, MOST).await?;
    let living = found.into_iter().filter(|one| !matches!(one.state, applications::State::Deleting));
    Ok(living.map(|one| (one.id, one.name)).collect())
}

/// The organisation's living subscriptions, of one API or all.
pub(super) async fn mine(visit: &mut Visit, organisation: &str, api: Option<&str>) -> Result<Vec<Mine>, Halt> {
    let filter = Filter { organisation: Some(organisation.to_owned()), ..Filter::default() };
    let mut out = Vec::new();
    let names = applications(visit, organisation).await?;
    for subscription in subscriptions::list(&mut visit.cx, &filter, MOST).await? {
        if !subscription.state.is_living() {
            continue;
        }
        if let Some(api) = api {
            let plan = plans::find(&mut visit.cx, &subscription.plan).await?;
            if !plan.is_some_and(|plan| plan.spec.apis.iter().any(|one| one == api)) {
                continue;
            }
        }
        out.push(view(visit, &subscription, &names).await?);
    }
    Ok(out)
}

async fn view(visit: &mut Visit, of: &Subscription, names: &[(String, String)]) -> Result<Mine, Halt> {
    let quota = quotas::of(&mut visit.cx, of).await?;
    let (tone, said) = standing(of.state);
    let name = names.iter().find(|(id, _)| *id == of.application).map(|(_, name)| name.clone());
    let now = visit.cx.now;
    Ok(Mine {
        id: of.id.clone(),
        plan: of.plan.clone(),
        application_name: name.unwrap_or_else(|| of.application.clone()),
        application: of.application.clone(),
        state: of.state.as_str(),
        tone,
        said,
        reason: of.reason.clone(),
        since: when(of.decided_at.unwrap_or(of.requested_at), now),
        quota: quota.map(|quota| {
            let share = views::share(quota.used, quota.requests);
            Left {
                used: views::number(quota.used),
                of: views::number(quota.requests),
                left: views::number(quota.remaining()),
                per: quota.per,
                share,
                tone: views::tone_of_share(share),
                ends: when(quota.ends, now),
                hard: quota.hard,
            }
        }),
        next: of.next.as_ref().map(|next| next.plan.clone()),
    })
}

pub(super) async fn subscribe(mut visit: Visit, Path(api): Path<String>, body: Bytes) -> Response {
    let made = make(&mut visit, &api, &body).await;
    visit.answer(made)
}

async fn make(visit: &mut Visit, api: &str, body: &[u8]) -> Result<Response, Halt> {
    let organisation = visit.home(Share::Develop)?;
    let fields = visit.form(body)?;
    super::catalogue::find(visit, api).await?;
    let application = fields.text("application").to_owned();
    let client = client_of(visit, &organisation, &application).await?;
    let mut cx = visit.cx.again();
    let wanted = Wanted {
        organisation,
        application,
        client,
        plan: fields.text("plan").to_owned(),
        note: fields.one("note").map(str::to_owned),
    };
    let made = subscriptions::request(&mut cx, wanted).await?;
    cx.commit().await?;
    // With a subscription in force the application may ask for its scopes; with one that waits it may not yet.
    if made.state == State::Active {
        applications::go_on(&visit.cx.management, &made.application).await?;
    }
    Ok(visit.go(&format!("/subscriptions/{}?new=1", made.id)))
}

/// The `client_id` of an application of this organisation; refuses another's.
async fn client_of(visit: &mut Visit, organisation: &str, application: &str) -> Result<Option<String>, Halt> {
    let found = applications::see(&mut visit.cx, application).await?;
    if found.organisation != organisation {
        return Err(Refused::NotFound("such application").into());
    }
    Ok(found.client)
}

pub(super) async fn show(mut visit: Visit, Path(id): Path<String>) -> Response {
    let made = page(&mut visit, &id).await;
    visit.answer(made)
}

async fn page(visit: &mut Visit, id: &str) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        subscription: Mine,
        plan: Option<PlanView>,
        others: Vec<PlanView>,
        is_new: bool,
        may: bool,
        lives: bool,
    }
    visit.person()?;
    let found = subscriptions::see(&mut visit.cx, id).await?;
    let names = applications(visit, &found.organisation).await?;
    let now = visit.cx.now;
    let plan = plans::find(&mut visit.cx, &found.plan).await?;
    let offered = plans::offered(&mut visit.cx, &found.organisation).await?;
    let shares = |other: &plans::Plan| {
        other.name != found.plan
            && plan.as_ref().is_some_and(|plan| other.spec.apis.iter().any(|api| plan.spec.apis.contains(api)))
    };
    let content = Content {
        subscription: view(visit, &found, &names).await?,
        others: offered.iter().filter(|other| shares(other)).map(|other| views::plan(other, now)).collect(),
        plan: plan.as_ref().map(|plan| views::plan(plan, now)),
        is_new: visit.query.one("new").is_some(),
        may: visit.cx.need_for(&found.organisation, Share::Develop).is_ok(),
        lives: found.state.is_living(),
    };
    Ok(visit.show("portal/subscription.html", content))
}

pub(super) async fn change(mut visit: Visit, Path(id): Path<String>, body: Bytes) -> Response {
    let made = changed(&mut visit, &id, &body).await;
    visit.answer(made)
}

async fn changed(visit: &mut Visit, id: &str, body: &[u8]) -> Result<Response, Halt> {
    visit.person()?;
    let fields = visit.form(body)?;
    let mut cx = visit.cx.again();
    match fields.text("action") {
        "cancel" => {
            subscriptions::cancel(&mut cx, id, None).await?;
        }
        "plan" => {
            subscriptions::change_plan(&mut cx, id, fields.text("plan"), None).await?;
        }
        _ => return Err(Refused::BadRequest("the form says nothing to do".to_owned()).into()),
    }
    cx.commit().await?;
    Ok(visit.go(&format!("/subscriptions/{id}")))
}

//! `/management/v1/me`, `…/people`, `…/organisations` with their members and invitations.

use axum::Json;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Human, Invitation, Member, Organisation};
use crate::Cx;
use crate::actor::{Actor, Right, Role};
use crate::error::Refused;
use crate::router::{Guard, Route};

pub fn routes() -> Vec<Route> {
    vec![
        ("/management/v1/me", Guard::Api, get(show_me)),
        ("/management/v1/people", Guard::Api, get(list_people)),
        ("/management/v1/organisations", Guard::Api, get(list_organisations).post(create_organisation)),
        ("/management/v1/organisations/{organisation}", Guard::Api, get(show_organisation).put(rename_organisation)),
        ("/management/v1/organisations/{organisation}/members", Guard::Api, get(list_members)),
        (
            "/management/v1/organisations/{organisation}/members/{person}",
            Guard::Api,
            put(set_member).delete(remove_member),
        ),
        (
            "/management/v1/organisations/{organisation}/invitations",
            Guard::Api,
            get(list_invitations).post(create_invitation),
        ),
        (
            "/management/v1/organisations/{organisation}/invitations/{invitation}",
            Guard::Api,
            delete(withdraw_invitation),
        ),
        ("/management/v1/invitations/accept", Guard::Api, post(accept_invitation)),
    ]
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    cursor: String,
    limit: Option<u32>,
}

impl Page {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(50).clamp(1, 500)
    }

    fn answer(&self, items: Vec<Value>, last: Option<&str>) -> Response {
        let full = u32::try_from(items.len()).is_ok_and(|many| many == self.limit());
        let next = last.filter(|_| full);
        shown(StatusCode::OK, &json!({"items": items, "next": next}))
    }
}

async fn show_me(mut cx: Cx) -> Result<Response, Refused> {
    let Actor::Person(person) = cx.actor.clone() else {
        return Ok(shown(StatusCode::OK, &json!({"actor": cx.actor.to_string(), "memberships": []})));
    };
    let human = super::human(&mut cx, &person.id).await?;
    let memberships: Vec<Value> = person
        .memberships
        .iter()
        .map(|member| json!({"organisation": member.organisation, "role": member.role.as_str()}))
        .collect();
    let email = human.and_then(|human| human.email);
    let me = json!({"actor": cx.actor.to_string(), "id": person.id, "name": person.name, "email": email, "memberships": memberships});
    Ok(shown(StatusCode::OK, &me))
}

async fn list_people(mut cx: Cx, Query(page): Query<Page>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let found = super::list_people(&mut cx, &page.cursor, page.limit().into()).await?;
    let last = found.last().map(|human| human.id.clone());
    Ok(page.answer(found.iter().map(of_human).collect(), last.as_deref()))
}

/// All of them for the provider's people, their own for others.
async fn list_organisations(mut cx: Cx, Query(page): Query<Page>) -> Result<Response, Refused> {
    let limit = page.limit().into();
    let found = match cx.actor.clone() {
        actor if actor.may(Right::Read) => super::list_organisations(&mut cx, &page.cursor, limit).await?,
        Actor::Person(person) => super::organisations_of(&mut cx, &person.id, &page.cursor, limit).await?,
        _ => return Err(Refused::NoRight),
    };
    let last = found.last().map(|organisation| organisation.id.clone());
    Ok(page.answer(found.iter().map(of_organisation).collect(), last.as_deref()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrganisation {
    name: String,
    id: Option<String>,
}

async fn create_organisation(mut cx: Cx, body: Bytes) -> Result<Response, Refused> {
    let new: NewOrganisation = read(&body)?;
    let made = super::found(&mut cx, &new.name, new.id.as_deref()).await?;
    cx.commit().await?;
    let location = format!("/management/v1/organisations/{}", made.id);
    let mut response = shown(StatusCode::CREATED, &of_organisation(&made));
    if let Ok(location) = location.parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn show_organisation(mut cx: Cx, Path(organisation): Path<String>) -> Result<Response, Refused> {
    super::may_see(&cx, &organisation)?;
    let found = super::organisation(&mut cx, &organisation).await?.ok_or(Refused::NotFound("such organisation"))?;
    Ok(shown(StatusCode::OK, &of_organisation(&found)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewName {
    name: String,
}

async fn rename_organisation(mut cx: Cx, Path(organisation): Path<String>, body: Bytes) -> Result<Response, Refused> {
    super::may_change_members(&cx, &organisation)?;
    let new: NewName = read(&body)?;
    super::rename(&mut cx, &organisation, &new.name).await?;
    let found = super::organisation(&mut cx, &organisation).await?.ok_or(Refused::NotFound("such organisation"))?;
    cx.commit().await?;
    Ok(shown(StatusCode::OK, &of_organisation(&found)))
}

async fn list_members(mut cx: Cx, Path(organisation): Path<String>) -> Result<Response, Refused> {
    super::may_see(&cx, &organisation)?;
    let found = super::members(&mut cx, &organisation).await?;
    let items: Vec<Value> = found.iter().map(of_member).collect();
    Ok(shown(StatusCode::OK, &json!({"items": items, "next": null})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRole {
    role: String,
}

async fn set_member(
    mut cx: Cx,
    Path((organisation, person)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Refused> {
    super::may_change_members(&cx, &organisation)?;
    let new: NewRole = read(&body)?;
    let role = role(&new.role)?;
    super::set_role(&mut cx, &organisation, &person, role).await?;
    cx.commit().await?;
    Ok(shown(StatusCode::OK, &json!({"person": person, "role": role.as_str()})))
}

async fn remove_member(mut cx: Cx, Path((organisation, person)): Path<(String, String)>) -> Result<Response, Refused> {
    super::remove(&mut cx, &organisation, &person).await?;
    cx.commit().await?;
    Ok(shown(StatusCode::OK, &json!({"done": true})))
}

async fn list_invitations(mut cx: Cx, Path(organisation): Path<String>) -> Result<Response, Refused> {
    super::may_change_members(&cx, &organisation)?;
    let found = super::invitations(&mut cx, &organisation).await?;
    let items: Vec<Value> = found.iter().map(of_invitation).collect();
    Ok(shown(StatusCode::OK, &json!({"items": items, "next": null})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewInvitation {
    role: String,
    #[serde(default)]
    note: String,
}

/// The link's secret is told this once.
async fn create_invitation(mut cx: Cx, Path(organisation): Path<String>, body: Bytes) -> Result<Response, Refused> {
    super::may_change_members(&cx, &organisation)?;
    let new: NewInvitation = read(&body)?;
    let made = super::invite(&mut cx, &organisation, role(&new.role)?, &new.note).await?;
    let url = cx.management.config.url.clone();
    cx.commit().await?;
    let mut answer = of_invitation(&made.invitation);
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("token".to_owned(), json!(made.token));
        answer.insert("url".to_owned(), json!(format!("{url}/invitation?token={}", made.token)));
    }
    Ok(shown(StatusCode::CREATED, &answer))
}

async fn withdraw_invitation(
    mut cx: Cx,
    Path((organisation, invitation)): Path<(String, String)>,
) -> Result<Response, Refused> {
    super::withdraw(&mut cx, &organisation, &invitation).await?;
    cx.commit().await?;
    Ok(shown(StatusCode::OK, &json!({"done": true})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    token: String,
}

async fn accept_invitation(mut cx: Cx, body: Bytes) -> Result<Response, Refused> {
    let sent: Acceptance = read(&body)?;
    let taken = super::accept(&mut cx, &sent.token).await?;
    cx.commit().await?;
    Ok(shown(StatusCode::OK, &json!({"organisation": taken.organisation, "role": taken.role.as_str()})))
}

fn role(text: &str) -> Result<Role, Refused> {
    Role::parse(text).ok_or_else(|| Refused::invalid("/role", "there is no such role"))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|error| Refused::BadRequest(format!("the body is not the JSON that is expected: {error}")))
}

fn shown(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

fn of_human(human: &Human) -> Value {
    json!({"id": human.id, "name": human.name, "email": human.email, "createdAt": human.created_at, "seenAt": human.seen_at})
}

fn of_organisation(organisation: &Organisation) -> Value {
    json!({"id": organisation.id, "name": organisation.name, "createdAt": organisation.created_at})
}

fn of_member(member: &Member) -> Value {
    json!({
        "person": member.person, "name": member.name, "email": member.email, "role": member.role.as_str(),
        "since": member.since, "seenAt": member.seen_at,
    })
}

fn of_invitation(invitation: &Invitation) -> Value {
    json!({
        "id": invitation.id, "organisation": invitation.organisation, "role": invitation.role.as_str(),
        "note": invitation.note, "invitedBy": invitation.invited_by, "createdAt": invitation.created_at,
        "expiresAt": invitation.expires_at,
    })
}

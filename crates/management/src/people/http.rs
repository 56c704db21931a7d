//! `/management/v1/me`, `…/people`, `…/organisations` with their members and invitations.

use std::cmp::Reverse;

use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Human, Invitation, Member, Organisation};
use crate::Cx;
use crate::actor::{Actor, Right, Role};
use crate::admin::{Listed, Sent, created, done, ok};
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

async fn show_me(mut cx: Cx) -> Result<Response, Refused> {
    let Actor::Person(person) = cx.actor.clone() else {
        return Ok(ok(&json!({"actor": cx.actor.to_string(), "memberships": []})));
    };
    let human = super::human(&mut cx, &person.id).await?;
    let memberships: Vec<Value> = person
        .memberships
        .iter()
        .map(|member| json!({"organisation": member.organisation, "role": member.role.as_str()}))
        .collect();
    let email = human.and_then(|human| human.email);
    let me = json!({"actor": cx.actor.to_string(), "id": person.id, "name": person.name, "email": email, "memberships": memberships});
    Ok(ok(&me))
}

async fn list_people(mut cx: Cx, asked: Listed) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let after: String = asked.after()?.unwrap_or_default();
    let found = super::list_people(&mut cx, &after, asked.many()).await?;
    Ok(asked.page(&found, of_human, |human| human.id.clone()))
}

/// All of them for the provider's people, their own for others.
async fn list_organisations(mut cx: Cx, asked: Listed) -> Result<Response, Refused> {
    let after: String = asked.after()?.unwrap_or_default();
    let found = match cx.actor.clone() {
        actor if actor.may(Right::Read) => super::list_organisations(&mut cx, &after, asked.many()).await?,
        Actor::Person(person) => super::organisations_of(&mut cx, &person.id, &after, asked.many()).await?,
        _ => return Err(Refused::NoRight),
    };
    Ok(asked.page(&found, of_organisation, |organisation| organisation.id.clone()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrganisation {
    name: String,
    id: Option<String>,
}

async fn create_organisation(mut cx: Cx, sent: Sent) -> Result<Response, Refused> {
    let new: NewOrganisation = sent.read()?;
    let made = super::found(&mut cx, &new.name, new.id.as_deref()).await?;
    cx.commit().await?;
    Ok(created(&format!("/management/v1/organisations/{}", made.id), &of_organisation(&made)))
}

async fn show_organisation(mut cx: Cx, Path(organisation): Path<String>) -> Result<Response, Refused> {
    super::may_see(&cx, &organisation)?;
    let found = super::organisation(&mut cx, &organisation).await?.ok_or(Refused::NotFound("such organisation"))?;
    Ok(ok(&of_organisation(&found)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewName {
    name: String,
}

async fn rename_organisation(mut cx: Cx, Path(organisation): Path<String>, sent: Sent) -> Result<Response, Refused> {
    super::may_change_members(&cx, &organisation)?;
    let new: NewName = sent.read()?;
    super::rename(&mut cx, &organisation, &new.name).await?;
    let found = super::organisation(&mut cx, &organisation).await?.ok_or(Refused::NotFound("such organisation"))?;
    cx.commit().await?;
    Ok(ok(&of_organisation(&found)))
}

async fn list_members(mut cx: Cx, Path(organisation): Path<String>, asked: Listed) -> Result<Response, Refused> {
    super::may_see(&cx, &organisation)?;
    let found = super::members(&mut cx, &organisation).await?;
    asked.page_of(found, of_member, |member| (member.since, member.person.clone()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRole {
    role: String,
}

async fn set_member(
    mut cx: Cx,
    Path((organisation, person)): Path<(String, String)>,
    sent: Sent,
) -> Result<Response, Refused> {
    super::may_change_members(&cx, &organisation)?;
    let new: NewRole = sent.read()?;
    let role = role(&new.role)?;
    super::set_role(&mut cx, &organisation, &person, role).await?;
    cx.commit().await?;
    Ok(ok(&json!({"person": person, "role": role.as_str()})))
}

async fn remove_member(mut cx: Cx, Path((organisation, person)): Path<(String, String)>) -> Result<Response, Refused> {
    super::remove(&mut cx, &organisation, &person).await?;
    cx.commit().await?;
    Ok(done())
}

async fn list_invitations(mut cx: Cx, Path(organisation): Path<String>, asked: Listed) -> Result<Response, Refused> {
    super::may_change_members(&cx, &organisation)?;
    let found = super::invitations(&mut cx, &organisation).await?;
    asked.page_of(found, of_invitation, |one| (Reverse(one.created_at), Reverse(one.id.clone())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewInvitation {
    role: String,
    #[serde(default)]
    note: String,
}

/// The link's secret is told this once.
async fn create_invitation(mut cx: Cx, Path(organisation): Path<String>, sent: Sent) -> Result<Response, Refused> {
    super::may_change_members(&cx, &organisation)?;
    let new: NewInvitation = sent.read()?;
    let made = super::invite(&mut cx, &organisation, role(&new.role)?, &new.note).await?;
    let url = cx.management.config.url.clone();
    cx.commit().await?;
    let mut answer = of_invitation(&made.invitation);
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("token".to_owned(), json!(made.token));
        answer.insert("url".to_owned(), json!(format!("{url}/invitation?token={}", made.token)));
    }
    Ok(created(&format!("/management/v1/organisations/{organisation}/invitations"), &answer))
}

async fn withdraw_invitation(
    mut cx: Cx,
    Path((organisation, invitation)): Path<(String, String)>,
) -> Result<Response, Refused> {
    super::withdraw(&mut cx, &organisation, &invitation).await?;
    cx.commit().await?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    token: String,
}

async fn accept_invitation(mut cx: Cx, sent: Sent) -> Result<Response, Refused> {
    let acceptance: Acceptance = sent.read()?;
    let taken = super::accept(&mut cx, &acceptance.token).await?;
    cx.commit().await?;
    Ok(ok(&json!({"organisation": taken.organisation, "role": taken.role.as_str()})))
}

fn role(text: &str) -> Result<Role, Refused> {
    Role::parse(text).ok_or_else(|| Refused::invalid("/role", "there is no such role"))
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

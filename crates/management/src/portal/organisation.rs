//! The organisation one works for: its members, invitations, and the name. A new one, and an invitation taken.

use axum::body::Bytes;
use axum::response::Response;
use serde::Serialize;
use web::{When, when};

use crate::actor::{Role, Share};
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::people;
use crate::{Cx, PROVIDER};

#[derive(Serialize)]
pub(crate) struct MemberView {
    pub person: String,
    pub name: String,
    pub email: Option<String>,
    pub role: &'static str,
    pub since: When,
    pub seen: When,
    pub me: bool,
}

#[derive(Serialize)]
pub(crate) struct InvitationView {
    pub id: String,
    pub role: &'static str,
    pub note: String,
    pub expires: When,
}

/// What the pages of portal and console about members have in common.
#[derive(Serialize)]
pub(crate) struct Members {
    pub organisation: String,
    pub name: String,
    pub members: Vec<MemberView>,
    pub invitations: Vec<InvitationView>,
    pub roles: Vec<(&'static str, &'static str)>,
    pub may: bool,
    /// A link that is shown this once.
    pub invited: Option<String>,
}

pub(crate) async fn members(visit: &mut Visit, organisation: &str, invited: Option<String>) -> Result<Members, Halt> {
    let me = visit.person()?.id.clone();
    people::may_see(&visit.cx, organisation)?;
    let may = people::may_change_members(&visit.cx, organisation).is_ok();
    let now = visit.cx.now;
    let cx = &mut visit.cx;
    let members = people::members(cx, organisation).await?.into_iter().map(|member| MemberView {
        me: member.person == me,
        role: member.role.as_str(),
        since: when(member.since, now),
        seen: when(member.seen_at, now),
        person: member.person,
        name: member.name,
        email: member.email,
    });
    let members = members.collect();
    let invitations = if may { people::invitations(cx, organisation).await? } else { Vec::new() };
    let invitations = invitations.into_iter().map(|invitation| InvitationView {
        id: invitation.id,
        role: invitation.role.as_str(),
        note: invitation.note,
        expires: when(invitation.expires_at, now),
    });
    let roles: &[(&str, &str)] = if organisation == PROVIDER {
        &[
            ("administrator", "administrator: everything"),
            ("publisher", "publisher: APIs, plans, approvals"),
            ("auditor", "auditor: sees all, changes nothing"),
        ]
    } else {
        &[("developer", "developer: applications, subscriptions, usage"), ("owner", "owner: members too")]
    };
    Ok(Members {
        invitations: invitations.collect(),
        name: people::organisation_name(cx, organisation).await?.unwrap_or_else(|| organisation.to_owned()),
        organisation: organisation.to_owned(),
        members,
        roles: roles.to_vec(),
        may,
        invited,
    })
}

pub(super) async fn show(mut visit: Visit) -> Response {
    let made = page(&mut visit, None).await;
    visit.answer(made)
}

async fn page(visit: &mut Visit, invited: Option<String>) -> Result<Response, Halt> {
    let home = visit.home(Share::See)?;
    let content = members(visit, &home, invited).await?;
    Ok(visit.show("portal/organisation.html", content))
}

pub(super) async fn change(mut visit: Visit, body: Bytes) -> Response {
    let made = changed(&mut visit, &body).await;
    visit.answer(made)
}

async fn changed(visit: &mut Visit, body: &[u8]) -> Result<Response, Halt> {
    let fields = visit.form(body)?;
    let home = visit.home(Share::See)?;
    let mut cx = visit.cx.again();
    match fields.text("action") {
        "rename" => people::rename(&mut cx, &home, fields.text("name")).await?,
        "found" => {
            let made = people::found(&mut cx, fields.text("name"), None).await?;
            if let Some(session) = &visit.session {
                crate::session::choose_organisation(&mut cx, &session.id, &made.id).await?;
            }
        }
        action => {
            if let Some(link) = change_members(&mut cx, &home, action, &fields).await? {
                cx.commit().await?;
                return page(visit, Some(link)).await;
            }
        }
    }
    cx.commit().await?;
    Ok(visit.go("/organisation"))
}

/// What can be done about members, by name. A link to invite somebody is given back, to be shown this once.
pub(crate) async fn change_members(
    cx: &mut Cx,
    organisation: &str,
    action: &str,
    fields: &web::Fields,
) -> Result<Option<String>, Halt> {
    let role = || Role::parse(fields.text("role")).ok_or_else(|| Refused::invalid("/role", "choose a role"));
    let person = fields.text("person");
    match action {
        "invite" => {
            let invited = people::invite(cx, organisation, role()?, fields.text("note")).await?;
            return Ok(Some(format!("{}/invitation?token={}", cx.management.config.url, invited.token)));
        }
        "withdraw" => people::withdraw(cx, organisation, fields.text("invitation")).await?,
        "role" => people::set_role(cx, organisation, person, role()?).await?,
        "remove" => people::remove(cx, organisation, person).await?,
        _ => return Err(Refused::BadRequest("the form says nothing to do".to_owned()).into()),
    }
    Ok(None)
}

pub(super) async fn invited(mut visit: Visit) -> Response {
    let made = invitation(&mut visit).await;
    visit.answer(made)
}

async fn invitation(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        organisation: String,
        role: &'static str,
        expires: When,
        token: String,
    }
    visit.person()?;
    let token = visit.query.text("token").to_owned();
    let found = people::invitation(&mut visit.cx, &token).await?;
    let found = found.ok_or(Refused::NotFound("such invitation; it may have been used, withdrawn, or be too old"))?;
    let name = people::organisation_name(&mut visit.cx, &found.organisation).await?;
    let content = Content {
        organisation: name.unwrap_or(found.organisation),
        role: found.role.as_str(),
        expires: when(found.expires_at, visit.cx.now),
        token,
    };
    Ok(visit.show("portal/invitation.html", content))
}

pub(super) async fn accept(mut visit: Visit, body: Bytes) -> Response {
    let made = accepted(&mut visit, &body).await;
    visit.answer(made)
}

async fn accepted(visit: &mut Visit, body: &[u8]) -> Result<Response, Halt> {
    visit.person()?;
    let fields = visit.form(body)?;
    let mut cx = visit.cx.again();
    let taken = people::accept(&mut cx, fields.text("token")).await?;
    let to = if taken.organisation == PROVIDER { "/console" } else { "/organisation" };
    if let Some(session) = visit.session.as_ref().filter(|_| taken.organisation != PROVIDER) {
        crate::session::choose_organisation(&mut cx, &session.id, &taken.organisation).await?;
    }
    cx.commit().await?;
    Ok(visit.go(to))
}

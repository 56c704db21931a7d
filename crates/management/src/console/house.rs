//! The provider's own house: its people, and the audit log.

use axum::body::Bytes;
use axum::response::Response;
use base::Time;
use serde::Serialize;
use web::{When, when};

use crate::PROVIDER;
use crate::actor::Right;
use crate::audit::{self, Filter};
use crate::pages::{Halt, Visit};
use crate::portal::organisation as shared;

const PAGE: i64 = 100;

pub(super) async fn audit(mut visit: Visit) -> Response {
    let made = audit_page(&mut visit).await;
    visit.answer(made)
}

async fn audit_page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Line {
        at: When,
        actor: String,
        act: String,
        object: String,
        organisation: Option<String>,
        request_id: String,
        detail: String,
    }
    #[derive(Serialize)]
    struct Content {
        entries: Vec<Line>,
        object: String,
        organisation: String,
        next: Option<String>,
    }
    visit.need(Right::Read)?;
    let asked = |name: &str| visit.query.one(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let before = asked("before").and_then(|before| {
        let (at, id) = before.split_once('-')?;
        Some((Time::from_ms(at.parse().ok()?), id.to_owned()))
    });
    let filter = Filter { object: asked("object"), organisation: asked("organisation"), before };
    let found = audit::list(&mut visit.cx, &filter, PAGE).await?;
    let full = i64::try_from(found.len()).unwrap_or(0) >= PAGE;
    let next = found.last().filter(|_| full).map(|last| visit.with("before", &format!("{}-{}", last.at.ms(), last.id)));
    let now = visit.cx.now;
    let entries = found.into_iter().map(|entry| Line {
        at: when(entry.at, now),
        actor: entry.actor,
        act: entry.act,
        object: entry.object,
        organisation: entry.organisation,
        request_id: entry.request_id,
        detail: if entry.detail.as_object().is_some_and(serde_json::Map::is_empty) {
            String::new()
        } else {
            entry.detail.to_string()
        },
    });
    let content = Content {
        entries: entries.collect(),
        object: filter.object.unwrap_or_default(),
        organisation: filter.organisation.unwrap_or_default(),
        next,
    };
    Ok(visit.show("console/audit.html", content))
}

pub(super) async fn members(mut visit: Visit) -> Response {
    let made = members_page(&mut visit, None).await;
    visit.answer(made)
}

async fn members_page(visit: &mut Visit, invited: Option<String>) -> Result<Response, Halt> {
    visit.need(Right::Read)?;
    let content = shared::members(visit, PROVIDER, invited).await?;
    Ok(visit.show("console/members.html", content))
}

pub(super) async fn change_members(mut visit: Visit, body: Bytes) -> Response {
    let made = changed(&mut visit, &body).await;
    visit.answer(made)
}

async fn changed(visit: &mut Visit, body: &[u8]) -> Result<Response, Halt> {
    visit.need(Right::Read)?;
    let fields = visit.form(body)?;
    let mut cx = visit.cx.again();
    let link = shared::change_members(&mut cx, PROVIDER, fields.text("action"), &fields).await?;
    cx.commit().await?;
    match link {
        Some(link) => members_page(visit, Some(link)).await,
        None => Ok(visit.go("/console/members")),
    }
}

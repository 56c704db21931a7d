//! What the command palette finds: APIs, applications, organisations, and a call by its request id. Pages it knows
//! itself, from the navigation that works without it.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use serde::Serialize;

use crate::actor::Right;
use crate::applications;
use crate::pages::{Halt, Visit};
use crate::people;
use crate::portal::usage::plain_id;
use crate::registry;
use crate::usage;

/// Of each kind.
const MOST: i64 = 6;
const LONGEST: usize = 100;

#[derive(Serialize)]
struct Found {
    kind: &'static str,
    title: String,
    hint: String,
    href: String,
}

pub(super) async fn find(mut visit: Visit) -> Response {
    let made = found(&mut visit).await.map(|found| {
        let mut response = Json(found).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    });
    visit.answer(made)
}

async fn found(visit: &mut Visit) -> Result<Vec<Found>, Halt> {
    visit.need(Right::Read)?;
    let text: String = visit.query.text("q").trim().chars().take(LONGEST).collect();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    if let Some(call) = usage::find_call(&mut visit.cx, &text).await? {
        out.push(Found {
            kind: "Call",
            title: format!("{} {}: {}", call.method, call.api, call.status),
            hint: call.request_id.clone(),
            href: format!("/console/calls/{}", plain_id(&call.request_id)),
        });
    }
    let query = registry::Query { text: Some(text.clone()), ..registry::Query::default() };
    let most = usize::try_from(MOST).unwrap_or(6);
    let (apis, _) = registry::list(&mut visit.cx, &query, most).await?;
    out.extend(apis.into_iter().map(|api| Found {
        kind: "API",
        href: format!("/console/apis/{}", api.name),
        title: api.spec.title,
        hint: api.name,
    }));
    out.extend(applications::search(&mut visit.cx, &text, MOST).await?.into_iter().map(|one| Found {
        kind: "Application",
        href: format!("/applications/{}", one.id),
        title: one.name,
        hint: one.client.unwrap_or_else(|| one.state.as_str().to_owned()),
    }));
    out.extend(people::search_organisations(&mut visit.cx, &text, MOST).await?.into_iter().map(|one| Found {
        kind: "Organisation",
        href: format!("/console/consumers/{}", one.id),
        title: one.name,
        hint: one.id,
    }));
    Ok(out)
}

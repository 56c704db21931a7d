//! `POST /apis/{api}/token`: JSON for the page's script, a page for who has none.

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;

use super::{Asked, Lent, token};
use crate::actor::Share;
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::portal::catalogue::find;
use crate::portal::reference;
use crate::registry::document_for_consumers;

pub(in crate::portal) async fn lend(mut visit: Visit, Path(api): Path<String>, body: Bytes) -> Response {
    let wants_json = visit.headers.get(header::ACCEPT).is_some_and(|accept| accept == "application/json");
    let made = lent(&mut visit, &api, &body).await;
    if !wants_json {
        let shown = made.and_then(|(lent, operation)| page_of_token(&visit, &api, &operation, &lent));
        return visit.answer(shown);
    }
    match made {
        Ok((lent, _)) => answer(StatusCode::OK, &lent),
        Err(Halt::Refused(refused)) => refused.into_response(),
        Err(Halt::SignIn) => Refused::Unauthenticated.into_response(),
        Err(Halt::Forged) => answer(StatusCode::FORBIDDEN, &json!({"title": "load the page again, and try once more"})),
    }
}

async fn lent(visit: &mut Visit, name: &str, body: &[u8]) -> Result<(Lent, String), Halt> {
    let organisation = visit.home(Share::Develop)?;
    let fields = visit.form(body)?;
    let operation = fields.text("operation").to_owned();
    let (api, revision) = find(visit, name).await?;
    let document = document_for_consumers(&visit.cx.management.config, &revision);
    if !reference::knows(&document, &operation) {
        // A token without a word about scopes would have all of them.
        return Err(Refused::NotFound("operation of this name").into());
    }
    let services =
        revision.draft.resources.iter().filter(|part| matches!(part.kind.as_str(), "Service" | "Composition"));
    let audience = services.filter_map(|part| part.spec.get("audience")?.as_str()).next();
    let scopes = reference::scopes(&document, Some(&operation));
    let all_scopes = reference::scopes(&document, None);
    let asked = Asked {
        organisation: &organisation,
        api: name,
        subscription: api.spec.subscription,
        scopes: &scopes,
        all_scopes: &all_scopes,
        audience,
    };
    Ok((token(&visit.cx, &asked).await?, operation))
}

/// For browsers without scripts: the token, to be copied into a shell.
fn page_of_token(visit: &Visit, api: &str, operation: &str, lent: &Lent) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content<'a> {
        api: &'a str,
        operation: &'a str,
        token: &'a str,
        minutes: i64,
    }
    let content = Content { api, operation, token: &lent.access_token, minutes: lent.expires_in / 60 };
    Ok(visit.show("portal/token.html", content))
}

fn answer(status: StatusCode, content: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(serde_json::to_vec(content).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

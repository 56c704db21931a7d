use axum::Router;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;

use super::interaction::Interaction;
use super::respond::Coming;
use super::{Visit, proceed};
use crate::pages::{self, Failing, PageError};
use crate::{Cx, SharedIdentity};

pub fn routes() -> Router<SharedIdentity> {
    Router::new().route("/authorize", get(authorize).post(authorize_by_post))
}

/// `GET /authorize`: a new request, or (with `interaction`) one that comes back from a page.
async fn authorize(cx: Cx, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(visit(cx, &headers, query)).await)
}

async fn visit(cx: Cx, headers: &HeaderMap, query: Option<String>) -> Result<Response, PageError> {
    let fields = pages::query_fields(query.as_deref())?;
    let browser = cx.identity.kit.browser(headers);
    let (coming, interaction) = match fields.one("interaction") {
        Some(sealed) => (Coming::AfterForm(headers), Interaction::open(&cx, &browser, sealed)?),
        None => (Coming::Straight(headers), Interaction::start(&cx, query.unwrap_or_default())?),
    };
    proceed(cx, headers, coming, Visit { browser, interaction }).await
}

/// `POST /authorize` (OpenID Connect Core §3.1.2.1). It comes from another site, so cookies are not with it; the
/// same request by GET brings them.
async fn authorize_by_post(cx: Cx, headers: HeaderMap, body: Bytes) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(by_get(&cx, &headers, &body))
}

fn by_get(cx: &Cx, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    let fields = pages::form_fields(headers, body)?;
    if fields.one("interaction").is_some() {
        return Err(PageError::RequestWrong("interaction is not a parameter of a request"));
    }
    let pairs: Vec<(&str, &str)> = fields.iter().collect();
    let query = serde_urlencoded::to_string(pairs);
    let query = query.map_err(|_| PageError::RequestWrong("the form cannot be read"))?;
    Ok(cx.identity.kit.redirect(&cx.identity.kit.path(&format!("/authorize?{query}"))))
}

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{Form, Told, asked, max_age, negotiate, tell};
use crate::clients::Client;
use crate::error::{OAuthError, invalid_request, invalid_target};
use crate::token::client_auth::authenticate_confidential;
use crate::token::form;
use crate::token::live;
use crate::{Cx, SharedIdentity, keys, scopes};

/// Guard: client.
pub fn routes() -> Router<SharedIdentity> {
    Router::new().route("/introspect", post(introspect_token))
}

async fn introspect_token(
    State(identity): State<SharedIdentity>,
    mut cx: Cx,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = form::Form::read(&headers, &body)?;
    let by = authenticate_confidential(&mut cx, &headers, &form).await?;
    let token = form.get("token").ok_or_else(|| invalid_request("`token` is missing"))?;
    let resources: Vec<&str> = form.all("resource").collect();
    let asked = asked(&by.client, &resources)?;
    let live = live::find(&mut cx, token).await?;
    let catalog = scopes::catalog(&identity).await?;
    let told = live.as_ref().and_then(|live| tell(&catalog, &identity.config.issuer, live, &asked));
    let wanted = negotiate(&headers);
    identity.metrics.introspection(wanted.as_str(), if told.is_some() { "active" } else { "inactive" });
    let answer = Answer { identity: &identity, caller: &by.client, now: cx.now, catalog: &catalog };
    answer.write(wanted, told).await
}

struct Answer<'a> {
    identity: &'a SharedIdentity,
    caller: &'a Client,
    now: base::Time,
    catalog: &'a scopes::Catalog,
}

impl Answer<'_> {
    async fn write(&self, form: Form, told: Option<Told>) -> Result<Response, OAuthError> {
        let age = told.as_ref().map_or(0, |told| max_age(told, self.identity.config.lifetimes.inner_token, self.now));
        let body = match (form, told) {
            (Form::Jwt, None) => return Ok(respond(StatusCode::NO_CONTENT, form, 0, Vec::new())),
            (Form::Jwt, Some(told)) => self.inner_jwt(told).await?.into_bytes(),
            (Form::Json, told) => members(told).to_string().into_bytes(),
            (Form::SignedResponse, told) => self.signed(members(told)).await?.into_bytes(),
        };
        Ok(respond(StatusCode::OK, form, age, body))
    }

    /// The phantom token: an access token as RFC 9068 has it, for one audience, alive for minutes, and marked:
    /// it is for the way between a gateway and a service, and no gateway takes it from a caller.
    async fn inner_jwt(&self, told: Told) -> Result<String, OAuthError> {
        let Some(audience) = told.audience else {
            return Err(invalid_target("the token is for several of the caller's resources; name one with `resource`"));
        };
        let mut claims = told.members;
        let exp = told.expires_at.min(self.now.plus(self.identity.config.lifetimes.inner_token));
        if let Value::Object(claims) = &mut claims {
            claims.insert("iat".to_owned(), self.now.seconds().into());
            claims.insert("exp".to_owned(), exp.seconds().into());
            // By its type and its issuer it is an access token like any other; a gateway lets none in that says this.
            claims.insert("token_use".to_owned(), "inner".into());
            claims.insert("handle".to_owned(), self.identity.handles.seal_inner(&told.token).into());
        }
        let server = self.catalog.resource_servers.get(&audience);
        let ring = keys::ring(self.identity).await?;
        let signer = ring.signer(self.identity, server.and_then(|server| server.signing_algorithm))?;
        Ok(signer.sign("at+jwt", &claims)?)
    }

    /// RFC 9701 §5.
    async fn signed(&self, members: Value) -> Result<String, OAuthError> {
        let claims = json!({
            "iss": self.identity.config.issuer,
            "aud": self.caller.client_id,
            "iat": self.now.seconds(),
            "token_introspection": members,
        });
        let ring = keys::ring(self.identity).await?;
        Ok(ring.signer(self.identity, None)?.sign("token-introspection+jwt", &claims)?)
    }
}

/// RFC 7662 §2.2. Of a token that is not active nothing is said, not even why.
fn members(told: Option<Told>) -> Value {
    let Some(told) = told else {
        return json!({"active": false});
    };
    let mut members = json!({"active": true, "token_type": "Bearer"});
    if let (Value::Object(members), Value::Object(told)) = (&mut members, told.members) {
        members.extend(told);
    }
    members
}

fn respond(status: StatusCode, form: Form, max_age: u64, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    }
    let kept = match max_age {
        // A token that is inactive to one caller at one moment may be active to another, or a moment later.
        0 => HeaderValue::from_static("no-store"),
        seconds => HeaderValue::try_from(format!("max-age={seconds}")).unwrap_or(HeaderValue::from_static("no-store")),
    };
    headers.insert(header::CACHE_CONTROL, kept);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

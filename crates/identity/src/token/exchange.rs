//! Token exchange (RFC 8693): a token for fewer rights of the same person, for the client that passes a call on.
//!
//! The subject token was issued to the client, or is meant for it: an audience that it may introspect. It is an access
//! token of ours, or the inner JWT that a service behind a gateway has received, which stands for the token it was
//! made from. Scopes and audiences only narrow; the new token ends no later than the old one, and whatever
//! revokes the old one, its grant or its client ends it, too. `sub` stays (of a client that acted by itself, its id);
//! `client_id` is who exchanged (RFC 9068 §2.2); `act` says who acts, and who acted before (§4.1, §4.4).

use base::Secret;
use base::scope::Scopes;
use serde_json::{Value, json};

use super::client_auth::Authenticated;
use super::form::Form;
use super::issue::{self, Extras, Kind, Plan};
use super::live::{self, Live};
use super::select;
use crate::Cx;
use crate::clients::Client;
use crate::error::{OAuthError, invalid_request, invalid_scope, invalid_target, unauthorized_client};
use crate::grants::{self, NewChild, Parent};
use crate::policy::Requester;
use crate::scopes::{self, Audiences, Catalog, is_built_in, is_own};

pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// So many may stand behind each other in `act`.
const DEEPEST: usize = 5;
const REFUSED: &str = "the subject token is not good, or not this client's to exchange";

pub(super) async fn exchange(cx: &mut Cx, by: &Authenticated, form: &Form) -> Result<Plan, OAuthError> {
    let client = &by.client;
    if client.is_public() {
        return Err(unauthorized_client("the grant type needs a client that can show who it is"));
    }
    let kind = requested_type(client, form)?;
    let subject = subject(cx, client, form).await?;
    let act = act(cx, client, form, subject.grant.act.as_ref()).await?;
    let catalog = scopes::catalog(&cx.identity).await?;
    let (scopes, audiences) = narrowed(&catalog, client, &subject, form)?;
    if kind == Kind::ExchangedForInner && audiences.len() != 1 {
        return Err(invalid_target("a JWT for the inside is for one audience; name one"));
    }
    let requester = Requester {
        client,
        person: subject.person.as_ref(),
        grant_type: GRANT_TYPE,
        login: (&subject.grant).into(),
        network: None,
    };
    let selection = select::settle(cx, &requester, &scopes, audiences).await?;

    let Live { token, grant, .. } = subject;
    let new = NewChild {
        parent: Parent {
            grant_id: token.grant_id.clone(),
            epoch: token.epoch,
            client_epoch: token.client_epoch,
            jti: token.jti.clone(),
        },
        of: grant,
        client_id: client.client_id.clone(),
        scopes: selection.scopes.clone(),
        audiences: selection.audiences.clone(),
        act,
    };
    let grant = grants::exchange(cx, new).await?.ok_or_else(|| invalid_request(REFUSED))?;
    let extras = Extras { kind, not_after: Some(token.expires_at), ..Extras::default() };
    issue::plan(cx, client, grant, selection, extras).await
}

/// §2.1 `requested_token_type`. A JWT for the inside is for those who guard an inside.
fn requested_type(client: &Client, form: &Form) -> Result<Kind, OAuthError> {
    match form.get("requested_token_type") {
        None | Some(ACCESS_TOKEN) => Ok(Kind::Exchanged),
        Some(JWT) if !client.spec.introspect.is_empty() => Ok(Kind::ExchangedForInner),
        Some(JWT) => Err(unauthorized_client("only a gateway or resource server gets a JWT for the inside")),
        Some(_) => Err(invalid_request("`requested_token_type` must be an access token or a jwt")),
    }
}

/// The subject token, if it is good, and issued to this client or meant for it. Everything else is answered alike
/// (§2.2.2): it tells nobody whether a token is good.
async fn subject(cx: &mut Cx, client: &Client, form: &Form) -> Result<Live, OAuthError> {
    let refused = |reason: &'static str| {
        tracing::info!(client.id = %client.client_id, reason, "token exchange refused");
        invalid_request(REFUSED)
    };
    let text =
        form.get("subject_token").map(Secret::from).ok_or_else(|| invalid_request("`subject_token` is missing"))?;
    if !matches!(form.get("subject_token_type"), Some(ACCESS_TOKEN | JWT)) {
        return Err(invalid_request("`subject_token_type` must be an access token or a jwt"));
    }
    let mine = |audience: &str| client.spec.introspect.contains(audience);
    if let Some(live) = live::find(cx, text.expose()).await? {
        let meant = live.audiences.iter().any(mine);
        let fits = live.grant.client_id == client.client_id || meant;
        return if fits { Ok(live) } else { Err(refused("meant for others")) };
    }
    let (live, audience) = live::find_inner(cx, text.expose()).await?.ok_or_else(|| refused("not a good token"))?;
    if mine(&audience) { Ok(live) } else { Err(refused("meant for others")) }
}

/// §4.1: the client, or whom the actor token is about, in front of those who acted before.
async fn act(cx: &mut Cx, client: &Client, form: &Form, before: Option<&Value>) -> Result<Value, OAuthError> {
    let mut act = json!({"sub": client.client_id});
    match (form.get("actor_token").map(Secret::from), form.get("actor_token_type")) {
        (None, None) => {}
        (Some(token), Some(ACCESS_TOKEN)) => {
            let actor = live::find(cx, token.expose()).await?;
            // Nobody acts by a token that was given to somebody else.
            let actor = actor.filter(|actor| actor.grant.client_id == client.client_id);
            let actor = actor.ok_or_else(|| invalid_request("the actor token is not good, or not this client's"))?;
            act = json!({"sub": actor.grant.subject(), "client_id": client.client_id});
        }
        _ => return Err(invalid_request("`actor_token` and `actor_token_type`, an access token, come together")),
    }
    if depth(before) >= DEEPEST {
        return Err(invalid_request("the token has been exchanged too often"));
    }
    if let (Value::Object(members), Some(before)) = (&mut act, before) {
        members.insert("act".to_owned(), before.clone());
    }
    Ok(act)
}

fn depth(act: Option<&Value>) -> usize {
    std::iter::successors(act, |act| act.get("act")).count()
}

/// What is asked for, if the subject token has it and the client may have it; by default all of that.
fn narrowed(
    catalog: &Catalog,
    client: &Client,
    subject: &Live,
    form: &Form,
) -> Result<(Scopes, Audiences), OAuthError> {
    let allowed = catalog.allowed_audiences(client);
    let reachable = |audience: &&str| {
        *audience != catalog.issuer && (allowed.contains(audience) || client.spec.introspect.contains(audience))
    };
    let within: Audiences = subject.audiences.iter().filter(reachable).collect();
    let asked: Audiences = form.resources()?.iter().map(String::as_str).collect();
    if !asked.is_subset(&within) {
        return Err(invalid_target("the subject token is not for this audience, or the client may not reach it"));
    }
    let audiences = if asked.is_empty() { within } else { asked };
    if audiences.is_empty() {
        return Err(invalid_target("the subject token is for no audience that the client may reach"));
    }
    // What is about the login and what is for this server itself is nobody else's.
    let passed_on = |scope: &&str| !is_built_in(scope) && !is_own(scope);
    let had: Scopes = subject.scopes.iter().filter(passed_on).collect();
    let had = catalog.scopes_within(&had, &audiences);
    let scopes = match select::requested_scopes(form)? {
        Some(requested) if requested.is_subset(&had) => requested,
        Some(_) => return Err(invalid_scope("the subject token has not this scope, or not for this audience")),
        None => had.clone(),
    };
    // Whoever asks for less of the scopes, and names no audience, gets a token for fewer audiences.
    let audiences =
        if form.resources()?.is_empty() { catalog.audiences_left(&audiences, &had, &scopes) } else { audiences };
    Ok((scopes, audiences))
}

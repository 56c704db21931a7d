//! RFC 6749 §4.1.3 with PKCE (RFC 7636), for every client.

use super::client_auth::Authenticated;
use super::form::Form;
use super::issue::{self, Extras, Plan};
use super::select::{self, Taking};
use crate::audit::{self, Act, Outcome};
use crate::clients::GrantType;
use crate::codes::{self, CodeChallenge, Presented, Redeemed};
use crate::error::{OAuthError, invalid_grant, invalid_request};
use crate::{Cx, grants};

const REFUSED: &str = "the code is unknown, expired, used, or bound to something else";

pub(super) async fn exchange(cx: &mut Cx, by: &Authenticated, form: &Form) -> Result<Plan, OAuthError> {
    let code = form.get("code").ok_or_else(|| invalid_request("`code` is missing"))?;
    let verifier = form.get("code_verifier").ok_or_else(|| invalid_request("`code_verifier` is missing"))?;
    let code_challenge = CodeChallenge::of_verifier(verifier)
        .ok_or_else(|| invalid_request("`code_verifier` is not 43 to 128 unreserved characters"))?;
    let presented = Presented {
        code,
        client_id: &by.client.client_id,
        redirect_uri: form.get("redirect_uri"),
        code_challenge: &code_challenge,
    };

    // What the request asks of the grant is settled before the code is taken: a wrong `resource` costs nothing.
    let selection = match codes::peek(cx, presented).await? {
        Some(grant_id) => match grants::find(cx, &grant_id).await? {
            Some(grant) if grant.revoked_at.is_none() => {
                let taking = Taking { client: &by.client, grant: &grant, grant_type: "authorization_code" };
                Some(select::of_grant(cx, taking, None, &form.resources()?).await?)
            }
            _ => None,
        },
        None => None,
    };
    let grant_id = match codes::redeem(cx, presented).await? {
        Redeemed::Taken(grant_id) => grant_id,
        Redeemed::Replayed(grant_id) => {
            note_replay(cx, by, &grant_id).await?;
            grants::revoke(cx, &grant_id, "code replayed").await?;
            return Err(invalid_grant(REFUSED).keep());
        }
        Redeemed::Refused(reason) => {
            tracing::info!(client.id = %by.client.client_id, reason, "code refused");
            return Err(invalid_grant(REFUSED));
        }
    };

    let refreshable = by.client.may_use(GrantType::RefreshToken);
    let lifetimes = cx.identity.config.lifetimes;
    // Without a refresh token nothing of the grant outlives its one access token.
    let lifetime = if refreshable { lifetimes.grant } else { lifetimes.access_token };
    let grant = grants::activate(cx, &grant_id, lifetime, i64::from(refreshable)).await?;
    let (Some(grant), Some(selection)) = (grant, selection) else {
        return Err(invalid_grant(REFUSED));
    };
    let extras =
        Extras { nonce: grant.nonce.clone(), refresh_generation: refreshable.then_some(1), ..Extras::default() };
    issue::plan(cx, &by.client, grant, selection, extras).await
}

async fn note_replay(cx: &mut Cx, by: &Authenticated, grant_id: &base::ids::GrantId) -> Result<(), OAuthError> {
    let record = audit::Record {
        outcome: Outcome::Denied,
        client_id: Some(by.client.client_id.clone()),
        object: Some(grant_id.to_string()),
        ..audit::Record::default()
    };
    Ok(audit::record(cx, Act::CodeReplayed, record).await?)
}

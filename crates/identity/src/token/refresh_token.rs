//! RFC 6749 §6 with rotation (RFC 9700 §4.14): the grant counts generations, and one compare-and-set moves
//! the counter. An immediate repeat by the same client, as after a lost answer or from two tabs at once,
//! gets the same successor; anything older is a stolen token, and revokes the grant.

use super::client_auth::Authenticated;
use super::form::Form;
use super::issue::{self, Extras, Kind, Plan};
use super::select::{self, Taking};
use crate::Cx;
use crate::audit::{self, Act, Outcome};
use crate::error::{OAuthError, invalid_grant, invalid_request};
use crate::grants::{self, Grant, Rotation};
use crate::handles::RefreshToken;

const REFUSED: &str = "the refresh token is unknown, expired, used or revoked";
/// So often one generation may be repeated in its window.
const REPLAYS: i64 = 100;

pub(super) async fn exchange(cx: &mut Cx, by: &Authenticated, form: &Form) -> Result<Plan, OAuthError> {
    let text = form.get("refresh_token").ok_or_else(|| invalid_request("`refresh_token` is missing"))?;
    let presented = cx.identity.handles.open_refresh(text).ok_or_else(|| invalid_grant(REFUSED))?;
    let grant = grants::find(cx, &presented.grant_id).await?;
    // Another client's token says nothing about its owner: nothing is revoked (RFC 6749 §5.2).
    let grant = grant.filter(|grant| grant.client_id == by.client.client_id).ok_or_else(|| invalid_grant(REFUSED))?;
    if !grant.is_live(cx.now) {
        return Err(invalid_grant(REFUSED));
    }
    let requested = select::requested_scopes(form)?;
    let taking = Taking { client: &by.client, grant: &grant, grant_type: "refresh_token" };
    let selection = select::of_grant(cx, taking, requested, &form.resources()?).await?;

    let (grant, generation) = advance(cx, by, &presented).await?;
    let extras = Extras { refresh_generation: Some(generation), kind: Kind::Refreshed, ..Extras::default() };
    issue::plan(cx, &by.client, grant, selection, extras).await
}

/// Moves the generation, or finds that it has just been moved.
async fn advance(cx: &mut Cx, by: &Authenticated, presented: &RefreshToken) -> Result<(Grant, i64), OAuthError> {
    let lifetimes = cx.identity.config.lifetimes;
    let rotation = || Rotation {
        grant_id: &presented.grant_id,
        client_id: &by.client.client_id,
        generation: presented.generation,
    };
    let successor = presented.generation + 1;
    if let Some(grant) = grants::rotate(cx, rotation(), cx.now.minus(lifetimes.refresh_idle)).await? {
        return Ok((grant, successor));
    }
    let window = cx.now.minus(lifetimes.refresh_replay);
    if let Some(grant) = grants::count_replay(cx, rotation(), window, REPLAYS).await? {
        return Ok((grant, successor));
    }
    // Read again: it may have moved since the first look.
    let grant = grants::find(cx, &presented.grant_id).await?.ok_or_else(|| invalid_grant(REFUSED))?;
    let in_window = grant.refresh_generation == successor && grant.refresh_rotated_at.is_some_and(|at| at >= window);
    if grant.refresh_generation > presented.generation && !in_window && grant.is_live(cx.now) {
        let record = audit::Record {
            outcome: Outcome::Denied,
            subject: grant.user_id.clone(),
            client_id: Some(grant.client_id.clone()),
            object: Some(grant.grant_id.to_string()),
            detail: serde_json::json!({"generation": presented.generation, "current": grant.refresh_generation}),
        };
        audit::record(cx, Act::RefreshReplayed, record).await?;
        grants::revoke(cx, &presented.grant_id, "refresh token replayed").await?;
        return Err(invalid_grant(REFUSED).keep());
    }
    Err(invalid_grant(REFUSED))
}

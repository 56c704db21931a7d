//! `POST /register/{client}/revoke`, ours: who manages a client ends what it holds, without knowing a token as RFC 7009
//! asks for. Less than RFC 7592 gives them anyway: they may delete the client, with all its grants.

use base::ids::GrantId;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, Managed};
use crate::{Cx, clients, grants};

const REASON: &str = "revoked by who manages the client";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Of this grant alone; all of the client if it is left out.
    grant_id: Option<GrantId>,
}

/// How many grants were revoked, with all tokens under them; one that was revoked before is none.
pub(super) async fn revoke(cx: &mut Cx, managed: &Managed, asked: &Revocation) -> Result<Value, Error> {
    let client_id = &managed.client.client_id;
    let revoked = match &asked.grant_id {
        None => clients::revoke_tokens(cx, client_id, REASON).await?,
        Some(grant_id) => {
            // A grant of another client is none here: who asks learns nothing of it.
            let own = grants::find(cx, grant_id).await?.filter(|grant| grant.client_id == *client_id);
            let not_found = || Error::new(StatusCode::NOT_FOUND, "not_found", "this client has no such grant");
            own.ok_or_else(not_found)?;
            u64::from(grants::revoke(cx, grant_id, REASON).await?)
        }
    };
    Ok(json!({"revoked": revoked}))
}

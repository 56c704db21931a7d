use base::Time;
use base::ids::{ClientId, GrantId};
use store::{StoreError, params};

use super::{CodeChallenge, Presented};
use crate::Cx;

pub(super) struct NewCode<'a> {
    pub code_hash: String,
    pub grant_id: &'a GrantId,
    pub client_id: &'a ClientId,
    pub redirect_uri: Option<&'a str>,
    pub code_challenge: &'a CodeChallenge,
    pub expires_at: Time,
}

pub(super) struct CodeRow {
    pub grant_id: GrantId,
    pub client_id: ClientId,
    pub redirect_uri: Option<String>,
    pub code_challenge: String,
    pub used_at: Option<Time>,
}

pub(super) async fn insert(cx: &mut Cx, code: NewCode<'_>) -> Result<(), StoreError> {
    let sql = "INSERT INTO authorization_codes
        (code_hash, grant_id, client_id, redirect_uri, code_challenge, expires_at, used_at)
        VALUES ($1, $2, $3, $4, $5, $6, NULL)";
    let values = params![
        code.code_hash,
        code.grant_id,
        code.client_id,
        code.redirect_uri,
        code.code_challenge.as_str(),
        code.expires_at,
    ];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

pub(super) async fn take(
    cx: &mut Cx,
    code_hash: &str,
    presented: Presented<'_>,
) -> Result<Option<GrantId>, StoreError> {
    let sql = "UPDATE authorization_codes SET used_at = $2
        WHERE code_hash = $1 AND used_at IS NULL AND expires_at > $2
          AND client_id = $3 AND COALESCE(redirect_uri, '') = $4 AND code_challenge = $5
        RETURNING grant_id";
    let values = params![
        code_hash,
        cx.now,
        presented.client_id,
        presented.redirect_uri.unwrap_or_default(),
        presented.code_challenge.as_str(),
    ];
    cx.tx.one(sql, &values).await?.map(|row| Ok(row.string("grant_id")?.into())).transpose()
}

pub(super) async fn find(cx: &mut Cx, code_hash: &str) -> Result<Option<CodeRow>, StoreError> {
    let sql = "SELECT grant_id, client_id, redirect_uri, code_challenge, used_at
        FROM authorization_codes WHERE code_hash = $1";
    let Some(row) = cx.tx.read_one(sql, &params![code_hash]).await? else {
        return Ok(None);
    };
    Ok(Some(CodeRow {
        grant_id: row.string("grant_id")?.into(),
        client_id: row.string("client_id")?.into(),
        redirect_uri: row.opt_string("redirect_uri")?,
        code_challenge: row.string("code_challenge")?,
        used_at: row.opt_time("used_at")?,
    }))
}

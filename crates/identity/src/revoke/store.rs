use base::Time;
use base::ids::TokenId;
use store::{StoreError, params};

use crate::Cx;

/// False if it was revoked before.
pub(super) async fn revoke_token(cx: &mut Cx, jti: &TokenId, expires_at: Time) -> Result<bool, StoreError> {
    let sql = "INSERT INTO revoked_tokens (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING";
    Ok(cx.tx.execute(sql, &params![jti, expires_at]).await? > 0)
}

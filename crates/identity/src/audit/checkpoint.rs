//! Checkpoints: each hour the heads of all chains, signed. A chain that somebody rewrites from some record
//! on is whole in itself; it no longer fits the checkpoint. The token is a JWS that can be handed to others;
//! the keyed hash beside it needs the master key, so that who can write to the database cannot make one.

use std::time::Duration;

use ::store::StoreError;
use jose::hash::{Mac, base64url, base64url_decode};
use serde_json::{Value, json};

use super::chain::{Break, Report};
use super::store;
use crate::{Cx, keys};

const EVERY: Duration = Duration::from_secs(3600);

/// Writes a checkpoint if the last one is an hour old; on any number of nodes. True if it did.
pub async fn checkpoint(cx: &mut Cx) -> Result<bool, StoreError> {
    let since = cx.now.minus(EVERY);
    if store::has_checkpoint_since(cx, since).await? {
        return Ok(false);
    }
    let heads = store::heads(cx).await?;
    let ring = keys::ring(&cx.identity).await?;
    let claims = json!({"iss": cx.identity.config.issuer, "iat": cx.now.seconds(), "heads": heads});
    let signed = ring.signer(&cx.identity, None).ok().and_then(|signer| signer.sign("audit+jwt", &claims).ok());
    let Some(token) = signed else {
        return Ok(false);
    };
    let mac = base64url(&mac(cx).tag(token.as_bytes()));
    store::insert_checkpoint(cx, &token, &mac, since).await
}

fn mac(cx: &Cx) -> Mac {
    cx.identity.seal.mac("audit checkpoints")
}

/// Compares each checkpoint with the records it speaks of.
pub(super) async fn verify(cx: &mut Cx, report: &mut Report) -> Result<(), StoreError> {
    let mac = mac(cx);
    let mut after = String::new();
    loop {
        let page = store::checkpoints(cx, &after).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after.clone_from(&last.checkpoint_id);
        for checkpoint in page {
            report.checkpoints += 1;
            let (token, tag) = (&checkpoint.token, base64url_decode(&checkpoint.mac));
            if !tag.is_some_and(|tag| mac.verify(token.as_bytes(), &tag)) {
                let writer = checkpoint.checkpoint_id;
                report.breaks.push(Break { writer, seq: 0, what: "the checkpoint was changed" });
                continue;
            }
            for (writer, seq, hash) in heads_of(token) {
                compare(cx, report, writer, seq, &hash).await?;
            }
        }
    }
}

async fn compare(cx: &mut Cx, report: &mut Report, writer: String, seq: i64, hash: &str) -> Result<(), StoreError> {
    let same = store::hash_at(cx, &writer, seq).await?.is_some_and(|own| own == hash);
    let known = report.breaks.iter().any(|known| known.writer == writer);
    if !same && !known {
        report.breaks.push(Break { writer, seq, what: "the chain is not the one that was signed" });
    }
    Ok(())
}

/// The heads in a token whose keyed hash is right; who could make that could make the signature too.
fn heads_of(token: &str) -> Vec<(String, i64, String)> {
    let payload = token.split('.').nth(1).and_then(base64url_decode).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&payload).unwrap_or_default();
    claims.get("heads").and_then(|heads| serde_json::from_value(heads.clone()).ok()).unwrap_or_default()
}

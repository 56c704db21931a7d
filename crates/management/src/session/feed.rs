//! Sessions end with what they rest on: an account that is disabled, or a session at the identity system that is over,
//! ends the sessions here, and what is remembered of access tokens is forgotten. The identity system tells by its feed
//! of security events (RFC 8417, RFC 8936), where it is one of ours and lets the portal's client read it.
//!
//! The stream has the same name after each start, so what happened meanwhile is told then. Elsewhere, and where the
//! stream was forgotten, a session ends at its age.

use std::time::Duration;

use ::store::StoreError;
use base::event::{Revoked, TYP};
use base::peer::Limits;
use http::StatusCode;
use jose::hash::base64url;
use jose::{Algorithm, Expected};
use serde_json::{Map, Value, json};

use super::store;
use crate::audit::{self, Record};
use crate::error::Refused;
use crate::{Cx, Management, SharedManagement, issuer};

const MOST_EVENTS: usize = 500;
const WAIT: Duration = Duration::from_secs(20);
const LIMITS: Limits = Limits { time: Duration::from_secs(30), body_bytes: 4 << 20 };
const LEEWAY: Duration = Duration::from_secs(60);
/// Where there is no feed for us: it may be opened some day.
const SELDOM: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_secs(5);

/// What came of one question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// So many events; they are in force, and will be acknowledged with the next question.
    Events(usize),
    /// This identity system does not tell us.
    NotUs,
}

/// As long as the process runs.
pub(crate) async fn follow(management: SharedManagement) {
    let mut read: Vec<String> = Vec::new();
    let mut was_told = true;
    loop {
        let pause = match ask(&management, &mut read).await {
            Ok(Told::Events(0)) => Duration::from_secs(1),
            Ok(Told::Events(_)) => Duration::ZERO,
            Ok(Told::NotUs) => {
                if std::mem::take(&mut was_told) {
                    tracing::info!(
                        "the identity system tells this portal of no revocations (our own does, if its client has `events: true`)"
                    );
                }
                SELDOM
            }
            Err(cause) => {
                tracing::warn!(%cause, "the feed of revocations is interrupted");
                PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// One question; `read` is what the one before brought.
pub(super) async fn ask(management: &SharedManagement, read: &mut Vec<String>) -> Result<Told, Refused> {
    if !management.issuer.metadata(management).await?.registration_list_supported {
        return Ok(Told::NotUs);
    }
    let issuer = management.config.issuer.trim_end_matches('/');
    let name = management.seal.mac("feed").tag(management.config.url.as_bytes());
    let stream: String = base64url(&name).chars().take(24).collect();
    let url = format!("{issuer}/events/poll?stream=portal-{stream}&wait={}", WAIT.as_millis());
    let body = json!({"maxEvents": MOST_EVENTS, "returnImmediately": false, "ack": read});
    let (status, page) = issuer::post_json(management, &url, &body, LIMITS).await?;
    match status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => return Ok(Told::NotUs),
        _ => return Err(Refused::Upstream(format!("the feed answers {}", status.as_u16()))),
    }
    let none = Map::new();
    let sets = page.get("sets").and_then(Value::as_object).unwrap_or(&none);
    let mut revoked = Vec::new();
    // A page counts as a whole: the one event that cannot be read may be the one that matters.
    for (id, set) in sets {
        revoked.extend(verify(management, id, set).await?);
    }
    let mut cx = Cx::system(management);
    for one in &revoked {
        end(&mut cx, one).await?;
    }
    cx.commit().await?;
    if !sets.is_empty() {
        management.tokens.forget();
    }
    *read = sets.keys().cloned().collect();
    Ok(Told::Events(sets.len()))
}

async fn verify(management: &Management, id: &str, set: &Value) -> Result<Option<Revoked>, Refused> {
    let unread = |why: &str| Refused::Upstream(format!("an event of the feed is refused: {why}"));
    let set = set.as_str().ok_or_else(|| unread("no text"))?;
    let kid = jose::header_of(set).and_then(|header| header.kid);
    let keys = management.issuer.keys(management, kid.as_deref()).await?;
    let expected = Expected {
        types: &[TYP],
        issuer: Some(&management.config.issuer),
        audience: Some(&management.config.client_id),
        algorithms: Algorithm::ALL.as_slice(),
        now: management.clock.now(),
        leeway: LEEWAY,
        expiry_required: false,
    };
    let verified = keys.verify(set, &expected).map_err(|rejected| unread(&rejected.to_string()))?;
    if verified.text("jti") != Some(id) {
        return Err(unread("under another's id"));
    }
    Ok(verified.claims.get("sub_id").and_then(Revoked::from_subject))
}

async fn end(cx: &mut Cx, revoked: &Revoked) -> Result<(), StoreError> {
    let issuer = cx.management.config.issuer.clone();
    let (ended, why) = match revoked {
        Revoked::User(subject) => (store::end_of_subject(cx, &issuer, subject).await?, "account"),
        Revoked::Session(sid) => (store::end_of_sid(cx, sid).await?, "session"),
        _ => return Ok(()),
    };
    for person in ended {
        let detail = json!({"over": why});
        let object = format!("person:{person}");
        audit::record(cx, Record { act: "session.revoked", object, organisation: None, detail }).await?;
    }
    Ok(())
}

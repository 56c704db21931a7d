//! The one-time link: how the first administrator comes in, where there is no default password.
//!
//! Whoever runs the program is shown it; it opens the console signed in, once, within ten minutes. From there an
//! administrator lets their own account in, and needs no link again.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use serde_json::json;

use super::{Way, store};
use crate::actor::Role;
use crate::audit::{self, Record};
use crate::error::Refused;
use crate::{Cx, PROVIDER, people};

const LIFETIME: Duration = Duration::from_secs(600);

/// The person that the link stands for; our own URL is its issuer, so that no account elsewhere can be it.
const SUBJECT: &str = "one-time-link";
const NAME: &str = "Operator (one-time link)";

/// The whole address. Who asks for it commits before showing it.
pub async fn make(cx: &mut Cx) -> Result<String, Refused> {
    let secret = base::random::text::<32>();
    let hash = hash_of(cx, &secret);
    let until = cx.now.plus(LIFETIME);
    store::insert_link(cx, &hash, until).await?;
    let object = "console_link:new".to_owned();
    audit::record(cx, Record { act: "console.link_made", object, organisation: None, detail: json!({"until": until}) })
        .await?;
    Ok(format!("{}/console?once={secret}", cx.management.config.url))
}

/// Uses a link up: the session's cookie, or nothing if the link is not good (any more).
pub(super) async fn open(cx: &mut Cx, headers: &HeaderMap, secret: &str) -> Result<Option<HeaderValue>, Refused> {
    let hash = hash_of(cx, secret);
    if !store::use_link(cx, &hash).await? {
        return Ok(None);
    }
    cx.actor = crate::Actor::System;
    let url = cx.management.config.url.clone();
    let person = people::arrive(cx, &url, SUBJECT, NAME, None).await?;
    people::make_member(cx, PROVIDER, &person.id, Role::Administrator).await?;
    let object = format!("person:{}", person.id);
    audit::record(cx, Record { act: "console.opened", object, organisation: None, detail: json!({"by": "link"}) })
        .await?;
    Ok(Some(super::start(cx, headers, &person.id, Way::Link, None).await?))
}

fn hash_of(cx: &Cx, secret: &str) -> String {
    jose::hash::base64url(&cx.management.seal.mac("console link").tag(secret.as_bytes()))
}

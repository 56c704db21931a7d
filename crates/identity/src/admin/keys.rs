use axum::extract::Path;
use base::ids::KeyId;
use base::problem::FieldError;
use jose::Algorithm;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{AdminCx, AdminError, Answer, Body, done, ok, page};
use crate::applied::Refused;
use crate::keys::{self, KeyError, TakesOver};

pub async fn list_keys(AdminCx(mut cx): AdminCx) -> Answer {
    let now = cx.now;
    let found = keys::list(&mut cx).await?;
    let items: Vec<Value> = found
        .iter()
        .map(|key| {
            json!({
                "kid": key.kid, "algorithm": key.algorithm, "state": key.state(now).as_str(),
                "announcedAt": key.announced_at, "activeAt": key.active_at, "retiredAt": key.retired_at,
                "killedAt": key.killed_at,
            })
        })
        .collect();
    Ok(page(&items, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Without it the keys of all configured algorithms.
    algorithm: Option<String>,
    /// The new keys sign at once, without having been announced.
    #[serde(default)]
    now: bool,
}

/// One transaction for each algorithm, since keys are made before anything is written.
pub async fn rotate_keys(AdminCx(cx): AdminCx, Body(rotation): Body<Rotation>) -> Answer {
    let configured = cx.identity.config.keys.algorithms.clone();
    let chosen: Vec<Algorithm> = match &rotation.algorithm {
        None => configured,
        Some(name) => configured.into_iter().filter(|algorithm| algorithm.as_str() == name).collect(),
    };
    if chosen.is_empty() {
        let detail = "is not one of the algorithms this server has keys for".to_owned();
        return Err(AdminError::invalid(vec![FieldError { pointer: "/algorithm".to_owned(), detail }]));
    }
    let takes_over = if rotation.now { TakesOver::AtOnce } else { TakesOver::Announced };
    let mut kids = Vec::new();
    for algorithm in chosen {
        let mut each = cx.again();
        kids.extend(keys::rotate(&mut each, algorithm, takes_over).await?);
        each.commit().await?;
    }
    Ok(ok(&json!({"kids": kids})))
}

pub async fn kill_key(AdminCx(mut cx): AdminCx, Path(kid): Path<KeyId>) -> Answer {
    keys::kill(&mut cx, &kid).await?;
    cx.commit().await?;
    Ok(done())
}

impl From<KeyError> for AdminError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Store(error) => error.into(),
            KeyError::NotFound => Self::not_found("key, or it was killed before"),
            KeyError::Jose(error) => Refused::Jose(error).into(),
        }
    }
}

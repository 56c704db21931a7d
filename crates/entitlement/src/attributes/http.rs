use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query};
use http::HeaderMap;
use policy::{EntityRef, EntitySpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Change, Changed};
use crate::error::Refused;
use crate::{Cx, json as body};

#[derive(Debug, Default, Deserialize)]
pub struct Paging {
    after_type: Option<String>,
    after_id: Option<String>,
}

pub async fn list_entities(mut cx: Cx, Query(paging): Query<Paging>) -> Result<Json<Value>, Refused> {
    let after = paging.after_type.zip(paging.after_id).map(|(kind, id)| EntityRef { kind, id });
    let items = super::list(&mut cx, after.as_ref()).await?;
    let next = items.last().map(|last| json!({"after_type": last.kind, "after_id": last.id}));
    Ok(Json(json!({"items": items, "next": next})))
}

pub async fn show_entity(mut cx: Cx, Path((kind, id)): Path<(String, String)>) -> Result<Json<EntitySpec>, Refused> {
    Ok(Json(super::find(&mut cx, &EntityRef { kind, id }).await?))
}

pub async fn apply_entities(mut cx: Cx, headers: HeaderMap, bytes: Bytes) -> Result<Json<Changed>, Refused> {
    let change: Change = body::parse(&headers, &bytes)?;
    let changed = super::apply(&mut cx, &change).await?;
    cx.commit().await?;
    Ok(Json(changed))
}

pub async fn delete_entity(mut cx: Cx, Path((kind, id)): Path<(String, String)>) -> Result<Json<Changed>, Refused> {
    let change = Change { put: Vec::new(), delete: vec![EntityRef { kind, id }] };
    let changed = super::apply(&mut cx, &change).await?;
    if changed.deleted == 0 {
        return Err(Refused::NotFound("entity"));
    }
    cx.commit().await?;
    Ok(Json(changed))
}

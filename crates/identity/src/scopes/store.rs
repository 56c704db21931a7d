use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Row, StoreError, Tx, params};

use super::{Catalog, ResourceServerSpec, ScopeSpec};
use crate::Cx;
use crate::applied::Applied;

pub(super) async fn load(mut tx: Tx) -> Result<Catalog, StoreError> {
    let scopes = tx.read("SELECT spec FROM scopes ORDER BY name", &params![]).await?;
    let servers = tx.read("SELECT spec FROM resource_servers ORDER BY audience", &params![]).await?;
    let mut catalog = Catalog::default();
    for spec in scopes.iter().map(spec::<ScopeSpec>) {
        let spec = spec?;
        catalog.scopes.insert(spec.name.clone(), spec);
    }
    for spec in servers.iter().map(spec::<ResourceServerSpec>) {
        let spec = spec?;
        catalog.resource_servers.insert(spec.audience.clone(), spec);
    }
    Ok(catalog)
}

pub(super) async fn apply_scope(cx: &mut Cx, spec: &ScopeSpec) -> Result<Applied, StoreError> {
    let insert = "INSERT INTO scopes (name, spec, created_at, updated_at) VALUES ($1, $2, $3, $3)
        ON CONFLICT (name) DO NOTHING";
    let update = "UPDATE scopes SET spec = $2, updated_at = $3 WHERE name = $1 AND spec <> $2";
    let text = text(spec);
    if cx.tx.execute(insert, &params![&spec.name, &text, cx.now]).await? > 0 {
        return Ok(Applied::Created);
    }
    let changed = cx.tx.execute(update, &params![&spec.name, &text, cx.now]).await?;
    Ok(if changed > 0 { Applied::Updated } else { Applied::Unchanged })
}

pub(super) async fn apply_resource_server(cx: &mut Cx, spec: &ResourceServerSpec) -> Result<Applied, StoreError> {
    let insert = "INSERT INTO resource_servers (audience, spec, created_at, updated_at) VALUES ($1, $2, $3, $3)
        ON CONFLICT (audience) DO NOTHING";
    let update = "UPDATE resource_servers SET spec = $2, updated_at = $3 WHERE audience = $1 AND spec <> $2";
    let text = text(spec);
    if cx.tx.execute(insert, &params![&spec.audience, &text, cx.now]).await? > 0 {
        return Ok(Applied::Created);
    }
    let changed = cx.tx.execute(update, &params![&spec.audience, &text, cx.now]).await?;
    Ok(if changed > 0 { Applied::Updated } else { Applied::Unchanged })
}

pub(super) async fn delete_scope(cx: &mut Cx, name: &str) -> Result<bool, StoreError> {
    Ok(cx.tx.execute("DELETE FROM scopes WHERE name = $1", &params![name]).await? > 0)
}

pub(super) async fn delete_resource_server(cx: &mut Cx, audience: &str) -> Result<bool, StoreError> {
    Ok(cx.tx.execute("DELETE FROM resource_servers WHERE audience = $1", &params![audience]).await? > 0)
}

fn spec<T: DeserializeOwned>(row: &Row) -> Result<T, StoreError> {
    serde_json::from_str(row.text("spec")?).map_err(|_| StoreError::Invalid)
}

fn text(spec: &impl Serialize) -> String {
    serde_json::to_string(spec).unwrap_or_default()
}

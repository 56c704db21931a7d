//! The tables `plans` and `plan_versions`.

use serde_json::Value;
use store::{Row, params};

use super::{Plan, Version};
use crate::Cx;
use crate::error::Refused;

/// The number of the version that this makes. Whoever is retired is in sale again.
pub(super) async fn put(cx: &mut Cx, name: &str, spec: &str, window: Option<&'static str>) -> Result<i64, Refused> {
    let sql = "INSERT INTO plans (plan, version, spec, quota_window, created_at, changed_at)
        VALUES ($1, 1, $2, $3, $4, $4)
        ON CONFLICT (plan) DO UPDATE SET version = plans.version + 1, spec = excluded.spec,
            quota_window = excluded.quota_window, changed_at = excluded.changed_at, retired_at = NULL
        RETURNING version";
    let row = cx.tx.one(sql, &params![name, spec, window, cx.now]).await?;
    let row = row.ok_or_else(|| Refused::Broken("an upsert gave no row".to_owned()))?;
    Ok(row.int("version")?)
}

pub(super) async fn add_version(cx: &mut Cx, name: &str, version: i64, spec: &str) -> Result<(), Refused> {
    let sql = "INSERT INTO plan_versions (plan, version, spec, since, changed_by) VALUES ($1, $2, $3, $4, $5)";
    let by = cx.actor.to_string();
    cx.tx.execute(sql, &params![name, version, spec, cx.now, by]).await?;
    Ok(())
}

pub(super) async fn retire(cx: &mut Cx, name: &str) -> Result<bool, Refused> {
    let sql = "UPDATE plans SET retired_at = $2 WHERE plan = $1 AND retired_at IS NULL";
    Ok(cx.tx.execute(sql, &params![name, cx.now]).await? == 1)
}

pub(super) async fn find(cx: &mut Cx, name: &str) -> Result<Option<Plan>, Refused> {
    let sql = "SELECT plan, version, spec, created_at, changed_at, retired_at FROM plans WHERE plan = $1";
    cx.tx.read_one(sql, &params![name]).await?.as_ref().map(plan).transpose()
}

pub(super) async fn list(cx: &mut Cx) -> Result<Vec<Plan>, Refused> {
    let sql = "SELECT plan, version, spec, created_at, changed_at, retired_at FROM plans ORDER BY plan";
    cx.tx.read(sql, &[]).await?.iter().map(plan).collect()
}

pub(super) async fn versions(cx: &mut Cx, name: &str) -> Result<Vec<Version>, Refused> {
    let sql = "SELECT plan, version, spec, since, changed_by FROM plan_versions WHERE plan = $1 ORDER BY version";
    cx.tx.read(sql, &params![name]).await?.iter().map(version).collect()
}

pub(super) async fn published(cx: &mut Cx) -> Result<Vec<(String, Value)>, Refused> {
    let sql = "SELECT plan, spec FROM plans WHERE retired_at IS NULL OR EXISTS (
            SELECT 1 FROM subscriptions WHERE subscriptions.plan = plans.plan
            AND subscriptions.state IN ('active', 'suspended'))
        ORDER BY plan";
    let rows = cx.tx.read(sql, &[]).await?;
    rows.iter().map(|row| Ok((row.string("plan")?, json(row.text("spec")?)?))).collect()
}

fn plan(row: &Row) -> Result<Plan, Refused> {
    Ok(Plan {
        name: row.string("plan")?,
        version: row.int("version")?,
        spec: json(row.text("spec")?)?,
        created_at: row.time("created_at")?,
        changed_at: row.time("changed_at")?,
        retired_at: row.opt_time("retired_at")?,
    })
}

fn version(row: &Row) -> Result<Version, Refused> {
    Ok(Version {
        plan: row.string("plan")?,
        number: row.int("version")?,
        spec: json(row.text("spec")?)?,
        since: row.time("since")?,
        changed_by: row.string("changed_by")?,
    })
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Refused> {
    serde_json::from_str(text).map_err(|error| Refused::Broken(format!("a stored plan cannot be read: {error}")))
}

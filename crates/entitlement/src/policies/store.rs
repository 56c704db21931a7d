use policy::Source;
use serde::de::DeserializeOwned;
use store::{Row, StoreError, Tx, params};

use super::{Activation, Draft, State, Version};
use crate::Cx;

const PAGE: i64 = 100;

pub async fn state(tx: &mut Tx) -> Result<State, StoreError> {
    let sql = "SELECT version, activation, revision FROM policy_state WHERE name = 'state'";
    let row = tx.read_one(sql, &params![]).await?;
    let row = row.ok_or(StoreError::Invalid)?;
    Ok(State { version: row.int("version")?, activation: row.int("activation")?, revision: row.int("revision")? })
}

/// The next revision of the entities, if the policies that these were checked against are still in force.
pub async fn touch_entities(tx: &mut Tx, activation: i64) -> Result<Option<i64>, StoreError> {
    let sql = "UPDATE policy_state SET revision = revision + 1 WHERE name = 'state' AND activation = $1
        RETURNING revision";
    tx.one(sql, &params![activation]).await?.map(|row| row.int("revision")).transpose()
}

pub async fn source(tx: &mut Tx, version: i64) -> Result<Source, StoreError> {
    let sql = "SELECT source FROM policy_versions WHERE version = $1";
    let row = tx.read_one(sql, &params![version]).await?.ok_or(StoreError::Invalid)?;
    document(&row, "source")
}

/// `None` if somebody else took the number.
pub(super) async fn insert(cx: &mut Cx, draft: &Draft) -> Result<Option<Version>, StoreError> {
    let sql = "INSERT INTO policy_versions (version, author, comment, source, tests, created_at)
        SELECT coalesce(max(version), 0) + 1, $1, $2, $3, $4, $5 FROM policy_versions WHERE version > 0
        ON CONFLICT (version) DO NOTHING
        RETURNING version";
    let source = serde_json::to_string(&draft.source).map_err(|_| StoreError::Invalid)?;
    let tests = serde_json::to_string(&draft.tests).map_err(|_| StoreError::Invalid)?;
    let values = params![&cx.actor, &draft.comment, source, tests, cx.now];
    let Some(row) = cx.tx.one(sql, &values).await? else { return Ok(None) };
    Ok(Some(Version {
        version: row.int("version")?,
        author: cx.actor.clone(),
        comment: draft.comment.clone(),
        created_at: cx.now,
        source: None,
        tests: None,
    }))
}

pub(super) async fn find(cx: &mut Cx, version: i64) -> Result<Option<Version>, StoreError> {
    let sql = "SELECT version, author, comment, source, tests, created_at FROM policy_versions WHERE version = $1";
    let Some(row) = cx.tx.read_one(sql, &params![version]).await? else { return Ok(None) };
    let mut found = version_of(&row)?;
    found.source = Some(document(&row, "source")?);
    found.tests = Some(document(&row, "tests")?);
    Ok(Some(found))
}

pub(super) async fn list(cx: &mut Cx, before: i64) -> Result<Vec<Version>, StoreError> {
    let sql = "SELECT version, author, comment, created_at FROM policy_versions
        WHERE version < $1 ORDER BY version DESC LIMIT $2";
    cx.tx.read(sql, &params![before, PAGE]).await?.iter().map(version_of).collect()
}

pub(super) async fn history(cx: &mut Cx, before: i64) -> Result<Vec<Activation>, StoreError> {
    let sql = "SELECT activation, version, author, comment, request_id, activated_at FROM policy_activations
        WHERE activation < $1 ORDER BY activation DESC LIMIT $2";
    let rows = cx.tx.read(sql, &params![before, PAGE]).await?;
    rows.iter()
        .map(|row| {
            Ok(Activation {
                activation: row.int("activation")?,
                version: row.int("version")?,
                author: row.string("author")?,
                comment: row.string("comment")?,
                request_id: row.string("request_id")?,
                activated_at: row.time("activated_at")?,
            })
        })
        .collect()
}

/// `None` if policies or entities are no longer those of `before`.
pub(super) async fn activate(
    cx: &mut Cx,
    version: i64,
    before: &State,
    comment: &str,
) -> Result<Option<Activation>, StoreError> {
    let take = "UPDATE policy_state SET version = $1, activation = activation + 1
        WHERE name = 'state' AND activation = $2 AND revision = $3 RETURNING activation";
    let Some(row) = cx.tx.one(take, &params![version, before.activation, before.revision]).await? else {
        return Ok(None);
    };
    let activation = Activation {
        activation: row.int("activation")?,
        version,
        author: cx.actor.clone(),
        comment: comment.to_owned(),
        request_id: cx.request_id.to_string(),
        activated_at: cx.now,
    };
    let sql = "INSERT INTO policy_activations (activation, version, author, comment, request_id, activated_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let values = params![activation.activation, version, &cx.actor, comment, &cx.request_id, cx.now];
    cx.tx.execute(sql, &values).await?;
    Ok(Some(activation))
}

fn version_of(row: &Row) -> Result<Version, StoreError> {
    Ok(Version {
        version: row.int("version")?,
        author: row.string("author")?,
        comment: row.string("comment")?,
        created_at: row.time("created_at")?,
        source: None,
        tests: None,
    })
}

fn document<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T, StoreError> {
    serde_json::from_str(row.text(column)?).map_err(|_| StoreError::Invalid)
}

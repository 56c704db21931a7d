//! The tables `apis` and `api_revisions`.

use catalog::ApiSpec;
use catalog::published::Document;
use serde_json::Value;
use store::{Row, StoreError, params};

use super::{Api, Draft, Revision, value};
use crate::Cx;

/// What is looked for; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// In name, title and description.
    pub text: Option<String>,
    pub lifecycle: Option<String>,
    pub visibility: Option<String>,
    pub owner: Option<String>,
    /// Only what is published, as it is published.
    pub published_only: bool,
    /// Behind this name: where the page before ended.
    pub after: Option<String>,
}

pub async fn api(cx: &mut Cx, name: &str, published_only: bool) -> Result<Option<Api>, StoreError> {
    let sql = "SELECT a.api, a.revision AS head, a.published, r.revision, r.spec, a.created_at, a.changed_at
        FROM apis a JOIN api_revisions r ON r.api = a.api
        AND r.revision = CASE WHEN $2 = 1 THEN a.published ELSE a.revision END
        WHERE a.api = $1";
    cx.tx.read_one(sql, &params![name, i64::from(published_only)]).await?.as_ref().map(read_api).transpose()
}

pub(super) async fn list(cx: &mut Cx, query: &Query, limit: usize) -> Result<Vec<Api>, StoreError> {
    let sql = "SELECT a.api, a.revision AS head, a.published, r.revision, r.spec, a.created_at, a.changed_at
        FROM apis a JOIN api_revisions r ON r.api = a.api
        AND r.revision = CASE WHEN $1 = 1 THEN a.published ELSE a.revision END
        WHERE (CAST($2 AS TEXT) IS NULL OR r.search LIKE $2 ESCAPE '!')
        AND (CAST($3 AS TEXT) IS NULL OR r.lifecycle = $3) AND (CAST($4 AS TEXT) IS NULL OR r.visibility = $4)
        AND (CAST($5 AS TEXT) IS NULL OR r.owner = $5) AND (CAST($6 AS TEXT) IS NULL OR a.api > $6)
        ORDER BY a.api LIMIT $7";
    let text = query.text.as_deref().filter(|text| !text.is_empty()).map(containing);
    let values = params![
        i64::from(query.published_only),
        text,
        query.lifecycle.as_deref(),
        query.visibility.as_deref(),
        query.owner.as_deref(),
        query.after.as_deref(),
        i64::try_from(limit).unwrap_or(i64::MAX)
    ];
    cx.tx.read(sql, &values).await?.iter().map(read_api).collect()
}

/// A pattern for what contains this text, letter by letter.
pub(crate) fn containing(text: &str) -> String {
    // A pattern has an end, in both databases, and holds what they can.
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(200).collect();
    let escaped = text.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{escaped}%")
}

fn read_api(row: &Row) -> Result<Api, StoreError> {
    Ok(Api {
        name: row.string("api")?,
        head: row.int("head")?,
        published: row.opt_int("published")?,
        revision: row.int("revision")?,
        spec: read_spec(row)?,
        created_at: row.time("created_at")?,
        changed_at: row.time("changed_at")?,
    })
}

/// What was valid when it was stored; a newer program reads what an older one wrote.
fn read_spec(row: &Row) -> Result<ApiSpec, StoreError> {
    serde_json::from_str(row.text("spec")?).map_err(|_| StoreError::Invalid)
}

pub async fn revision(cx: &mut Cx, name: &str, number: i64) -> Result<Option<Revision>, StoreError> {
    let sql = "SELECT api, revision, at, actor, note, spec, resources, generated, document FROM api_revisions
        WHERE api = $1 AND revision = $2";
    cx.tx.read_one(sql, &params![name, number]).await?.as_ref().map(read_revision).transpose()
}

/// The newest first, older than `before`.
pub async fn revisions(
    cx: &mut Cx,
    name: &str,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<Revision>, StoreError> {
    let sql = "SELECT api, revision, at, actor, note, spec, resources, generated, document FROM api_revisions
        WHERE api = $1 AND (CAST($2 AS BIGINT) IS NULL OR revision < $2) ORDER BY revision DESC LIMIT $3";
    let values = params![name, before, i64::try_from(limit).unwrap_or(i64::MAX)];
    cx.tx.read(sql, &values).await?.iter().map(read_revision).collect()
}

/// The published revision of every API, by name.
pub async fn published(cx: &mut Cx) -> Result<Vec<Revision>, StoreError> {
    let sql = "SELECT r.api, r.revision, r.at, r.actor, r.note, r.spec, r.resources, r.generated, r.document
        FROM apis a JOIN api_revisions r ON r.api = a.api AND r.revision = a.published ORDER BY a.api";
    cx.tx.read(sql, &[]).await?.iter().map(read_revision).collect()
}

fn read_revision(row: &Row) -> Result<Revision, StoreError> {
    let documents = |column: &str| -> Result<Vec<Document>, StoreError> {
        serde_json::from_str(row.text(column)?).map_err(|_| StoreError::Invalid)
    };
    let openapi = row.opt_text("document")?.map(|text| serde_json::from_str::<Value>(text).unwrap_or_default());
    let draft = Draft {
        spec: read_spec(row)?,
        resources: documents("resources")?,
        generated: documents("generated")?,
        openapi,
    };
    Ok(Revision {
        api: row.string("api")?,
        revision: row.int("revision")?,
        at: row.time("at")?,
        actor: row.string("actor")?,
        note: row.string("note")?,
        draft,
    })
}

/// The next revision behind `was`; false if somebody was faster.
pub(super) async fn save(
    cx: &mut Cx,
    name: &str,
    draft: &Draft,
    note: &str,
    was: Option<i64>,
) -> Result<bool, StoreError> {
    let new = "INSERT INTO apis (api, revision, created_at, changed_at) VALUES ($1, 1, $2, $2)
        ON CONFLICT (api) DO NOTHING";
    let next = "UPDATE apis SET revision = revision + 1, changed_at = $2 WHERE api = $1 AND revision = $3";
    let changed = match was {
        None => cx.tx.execute(new, &params![name, cx.now]).await?,
        Some(was) => cx.tx.execute(next, &params![name, cx.now, was]).await?,
    };
    if changed == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO api_revisions
        (api, revision, at, actor, note, search, lifecycle, visibility, owner, spec, resources, generated, document)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let spec = value(&draft.spec);
    let word = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let search = [name, &draft.spec.title, draft.spec.description.as_deref().unwrap_or_default()].join("\n");
    let values = params![
        name,
        was.unwrap_or(0) + 1,
        cx.now,
        cx.actor.to_string(),
        note,
        search.to_lowercase(),
        word("lifecycle"),
        word("visibility"),
        draft.spec.owner.as_deref(),
        spec.to_string(),
        value(&draft.resources).to_string(),
        value(&draft.generated).to_string(),
        draft.openapi.as_ref().map(Value::to_string)
    ];
    cx.tx.execute(sql, &values).await?;
    Ok(true)
}

/// Which revision gateways are given; false if there is no such API.
pub async fn set_published(cx: &mut Cx, name: &str, revision: Option<i64>) -> Result<bool, StoreError> {
    let sql = "UPDATE apis SET published = $2, changed_at = $3 WHERE api = $1";
    Ok(cx.tx.execute(sql, &params![name, revision, cx.now]).await? == 1)
}

/// With its whole history; false if there was none.
pub async fn remove(cx: &mut Cx, name: &str) -> Result<bool, StoreError> {
    cx.tx.execute("DELETE FROM api_revisions WHERE api = $1", &params![name]).await?;
    Ok(cx.tx.execute("DELETE FROM apis WHERE api = $1", &params![name]).await? == 1)
}

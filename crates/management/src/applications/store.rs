//! The tables `applications` and `application_secrets`.

use base::Time;
use serde_json::Value;
use store::{Row, StoreError, params};

use super::{Application, Filter, Kind, State, Wanted};
use crate::Cx;

/// An application in the hands of one worker, with all that is needed to go on.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub id: String,
    pub organisation: String,
    pub kind: Kind,
    pub wanted: Wanted,
    pub state: State,
    pub generation: i64,
    pub revision: i64,
    pub settled: i64,
    pub refused: i64,
    pub rotation: i64,
    pub overlap_s: i64,
    pub asked: Value,
    pub asked_revision: i64,
    pub unsure: i64,
    pub client: Option<String>,
    pub client_uri: Option<String>,
    /// Sealed.
    pub client_token: Option<String>,
    pub secret_hash: Option<String>,
    pub worker: String,
}

/// Behind the organisation's lock, so as a statement that may write.
pub(super) async fn count_living(cx: &mut Cx, organisation: &str) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) AS many FROM applications WHERE organisation = $1 AND state <> 'deleted'";
    cx.tx.one(sql, &params![organisation]).await?.map_or(Ok(0), |row| row.int("many"))
}

pub(super) async fn insert(
    cx: &mut Cx,
    id: &str,
    organisation: &str,
    wanted: &Wanted,
    asked: &Value,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO applications (application, organisation, name, kind, redirect_uris, scopes, state,
        generation, revision, settled, refused, rotation, rotated, overlap_s, asked, asked_revision, unsure,
        attempts, created_at, created_by, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, 'intended', 1, 1, 0, 0, 0, 0, 0, $7, 1, 0, 0, $8, $9, $8)";
    let (uris, scopes) = (list_text(&wanted.redirect_uris), list_text(&wanted.scopes));
    let actor = cx.actor.to_string();
    let values =
        params![id, organisation, &wanted.name, wanted.kind.as_str(), uris, scopes, asked.to_string(), cx.now, actor];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

/// What failed is asked for anew; what is under way is asked as it was, and changed when there is an answer.
pub(super) async fn update(cx: &mut Cx, id: &str, wanted: &Wanted, asked: &Value) -> Result<Option<()>, StoreError> {
    let sql = "UPDATE applications SET name = $2, redirect_uris = $3, scopes = $4, revision = revision + 1,
        asked = CASE WHEN state = 'failed' THEN $5 ELSE asked END,
        asked_revision = CASE WHEN state = 'failed' THEN revision + 1 ELSE asked_revision END,
        unsure = CASE WHEN state = 'failed' THEN 0 ELSE unsure END,
        state = CASE WHEN state = 'failed' THEN 'intended' ELSE state END,
        error = NULL, attempts = 0, changed_at = $6
        WHERE application = $1 AND state IN ('intended', 'registered', 'failed')";
    let (uris, scopes) = (list_text(&wanted.redirect_uris), list_text(&wanted.scopes));
    let values = params![id, &wanted.name, uris, scopes, asked.to_string(), cx.now];
    Ok((cx.tx.execute(sql, &values).await? == 1).then_some(()))
}

pub(super) async fn want_secret(cx: &mut Cx, id: &str, overlap_s: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE applications SET rotation = rotation + 1, overlap_s = $2, error = NULL, attempts = 0,
        changed_at = $3 WHERE application = $1 AND state = 'registered'";
    Ok(cx.tx.execute(sql, &params![id, overlap_s, cx.now]).await? == 1)
}

pub(super) async fn want_gone(cx: &mut Cx, id: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE applications SET state = 'deleting', error = NULL, attempts = 0, changed_at = $2
        WHERE application = $1 AND state IN ('intended', 'registered', 'failed')";
    Ok(cx.tx.execute(sql, &params![id, cx.now]).await? == 1)
}

pub(super) async fn want_again(cx: &mut Cx, id: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE applications SET state = CASE WHEN state = 'failed' THEN 'intended' ELSE state END,
        unsure = 0, refused = 0, error = NULL, attempts = 0, changed_at = $2
        WHERE application = $1 AND state IN ('intended', 'registered', 'failed', 'deleting')";
    Ok(cx.tx.execute(sql, &params![id, cx.now]).await? == 1)
}

/// Its client is gone at the identity system: another one is asked for, under another key.
pub(super) async fn want_anew(cx: &mut Cx, id: &str, client: &str, asked: &Value) -> Result<bool, StoreError> {
    let sql = "UPDATE applications SET state = 'intended', generation = generation + 1, client = NULL,
        client_uri = NULL, client_token = NULL, secret_hash = NULL, asked = $3, asked_revision = revision,
        settled = 0, rotated = rotation, unsure = 0, error = NULL, attempts = 0, changed_at = $4
        WHERE application = $1 AND client = $2 AND state = 'registered'";
    Ok(cx.tx.execute(sql, &params![id, client, asked.to_string(), cx.now]).await? == 1)
}

/// The key of the last request is used up by a client that is gone.
pub(super) async fn next_key(cx: &mut Cx, held: &Held) -> Result<bool, StoreError> {
    let sql = "UPDATE applications SET generation = generation + 1 WHERE application = $1 AND worker = $2";
    Ok(cx.tx.execute(sql, &params![&held.id, &held.worker]).await? == 1)
}

/// Takes what is not as it is wanted into one worker's hands. `None`: somebody else has it, or nothing is to be done.
pub(super) async fn hold(cx: &mut Cx, id: &str, worker: &str, until: Time) -> Result<Option<Held>, StoreError> {
    let sql = "UPDATE applications SET worker = $2, worker_until = $3, attempts = attempts + 1
        WHERE application = $1 AND (worker IS NULL OR worker_until <= $4)
        AND (state IN ('intended', 'deleting') OR (state = 'registered'
            AND ((settled < revision AND refused < revision) OR rotated < rotation)))
        RETURNING application, organisation, name, kind, redirect_uris, scopes, state, generation, revision, settled,
            refused, rotation, overlap_s, asked, asked_revision, unsure, client, client_uri, client_token,
            secret_hash, worker";
    let row = cx.tx.one(sql, &params![id, worker, until, cx.now]).await?;
    row.as_ref().map(read_held).transpose()
}

fn read_held(row: &Row) -> Result<Held, StoreError> {
    let kind = Kind::parse(row.text("kind")?).ok_or(StoreError::Invalid)?;
    let wanted = Wanted {
        name: row.string("name")?,
        kind,
        redirect_uris: list_of(row.text("redirect_uris")?),
        scopes: list_of(row.text("scopes")?),
    };
    Ok(Held {
        id: row.string("application")?,
        organisation: row.string("organisation")?,
        kind,
        wanted,
        state: State::parse(row.text("state")?).ok_or(StoreError::Invalid)?,
        generation: row.int("generation")?,
        revision: row.int("revision")?,
        settled: row.int("settled")?,
        refused: row.int("refused")?,
        rotation: row.int("rotation")?,
        overlap_s: row.int("overlap_s")?,
        asked: serde_json::from_str(row.text("asked")?).unwrap_or_default(),
        asked_revision: row.int("asked_revision")?,
        unsure: row.int("unsure")?,
        client: row.opt_string("client")?,
        client_uri: row.opt_string("client_uri")?,
        client_token: row.opt_string("client_token")?,
        secret_hash: row.opt_string("secret_hash")?,
        worker: row.string("worker")?,
    })
}

/// Whether there is something to be done that [`hold`] did not get.
pub(super) async fn is_unsettled(cx: &mut Cx, id: &str) -> Result<bool, StoreError> {
    let sql = "SELECT application FROM applications WHERE application = $1
        AND (state IN ('intended', 'deleting') OR (state = 'registered'
            AND ((settled < revision AND refused < revision) OR rotated < rotation)))";
    Ok(cx.tx.read_one(sql, &params![id]).await?.is_some())
}

/// What has come of a registration or an update.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub client: &'a str,
    pub client_uri: Option<&'a str>,
    /// Sealed.
    pub client_token: Option<&'a str>,
    pub secret_hash: Option<&'a str>,
    pub settled: i64,
}

/// False if the worker has lost it, or the client is another application's. One that is to be deleted by now keeps
/// that state.
pub(super) async fn know(cx: &mut Cx, held: &Held, known: &Known<'_>) -> Result<bool, StoreError> {
    let sql = "UPDATE applications SET client = $3, client_uri = $4, client_token = $5, secret_hash = $6,
        settled = $7, unsure = 0, attempts = 0, error = NULL, changed_at = $8, worker = NULL, worker_until = NULL,
        state = CASE WHEN state = 'deleting' THEN state ELSE 'registered' END
        WHERE application = $1 AND worker = $2
        AND NOT EXISTS (SELECT 1 FROM applications other WHERE other.client = $3 AND other.application <> $1)";
    let values = params![
        &held.id,
        &held.worker,
        known.client,
        known.client_uri,
        known.client_token,
        known.secret_hash,
        known.settled,
        cx.now
    ];
    Ok(cx.tx.execute(sql, &values).await? == 1)
}

pub(super) async fn rotated(cx: &mut Cx, held: &Held, secret_hash: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE applications SET rotated = $3, secret_hash = $4, attempts = 0, error = NULL, changed_at = $5,
        worker = NULL, worker_until = NULL WHERE application = $1 AND worker = $2";
    let values = params![&held.id, &held.worker, held.rotation, secret_hash, cx.now];
    Ok(cx.tx.execute(sql, &values).await? == 1)
}

pub(super) async fn gone(cx: &mut Cx, held: &Held) -> Result<bool, StoreError> {
    let sql = "UPDATE applications SET state = 'deleted', client_uri = NULL, client_token = NULL, secret_hash = NULL,
        error = NULL, changed_at = $3, worker = NULL, worker_until = NULL WHERE application = $1 AND worker = $2";
    Ok(cx.tx.execute(sql, &params![&held.id, &held.worker, cx.now]).await? == 1)
}

/// It did not work: it will be tried again.
pub(super) async fn again(cx: &mut Cx, held: &Held, why: &str, unsure: bool) -> Result<(), StoreError> {
    let sql = "UPDATE applications SET error = $3, unsure = unsure + $4, worker = NULL, worker_until = NULL
        WHERE application = $1 AND worker = $2";
    cx.tx.execute(sql, &params![&held.id, &held.worker, why, i64::from(unsure)]).await?;
    Ok(())
}

/// It never will: until somebody changes or retries it, nothing more is tried.
pub(super) async fn never(cx: &mut Cx, held: &Held, why: &str) -> Result<(), StoreError> {
    let sql = "UPDATE applications SET error = $3, refused = $4, rotated = rotation, changed_at = $5,
        state = CASE WHEN state = 'intended' THEN 'failed' ELSE state END, worker = NULL, worker_until = NULL
        WHERE application = $1 AND worker = $2";
    cx.tx.execute(sql, &params![&held.id, &held.worker, why, held.revision, cx.now]).await?;
    Ok(())
}

pub(super) async fn keep_secret(cx: &mut Cx, id: &str, sealed: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO application_secrets (application, sealed, made_at) VALUES ($1, $2, $3)
        ON CONFLICT (application) DO UPDATE SET sealed = $2, made_at = $3";
    cx.tx.execute(sql, &params![id, sealed, cx.now]).await?;
    Ok(())
}

/// One statement, so that of many who ask at once one gets it.
pub(super) async fn take_secret(cx: &mut Cx, id: &str) -> Result<Option<String>, StoreError> {
    let sql = "DELETE FROM application_secrets WHERE application = $1 RETURNING sealed";
    cx.tx.one(sql, &params![id]).await?.map(|row| row.string("sealed")).transpose()
}

/// A secret that nobody came for is no secret to keep.
pub(super) async fn forget_secrets(cx: &mut Cx, before: Time) -> Result<(), StoreError> {
    let sql = "DELETE FROM application_secrets WHERE made_at < $1";
    cx.tx.execute(sql, &params![before]).await?;
    Ok(())
}

pub(super) async fn find(cx: &mut Cx, id: &str) -> Result<Option<Application>, StoreError> {
    let sql = "SELECT a.application, a.organisation, a.name, a.kind, a.redirect_uris, a.scopes, a.state, a.client,
        a.revision, a.settled, a.rotation, a.rotated, a.attempts, a.error, a.created_at, a.created_by, a.changed_at,
        s.application AS new_secret
        FROM applications a LEFT JOIN application_secrets s ON s.application = a.application WHERE a.application = $1";
    cx.tx.read_one(sql, &params![id]).await?.as_ref().map(read).transpose()
}

/// The one that is registered as this client.
pub(super) async fn find_by_client(cx: &mut Cx, client: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT application FROM applications WHERE client = $1 AND state = 'registered'";
    cx.tx.read_one(sql, &params![client]).await?.map(|row| row.string("application")).transpose()
}

pub(super) async fn search(cx: &mut Cx, text: &str, limit: i64) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT application FROM applications WHERE state <> 'deleted'
        AND (LOWER(name) LIKE $1 ESCAPE '!' OR client = $2 OR application = $2) ORDER BY name, application LIMIT $3";
    let rows = cx.tx.read(sql, &params![crate::registry::containing(text), text, limit]).await?;
    rows.iter().map(|row| row.string("application")).collect()
}

pub(super) async fn client_uri(cx: &mut Cx, id: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT client_uri FROM applications WHERE application = $1 AND state = 'registered'";
    let row = cx.tx.read_one(sql, &params![id]).await?;
    row.map_or(Ok(None), |row| row.opt_string("client_uri"))
}

pub(super) async fn list(cx: &mut Cx, filter: &Filter, limit: i64) -> Result<Vec<Application>, StoreError> {
    let sql = "SELECT a.application, a.organisation, a.name, a.kind, a.redirect_uris, a.scopes, a.state, a.client,
        a.revision, a.settled, a.rotation, a.rotated, a.attempts, a.error, a.created_at, a.created_by, a.changed_at,
        s.application AS new_secret
        FROM applications a LEFT JOIN application_secrets s ON s.application = a.application
        WHERE (CAST($1 AS TEXT) IS NULL OR a.organisation = $1)
        AND ((CAST($2 AS TEXT) IS NULL AND a.state <> 'deleted') OR a.state = $2)
        AND a.application > $3 ORDER BY a.application LIMIT $4";
    let state = filter.state.map(State::as_str);
    let values = params![filter.organisation.as_deref(), state, filter.after.as_deref().unwrap_or_default(), limit];
    cx.tx.read(sql, &values).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Application, StoreError> {
    let state = State::parse(row.text("state")?).ok_or(StoreError::Invalid)?;
    let done = row.int("settled")? >= row.int("revision")? && row.int("rotated")? >= row.int("rotation")?;
    Ok(Application {
        id: row.string("application")?,
        organisation: row.string("organisation")?,
        name: row.string("name")?,
        kind: Kind::parse(row.text("kind")?).ok_or(StoreError::Invalid)?,
        redirect_uris: list_of(row.text("redirect_uris")?),
        scopes: list_of(row.text("scopes")?),
        state,
        client: row.opt_string("client")?,
        is_settled: state == State::Deleted || (state == State::Registered && done),
        has_new_secret: row.opt_text("new_secret")?.is_some(),
        attempts: row.int("attempts")?,
        error: row.opt_string("error")?,
        created_at: row.time("created_at")?,
        created_by: row.string("created_by")?,
        changed_at: row.time("changed_at")?,
    })
}

/// What should have been done by now, and has nobody who does it.
pub(super) async fn left_behind(cx: &mut Cx, before: Time) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT application FROM applications WHERE changed_at < $1
        AND (worker IS NULL OR worker_until < $1)
        AND (state IN ('intended', 'deleting') OR (state = 'registered'
            AND ((settled < revision AND refused < revision) OR rotated < rotation)))
        ORDER BY changed_at LIMIT 500";
    cx.tx.read(sql, &params![before]).await?.iter().map(|row| row.string("application")).collect()
}

/// A pointer to a client, for the comparison with the other side.
#[derive(Debug, Clone)]
pub(super) struct Pointer {
    pub id: String,
    pub organisation: String,
    pub state: State,
    pub wanted: Wanted,
    pub client: Option<String>,
    pub client_uri: Option<String>,
    pub client_token: Option<String>,
}

pub(super) async fn pointers(cx: &mut Cx, after: &str, limit: i64) -> Result<Vec<Pointer>, StoreError> {
    let sql = "SELECT application, organisation, state, name, kind, redirect_uris, scopes, client, client_uri,
        client_token FROM applications WHERE application > $1 ORDER BY application LIMIT $2";
    let rows = cx.tx.read(sql, &params![after, limit]).await?;
    let pointer = |row: &Row| {
        let kind = Kind::parse(row.text("kind")?).ok_or(StoreError::Invalid)?;
        Ok(Pointer {
            id: row.string("application")?,
            organisation: row.string("organisation")?,
            state: State::parse(row.text("state")?).ok_or(StoreError::Invalid)?,
            wanted: Wanted {
                name: row.string("name")?,
                kind,
                redirect_uris: list_of(row.text("redirect_uris")?),
                scopes: list_of(row.text("scopes")?),
            },
            client: row.opt_string("client")?,
            client_uri: row.opt_string("client_uri")?,
            client_token: row.opt_string("client_token")?,
        })
    };
    rows.iter().map(pointer).collect()
}

fn list_text(items: &[String]) -> String {
    serde_json::to_string(items).unwrap_or_else(|_| "[]".to_owned())
}

fn list_of(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}

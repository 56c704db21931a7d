//! Connections of SQLite: settings, migrations, statements, and what its errors mean.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock as _, SystemClock};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Statement, TransactionBehavior, params};

use crate::migrate::{self, Applied, Migration};
use crate::row::{Columns, Row};
use crate::tx::{Answer, Want};
use crate::{StoreError, Value};

const BUSY: Duration = Duration::from_secs(5);
/// Another process may be migrating a large table.
const BUSY_MIGRATING: Duration = Duration::from_secs(120);
const STATEMENTS: usize = 512;

/// None if another process is opening the same new file: the switch to WAL does not wait for it.
pub(super) fn open(path: &Path) -> Result<Option<Connection>, StoreError> {
    // Nobody else reads what is stored. SQLite gives its other files the permissions of this one.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::unavailable(format!("{}: {error}", path.display())))?;
    let connection = connect(path)?;
    match connection.pragma_update(None, "journal_mode", "WAL") {
        Ok(()) => Ok(Some(connection)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(None),
        Err(error) => Err(meaning(&error)),
    }
}

pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", "ON").map_err(|error| meaning(&error))?;
    Ok(connection)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let settings = |connection: &Connection| -> rusqlite::Result<()> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        // As PostgreSQL compares.
        connection.pragma_update(None, "case_sensitive_like", "ON")?;
        connection.pragma_update(None, "cache_size", -16_000)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(())
    };
    let connection = Connection::open(path).map_err(|error| meaning(&error))?;
    settings(&connection).map_err(|error| meaning(&error))?;
    Ok(connection)
}

/// Runs what has not run yet. The write lock of the file keeps two processes apart.
pub(super) fn migrate(connection: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    let run = |connection: &mut Connection| -> Result<(), StoreError> {
        let sqlite = |error: rusqlite::Error| meaning(&error);
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
        tx.execute_batch(migrate::TABLE).map_err(sqlite)?;
        for (series, known) in [(migrate::OWN_SERIES, migrate::OWN), (migrate::USER_SERIES, migrations)] {
            let applied = applied(&tx, series).map_err(sqlite)?;
            for migration in migrate::pending(&applied, known)? {
                tx.execute_batch(migration.sql).map_err(sqlite)?;
                let now = SystemClock::default().now().ms();
                let row = params![series, migration.version, migration.name, migration.sql, now];
                tx.execute(migrate::APPLY, row).map_err(sqlite)?;
            }
        }
        tx.commit().map_err(sqlite)
    };
    connection.busy_timeout(BUSY_MIGRATING).map_err(|error| meaning(&error))?;
    run(connection)?;
    connection.busy_timeout(BUSY).map_err(|error| meaning(&error))
}

fn applied(connection: &Connection, series: &str) -> rusqlite::Result<Vec<Applied>> {
    let mut statement = connection.prepare(migrate::APPLIED)?;
    let rows = statement.query_map([series], |row| Ok(Applied { version: row.get(0)?, sql: row.get(1)? }))?;
    rows.collect()
}

/// Runs statements on one connection, and keeps what it knows of them.
pub(super) struct Runner {
    pub connection: Connection,
    columns: HashMap<&'static str, Columns>,
    /// Where the engine counts `$1`, `$2`, … of a statement.
    places: HashMap<&'static str, Arc<[usize]>>,
}

impl Runner {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, columns: HashMap::new(), places: HashMap::new() }
    }

    pub(super) fn run(&mut self, sql: &'static str, values: &[Value], want: Want) -> Result<Answer, StoreError> {
        let failed = |error: rusqlite::Error| in_statement(&error, sql);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        if want == Want::Read && !statement.readonly() {
            return Err(StoreError::bug(format!("`read` with a statement that writes: {sql}")));
        }
        let places = match self.places.get(sql) {
            Some(places) => places.clone(),
            None => {
                let found = places(&statement, sql)?;
                self.places.insert(sql, found.clone());
                found
            }
        };
        bind(&mut statement, values, &places, sql)?;

        if want == Want::Count {
            let writes = !statement.readonly();
            let mut rows = statement.raw_query();
            while rows.next().map_err(failed)?.is_some() {}
            drop(rows);
            let count = if writes { self.connection.changes() } else { 0 };
            return Ok(Answer::Count(count));
        }
        let columns = self.columns.entry(sql).or_insert_with(|| {
            let names: Vec<Box<str>> = statement.column_names().map(Into::into).collect();
            names.into()
        });
        let columns = columns.clone();
        let mut out = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            let mut cells = Vec::with_capacity(columns.len());
            for at in 0..columns.len() {
                cells.push(cell(row.get_ref(at).map_err(failed)?, sql)?);
            }
            out.push(Row::new(columns.clone(), cells));
        }
        Ok(Answer::Rows(out))
    }
}

/// SQLite takes `$1` for a name, so placeholders are found by name, once for a statement.
fn places(statement: &Statement<'_>, sql: &'static str) -> Result<Arc<[usize]>, StoreError> {
    (1..=statement.parameter_count())
        .map(|number| {
            let found = statement.parameter_index(&format!("${number}")).map_err(|error| in_statement(&error, sql))?;
            found.ok_or_else(|| StoreError::bug(format!("no ${number} in: {sql}")))
        })
        .collect()
}

fn bind(
    statement: &mut Statement<'_>,
    values: &[Value],
    places: &[usize],
    sql: &'static str,
) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| in_statement(&error, sql);
    if places.len() != values.len() {
        return Err(StoreError::bug(format!("{} parameters for: {sql}", values.len())));
    }
    for (value, at) in values.iter().zip(places.iter().copied()) {
        match value {
            Value::Null => statement.raw_bind_parameter(at, rusqlite::types::Null),
            Value::Int(int) => statement.raw_bind_parameter(at, int),
            Value::Text(text) => statement.raw_bind_parameter(at, text.as_str()),
        }
        .map_err(failed)?;
    }
    Ok(())
}

fn cell(value: ValueRef<'_>, sql: &'static str) -> Result<Value, StoreError> {
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(int) => Ok(Value::Int(int)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(_) => Err(StoreError::Corrupt("a text that is not UTF-8".into())),
        },
        ValueRef::Real(_) | ValueRef::Blob(_) => {
            Err(StoreError::bug(format!("a value that is neither text nor integer from: {sql}")))
        }
    }
}

fn in_statement(error: &rusqlite::Error, sql: &'static str) -> StoreError {
    match meaning(error) {
        StoreError::Bug(cause) => StoreError::bug(format!("{cause} in: {sql}")),
        other => other,
    }
}

/// What an error of SQLite means to the caller. Its texts name tables and columns, never values.
pub(super) fn meaning(error: &rusqlite::Error) -> StoreError {
    let cause = error.to_string().into();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::CannotOpen | ErrorCode::OutOfMemory) => {
            StoreError::Unavailable(cause)
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::PermissionDenied | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::Unavailable(cause)
        }
        Some(ErrorCode::DiskFull | ErrorCode::ReadOnly) => StoreError::Full(cause),
        Some(ErrorCode::ConstraintViolation) => StoreError::Conflict(cause),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(cause),
        _ => StoreError::Bug(cause),
    }
}

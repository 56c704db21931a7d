//! What an error of PostgreSQL means to the caller.

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use crate::{Cause, StoreError};

pub(super) fn meaning(error: &Error) -> StoreError {
    match error.as_db_error() {
        Some(error) => of_server(error),
        // A value of a type that the column does not have.
        None if wrong_value(error) => StoreError::Bug(error.to_string().into()),
        // Input and output, a closed connection, a server that cannot be reached.
        None => StoreError::Unavailable(with_source(error)),
    }
}

/// By SQLSTATE (PostgreSQL's appendix "Error Codes").
fn of_server(error: &DbError) -> StoreError {
    // Not `error.to_string()`: its detail tells the values of rows.
    let cause: Cause = format!("{} {}", error.code().code(), error.message()).into();
    match error.code().code() {
        "40001" | "40P01" | "55P03" => StoreError::Contended(cause),
        "57014" | "25P03" => StoreError::TimedOut(cause),
        "53100" | "25006" => StoreError::Full(cause),
        "22021" => StoreError::Invalid,
        "XX001" | "XX002" => StoreError::Corrupt(cause),
        // The rows of a cached statement have changed their form: a migration by a newer program.
        "0A000" if error.message().contains("cached plan") => StoreError::Contended(cause),
        code => match code.get(..2) {
            Some("23") => StoreError::Conflict(cause),
            Some("08" | "53" | "57" | "58") => StoreError::Unavailable(cause),
            Some("28" | "3D") => StoreError::Unavailable(cause),
            _ => StoreError::Bug(cause),
        },
    }
}

fn wrong_value(error: &Error) -> bool {
    let text = error.to_string();
    text.starts_with("error serializing parameter")
        || text.starts_with("error deserializing column")
        || text.starts_with("expected ")
}

fn with_source(error: &Error) -> Cause {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}").into(),
        None => error.to_string().into(),
    }
}

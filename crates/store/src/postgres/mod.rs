//! PostgreSQL: writers that each have a connection, and readers that share pipelined ones.

mod connection;
mod errors;
mod listen;
mod migrations;
mod pool;
mod server;
mod tls;
mod tx;

use std::sync::Arc;
use std::time::Duration;

use base::Secret;

use crate::topics::Topics;
use crate::{Limits, Migration, StoreError};
pub(crate) use tx::Tx;

/// The name must fit, with a prefix, into the 63 bytes of an identifier.
const LONGEST_SCHEMA: usize = 48;

/// How long an answer may take beyond the time that the statement has.
const ANSWER: Duration = Duration::from_secs(2);

pub(crate) struct Postgres {
    pool: pool::Pool,
    channel: String,
    topics: Topics,
    hold: Duration,
    listener: listen::Listener,
}

impl Postgres {
    pub(crate) async fn open(
        url: &Secret<String>,
        schema: &str,
        migrations: &[Migration],
        limits: Limits,
        topics: Topics,
    ) -> Result<Self, StoreError> {
        check_schema(schema)?;
        let server = Arc::new(server::Server::new(url, limits.hold.max(limits.wait) + ANSWER)?);
        migrations::run(&server, schema, migrations).await?;
        let channel = format!("cardea_{schema}");
        let listener = listen::Listener::start(server.clone(), &channel, topics.clone()).await?;
        let pool = pool::Pool::new(server, schema, limits);
        Ok(Self { pool, channel, topics, hold: limits.hold, listener })
    }

    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.pool.ping().await
    }

    pub(crate) fn close(&self) {
        self.pool.close();
        self.listener.stop();
    }
}

/// The name goes into statements that have no parameters.
fn check_schema(schema: &str) -> Result<(), StoreError> {
    let plain = schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let starts_well = schema.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if plain && starts_well && schema.len() <= LONGEST_SCHEMA && !schema.starts_with("pg_") {
        return Ok(());
    }
    Err(StoreError::Settings("a schema is named with up to 48 lower-case letters, digits and `_`, not `pg_…`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_name_cannot_carry_sql() {
        for good in ["identity", "a1_b"] {
            assert!(check_schema(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "a\"b", "a;b", "A", "ä", "a b", "pg_x", &"a".repeat(49)] {
            assert!(check_schema(bad).is_err(), "{bad}");
        }
    }
}

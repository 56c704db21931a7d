//! PostgreSQL: writers that each have a connection, and readers that share pipelined ones.

mod connection;
mod errors;
mod listen;
mod migrations;
mod pool;
mod tx;

use std::sync::Arc;
use std::time::Duration;

use base::Secret;
use tokio_postgres::config::SslMode;

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
        let config = Arc::new(server(url)?);
        let patience = limits.hold.max(limits.wait) + ANSWER;
        migrations::run(&config, schema, migrations, patience).await?;
        let channel = format!("cardea_{schema}");
        let listener = listen::Listener::start(config.clone(), &channel, topics, patience).await?;
        let pool = pool::Pool::new(config, schema, limits, patience);
        Ok(Self { pool, channel, hold: limits.hold, listener })
    }

    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.pool.ping().await
    }

    pub(crate) fn close(&self) {
        self.pool.close();
        self.listener.stop();
    }
}

/// The settings in `url`; how it is wrong is not told, since it holds a password.
fn server(url: &Secret<String>) -> Result<tokio_postgres::Config, StoreError> {
    let mut config: tokio_postgres::Config = url.expose().parse().map_err(|_| {
        StoreError::Settings("the URL of PostgreSQL cannot be read (postgres://user:password@host/name)")
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(StoreError::Settings("TLS to PostgreSQL is not supported yet; use a socket or a private network"));
    }
    config.application_name("cardea").connect_timeout(Duration::from_secs(3));
    // A server that vanished without a word is noticed within seconds.
    config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(3)).keepalives_retries(3);
    config.tcp_user_timeout(Duration::from_secs(15));
    Ok(config)
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

    #[test]
    fn a_wrong_url_is_refused_without_repeating_it() {
        let error = server(&Secret::from("postgres://u:hunter2@h:port/x")).unwrap_err();

        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn tls_is_not_silently_left_out() {
        let error = server(&Secret::from("postgres://u@h/x?sslmode=require")).unwrap_err();

        assert!(matches!(error, StoreError::Settings(_)));
    }
}

//! Runs migrations, on a connection of its own and under a lock.

use base::{Clock as _, SystemClock};
use tokio_postgres::Client;

use super::errors::meaning;
use super::server::Server;
use crate::StoreError;
use crate::migrate::{self, Applied, Migration};

/// Runs what has not run yet, all in one transaction. An advisory lock keeps two processes apart.
pub(super) async fn run(server: &Server, schema: &str, migrations: &[Migration]) -> Result<(), StoreError> {
    let (client, connection) = server.connect().await?;
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    let done = migrate(&client, schema, migrations).await;
    // Without COMMIT the server rolls back when the connection ends.
    drop(client);
    let _ = driver.await;
    done
}

async fn migrate(client: &Client, schema: &str, migrations: &[Migration]) -> Result<(), StoreError> {
    let sql = |error: tokio_postgres::Error| meaning(&error);
    let begin = format!("SET client_min_messages TO warning; SET search_path TO \"{schema}\"; BEGIN");
    client.batch_execute(&begin).await.map_err(sql)?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('cardea ' || $1, 0))";
    client.execute(lock, &[&schema]).await.map_err(sql)?;
    // Looked up first, since making a schema needs a right that its owner may not have.
    let known = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
    if client.query_opt(known, &[&schema]).await.map_err(sql)?.is_none() {
        client.batch_execute(&format!("CREATE SCHEMA \"{schema}\"")).await.map_err(sql)?;
    }
    client.batch_execute(migrate::TABLE).await.map_err(sql)?;
    for (series, known) in [(migrate::OWN_SERIES, migrate::OWN), (migrate::USER_SERIES, migrations)] {
        for migration in migrate::pending(&applied(client, series).await?, known)? {
            client.batch_execute(migration.sql).await.map_err(sql)?;
            let now = SystemClock::default().now().ms();
            let Migration { version, name, sql: text } = migration;
            client.execute(migrate::APPLY, &[&series, version, name, text, &now]).await.map_err(sql)?;
        }
    }
    client.batch_execute("COMMIT").await.map_err(sql)
}

async fn applied(client: &Client, series: &str) -> Result<Vec<Applied>, StoreError> {
    let rows = client.query(migrate::APPLIED, &[&series]).await.map_err(|error| meaning(&error))?;
    let read = |row: &tokio_postgres::Row| Ok(Applied { version: row.try_get(0)?, sql: row.try_get(1)? });
    rows.iter().map(read).collect::<Result<_, _>>().map_err(|error: tokio_postgres::Error| meaning(&error))
}

//! The handle of a database.

use std::sync::Arc;

use tokio::sync::watch;

use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::topics::Topics;
use crate::{Config, Limits, Migration, StoreError, Tx};

/// A database, open and migrated. Cheap to clone; all clones are the same database.
#[derive(Clone)]
pub struct Db {
    pub(crate) engine: Engine,
    topics: Topics,
}

#[derive(Clone)]
pub(crate) enum Engine {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Db {
    /// Opens and migrates. Several processes may do so at once.
    ///
    /// # Errors
    /// If the database is newer than `migrations`, or was made with other ones; nothing is changed then.
    pub async fn open(config: &Config, migrations: &[Migration]) -> Result<Self, StoreError> {
        Self::open_with(config, migrations, Limits::default()).await
    }

    pub async fn open_with(config: &Config, migrations: &[Migration], limits: Limits) -> Result<Self, StoreError> {
        let topics = Topics::default();
        let engine = match config {
            Config::Sqlite { path } => {
                Engine::Sqlite(Arc::new(Sqlite::open(path, migrations, limits, topics.clone()).await?))
            }
            Config::Postgres { url, schema } => {
                let opened = Postgres::open(url, schema, migrations, limits, topics.clone()).await?;
                Engine::Postgres(Arc::new(opened))
            }
        };
        Ok(Self { engine, topics })
    }

    /// A transaction. Nothing happens before its first statement.
    pub fn begin(&self) -> Tx {
        Tx::new(self)
    }

    /// Counts the commits that notified `topic`, of this process and (at PostgreSQL) of all others.
    ///
    /// A jump of the count says *look again*, not how much has changed.
    pub fn watch(&self, topic: &'static str) -> watch::Receiver<u64> {
        self.topics.watch(topic)
    }

    /// Whether the database answers and is able to write.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.ping().await,
            Engine::Postgres(postgres) => postgres.ping().await,
        }
    }

    /// Ends the work of all clones: what was committed is durable, the rest is rolled back.
    pub async fn close(self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close(),
        }
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.engine {
            Engine::Sqlite(_) => "Db(SQLite)",
            Engine::Postgres(_) => "Db(PostgreSQL)",
        })
    }
}

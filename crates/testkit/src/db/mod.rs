#![expect(clippy::expect_used, reason = "a test without its database must fail loudly")]

//! Fresh databases for tests, on both engines.

mod server;

use std::ops::Deref;
use std::sync::Arc;

use store::{Config, Db, Limits, Migration};
use tempfile::TempDir;

pub use server::PostgresServer;

/// A fresh database of one test.
pub struct TestDb {
    pub db: Db,
    /// To open the same database again (another process, a restart).
    pub config: Config,
    folder: Option<Arc<TempDir>>,
}

impl TestDb {
    /// What must live as long as the test, also when its body takes only parts of this.
    #[doc(hidden)]
    pub fn kept(&self) -> Option<Arc<TempDir>> {
        self.folder.clone()
    }
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

pub async fn sqlite(migrations: &[Migration]) -> TestDb {
    sqlite_with(migrations, Limits::default()).await
}

pub async fn sqlite_with(migrations: &[Migration], limits: Limits) -> TestDb {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config::Sqlite { path: folder.path().join("test.db") };
    let db = Db::open_with(&config, migrations, limits).await.expect("a fresh SQLite database opens");
    TestDb { db, config, folder: Some(Arc::new(folder)) }
}

/// A fresh schema on a server that all tests of this machine share: the one that `CARDEA_TEST_PG` names,
/// or else one that the first test starts and that goes away some seconds after the last.
pub async fn postgres(migrations: &[Migration]) -> TestDb {
    postgres_with(migrations, Limits::default()).await
}

pub async fn postgres_with(migrations: &[Migration], limits: Limits) -> TestDb {
    let config = fresh_schema(server::shared());
    let db = Db::open_with(&config, migrations, limits).await.expect("a fresh PostgreSQL schema opens");
    TestDb { db, config, folder: None }
}

fn fresh_schema(url: &str) -> Config {
    let schema = format!("t{:032x}", u128::from_ne_bytes(base::random::bytes()));
    Config::Postgres { url: url.into(), schema }
}

/// A test of stored things, written once and run on both engines: `name::sqlite`, `name::postgres`.
///
/// ```ignore
/// store_test!(a_code_works_once, MIGRATIONS, |db: TestDb| async move {
///     let mut tx = db.begin();
///     …
/// });
/// ```
///
/// `db` is a [`db::TestDb`](crate::db::TestDb); a panic fails the test. A fourth argument gives other
/// [`store::Limits`].
#[macro_export]
macro_rules! store_test {
    ($(#[$meta:meta])* $name:ident, $migrations:expr, $body:expr) => {
        $crate::store_test!($(#[$meta])* $name, $migrations, $body, ::store::Limits::default());
    };
    ($(#[$meta:meta])* $name:ident, $migrations:expr, $body:expr, $limits:expr) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "a body may need nothing of its module")]
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let test = $body;
                let db = $crate::db::sqlite_with($migrations, $limits).await;
                let _kept = db.kept();
                test(db).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let test = $body;
                let db = $crate::db::postgres_with($migrations, $limits).await;
                let _kept = db.kept();
                test(db).await;
            }
        }
    };
}

#![expect(clippy::expect_used, reason = "a test without its database must fail loudly")]

//! Fresh databases for tests, on both engines.

use std::ops::Deref;

use store::{Config, Db, Limits, Migration};
use tempfile::TempDir;

/// A fresh database of one test.
pub struct TestDb {
    pub db: Db,
    /// To open the same database again (another process, a restart).
    pub config: Config,
    _folder: Option<TempDir>,
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
    TestDb { db, config, _folder: Some(folder) }
}

/// A test of stored things, written once and run on both engines: `name::sqlite`, `name::postgres`.
///
/// ```ignore
/// store_test!(a_code_works_once, MIGRATIONS, |db| async move {
///     let mut tx = db.begin();
///     …
/// });
/// ```
///
/// `db` is a [`db::TestDb`](crate::db::TestDb); the test panics to fail.
#[macro_export]
macro_rules! store_test {
    ($(#[$meta:meta])* $name:ident, $migrations:expr, $body:expr) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "a body may need nothing of its module")]
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let test = $body;
                test($crate::db::sqlite($migrations).await).await;
            }
        }
    };
}

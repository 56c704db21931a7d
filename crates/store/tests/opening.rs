#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

//! Opening: migrations, and who may open what.

use std::time::Duration;

use store::{Config, Db, Limits, Migration, StoreError, params};
use testkit::db::TestDb;
use testkit::store_test;

const ONE: Migration = Migration {
    version: 1,
    name: "things",
    sql: "CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY); INSERT INTO things (id) VALUES ('first');",
};
const TWO: Migration = Migration {
    version: 2,
    name: "sizes",
    sql: "ALTER TABLE things ADD COLUMN size BIGINT; UPDATE things SET size = 7;",
};
const BROKEN: Migration = Migration {
    version: 3,
    name: "broken",
    sql: "INSERT INTO things (id, size) VALUES ('third', 3); INSERT INTO nowhere (id) VALUES ('x');",
};

/// A place of its own beside the test's database, where nothing is yet.
fn beside(config: &Config) -> Config {
    match config {
        Config::Sqlite { path } => Config::Sqlite { path: path.with_extension("other") },
        Config::Postgres { url, schema } => Config::Postgres { url: url.clone(), schema: format!("{schema}_other") },
    }
}

async fn sizes(db: &Db) -> Vec<Option<i64>> {
    let rows = db.begin().read("SELECT size FROM things ORDER BY id", &[]).await.unwrap();
    rows.iter().map(|row| row.opt_int("size").unwrap()).collect()
}

store_test!(migrations_run_once_and_in_order, &[ONE], |db: TestDb| async move {
    let newer = Db::open(&db.config, &[ONE, TWO]).await.unwrap();
    let again = Db::open(&db.config, &[ONE, TWO]).await.unwrap();

    assert_eq!(sizes(&newer).await, [Some(7)]);
    assert_eq!(sizes(&again).await, [Some(7)]);
});

store_test!(an_older_program_goes_on_while_a_newer_one_migrates, &[ONE], |db: TestDb| async move {
    let read = "SELECT id FROM things";
    assert_eq!(db.begin().read(read, &[]).await.unwrap().len(), 1);

    Db::open(&db.config, &[ONE, TWO]).await.unwrap();

    assert_eq!(db.begin().read(read, &[]).await.unwrap().len(), 1);
    let mut tx = db.begin();
    tx.execute("INSERT INTO things (id) VALUES ($1)", &params!["second"]).await.unwrap();
    tx.commit().await.unwrap();
});

store_test!(a_newer_database_is_refused, &[ONE, TWO], |db: TestDb| async move {
    let error = Db::open(&db.config, &[ONE]).await.unwrap_err();

    assert!(matches!(error, StoreError::Newer { found: 2, known: 1 }), "{error:?}");
});

store_test!(a_changed_migration_is_refused, &[ONE], |db: TestDb| async move {
    let changed = Migration { sql: "CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY)", ..ONE };

    let error = Db::open(&db.config, &[changed]).await.unwrap_err();

    assert!(matches!(error, StoreError::Changed { version: 1 }), "{error:?}");
});

store_test!(a_broken_migration_leaves_nothing, &[ONE], |db: TestDb| async move {
    let error = Db::open(&db.config, &[ONE, TWO, BROKEN]).await.unwrap_err();

    assert!(matches!(error, StoreError::Bug(_)), "{error:?}");
    let rows = db.begin().read("SELECT id FROM things", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    Db::open(&db.config, &[ONE]).await.unwrap();
});

store_test!(many_may_open_a_new_database_at_once, &[], |db: TestDb| async move {
    let place = beside(&db.config);

    let opening: Vec<_> = (0..8)
        .map(|_| {
            let place = place.clone();
            tokio::spawn(async move { Db::open(&place, &[ONE, TWO]).await })
        })
        .collect();
    for opened in opening {
        let db = opened.await.unwrap().unwrap();
        assert_eq!(sizes(&db).await, [Some(7)]);
    }
});

store_test!(what_was_closed_can_be_opened_again, &[ONE], |db: TestDb| async move {
    let mut tx = db.begin();
    tx.execute("INSERT INTO things (id) VALUES ($1)", &params!["second"]).await.unwrap();
    tx.commit().await.unwrap();
    db.db.clone().close().await;

    let again = Db::open(&db.config, &[ONE]).await.unwrap();

    assert_eq!(again.begin().read("SELECT id FROM things", &[]).await.unwrap().len(), 2);
});

#[tokio::test]
async fn a_sqlite_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let db = testkit::db::sqlite(&[ONE]).await;
    let Config::Sqlite { path } = &db.config else { unreachable!() };

    for file in [path.clone(), path.with_extension("db-wal")] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    let text = "dear reader, this is not a database, but long enough to be looked at ".repeat(20);
    std::fs::write(&path, &text).unwrap();

    let error = Db::open(&Config::Sqlite { path: path.clone() }, &[ONE]).await.unwrap_err();

    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_its_password_untold() {
    let url = "postgres://u:hunter2@%2Fnowhere/x".into();

    let error = Db::open(&Config::Postgres { url, schema: "s".to_owned() }, &[]).await.unwrap_err();

    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

/// It takes connections, and says nothing.
#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u@{}/x", silent.local_addr().unwrap());
    let config = Config::Postgres { url: url.into(), schema: "s".to_owned() };
    let limits = Limits { hold: Duration::ZERO, wait: Duration::ZERO, ..Limits::default() };

    let error = Db::open_with(&config, &[], limits).await.unwrap_err();

    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

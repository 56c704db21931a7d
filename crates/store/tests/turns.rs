#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

//! Who may write when, for how long, and what a shared commit means.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use store::{Config, Limits, Migration, StoreError, params};
use testkit::db::TestDb;
use testkit::store_test;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "parents and children",
    sql: "
        CREATE TABLE parents (id BIGINT NOT NULL PRIMARY KEY, age BIGINT NOT NULL);
        CREATE TABLE children (id BIGINT NOT NULL PRIMARY KEY, parent BIGINT NOT NULL REFERENCES parents (id));
        INSERT INTO parents (id, age) VALUES (1, 0);
    ",
}];
const BIRTHDAY: &str = "UPDATE parents SET age = age + 1 WHERE id = 1";

async fn birthday(db: &TestDb) -> Result<(), StoreError> {
    let mut tx = db.begin();
    tx.execute(BIRTHDAY, &[]).await?;
    tx.commit().await
}

async fn age(db: &TestDb) -> i64 {
    let row = db.begin().read_one("SELECT age FROM parents WHERE id = 1", &[]).await.unwrap().unwrap();
    row.int("age").unwrap()
}

store_test!(
    who_holds_a_turn_too_long_loses_it,
    MIGRATIONS,
    |db: TestDb| async move {
        let mut slow = db.begin();
        slow.execute(BIRTHDAY, &[]).await.unwrap();

        while let Err(error) = birthday(&db).await {
            assert!(matches!(error, StoreError::TimedOut(_)), "{error:?}");
        }

        let error = slow.execute(BIRTHDAY, &[]).await.unwrap_err();
        assert!(matches!(error, StoreError::TimedOut(_)), "{error:?}");
        assert!(slow.commit().await.is_err());
        assert_eq!(age(&db).await, 1);
    },
    Limits { hold: Duration::from_millis(150), ..Limits::default() }
);

store_test!(
    a_commit_after_the_time_is_refused,
    MIGRATIONS,
    |db: TestDb| async move {
        let mut slow = db.begin();
        slow.execute(BIRTHDAY, &[]).await.unwrap();
        while birthday(&db).await.is_err() {}

        assert!(matches!(slow.commit().await, Err(StoreError::TimedOut(_))));

        assert_eq!(age(&db).await, 1);
    },
    Limits { hold: Duration::from_millis(150), ..Limits::default() }
);

store_test!(
    who_waits_too_long_for_a_turn_is_told_and_has_written_nothing,
    MIGRATIONS,
    |db: TestDb| async move {
        let mut first = db.begin();
        first.execute(BIRTHDAY, &[]).await.unwrap();

        assert!(matches!(birthday(&db).await, Err(StoreError::Unavailable(_))));
        assert_eq!(age(&db).await, 0, "reading goes on meanwhile");

        first.commit().await.unwrap();
        birthday(&db).await.unwrap();
        assert_eq!(age(&db).await, 2);
    },
    Limits { wait: Duration::from_millis(200), writers: 1, ..Limits::default() }
);

store_test!(a_statement_that_was_given_up_half_way_is_never_committed, MIGRATIONS, |db: TestDb| async move {
    let mut tx = db.begin();
    tx.execute(BIRTHDAY, &[]).await.unwrap();
    assert!(tx.execute(BIRTHDAY, &[]).now_or_never().is_none());

    assert!(matches!(tx.commit().await, Err(StoreError::Bug(_))));

    birthday(&db).await.unwrap();
    assert_eq!(age(&db).await, 1);
});

store_test!(transactions_at_the_same_time_have_lanes_of_their_own, MIGRATIONS, |db: TestDb| async move {
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut tx = db.begin();
        let lane = tx.lane().await.unwrap();
        open.push((lane, tx));
    }
    let lanes: BTreeSet<i64> = open.iter().map(|(lane, _)| *lane).collect();

    match &db.config {
        Config::Sqlite { .. } => assert_eq!(lanes, BTreeSet::from([0])),
        Config::Postgres { .. } => assert_eq!(lanes, BTreeSet::from([0, 1, 2, 3])),
    }
    drop(open);
    birthday(&db).await.unwrap();
});

store_test!(a_lane_without_a_write_commits, MIGRATIONS, |db: TestDb| async move {
    let mut watch = db.watch("told");
    let mut tx = db.begin();
    tx.lane().await.unwrap();
    tx.notify("told");
    tx.commit().await.unwrap();

    watch.changed().await.unwrap();
    db.begin().commit().await.unwrap();
});

/// SQLite checks such a foreign key only at the COMMIT, which several transactions share: it fails for all of
/// them, and none may be told that it succeeded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_shared_commit_fails_all_and_keeps_none() {
    let db = Arc::new(testkit::db::sqlite(MIGRATIONS).await);

    let tasks: Vec<_> = (0_i64..60)
        .map(|id| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut tx = db.begin();
                let poison = id % 20 == 7;
                if poison {
                    tx.query("PRAGMA defer_foreign_keys = ON", &[]).await?;
                }
                let parent = if poison { 999 } else { 1 };
                tx.execute("INSERT INTO children (id, parent) VALUES ($1, $2)", &params![id, parent]).await?;
                tx.commit().await
            })
        })
        .collect();
    let mut kept = BTreeSet::new();
    for (id, task) in (0_i64..).zip(tasks) {
        match task.await.unwrap() {
            Ok(()) => assert!(kept.insert(id) && id % 20 != 7),
            Err(error) => assert!(matches!(error, StoreError::Conflict(_)), "{error:?}"),
        }
    }

    let rows = db.begin().read("SELECT id FROM children", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.int("id").unwrap()).collect::<BTreeSet<_>>(), kept);
    birthday(&db).await.unwrap();
}

/// A full disk, in small: SQLite may then use no further page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_database_says_so_and_works_again_when_there_is_room() {
    let db = testkit::db::sqlite(&[Migration {
        version: 1,
        name: "letters",
        sql: "CREATE TABLE letters (id BIGINT NOT NULL PRIMARY KEY, words TEXT NOT NULL)",
    }])
    .await;
    let write = async |id: i64, size: usize| {
        let mut tx = db.begin();
        tx.execute("INSERT INTO letters (id, words) VALUES ($1, $2)", &params![id, "x".repeat(size)]).await?;
        tx.commit().await
    };
    let mut tx = db.begin();
    tx.query("PRAGMA max_page_count = 40", &[]).await.unwrap();
    tx.commit().await.unwrap();

    write(1, 10).await.unwrap();
    assert!(matches!(write(2, 1_000_000).await, Err(StoreError::Full(_))));
    write(3, 10).await.unwrap();

    let mut tx = db.begin();
    tx.query("PRAGMA max_page_count = 100000", &[]).await.unwrap();
    tx.commit().await.unwrap();
    write(4, 1_000_000).await.unwrap();
    let rows = db.begin().read("SELECT id FROM letters ORDER BY id", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.int("id").unwrap()).collect::<Vec<_>>(), [1, 3, 4]);
}

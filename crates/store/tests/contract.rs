#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

//! What both engines promise.

use std::sync::Arc;

use store::{Migration, StoreError, params};
use testkit::db::TestDb;
use testkit::store_test;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "codes and counters",
    sql: "
        CREATE TABLE codes (id TEXT NOT NULL PRIMARY KEY, used_at BIGINT, used_by BIGINT);
        CREATE TABLE counters (name TEXT NOT NULL PRIMARY KEY, value BIGINT NOT NULL);
        CREATE TABLE cells (id BIGINT NOT NULL PRIMARY KEY, number BIGINT, words TEXT);
    ",
}];

const ADD_CELL: &str = "INSERT INTO cells (id, number, words) VALUES ($1, $2, $3)";
const COUNT_CELLS: &str = "SELECT count(*) AS n FROM cells";

async fn count(db: &TestDb) -> i64 {
    db.begin().read_one(COUNT_CELLS, &[]).await.unwrap().unwrap().int("n").unwrap()
}

async fn add(db: &TestDb, id: i64) -> Result<(), StoreError> {
    let mut tx = db.begin();
    tx.execute(ADD_CELL, &params![id, 1, "x"]).await?;
    tx.commit().await
}

store_test!(a_code_works_once_among_200, MIGRATIONS, |db: TestDb| async move {
    let mut tx = db.begin();
    tx.execute("INSERT INTO codes (id) VALUES ($1)", &params!["code"]).await.unwrap();
    tx.commit().await.unwrap();
    let db = Arc::new(db);

    let tasks: Vec<_> = (0_i64..200)
        .map(|who| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut tx = db.begin();
                let take = "UPDATE codes SET used_at = $1, used_by = $2
                     WHERE id = $3 AND used_at IS NULL RETURNING used_by";
                let row = tx.one(take, &params![1_000, who, "code"]).await.unwrap();
                tx.commit().await.unwrap();
                row.map(|row| row.int("used_by").unwrap())
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        winners.extend(task.await.unwrap());
    }

    assert_eq!(winners.len(), 1);
    let row = db.begin().read_one("SELECT used_by FROM codes WHERE id = $1", &params!["code"]).await.unwrap().unwrap();
    assert_eq!(row.int("used_by").unwrap(), winners[0]);
});

store_test!(a_counter_loses_nothing, MIGRATIONS, |db: TestDb| async move {
    let db = Arc::new(db);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut tx = db.begin();
                let sql = "INSERT INTO counters (name, value) VALUES ($1, 1)
                     ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value";
                let value = tx.one(sql, &params!["hits"]).await.unwrap().unwrap().int("value").unwrap();
                tx.commit().await.unwrap();
                value
            })
        })
        .collect();
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await.unwrap());
    }

    seen.sort_unstable();
    assert_eq!(seen, (1..=100).collect::<Vec<i64>>());
});

store_test!(a_dropped_transaction_leaves_nothing, MIGRATIONS, |db: TestDb| async move {
    let mut tx = db.begin();
    assert_eq!(tx.execute(ADD_CELL, &params![1, 1, "x"]).await.unwrap(), 1);
    drop(tx);

    add(&db, 2).await.unwrap();

    let rows = db.begin().read("SELECT id FROM cells", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.int("id").unwrap()).collect::<Vec<_>>(), [2]);
});

store_test!(an_uncommitted_write_is_seen_by_its_transaction_only, MIGRATIONS, |db: TestDb| async move {
    let mut tx = db.begin();
    tx.execute(ADD_CELL, &params![1, 1, "x"]).await.unwrap();

    assert_eq!(count(&db).await, 0);
    assert_eq!(tx.read_one(COUNT_CELLS, &[]).await.unwrap().unwrap().int("n").unwrap(), 1);

    tx.commit().await.unwrap();

    assert_eq!(count(&db).await, 1);
});

store_test!(a_failed_statement_fails_its_transaction_and_no_other, MIGRATIONS, |db: TestDb| async move {
    add(&db, 1).await.unwrap();
    let db = Arc::new(db);

    let tasks: Vec<_> = (0_i64..40)
        .map(|n| {
            let db = db.clone();
            // Every second one wants a row that is there.
            tokio::spawn(async move { add(&db, if n % 2 == 0 { n + 100 } else { 1 }).await })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await.unwrap() {
            Ok(()) => assert_eq!(n % 2, 0),
            Err(error) => assert!(n % 2 == 1 && matches!(error, StoreError::Conflict(_)), "{error:?}"),
        }
    }

    assert_eq!(count(&db).await, 21);
});

store_test!(after_a_failed_statement_nothing_is_committed, MIGRATIONS, |db: TestDb| async move {
    let mut tx = db.begin();
    tx.execute(ADD_CELL, &params![1, 1, "x"]).await.unwrap();
    tx.execute(ADD_CELL, &params![1, 1, "x"]).await.unwrap_err();

    assert!(matches!(tx.execute(ADD_CELL, &params![2, 1, "x"]).await, Err(StoreError::Bug(_))));
    assert!(tx.commit().await.is_err());

    assert_eq!(count(&db).await, 0);
});

store_test!(values_come_back_as_they_went, MIGRATIONS, |db: TestDb| async move {
    let large = "ä€😀 x".repeat(100_000);
    let cells = [
        (Some(i64::MAX), Some(large.as_str())),
        (Some(i64::MIN), Some("")),
        (Some(0), Some("'; DROP TABLE cells; -- \u{feff}\n\t\u{202e}")),
        (None, None),
    ];
    for (id, (number, words)) in (0_i64..).zip(cells) {
        let mut tx = db.begin();
        let sql = "INSERT INTO cells (id, number, words) VALUES ($1, $2, $3) RETURNING id, number, words";
        let row = tx.one(sql, &params![id, number, words]).await.unwrap().unwrap();
        tx.commit().await.unwrap();

        assert_eq!(row.opt_int("number").unwrap(), number);
        let read = db.begin().read_one("SELECT number, words FROM cells WHERE id = $1", &params![id]).await;
        let read = read.unwrap().unwrap();
        assert_eq!((read.opt_int("number").unwrap(), read.opt_text("words").unwrap()), (number, words));
    }
});

store_test!(nul_characters_are_refused, MIGRATIONS, |db: TestDb| async move {
    let error = db.begin().execute(ADD_CELL, &params![1, 1, "a\0b"]).await.unwrap_err();

    assert!(matches!(error, StoreError::Invalid));
});

store_test!(mistakes_are_told_and_not_guessed, MIGRATIONS, |db: TestDb| async move {
    add(&db, 1).await.unwrap();
    add(&db, 2).await.unwrap();
    let bug = |error: StoreError| assert!(matches!(error, StoreError::Bug(_)), "{error:?}");

    bug(db.begin().execute(ADD_CELL, &params![3, 1]).await.unwrap_err());
    bug(db.begin().read("SELEC id FROM cells", &[]).await.unwrap_err());
    bug(db.begin().read("SELECT nothing FROM cells", &[]).await.unwrap_err());
    bug(db.begin().read_one("SELECT id FROM cells", &[]).await.unwrap_err());
    bug(db.begin().one("UPDATE cells SET number = 7 RETURNING id", &[]).await.unwrap_err());
    bug(db.begin().read("UPDATE cells SET number = 8 RETURNING id", &[]).await.unwrap_err());
    let row = db.begin().read_one("SELECT id, words FROM cells WHERE id = 1", &[]).await.unwrap().unwrap();
    bug(row.int("words").unwrap_err());
    bug(row.text("id").unwrap_err());
    bug(row.text("missing").unwrap_err());

    let rows = db.begin().read("SELECT number FROM cells", &[]).await.unwrap();
    assert!(rows.iter().all(|row| row.int("number").unwrap() == 1));
});

store_test!(a_commit_wakes_those_who_watch_and_a_rollback_does_not, MIGRATIONS, |db: TestDb| async move {
    let mut watch = db.watch("cells");
    let other = db.watch("other");
    let mut dropped = db.begin();
    dropped.execute(ADD_CELL, &params![1, 1, "x"]).await.unwrap();
    dropped.notify("cells");
    drop(dropped);

    let mut tx = db.begin();
    tx.execute(ADD_CELL, &params![2, 1, "x"]).await.unwrap();
    tx.notify("cells");
    tx.notify("cells");
    assert_eq!(*watch.borrow_and_update(), 0);
    tx.commit().await.unwrap();

    // Its own process is told at once; PostgreSQL's word of it, which wakes the others, may come here a second time.
    assert!(watch.has_changed().unwrap());
    watch.changed().await.unwrap();
    assert!((1..=2).contains(&*watch.borrow_and_update()));
    assert_eq!(*other.borrow(), 0);
    assert_eq!(count(&db).await, 1);
});

store_test!(the_database_answers_a_ping_until_it_is_closed, MIGRATIONS, |db: TestDb| async move {
    db.ping().await.unwrap();

    let clone = db.db.clone();
    db.db.close().await;

    assert!(matches!(clone.ping().await, Err(StoreError::Unavailable(_))));
    assert!(clone.begin().read(COUNT_CELLS, &[]).await.is_err());
});

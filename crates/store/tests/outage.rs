#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking; its child prints")]

//! A killed process, a killed server, and several processes on one server.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use store::{Config, Db, Migration, StoreError, params};
use testkit::db::PostgresServer;

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "acts", sql: "CREATE TABLE acts (id BIGINT NOT NULL PRIMARY KEY)" }];
const CHILD: &str = "STORE_TEST_CHILD";

async fn act(db: &Db, id: i64) -> Result<(), StoreError> {
    let mut tx = db.begin();
    tx.execute("INSERT INTO acts (id) VALUES ($1)", &params![id]).await?;
    tx.notify("acts");
    tx.commit().await
}

async fn acts(db: &Db) -> BTreeSet<i64> {
    let rows = db.begin().read("SELECT id FROM acts", &[]).await.unwrap();
    rows.iter().map(|row| row.int("id").unwrap()).collect()
}

/// Starts this test again as a child that writes and says what was acknowledged, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_a_kill() {
    if let Some(path) = child_of() {
        return write_until_killed(path).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let mut acknowledged = BTreeSet::new();
    for round in 1..=4_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_was_acknowledged_is_there_after_a_kill", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        for line in lines {
            let line = line.unwrap();
            let Some(id) = line.split("ack ").nth(1) else { continue };
            // The kill may cut the last line short.
            acknowledged.extend(id.strip_suffix('.').map(|id| id.parse::<i64>().unwrap()));
            heard += 1;
            if heard == round * 40 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(heard >= round * 40, "the child ended by itself");

        let db = Db::open(&Config::Sqlite { path: path.clone() }, MIGRATIONS).await.unwrap();
        let there = acts(&db).await;
        db.close().await;
        assert!(acknowledged.is_subset(&there), "lost: {:?}", acknowledged.difference(&there));
    }
}

#[expect(clippy::disallowed_methods, reason = "how the parent tells the child that it is one")]
fn child_of() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

async fn write_until_killed(path: PathBuf) {
    let db = Db::open(&Config::Sqlite { path }, MIGRATIONS).await.unwrap();
    let first = acts(&db).await.last().map_or(0, |last| last + 1);
    let db = Arc::new(db);
    let tasks: Vec<_> = (0_i64..8)
        .map(|task| {
            let db = db.clone();
            tokio::spawn(async move {
                for n in 0_i64.. {
                    let id = first + n * 8 + task;
                    act(&db, id).await.unwrap();
                    println!("ack {id}.");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_and_started_is_used_again() {
    let server = PostgresServer::start();
    let db = Db::open(&server.config(), MIGRATIONS).await.unwrap();
    act(&db, 1).await.unwrap();
    acts(&db).await;
    let mut watch = db.watch("acts");
    let mut open = db.begin();
    open.execute("INSERT INTO acts (id) VALUES ($1)", &params![2]).await.unwrap();

    server.kill();

    let unavailable = |error: StoreError| assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    unavailable(open.commit().await.unwrap_err());
    unavailable(act(&db, 3).await.unwrap_err());
    unavailable(db.begin().read("SELECT id FROM acts", &[]).await.unwrap_err());
    unavailable(db.ping().await.unwrap_err());

    server.start_again();

    act(&db, 4).await.unwrap();
    assert_eq!(acts(&db).await, BTreeSet::from([1, 4]));
    db.ping().await.unwrap();
    watch.changed().await.unwrap();
    // It listens again: the next act is heard too.
    let before = *watch.borrow_and_update();
    act(&db, 5).await.unwrap();
    watch.wait_for(|count| *count > before).await.unwrap();
}

/// Between two uses the server was away, and nothing of it was noticed: the next transaction just works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_restarted_server_acknowledged_is_there() {
    let server = PostgresServer::start();
    let db = Db::open(&server.config(), MIGRATIONS).await.unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0_i64..2 {
        let tasks: Vec<_> = (0_i64..8)
            .map(|task| {
                let db = db.clone();
                tokio::spawn(async move {
                    let mut done = Vec::new();
                    for n in 0.. {
                        let id = round * 1_000_000 + n * 8 + task;
                        match act(&db, id).await {
                            Ok(()) => done.push(id),
                            Err(_) => return done,
                        }
                    }
                    done
                })
            })
            .collect();
        let mut watch = db.watch("acts");
        for _ in 0..20 {
            watch.changed().await.unwrap();
        }
        server.kill();
        for task in tasks {
            acknowledged.extend(task.await.unwrap());
        }
        server.start_again();
    }

    let there = acts(&db).await;
    assert!(!acknowledged.is_empty() && acknowledged.is_subset(&there));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_one_server_hear_of_each_other() {
    let one = testkit::db::postgres(MIGRATIONS).await;
    let two = Db::open(&one.config, MIGRATIONS).await.unwrap();
    let mut at_one = one.watch("acts");
    let mut at_two = two.watch("acts");
    let other = two.watch("other");

    act(&one, 1).await.unwrap();
    // The others hear of it once; who committed knew at once, and hears the server's word of it too.
    at_two.wait_for(|count| *count == 1).await.unwrap();
    at_one.wait_for(|count| *count == 2).await.unwrap();

    act(&two, 2).await.unwrap();
    at_one.wait_for(|count| *count == 3).await.unwrap();
    assert_eq!(*other.borrow(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_of_one_server_do_not_hear_of_each_other() {
    let one = testkit::db::postgres(MIGRATIONS).await;
    let two = testkit::db::postgres(MIGRATIONS).await;
    // A process of its own on the second schema: it hears only what the server tells, and in order.
    let beside_two = Db::open(&two.config, MIGRATIONS).await.unwrap();
    let heard = beside_two.watch("acts");
    let mut fence = beside_two.watch("fence");

    act(&one, 1).await.unwrap();
    let mut tx = two.begin();
    tx.execute("INSERT INTO acts (id) VALUES ($1)", &params![1]).await.unwrap();
    tx.notify("fence");
    tx.commit().await.unwrap();

    fence.changed().await.unwrap();
    assert_eq!(*heard.borrow(), 0);
    assert_eq!(acts(&two).await.len(), 1);
}

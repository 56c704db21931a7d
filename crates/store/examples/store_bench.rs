#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool for the terminal")]

//! Durable transactions per second on SQLite, each a grant row and an audit row:
//! `cargo run --release --example store_bench`.

use std::time::Duration;

use base::time::Stopwatch;
use store::{Config, Db, Migration, params};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "grants and audit",
    sql: "
        CREATE TABLE grants (id TEXT NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL);
        CREATE TABLE audit (id TEXT NOT NULL PRIMARY KEY, act TEXT NOT NULL);
    ",
}];
const TIME: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    // In the working folder, since temporary folders may be in memory.
    let folder = tempfile::tempdir_in(".").unwrap();
    for tasks in [1_u32, 16, 64, 256] {
        let config = Config::Sqlite { path: folder.path().join(format!("{tasks}.db")) };
        let db = Db::open(&config, MIGRATIONS).await.unwrap();
        let watch = Stopwatch::start();
        let running: Vec<_> = (0..tasks).map(|_| tokio::spawn(write(db.clone(), watch))).collect();
        let mut done = 0;
        for task in running {
            done += task.await.unwrap();
        }
        println!("{tasks:>4} tasks: {:>8.0} durable transactions/s", f64::from(done) / watch.elapsed().as_secs_f64());
        db.close().await;
    }
}

async fn write(db: Db, watch: Stopwatch) -> u32 {
    let mut done = 0;
    while watch.elapsed() < TIME {
        let id = base::ids::GrantId::random();
        let mut tx = db.begin();
        tx.execute("INSERT INTO grants (id, epoch) VALUES ($1, 0)", &params![&id]).await.unwrap();
        tx.execute("INSERT INTO audit (id, act) VALUES ($1, $2)", &params![&id, "granted"]).await.unwrap();
        tx.commit().await.unwrap();
        done += 1;
    }
    done
}

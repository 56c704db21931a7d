//! Several nodes on one PostgreSQL, each with connections of its own.

use std::sync::Arc;

use base::event::Revoked;
use base::ids::{ClientId, KeyId};
use jose::Algorithm;
use store::Db;
use testkit::ManualClock;
use testkit::db::{TestDb, postgres};

use super::platform::{Platform, config};
use crate::{Cx, Identity, MIGRATIONS, SharedIdentity, clients, events, handles, keys};

async fn two_nodes() -> (Platform, SharedIdentity) {
    let db: TestDb = postgres(MIGRATIONS).await;
    let a = Platform::on(db).await;
    let other = Db::open(&a.db.config, MIGRATIONS).await.unwrap();
    let b = Identity::with_db(config(&a.db, "b"), ManualClock::new().shared(), other).await.unwrap();
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_killed_on_one_node_signs_on_no_other() {
    let (a, b) = two_nodes().await;
    let dead = keys::ring(&b).await.unwrap().signer(&b, None).unwrap().kid().to_owned();
    let mut heard = b.db.watch("keys");
    heard.borrow_and_update();

    let mut cx = a.cx();
    keys::kill(&mut cx, &KeyId(dead.clone())).await.unwrap();
    cx.commit().await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(5), heard.changed()).await.unwrap().unwrap();

    let (on_a, on_b) = (keys::ring(&a.identity).await.unwrap(), keys::ring(&b).await.unwrap());
    let alive = on_b.signer(&b, None).unwrap().kid();
    assert_ne!(alive, dead);
    assert_eq!(alive, on_a.signer(&a.identity, None).unwrap().kid());
    assert!(!on_b.verifying().contains(&dead));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_two_nodes_have_one_order_without_gaps() {
    let (a, b) = two_nodes().await;
    let nodes = [a.identity.clone(), b.clone()];
    let writers: Vec<_> = (0..40)
        .map(|n| {
            let node = nodes[n % 2].clone();
            tokio::spawn(async move {
                let mut cx = Cx::system(&node);
                events::append(&mut cx, Revoked::Token(n.to_string()), "test").await.unwrap();
                cx.commit().await.unwrap();
            })
        })
        .collect();
    // A reader that goes on from what it has seen never finds a lower number later.
    let (mut position, mut changes) = (0, b.db.watch("events"));
    while position < 40 {
        changes.borrow_and_update();
        let sql = "SELECT seq FROM events WHERE seq > $1 ORDER BY seq";
        let rows = b.db.begin().read(sql, &store::params![position]).await.unwrap();
        for row in &rows {
            let seq = row.int("seq").unwrap();
            assert_eq!(seq, position + 1);
            position = seq;
        }
        if rows.is_empty() {
            tokio::time::timeout(std::time::Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_give_each_set_one_number() {
    let (a, b) = two_nodes().await;
    let tasks: Vec<_> = (0..60)
        .map(|n: usize| {
            let node: SharedIdentity = if n.is_multiple_of(2) { a.identity.clone() } else { b.clone() };
            tokio::spawn(async move {
                let text = format!("scope_{}", n / 6);
                (text.clone(), handles::id_of(&node, &text).await.unwrap())
            })
        })
        .collect();
    let mut numbers = std::collections::BTreeMap::<String, i64>::new();
    for task in tasks {
        let (text, id) = task.await.unwrap();
        assert_eq!(*numbers.entry(text).or_insert(id), id);
    }

    let distinct: std::collections::BTreeSet<i64> = numbers.values().copied().collect();
    assert_eq!((numbers.len(), distinct.len()), (10, 10));
    for (text, id) in numbers {
        assert_eq!(handles::scopes(&b, id).await.unwrap().unwrap().to_string(), text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_applied_on_two_nodes_at_once_is_one_client() {
    let (a, b) = two_nodes().await;
    let nodes = Arc::new([a.identity.clone(), b]);
    let tasks: Vec<_> = (0..10)
        .map(|n: usize| {
            let nodes = nodes.clone();
            tokio::spawn(async move {
                let mut cx = Cx::system(&nodes[n % 2]);
                let applied = clients::apply(&mut cx, &clients::ClientSpec::named("shop")).await.unwrap();
                cx.commit().await.unwrap();
                applied
            })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        created += usize::from(task.await.unwrap() == crate::applied::Applied::Created);
    }

    assert_eq!(created, 1);
    assert!(clients::find(&mut a.cx(), &ClientId::from("shop")).await.unwrap().is_some());
    assert_eq!(a.identity.config.keys.algorithms, [Algorithm::Es256]);
}

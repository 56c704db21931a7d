use std::sync::Arc;

use testkit::db::TestDb;
use testkit::store_test;

use super::platform::{Platform, config};
use crate::audit::{self, Act, Filter, Outcome, Record};
use crate::{Identity, MIGRATIONS};

async fn write(p: &Platform, act: Act, object: &str) {
    let mut cx = p.cx();
    let record = Record { object: Some(object.to_owned()), client_id: Some("shop".into()), ..Record::default() };
    audit::record(&mut cx, act, record).await.unwrap();
    cx.commit().await.unwrap();
}

async fn change(p: &Platform, sql: &'static str) {
    let mut tx = p.identity.db.begin();
    tx.execute(sql, &[]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn report(p: &Platform) -> audit::Report {
    audit::verify(&mut p.cx()).await.unwrap()
}

store_test!(parallel_writers_keep_whole_chains, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    let before = report(&p).await.records;
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let p = p.clone();
            tokio::spawn(async move { write(&p, Act::TokenIssued, &format!("object-{n}")).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    let report = report(&p).await;

    assert_eq!((report.breaks, report.records), (vec![], before + 60));
});

store_test!(an_act_that_is_rolled_back_leaves_no_record, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let before = report(&p).await.records;
    let mut cx = p.cx();
    audit::record(&mut cx, Act::TokenIssued, Record::default()).await.unwrap();
    drop(cx);
    write(&p, Act::TokenIssued, "kept").await;

    let report = report(&p).await;

    assert_eq!((report.breaks, report.records), (vec![], before + 1));
});

store_test!(a_changed_record_is_found, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    for object in ["one", "two", "three"] {
        write(&p, Act::GrantRevoked, object).await;
    }
    change(&p, "UPDATE audit_records SET outcome = 'denied' WHERE object = 'two'").await;

    let breaks = report(&p).await.breaks;

    assert_eq!(breaks.len(), 1);
    assert_eq!(breaks[0].what, "the record was changed");
});

store_test!(a_missing_record_is_found, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    for object in ["one", "two", "three"] {
        write(&p, Act::GrantRevoked, object).await;
    }
    change(&p, "DELETE FROM audit_records WHERE object = 'two'").await;

    assert_eq!(report(&p).await.breaks.len(), 1);
});

store_test!(a_chain_that_was_cut_is_found, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    for object in ["one", "two", "three"] {
        write(&p, Act::GrantRevoked, object).await;
    }
    change(&p, "DELETE FROM audit_records WHERE object = 'three'").await;

    assert_eq!(report(&p).await.breaks[0].what, "records up to the head are missing");
});

store_test!(a_chain_that_was_rewritten_does_not_fit_its_checkpoint, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    write(&p, Act::GrantRevoked, "one").await;
    p.identity.minute().await.unwrap();
    p.identity.minute().await.unwrap();
    let whole = report(&p).await;
    // Cut together with its head, the chain is whole in itself.
    change(&p, "DELETE FROM audit_records WHERE object = 'one'").await;
    change(
        &p,
        "UPDATE audit_heads SET seq = seq - 1, hash = (SELECT r.hash FROM audit_records r
            WHERE r.writer = audit_heads.writer ORDER BY r.seq DESC LIMIT 1)
         WHERE (SELECT count(*) FROM audit_records r WHERE r.writer = audit_heads.writer AND r.seq = audit_heads.seq) = 0",
    )
    .await;
    change(&p, "DELETE FROM audit_heads WHERE seq = 0").await;

    let cut = report(&p).await;

    assert_eq!((whole.breaks, whole.checkpoints), (vec![], 1));
    assert_eq!(cut.breaks.len(), 1, "{cut:?}");
    assert_eq!(cut.breaks[0].what, "the chain is not the one that was signed");
    change(&p, "UPDATE audit_checkpoints SET token = 'e30.e30.'").await;
    assert_eq!(report(&p).await.breaks[0].what, "the checkpoint was changed");
});

store_test!(records_are_listed_by_what_they_are_about, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    for n in 0..5 {
        p.advance(1);
        write(&p, Act::GrantRevoked, &format!("grant-{n}")).await;
    }
    let mut cx = p.cx();
    cx.actor = crate::cx::Actor::Admin("root".to_owned());
    let record = Record { outcome: Outcome::Denied, subject: Some("alice".into()), ..Record::default() };
    audit::record(&mut cx, Act::LoginFailed, record).await.unwrap();
    cx.commit().await.unwrap();
    let objects = async |filter: Filter| {
        let (mut cursor, mut found) = (None, Vec::new());
        loop {
            let page = audit::list(&mut p.cx(), &filter, cursor.as_deref(), 2).await.unwrap();
            found.extend(page.entries.into_iter().map(|entry| entry.object.unwrap_or(entry.act)));
            cursor = page.next;
            if cursor.is_none() {
                return found;
            }
        }
    };

    let of_shop = objects(Filter { client_id: Some("shop".to_owned()), ..Filter::default() }).await;
    let by_root = objects(Filter { actor: Some("admin:root".to_owned()), ..Filter::default() }).await;
    let of_alice = objects(Filter { subject: Some("alice".to_owned()), ..Filter::default() }).await;
    let one = objects(Filter { object: Some("grant-3".to_owned()), ..Filter::default() }).await;
    let (from, until) = (testkit::clock::START.plus(std::time::Duration::from_secs(2)), p.identity.clock.now());
    let act = Some("grant.revoked".to_owned());
    let between = objects(Filter { from: Some(from), until: Some(until), act, ..Filter::default() }).await;

    assert_eq!(of_shop, ["grant-4", "grant-3", "grant-2", "grant-1", "grant-0"]);
    assert_eq!((by_root, of_alice), (vec!["login.failed".to_owned()], vec!["login.failed".to_owned()]));
    assert_eq!((one.len(), between), (1, ["grant-3", "grant-2", "grant-1"].map(str::to_owned).to_vec()));
});

store_test!(two_nodes_have_chains_of_their_own, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let second = config(&p.db, "b");
    let b = Identity::with_db(second, p.clock.shared(), p.db.db.clone()).await.unwrap();
    let mut cx = crate::Cx::system(&b);
    audit::record(&mut cx, Act::KeyCreated, Record::default()).await.unwrap();
    cx.commit().await.unwrap();

    let report = report(&p).await;

    assert!(report.chains >= 2);
    assert_eq!(report.breaks, []);
});

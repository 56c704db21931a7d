use std::time::Duration;

use base::event::Revoked;
use base::ids::{ClientId, SessionId, UserId};
use base::scope::Scopes;
use testkit::db::TestDb;
use testkit::store_test;

use super::platform::Platform;
use crate::clients::ClientSpec;
use crate::grants::{self, NewGrant};
use crate::scopes::Audiences;
use crate::{MIGRATIONS, audit};

fn new_grant(user_id: &UserId) -> NewGrant {
    NewGrant {
        client_id: "shop".into(),
        user_id: user_id.clone(),
        session_id: Some(SessionId::from("session-1")),
        scopes: Scopes::parse("openid read").unwrap(),
        audiences: Audiences::one("https://orders.internal"),
        auth_time: None,
        acr: Some("1".to_owned()),
        amr: vec!["pwd".to_owned()],
        nonce: Some("n".to_owned()),
        network: "192.0.2.1".parse().unwrap(),
    }
}

store_test!(a_grant_lives_from_activation_to_revocation, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.apply(&ClientSpec::named("shop")).await;
    let alice = p.user("alice", &serde_json::json!({})).await;
    let mut cx = p.cx();
    let grant_id = grants::open(&mut cx, new_grant(&alice)).await.unwrap();
    cx.commit().await.unwrap();

    let mut cx = p.cx();
    let opened = grants::find(&mut cx, &grant_id).await.unwrap().unwrap();
    let first = grants::activate(&mut cx, &grant_id, Duration::from_secs(60), 0).await.unwrap().unwrap();
    let second = grants::activate(&mut cx, &grant_id, Duration::from_secs(60), 0).await.unwrap();
    cx.commit().await.unwrap();
    let mut cx = p.cx();
    let listed = grants::list_of_user(&mut cx, &alice).await.unwrap();
    let revoked = grants::revoke(&mut cx, &grant_id, "test").await.unwrap();
    let again = grants::revoke(&mut cx, &grant_id, "test").await.unwrap();
    cx.commit().await.unwrap();

    let mut cx = p.cx();
    let dead = grants::find(&mut cx, &grant_id).await.unwrap().unwrap();
    assert!(!opened.is_live(cx.now) && first.is_live(cx.now) && !dead.is_live(cx.now));
    assert_eq!((second, listed, revoked, again), (None, vec![first.clone()], true, false));
    assert_eq!((first.epoch, dead.epoch), (0, 1));
    let rows = cx.tx.read("SELECT seq, subject FROM events", &store::params![]).await.unwrap();
    let subject: Revoked = serde_json::from_str(rows[0].text("subject").unwrap()).unwrap();
    assert_eq!((rows.len(), rows[0].int("seq").unwrap()), (1, 1));
    assert_eq!(subject, Revoked::Grant(grant_id.to_string()));
    let filter = audit::Filter { subject: Some(alice.to_string()), ..Default::default() };
    let page = audit::list(&mut cx, &filter, None, 10).await.unwrap();
    let acts: Vec<String> = page.entries.into_iter().map(|entry| entry.act).collect();
    assert_eq!(acts, ["grant.revoked", "grant.opened"]);
    let report = audit::verify(&mut cx).await.unwrap();
    assert_eq!(report.breaks, []);
    assert!(report.records >= 4);
});

store_test!(a_client_has_one_standing_grant_for_the_same_request, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (scopes, audiences) = (Scopes::parse("read").unwrap(), Audiences::one("https://orders.internal"));
    let client_id = ClientId::from("robot");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut cx = p.cx();
        ids.push(grants::standing(&mut cx, &client_id, &scopes, &audiences).await.unwrap());
        cx.commit().await.unwrap();
    }
    let mut cx = p.cx();
    grants::revoke(&mut cx, &ids[0].grant_id, "test").await.unwrap();
    cx.commit().await.unwrap();

    let mut cx = p.cx();
    let after = grants::standing(&mut cx, &client_id, &scopes, &audiences).await.unwrap();

    assert_eq!(ids[0].grant_id, ids[1].grant_id);
    assert_eq!((after.grant_id.clone(), after.epoch), (ids[0].grant_id.clone(), 1));
    assert!(after.is_live(cx.now));
});

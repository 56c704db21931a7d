use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use base::event::Revoked;
use base::ids::GrantId;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::actors::{Answer, Caller, request};
use super::platform::Platform;
use crate::{MIGRATIONS, clients, events, grants, housekeeping};

impl Platform {
    async fn poll(&self, by: &Caller, query: &str, body: &Value) -> Answer {
        let basic = by.basic();
        let headers = [("authorization", basic.as_str()), ("content-type", "application/json")];
        let body = Body::from(body.to_string());
        self.send(request(Method::POST, &format!("/events/poll?{query}"), &headers, body)).await
    }

    /// What a poll that does not wait brings: subjects by `jti`, in order, and whether there is more.
    async fn events(&self, by: &Caller, query: &str, body: Value) -> (Vec<(String, Revoked)>, bool) {
        let mut request = json!({"returnImmediately": true});
        request.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let answer = self.poll(by, query, &request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        (self.read_sets(by, &answer).await, answer.json()["moreAvailable"] == true)
    }

    async fn read_sets(&self, by: &Caller, answer: &Answer) -> Vec<(String, Revoked)> {
        let answer = answer.json();
        let mut found = Vec::new();
        for (jti, set) in answer["sets"].as_object().unwrap() {
            let set = self.verify(set.as_str().unwrap(), base::event::TYP, &by.id).await;
            assert_eq!(set.text("jti"), Some(jti.as_str()));
            let revoked = Revoked::from_subject(&set.claims["sub_id"]).unwrap();
            assert!(set.claims["events"][revoked.event_type()]["event_timestamp"].is_i64());
            found.push((jti.clone(), revoked));
        }
        found
    }

    async fn announce(&self, id: &str) {
        let mut cx = self.cx();
        events::append(&mut cx, Revoked::Grant(id.to_owned()), "test").await.unwrap();
        cx.commit().await.unwrap();
    }
}

fn ids(events: &[(String, Revoked)]) -> Vec<String> {
    let id = |(_, revoked): &(String, Revoked)| match revoked {
        Revoked::Grant(id) => id.clone(),
        other => panic!("{other:?}"),
    };
    events.iter().map(id).collect()
}

store_test!(a_stream_begins_now_and_repeats_what_is_not_acknowledged, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    p.announce("before").await;

    let first = p.poll(&m.gateway, "stream=a", &json!({"returnImmediately": true})).await;
    for id in ["one", "two", "three"] {
        p.announce(id).await;
    }
    let (some, more) = p.events(&m.gateway, "stream=a", json!({"maxEvents": 2})).await;
    let (again, _) = p.events(&m.gateway, "stream=a", json!({"maxEvents": 2})).await;
    let (rest, over) = p.events(&m.gateway, "stream=a", json!({"ack": [some[0].0, some[1].0]})).await;
    let later = p.poll(&m.gateway, "stream=a", &json!({"returnImmediately": true, "ack": [rest[0].0]})).await;

    assert_eq!((first.header("cardea-stream"), first.header("cache-control")), ("new", "no-store"));
    assert_eq!(first.json(), json!({"sets": {}, "moreAvailable": false}));
    assert_eq!((ids(&some), more), (vec!["one".to_owned(), "two".to_owned()], true));
    assert_eq!(some, again);
    assert_eq!((ids(&rest), over), (vec!["three".to_owned()], false));
    assert_eq!((later.header("cardea-stream"), later.json()["sets"].clone()), ("resumed", json!({})));
});

store_test!(each_receiver_has_its_own_place, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    for stream in ["stream=a", "stream=b", ""] {
        p.events(&m.gateway, stream, json!({})).await;
    }
    p.events(&m.orders, "stream=a", json!({})).await;
    p.announce("one").await;

    let (a, _) = p.events(&m.gateway, "stream=a", json!({})).await;
    p.events(&m.gateway, "stream=a", json!({"ack": [a[0].0]})).await;

    for (by, stream) in [(&m.gateway, "stream=b"), (&m.gateway, ""), (&m.orders, "stream=a")] {
        assert_eq!(ids(&p.events(by, stream, json!({})).await.0), ["one"], "{} {stream}", by.id);
    }
    assert!(p.events(&m.gateway, "stream=a", json!({})).await.0.is_empty());
});

store_test!(a_wrong_acknowledgement_moves_nothing, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    p.events(&m.gateway, "", json!({})).await;
    p.announce("one").await;

    for ack in ["evt-99", "1", "evt-1x", "", "evt-9223372036854775807"] {
        assert_eq!(ids(&p.events(&m.gateway, "", json!({"ack": [ack]})).await.0), ["one"], "{ack}");
    }
    // One that the receiver cannot use is not sent for ever (RFC 8936 §2.6).
    let errors = json!({"setErrs": {"evt-1": {"err": "jwtAud", "description": "canary"}}});
    assert!(p.events(&m.gateway, "", errors).await.0.is_empty());
});

store_test!(a_waiting_poll_hears_of_a_revocation_at_once, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    let m = p.market().await;
    let tokens = p.tokens(&m.shop, &m.alice, "orders_read").await;
    let grant_id = p.introspect(&m.orders, &tokens.text("access_token")).await["grant_id"].as_str().unwrap().to_owned();
    p.events(&m.gateway, "", json!({})).await;
    let (waiting, gateway) = (p.clone(), m.gateway.clone());
    let poll = tokio::spawn(async move { waiting.poll(&gateway, "wait=20000", &json!({})).await });
    tokio::task::yield_now().await;
    let watch = base::time::Stopwatch::start();

    let mut cx = p.cx();
    assert!(grants::revoke(&mut cx, &GrantId(grant_id.clone()), "test").await.unwrap());
    cx.commit().await.unwrap();
    let answer = poll.await.unwrap();

    assert!(watch.elapsed().as_secs() < 5, "{:?}", watch.elapsed());
    assert_eq!(ids(&p.read_sets(&m.gateway, &answer).await), [grant_id]);
});

store_test!(no_event_is_lost_or_doubled_among_parallel_writers, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    let m = p.market().await;
    p.events(&m.gateway, "", json!({})).await;
    let writers: Vec<_> = (0..40)
        .map(|n| {
            let p = p.clone();
            tokio::spawn(async move { p.announce(&format!("grant-{n}")).await })
        })
        .collect();

    let (mut seen, mut ack) = (Vec::new(), Vec::new());
    while seen.len() < 40 {
        let answer = p.poll(&m.gateway, "wait=20000", &json!({"ack": ack, "maxEvents": 7})).await;
        let events = p.read_sets(&m.gateway, &answer).await;
        assert!(!events.is_empty(), "a poll ended without the {} that are missing", 40 - seen.len());
        ack = events.iter().map(|(jti, _)| jti.clone()).collect();
        seen.extend(ids(&events));
    }
    for writer in writers {
        writer.await.unwrap();
    }

    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (40, 40));
});

store_test!(a_receiver_that_was_away_for_a_day_is_told_so, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    p.events(&m.gateway, "", json!({})).await;
    p.advance(23 * 3600);
    housekeeping::sweep(&p.identity).await.unwrap();
    let in_time = p.poll(&m.gateway, "", &json!({"returnImmediately": true})).await;
    p.advance(25 * 3600);
    housekeeping::sweep(&p.identity).await.unwrap();

    let late = p.poll(&m.gateway, "", &json!({"returnImmediately": true})).await;

    assert_eq!((in_time.header("cardea-stream"), late.header("cardea-stream")), ("resumed", "new"));
});

store_test!(a_receiver_that_never_acknowledges_is_told_when_events_go, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    p.events(&m.gateway, "", json!({})).await;
    p.announce("one").await;
    let mut continuity = Vec::new();
    for _ in 0..3 {
        p.advance(17 * 3600);
        continuity.push(p.poll(&m.gateway, "", &json!({"returnImmediately": true})).await);
        housekeeping::sweep(&p.identity).await.unwrap();
    }

    let after = p.poll(&m.gateway, "", &json!({"returnImmediately": true})).await;

    for answer in &continuity {
        assert_eq!((answer.header("cardea-stream"), p.read_sets(&m.gateway, answer).await.len()), ("resumed", 1));
    }
    assert_eq!((after.header("cardea-stream"), p.read_sets(&m.gateway, &after).await.len()), ("new", 0));
});

store_test!(crossing_revocations_do_not_stop_each_other, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    let m = p.market().await;
    for _ in 0..10 {
        let token = p.tokens(&m.shop, &m.alice, "orders_read").await.text("access_token");
        let grant_id = p.introspect(&m.orders, &token).await["grant_id"].as_str().unwrap().to_owned();
        // One has an event to tell before it wants the grant, the other wants the grant before it has one.
        let tasks = [true, false].map(|tells_first| {
            let (p, grant_id) = (p.clone(), GrantId(grant_id.clone()));
            tokio::spawn(async move {
                let mut cx = p.cx();
                if tells_first {
                    events::append(&mut cx, Revoked::Session("s".to_owned()), "test").await.unwrap();
                }
                let revoked = grants::revoke(&mut cx, &grant_id, "test").await.unwrap();
                cx.commit().await.unwrap();
                revoked
            })
        });
        let mut revoked = 0;
        for task in tasks {
            revoked += usize::from(task.await.unwrap());
        }
        assert_eq!(revoked, 1);
    }
});

store_test!(only_clients_that_may_poll_do, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let now = json!({"returnImmediately": true});
    let wrong = Caller { secret: Some("wrong".to_owned()), ..m.gateway.clone() };

    assert_eq!(p.poll(&m.shop, "", &now).await.error(), (403, "access_denied".to_owned()));
    assert_eq!(p.poll(&wrong, "", &now).await.error(), (401, "invalid_client".to_owned()));
    assert_eq!(p.poll(&m.gateway, "stream=a%20b", &now).await.error(), (400, "invalid_request".to_owned()));
    assert_eq!(p.poll(&m.gateway, "", &json!([])).await.error(), (400, "invalid_request".to_owned()));
});

store_test!(each_kind_of_revocation_has_its_event, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let tokens = p.tokens(&m.shop, &m.alice, "orders_read").await;
    let told = p.introspect(&m.orders, &tokens.text("access_token")).await;
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    p.events(&m.gateway, "", json!({})).await;

    p.post_as(&m.shop, "/revoke", &[("token", &tokens.text("access_token"))]).await;
    p.post_as(&m.shop, "/revoke", &[("token", &tokens.text("refresh_token"))]).await;
    let mut cx = p.cx();
    clients::disable(&mut cx, &"shop".into()).await.unwrap();
    cx.commit().await.unwrap();

    let subjects: Vec<Revoked> = p.events(&m.gateway, "", json!({})).await.0.into_iter().map(|(_, own)| own).collect();
    let expected = [Revoked::Token(text("jti")), Revoked::Grant(text("grant_id")), Revoked::Client("shop".to_owned())];
    assert_eq!(subjects, expected);
});

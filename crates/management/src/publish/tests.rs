//! What gateways are given, by HTTP, and that numbers and contents belong together.

use std::time::Duration;

use ::http::{Method, StatusCode, header};
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::*;
use crate::actor::Role;
use crate::registry::{Expected, put, read_spec};
use crate::tests::{Answer, Platform, exchange, person, request, send};
use crate::{MIGRATIONS, PROVIDER};

fn publisher(p: &Platform) -> Cx {
    p.cx(person("pat", PROVIDER, Role::Publisher))
}

/// An API with an upstream, a service and a route of its own.
async fn made(p: &Platform, name: &str, path: &str) -> Result<(), Refused> {
    let (spec, _) = read_spec(name, &json!({"title": name, "version": "1"}))?;
    let mut draft = Draft::new(spec);
    for (kind, spec) in [
        ("Upstream", json!({"endpoints": ["http://127.0.0.1:1"]})),
        ("Service", json!({"upstream": name, "api": name})),
        ("Route", json!({"match": {"path": path}, "service": name, "auth": "none", "subscription": "none"})),
    ] {
        draft.resources.push(Document { kind: kind.to_owned(), name: name.to_owned(), spec });
    }
    let mut cx = publisher(p);
    put(&mut cx, name, &draft, "", Expected::Nothing).await?;
    publish(&mut cx, name, None, false).await?;
    cx.commit().await?;
    Ok(())
}

async fn ask(p: &Platform, known: Option<&str>, wait: u64) -> Answer {
    let mut request = request(Method::GET, &format!("/gateway/v1/snapshot?wait={wait}"), Some("token of edge-1"), None);
    if let Some(known) = known {
        request.headers_mut().insert(header::IF_NONE_MATCH, known.parse().unwrap());
    }
    exchange(p.public(), request).await
}

store_test!(gateways_are_given_what_is_published, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let nothing = ask(&p, None, 0).await;
    assert_eq!((nothing.status, nothing.body["version"].as_u64()), (StatusCode::OK, Some(0)));

    made(&p, "a", "/a").await.unwrap();
    let first = ask(&p, Some("\"0\""), 0).await;
    let etag = first.headers[header::ETAG].to_str().unwrap().to_owned();
    let same = ask(&p, Some(&etag), 0).await;

    assert_eq!(first.body["resources"].as_array().unwrap().len(), 4);
    assert_eq!(etag, format!("\"{}\"", first.body["version"]));
    assert_eq!((same.status, same.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(same.headers[header::ETAG], etag.as_str());
    let published: catalog::published::Published = serde_json::from_value(first.body).unwrap();
    assert!(published.resources.iter().all(|one| catalog::published::PUBLISHED_KINDS.contains(&one.kind.as_str())));
    let stranger = send(p.public(), Method::GET, "/gateway/v1/snapshot", Some("token of nobody"), None).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
});

store_test!(who_waits_is_woken_by_the_commit, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    made(&p, "a", "/a").await.unwrap();
    let etag = ask(&p, None, 0).await.headers[header::ETAG].to_str().unwrap().to_owned();

    let (woken, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(20), ask(&p, Some(&etag), 50)), async {
        made(&p, "b", "/b").await.unwrap();
    });

    let woken = woken.expect("long before the poll is over");
    assert_eq!(woken.status, StatusCode::OK);
    assert!(woken.body["resources"].as_array().unwrap().iter().any(|one| one["name"] == "b"));
});

store_test!(a_set_that_gateways_would_refuse_is_never_published, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    made(&p, "a", "/same").await.unwrap();
    let before = publication(&mut publisher(&p)).await.unwrap();

    let refused = made(&p, "b", "/same").await.unwrap_err();

    assert!(
        matches!(&refused, Refused::Invalid(_, errors) if errors[0].detail.contains("same requests")),
        "{refused:?}"
    );
    assert_eq!(publication(&mut publisher(&p)).await.unwrap(), before);
});

store_test!(two_who_publish_what_fits_only_alone_take_turns, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut tasks = Vec::new();
    for at in 0..6 {
        let (spec, _) = read_spec("x", &json!({"title": "x", "version": "1"})).unwrap();
        let name = format!("api-{at}");
        let mut draft = Draft::new(spec);
        for (kind, spec) in [
            ("Upstream", json!({"endpoints": ["http://127.0.0.1:1"]})),
            ("Service", json!({"upstream": name, "api": name})),
            ("Route", json!({"match": {"path": "/same"}, "service": name, "auth": "none", "subscription": "none"})),
        ] {
            draft.resources.push(Document { kind: kind.to_owned(), name: name.clone(), spec });
        }
        let mut cx = publisher(&p);
        put(&mut cx, &name, &draft, "", Expected::Nothing).await.unwrap();
        cx.commit().await.unwrap();
    }
    for at in 0..6 {
        let mut cx = publisher(&p);
        tasks.push(tokio::spawn(async move {
            publish(&mut cx, &format!("api-{at}"), None, false).await?;
            cx.commit().await?;
            Ok::<(), Refused>(())
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += usize::from(task.await.unwrap().is_ok());
    }

    assert_eq!(done, 1, "the others see what the first one did");
    assert_eq!(ask(&p, None, 0).await.body["resources"].as_array().unwrap().len(), 4);
});

store_test!(readers_never_see_half_of_a_change, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    made(&p, "a", "/a").await.unwrap();

    let writing = async {
        for at in 0..10 {
            let mut cx = publisher(&p);
            if at % 2 == 0 {
                withdraw(&mut cx, "a").await.unwrap();
            } else {
                publish(&mut cx, "a", None, false).await.unwrap();
            }
            cx.commit().await.unwrap();
        }
    };
    let reading = async {
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..40 {
            let mut cx = publisher(&p);
            let snapshot = current(&mut cx).await.unwrap();
            cx.commit().await.unwrap();
            let count = snapshot.published.resources.len();
            assert_eq!(*seen.entry(snapshot.published.version).or_insert(count), count, "one number, one content");
            assert!(count == 0 || count == 4, "all of it or nothing: {count}");
        }
    };
    tokio::join!(writing, reading);
});

store_test!(only_who_may_publishes, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    made(&p, "a", "/a").await.unwrap();

    for actor in [person("aud", PROVIDER, Role::Auditor), person("own", "acme", Role::Owner), crate::Actor::Nobody] {
        assert!(matches!(publish(&mut p.cx(actor.clone()), "a", None, false).await, Err(Refused::NoRight)));
        assert!(matches!(withdraw(&mut p.cx(actor.clone()), "a").await, Err(Refused::NoRight)));
        assert!(matches!(remove(&mut p.cx(actor), "a").await, Err(Refused::NoRight)));
    }
    assert!(matches!(remove(&mut publisher(&p), "a").await, Err(Refused::Conflict(_))), "it is published");
});

//! What is sent on: in order, signed, again when it was not taken.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{Method, StatusCode};
use catalog::usage::Outcome;
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::{batch, record, send};
use crate::actor::{Actor, Role};
use crate::console::tests::signed_in;
use crate::error::Refused;
use crate::tests::{Platform, house::person};
use crate::usage::push;
use crate::{MIGRATIONS, PROVIDER};

/// A receiver that answers what it is told, and keeps what it was sent.
#[derive(Default)]
struct Receiver {
    answers: Mutex<Vec<u16>>,
    got: Mutex<Vec<::http::Request<bytes::Bytes>>>,
}

struct Shared(Arc<Receiver>);

impl base::peer::Peer for Shared {
    fn call(
        &self,
        request: ::http::Request<bytes::Bytes>,
        _: base::peer::Limits,
    ) -> futures_util::future::BoxFuture<'_, Result<::http::Response<bytes::Bytes>, base::peer::PeerError>> {
        self.0.got.lock().unwrap().push(request);
        let status = self.0.answers.lock().unwrap().pop().unwrap_or(204);
        Box::pin(async move { Ok(::http::Response::builder().status(status).body(bytes::Bytes::new()).unwrap()) })
    }
}

fn push_to(receiver: &Arc<Receiver>, keys: &[&str]) -> crate::Push {
    let keys = keys.iter().map(|key| base::Secret::new(key.as_bytes().to_vec())).collect();
    let url = "https://user:word@bills.example/calls?key=secret".to_owned();
    crate::Push { url, keys, peer: Arc::new(Shared(receiver.clone())) }
}

const KEY: &str = "a key of at least 24 bytes";

async fn pushing(db: TestDb, receiver: &Arc<Receiver>) -> (Platform, crate::Push) {
    let to = push_to(receiver, &[KEY]);
    let mut config = crate::tests::config(&db);
    config.usage.push = Some(to.clone());
    (Platform::with(db, config).await, to)
}

async fn refused_calls(p: &Platform, first: u64, many: u64) {
    let now = p.clock.shared().now();
    let records =
        (first..first + many).map(|number| record(&format!("r{number}"), now, None, Outcome::Refused)).collect();
    assert_eq!(send(p, "edge-1", &batch("g1", first, records)).await.status, StatusCode::OK);
}

async fn push_state(p: &Platform) -> Value {
    p.operate(Method::GET, "/management/v1/usage/push", None).await.body["items"][0].clone()
}

fn ids_of(receiver: &Receiver) -> Vec<String> {
    let got = receiver.got.lock().unwrap();
    got.iter().map(|one| one.headers()["webhook-id"].to_str().unwrap().to_owned()).collect()
}

store_test!(calls_are_pushed_in_order_and_again_as_the_same_batch, MIGRATIONS, |db: TestDb| async move {
    let receiver = Arc::new(Receiver::default());
    let (p, to) = pushing(db, &receiver).await;
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Nothing);
    refused_calls(&p, 1, 1).await;

    receiver.answers.lock().unwrap().push(503);
    assert!(matches!(push::once(&p.management, &to).await.unwrap(), push::Sent::Failed(_)));
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Nothing, "not at once");
    refused_calls(&p, 2, 1).await;
    p.clock.advance(Duration::from_secs(10));
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Some(1));
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Some(1));
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Nothing);
    refused_calls(&p, 3, 1).await;
    receiver.answers.lock().unwrap().push(410);
    assert!(matches!(push::once(&p.management, &to).await.unwrap(), push::Sent::Failed(_)));
    p.clock.advance(Duration::from_secs(100_000));
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Nothing, "who wants no more gets no more");

    assert_eq!(ids_of(&receiver), ["usage_0_1", "usage_0_1", "usage_1_2", "usage_2_3"]);
    let got = receiver.got.lock().unwrap();
    assert_eq!(got[0].body(), got[1].body());
    let timestamp: i64 = got[1].headers()["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    let expected = push::signature(to.keys[0].expose(), "usage_0_1", timestamp, got[1].body());
    assert_eq!(got[1].headers()["webhook-signature"], expected.as_str());
});

store_test!(a_receiver_that_is_away_for_days_gets_all_in_the_end, MIGRATIONS, |db: TestDb| async move {
    let receiver = Arc::new(Receiver::default());
    let (p, to) = pushing(db, &receiver).await;
    refused_calls(&p, 1, 3).await;
    let begun = p.clock.shared().now();
    *receiver.answers.lock().unwrap() = vec![503; 10_000];

    let days = Duration::from_secs(5 * 86_400);
    while p.clock.shared().now().since(begun) < days {
        push::once(&p.management, &to).await.unwrap();
        p.clock.advance(Duration::from_secs(120));
    }
    let tries = receiver.got.lock().unwrap().len();
    assert!((5 * 24..5 * 24 * 2 + 20).contains(&tries), "about every hour, never all at once: {tries}");
    let state = push_state(&p).await;
    assert_eq!((&state["state"], &state["waiting"], &state["failures"]), (&json!("failing"), &json!(3), &json!(tries)));
    assert_eq!((&state["error"], &state["takenAt"]), (&json!("the receiver answered 503"), &Value::Null));
    assert_eq!(state["url"], "https://bills.example/calls", "without what may be a secret");

    receiver.answers.lock().unwrap().clear();
    p.clock.advance(Duration::from_secs(3600));
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Some(3));
    assert!(ids_of(&receiver).iter().all(|id| id == "usage_0_3"), "one batch under one id, all the time");
    let state = push_state(&p).await;
    assert_eq!((&state["state"], &state["waiting"], &state["cursor"]), (&json!("current"), &json!(0), &json!("Mw")));
    assert_eq!(state["takenAt"], json!(p.clock.shared().now()));
    assert_eq!(state["error"], "the receiver answered 503", "what it said last, with its time");
});

store_test!(an_administrator_sends_again_and_goes_on, MIGRATIONS, |db: TestDb| async move {
    let receiver = Arc::new(Receiver::default());
    let (p, to) = pushing(db, &receiver).await;
    refused_calls(&p, 1, 2).await;
    push::once(&p.management, &to).await.unwrap();
    p.clock.advance(Duration::from_secs(86_400));
    let later = p.clock.shared().now();
    refused_calls(&p, 3, 2).await;
    receiver.answers.lock().unwrap().push(410);
    push::once(&p.management, &to).await.unwrap();
    assert_eq!(push_state(&p).await["state"], "ended");

    let path = "/management/v1/usage/push";
    let going_on = p.operate(Method::POST, path, Some(&json!({}))).await;
    assert_eq!((going_on.status, &going_on.body["items"][0]["state"]), (StatusCode::OK, &json!("behind")));
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Some(2));
    p.operate(Method::POST, path, Some(&json!({"since": later}))).await;
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Some(2), "those of the last day");
    p.operate(Method::POST, path, Some(&json!({"after": "MA"}))).await;
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Some(4));
    let both = p.operate(Method::POST, path, Some(&json!({"after": "MA", "since": 1}))).await;
    assert_eq!(both.status, StatusCode::BAD_REQUEST);

    for actor in [Actor::Nobody, person("pia", PROVIDER, Role::Publisher), person("olga", "acme", Role::Owner)] {
        assert!(matches!(push::replay(&mut p.cx(actor), push::From::Here).await, Err(Refused::NoRight)));
    }
    assert!(matches!(push::states(&mut p.cx(person("olga", "acme", Role::Owner))).await, Err(Refused::NoRight)));
});

store_test!(the_console_shows_how_it_stands_and_sends_again, MIGRATIONS, |db: TestDb| async move {
    let receiver = Arc::new(Receiver::default());
    let (p, to) = pushing(db, &receiver).await;
    let mut admin = signed_in(&p, "ada", Some(Role::Administrator)).await;
    refused_calls(&p, 1, 2).await;
    push::once(&p.management, &to).await.unwrap();
    refused_calls(&p, 3, 1).await;
    receiver.answers.lock().unwrap().push(410);
    push::once(&p.management, &to).await.unwrap();

    let page = admin.get("/console/usage").await;
    for part in ["bills.example", "ended", "the receiver wants no more (410)", "Go on sending"] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(!page.body.contains("key=secret") && !page.body.contains("user:word"));
    let after = admin.submit(&page, "push-again", &[("action", "again"), ("back", "1")]).await;
    assert_eq!(after.url, "/console/usage");
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Some(3), "from the first one on");

    let mut auditor = signed_in(&p, "otto", Some(Role::Auditor)).await;
    let page = auditor.get("/console/usage").await;
    assert!(page.body.contains("bills.example") && !page.body.contains("push-again"));
    let forged = [("action".to_owned(), "again".to_owned()), ("back".to_owned(), "1".to_owned())];
    assert_eq!(auditor.post_once("/console/usage", &forged).await.status, StatusCode::FORBIDDEN);
    assert_eq!(push::once(&p.management, &to).await.unwrap(), push::Sent::Nothing);
});

store_test!(while_keys_change_both_sign, MIGRATIONS, |db: TestDb| async move {
    let receiver = Arc::new(Receiver::default());
    let (p, _) = pushing(db, &receiver).await;
    let to = push_to(&receiver, &["the newer key, of 24 bytes and more", KEY]);
    refused_calls(&p, 1, 1).await;
    push::once(&p.management, &to).await.unwrap();

    let got = receiver.got.lock().unwrap();
    let header = |name: &str| got[0].headers()[name].to_str().unwrap().to_owned();
    let timestamp = header("webhook-timestamp").parse().unwrap();
    let by = |key: &base::Secret<Vec<u8>>| push::signature(key.expose(), "usage_0_1", timestamp, got[0].body());
    assert_eq!(header("webhook-signature"), to.keys.iter().map(by).collect::<Vec<_>>().join(" "));
});

#[tokio::test]
async fn a_push_goes_to_no_inner_address() {
    let db = testkit::db::sqlite(MIGRATIONS).await;
    let receiver = Arc::new(Receiver::default());
    let (p, to) = pushing(db, &receiver).await;
    refused_calls(&p, 1, 1).await;
    for url in ["https://127.0.0.1:9/", "https://10.0.0.7/", "http://93.184.215.14/", "https://[::1]/"] {
        let peer = base::egress::EgressPeer::shared(base::egress::Reach::Public);
        let inner = crate::Push { url: url.to_owned(), peer, ..to.clone() };
        let sent = push::once(&p.management, &inner).await.unwrap();
        assert!(
            matches!(&sent, push::Sent::Failed(why) if why.contains("not one that may be called")),
            "{url}: {sent:?}"
        );
    }
}

#[test]
fn pauses_grow_to_an_hour_and_are_never_the_same_for_all() {
    for failures in 0..40 {
        let longest = Duration::from_secs(2 << failures.min(20)).min(Duration::from_secs(3600));
        let some: BTreeSet<Duration> = (0..50).map(|_| push::pause(failures)).collect();
        assert!(some.iter().all(|pause| *pause <= longest && *pause >= longest / 2), "{failures}: {some:?}");
        assert!(some.len() > 5);
    }
}

/// The example of the specification.
#[test]
fn a_push_is_signed_as_standard_webhooks_says() {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let body = br#"{"test": 2432232314}"#;

    let signature = push::signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);

    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

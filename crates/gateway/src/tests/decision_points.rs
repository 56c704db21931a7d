//! Decision points that are asked at each call.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::house::{TOKEN, answer, jwt_answer};
use super::policies::{ASKED, detail, house, json_answer};

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_point_is_asked_in_the_words_of_authzen() {
    let (house, pdp) = house(ASKED, "{ source: central }");
    let allowed = house.call(TOKEN).await;
    pdp.answers(|_| {
        json_answer(
            &json!({"decision": false, "context": {"reason_user": {"403": "Ask your\nboss."}, "policies": ["p7"]}}),
        )
    });
    let denied = house.call(TOKEN).await;
    pdp.answers(|_| json_answer(&json!({"decision": false, "context": {"step_up": {"max_age": 60}}})));
    let stepped = house.call(TOKEN).await;

    assert_eq!(allowed.status(), 200);
    let question = pdp.questions.lock().unwrap()[0].clone();
    assert_eq!(question["subject"]["id"], "alice");
    assert_eq!(
        (&question["action"]["name"], &question["resource"]["id"]),
        (&json!("call"), &json!("orders/orders-read"))
    );
    assert_eq!(question["context"]["network"]["address"], "192.0.2.7");
    assert_eq!(question["context"]["request"]["params"]["id"], "42");
    assert_eq!(question["context"]["client"], "shop");
    assert_eq!((denied.slug().as_str(), detail(&denied).as_str()), ("policy_denied", "Ask yourboss."));
    assert_eq!(denied.exchange.policy.as_ref().unwrap().ids(), "p7");
    assert!(stepped.field("www-authenticate").contains("max_age=\"60\""));
    assert_eq!(pdp.asked(), 3, "no decision is used twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_decision_lets_nobody_through() {
    let (house, pdp) = house(ASKED, "{ source: central }");
    type Plain = fn(&Value) -> Response<Bytes>;
    let scripts: [Plain; 6] = [
        |_| json_answer(&json!({"decision": "true"})),
        |_| json_answer(&json!({"decision": 1})),
        |_| json_answer(&json!({"allow": true})),
        |_| answer(500, Some("application/json"), "{\"decision\": true}", None),
        |_| answer(302, Some("application/json"), "{\"decision\": true}", None),
        |_| answer(200, Some("application/json"), "true", None),
    ];
    for script in scripts {
        pdp.answers(script);
        let refused = house.call(TOKEN).await;
        assert_eq!((refused.status(), refused.slug().as_str()), (503, "policy_unavailable"));
    }
    pdp.down.store(true, Ordering::SeqCst);
    assert_eq!(house.call(TOKEN).await.status(), 503);
    assert!(house.gateway.ready().checks.iter().any(|check| check.name == "policies central" && !check.ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_is_on_its_way_once() {
    let (house, pdp) = house(ASKED, "{ source: central }");
    house.call(TOKEN).await;
    pdp.gate.send_replace(false);

    let calls = futures_util::future::join_all((0..20).map(|_| house.call(TOKEN)));
    let open = async {
        while pdp.asked() < 2 {
            tokio::time::sleep(Duration::ZERO).await;
        }
        pdp.gate.send_replace(true);
    };
    let (answers, ()) = tokio::join!(calls, open);

    assert!(answers.iter().all(|sent| sent.status() == 200));
    assert_eq!(pdp.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_kept_by_the_key_that_the_operator_names_and_no_longer() {
    let cache = "cache: { ttl: 10s, key: [subject.id, action.name, resource.id, context.request.method] }";
    let source = ASKED.replace("secret: file:gateway.secret", &format!("secret: file:gateway.secret, {cache}"));
    let (house, pdp) = house(&source, "{ source: central }");
    for _ in 0..3 {
        assert_eq!(house.call(TOKEN).await.status(), 200);
    }
    let once = pdp.asked();
    pdp.answers(|_| json_answer(&json!({"decision": false})));
    house.issuer.answers({
        let jwt = house.issuer.jwt(&json!({"sub": "bob"}));
        move |_| Ok(jwt_answer(&jwt, None))
    });
    let bob = house.call("opaque-token-0002").await.status();
    let alice = house.call(TOKEN).await.status();
    house.clock.advance(Duration::from_secs(10));
    let later = house.call(TOKEN).await.status();

    assert_eq!((once, bob, alice, later), (1, 403, 200, 403));
}

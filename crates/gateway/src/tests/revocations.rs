//! A revocation shuts the door, whatever is on its way at the time.

use std::sync::Arc;
use std::time::Duration;

use base::event::{Revoked, TYP};
use base::peer::PeerError;
use serde_json::{Map, Value, json};

use super::House;
use super::house::{ISSUER, Issuer, RESOURCES, TOKEN, answer, jwt_answer, page};

fn house() -> House {
    House::with(&RESOURCES.replace("maxTtl: 300s }", "maxTtl: 300s }, revocations: { maxLag: 5s }"))
}

/// Waits for the feed to have taken so many pages in all, and for the next question to be out.
async fn polls(house: &House, number: usize) {
    while house.issuer.polls.lock().unwrap().len() < number {
        tokio::task::yield_now().await;
    }
}

fn event(issuer: &Issuer, jti: &str, revoked: &Revoked, changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "gate:way", "iat": issuer.claims(&json!({}))["iat"], "jti": jti,
        "sub_id": revoked.subject(ISSUER), "events": { revoked.event_type(): {} },
    });
    for (name, value) in changes.as_object().unwrap() {
        claims.as_object_mut().unwrap().insert(name.clone(), value.clone());
    }
    Value::from(issuer.sign(TYP, &claims))
}

fn revoke(house: &House, jti: &str, revoked: &Revoked) {
    let sets = Map::from_iter([(jti.to_owned(), event(&house.issuer, jti, revoked, &json!({})))]);
    house.issuer.publish(Ok(page(&Value::Object(sets), "resumed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_revocation_reaches_what_is_kept() {
    let house = house();
    polls(&house, 2).await;
    let mut done = 2;
    for (at, revoked) in [
        Revoked::Token("t1".into()),
        Revoked::Grant("g1".into()),
        Revoked::User("alice".into()),
        Revoked::Client("shop".into()),
        Revoked::Session("s1".into()),
    ]
    .iter()
    .enumerate()
    {
        house.call(TOKEN).await;
        assert_eq!(house.call(TOKEN).await.exchange.token_cache, Some("hit"), "{revoked:?}");

        revoke(&house, &format!("e{at}"), revoked);
        done += 1;
        polls(&house, done).await;

        assert_eq!(house.call(TOKEN).await.exchange.token_cache, Some("miss"), "{revoked:?}");
    }
    // What somebody else has lost is nothing to this token.
    revoke(&house, "other", &Revoked::Grant("g2".into()));
    polls(&house, done + 1).await;
    assert_eq!(house.call(TOKEN).await.exchange.token_cache, Some("hit"));
    let polls = house.issuer.polls.lock().unwrap();
    assert_eq!(polls.last().unwrap().1["ack"], json!(["other"]));
    assert!(polls.iter().all(|poll| poll.0 == polls[0].0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_under_way_when_the_revocation_came_is_not_used() {
    let house = house();
    polls(&house, 2).await;
    house.issuer.hold();
    let mut call = Box::pin(house.call(TOKEN));
    while house.issuer.asked() == 0 {
        assert!(futures_util::poll!(&mut call).is_pending());
        tokio::task::yield_now().await;
    }

    // The answer that is held back says active; asked again, the issuer knows better.
    house.issuer.answers(|_| Ok(answer(204, None, "", None)));
    revoke(&house, "e", &Revoked::Grant("g1".into()));
    polls(&house, 3).await;
    house.issuer.release();

    assert_eq!(call.await.status(), 401);
    assert_eq!(house.issuer.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_an_ended_token_was_is_known_and_lets_nobody_in() {
    let house = house();
    polls(&house, 2).await;
    assert_eq!(house.call(TOKEN).await.status(), 200);
    house.issuer.answers(|_| Ok(answer(204, None, "", None)));

    revoke(&house, "e", &Revoked::Client("shop".into()));
    polls(&house, 3).await;

    for asked in [2, 3] {
        let refused = house.call(TOKEN).await;
        assert_eq!((refused.status(), refused.exchange.denied), (401, Some("invalid_token")));
        assert_eq!(refused.exchange.client_id.as_deref(), Some("shop"), "asked {asked} times");
        assert_eq!(refused.exchange.subject, None);
        assert_eq!(house.issuer.asked(), asked);
    }
    let stranger = house.call("opaque-token-0002").await;
    assert_eq!((stranger.status(), stranger.exchange.client_id), (401, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_with_a_revoked_token_is_told_that_it_was() {
    let house = house();
    polls(&house, 2).await;
    house.call(TOKEN).await;
    house.issuer.answers(|_| Ok(answer(204, None, "", None)));
    revoke(&house, "e", &Revoked::Grant("g1".into()));
    polls(&house, 3).await;

    // Also when the answer "not active" is kept, and when it is asked for again.
    for seconds in [0, 0, 3600] {
        house.clock.advance(Duration::from_secs(seconds));
        let refused = house.call(TOKEN).await;
        assert_eq!((refused.status(), refused.slug().as_str()), (401, "invalid_token"));
        assert!(refused.detail().contains("revoked; get"), "{}", refused.detail());
        assert_eq!(refused.exchange.token_cache, Some("revoked"));
    }
    // Of one that we never knew nothing is said.
    let other = base::handle::encode(base::handle::ACCESS_TOKEN, b"another token");
    let refused = house.call(&other).await;
    assert_eq!((refused.status(), refused.detail().contains("malformed, expired")), (401, true));

    // Whether it is good the issuer alone says: given back, it is.
    let jwt = house.issuer.jwt(&json!({}));
    house.issuer.answers(move |_| Ok(jwt_answer(&jwt, None)));
    house.clock.advance(Duration::from_secs(3600));
    let status = house.call(TOKEN).await.status();
    assert!(status == 200 || status == 502, "{status}: whether the JWT of before has expired is another matter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_key_verifies_nothing_any_more() {
    let house = house();
    polls(&house, 2).await;
    house.call(TOKEN).await;
    let kid = house.issuer.key.lock().unwrap().kid().to_owned();

    revoke(&house, "e", &Revoked::Key(kid));
    polls(&house, 3).await;

    // The issuer still publishes it; that does not bring it back.
    assert_eq!(house.call(TOKEN).await.status(), 502);
    *house.issuer.key.lock().unwrap() = Arc::new(jose::SigningKey::generate(jose::Algorithm::Es256).unwrap());
    let jwt = house.issuer.jwt(&json!({}));
    house.issuer.answers(move |_| Ok(jwt_answer(&jwt, None)));
    house.clock.advance(Duration::from_secs(5));
    assert_eq!(house.call(TOKEN).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_lag_that_is_allowed_nothing_that_is_kept_is_used() {
    let house = house();
    polls(&house, 2).await;
    house.call(TOKEN).await;
    house.clock.advance(Duration::from_secs(5));
    assert_eq!(house.call(TOKEN).await.exchange.token_cache, Some("hit"));

    house.clock.advance(Duration::from_millis(1));
    assert_eq!(house.call(TOKEN).await.exchange.token_cache, Some("miss"));
    assert_eq!(house.call(TOKEN).await.exchange.token_cache, Some("miss"));
    *house.issuer.down.lock().unwrap() = true;
    assert_eq!(house.call(TOKEN).await.status(), 503);
    assert!(!house.gateway.ready().checks[1].ok);
    assert!(house.gateway.ready().ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn until_the_feed_has_answered_nothing_is_kept() {
    let house = house();
    house.issuer.publish(Err(PeerError::Unreachable));
    polls(&house, 1).await;
    let before = house.call(TOKEN).await.exchange.token_cache;
    assert_eq!(before, Some("miss"));
}

/// What happens to kept facts when a poll fails and the next one says this.
async fn after_a_gap(stream: &'static str) -> Option<&'static str> {
    let house = house();
    polls(&house, 2).await;
    house.call(TOKEN).await;
    house.issuer.publish(Err(PeerError::BrokenOff));
    house.issuer.publish(Ok(page(&json!({}), stream)));
    polls(&house, 4).await;
    house.call(TOKEN).await.exchange.token_cache
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_has_lost_its_place_takes_what_is_kept_with_it() {
    assert_eq!(after_a_gap("resumed").await, Some("hit"));
    assert_eq!(after_a_gap("new").await, Some("miss"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_verified_is_no_event_and_no_sign_of_life() {
    let stranger = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
    for wrong in 0..6 {
        let house = house();
        polls(&house, 2).await;
        house.call(TOKEN).await;
        let grant = Revoked::Grant("g1".into());
        let set = match wrong {
            0 => event(&house.issuer, "e", &grant, &json!({"iss": "http://evil.test"})),
            1 => event(&house.issuer, "e", &grant, &json!({"aud": "other"})),
            2 => event(&house.issuer, "e", &grant, &json!({"jti": "other"})),
            3 => Value::from(house.issuer.sign("at+jwt", &json!({"iss": ISSUER, "aud": "gate:way", "jti": "e"}))),
            4 => Value::from(stranger.sign(TYP, &json!({"iss": ISSUER, "aud": "gate:way", "jti": "e"})).unwrap()),
            _ => json!(1),
        };
        house.clock.advance(Duration::from_secs(3));
        house.issuer.publish(Ok(page(&json!({"e": set}), "resumed")));
        house.issuer.publish(Err(PeerError::Unreachable));
        polls(&house, 3).await;

        assert_eq!(house.call(TOKEN).await.exchange.token_cache, Some("hit"), "{wrong}");
        house.clock.advance(Duration::from_millis(2_001));
        assert_eq!(house.call(TOKEN).await.exchange.token_cache, Some("miss"), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_in_unknown_words_may_mean_anybody() {
    let house = house();
    polls(&house, 2).await;
    house.call(TOKEN).await;
    let unknown = json!({"sub_id": {"format": "email", "email": "a@b.test"}});
    let set = event(&house.issuer, "e", &Revoked::User("bob".into()), &unknown);

    house.issuer.publish(Ok(page(&json!({"e": set}), "resumed")));
    polls(&house, 3).await;

    assert_eq!(house.call(TOKEN).await.exchange.token_cache, Some("miss"));
}

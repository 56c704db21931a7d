use std::time::Duration;

use base::Secret;
use base::event::Revoked;
use base::ids::KeyId;
use jose::Algorithm;
use testkit::db::TestDb;
use testkit::store_test;

use super::actors::{ORDERS, shop_spec};
use super::platform::{Platform, config};
use crate::clients::{ClientSpec, TokenFormat};
use crate::keys::{self, KeyError, State, TakesOver};
use crate::{Identity, MIGRATIONS, OpenError};

const DAY: u64 = 24 * 3600;

impl Platform {
    async fn published(&self) -> Vec<String> {
        let jwks = self.get("/jwks", &[]).await.json();
        jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    async fn signing(&self) -> String {
        let ring = keys::ring(&self.identity).await.unwrap();
        ring.signer(&self.identity, None).unwrap().kid().to_owned()
    }

    async fn rotate(&self, takes_over: TakesOver) -> String {
        let mut cx = self.cx();
        let kid = keys::rotate(&mut cx, Algorithm::Es256, takes_over).await.unwrap().unwrap();
        cx.commit().await.unwrap();
        kid.0
    }

    async fn kill(&self, kid: &str) {
        let mut cx = self.cx();
        keys::kill(&mut cx, &KeyId::from(kid)).await.unwrap();
        cx.commit().await.unwrap();
    }

    async fn state_of(&self, kid: &str) -> State {
        let mut cx = self.cx();
        let key = keys::list(&mut cx).await.unwrap().into_iter().find(|key| key.kid.as_str() == kid).unwrap();
        key.state(cx.now)
    }
}

store_test!(a_key_is_announced_before_it_signs_and_stays_after_it, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let first = p.signing().await;
    let jwks = p.get("/jwks", &[]).await;
    assert_eq!((p.published().await, jwks.header("cache-control")), (vec![first.clone()], "public, max-age=300"));

    p.advance(29 * DAY - 1);
    p.identity.minute().await.unwrap();
    assert_eq!(p.published().await.len(), 1);
    p.advance(1);
    p.identity.minute().await.unwrap();
    let both = p.published().await;
    assert_eq!((both.len(), p.signing().await), (2, first.clone()));
    let second = both.iter().find(|kid| **kid != first).unwrap().clone();
    assert_eq!((p.state_of(&first).await, p.state_of(&second).await), (State::Active, State::Announced));

    p.advance(DAY);
    assert_eq!((p.signing().await, p.published().await), (second.clone(), both));
    assert_eq!(p.state_of(&first).await, State::Retired);
    p.identity.minute().await.unwrap();
    let sql = "SELECT sealed_jwk FROM signing_keys WHERE kid = $1";
    let row = p.identity.db.begin().read_one(sql, &store::params![&first]).await.unwrap().unwrap();
    assert_eq!(row.text("sealed_jwk").unwrap(), "");

    p.advance(DAY);
    assert_eq!((p.published().await, p.state_of(&first).await), (vec![second], State::Removed));
});

store_test!(what_was_signed_before_a_rotation_verifies_after_it, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let mut last = String::new();
    for n in 0..10 {
        let token = p.tokens(&m.shop, &m.alice, "openid orders_read").await;
        let parameters = [("token", &*token.text("access_token"))];
        let inner = p.post_accepting(&m.orders, "/introspect", "application/jwt", &parameters).await.body;

        let kid = p.rotate(if n % 2 == 0 { TakesOver::AtOnce } else { TakesOver::Announced }).await;

        assert_ne!(kid, last);
        p.verify(&inner, "at+jwt", ORDERS).await;
        p.verify(&token.text("id_token"), "JWT", "shop").await;
        last = kid;
        p.advance(60);
    }
});

store_test!(a_killed_key_is_gone_at_once, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let spa = ClientSpec { client_id: "jwt".into(), access_token_format: TokenFormat::Jwt, ..shop_spec() };
    let spa = p.client(&spa).await;
    let jwt = p.tokens(&spa, &m.alice, "openid orders_read").await.text("access_token");
    let opaque = p.tokens(&m.shop, &m.alice, "orders_read").await.text("access_token");
    let dead = p.signing().await;
    assert!(p.is_active(&m.orders, &jwt).await);

    p.kill(&dead).await;

    let alive = p.signing().await;
    assert_ne!(alive, dead);
    assert_eq!((p.published().await, p.state_of(&dead).await), (vec![alive], State::Killed));
    assert!(!p.is_active(&m.orders, &jwt).await);
    // An opaque token was never signed: only the JWTs made for it are dead.
    let phantom = p.post_accepting(&m.orders, "/introspect", "application/jwt", &[("token", &opaque)]).await;
    p.verify(&phantom.body, "at+jwt", ORDERS).await;
    let rows = p.identity.db.begin().read("SELECT subject FROM events", &[]).await.unwrap();
    let subject: Revoked = serde_json::from_str(rows.last().unwrap().text("subject").unwrap()).unwrap();
    assert_eq!(subject, Revoked::Key(dead.clone()));
    let again = keys::kill(&mut p.cx(), &KeyId(dead)).await;
    assert!(matches!(again, Err(KeyError::NotFound)));
});

store_test!(an_announced_key_takes_over_from_a_killed_one, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let first = p.signing().await;
    let second = p.rotate(TakesOver::Announced).await;

    p.kill(&first).await;

    assert_eq!((p.signing().await, p.published().await), (second.clone(), vec![second]));
});

store_test!(a_key_goes_on_if_its_successor_is_killed, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let first = p.signing().await;
    let second = p.rotate(TakesOver::Announced).await;

    p.kill(&second).await;
    p.advance(2 * DAY);

    assert_eq!((p.signing().await, p.published().await), (first.clone(), vec![first]));
});

store_test!(nodes_that_start_at_once_make_one_key, MIGRATIONS, |db: TestDb| async move {
    let starts: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|node| {
            let (mut config, handle) = (config(&db, node), db.db.clone());
            config.keys.algorithms = vec![Algorithm::Es256, Algorithm::EdDsa];
            let clock = testkit::ManualClock::new().shared();
            tokio::spawn(async move { Identity::with_db(config, clock, handle).await.unwrap() })
        })
        .collect();

    let mut kids = std::collections::BTreeSet::new();
    for start in starts {
        let identity = start.await.unwrap();
        let ring = keys::ring(&identity).await.unwrap();
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            kids.insert(ring.signer(&identity, Some(algorithm)).unwrap().kid().to_owned());
        }
    }

    assert_eq!(kids.len(), 2);
    let rows = db.begin().read("SELECT kid FROM signing_keys", &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
});

store_test!(another_master_key_does_not_start, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut other = config(&p.db, "b");
    other.master_key = Secret::new(vec![9; 32]);

    let refused = Identity::with_db(other, p.clock.shared(), p.db.db.clone()).await;

    assert!(matches!(refused, Err(OpenError::Store(_))));
});

store_test!(a_long_stop_is_made_good, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let first = p.signing().await;

    p.clock.advance(Duration::from_secs(100 * DAY));
    p.identity.minute().await.unwrap();

    // The old key signs until the new one has been announced for a day.
    assert_eq!((p.published().await.len(), p.signing().await), (2, first.clone()));
    p.advance(DAY);
    assert_ne!(p.signing().await, first);
});

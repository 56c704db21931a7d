use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use testkit::db::TestDb;
use testkit::store_test;

use super::actors::{Caller, STOCK, shop_spec};
use super::platform::Platform;
use crate::MIGRATIONS;
use crate::clients::{AuthMethod, ClientSpec};

const INVALID_GRANT: (u16, &str) = (400, "invalid_grant");

fn refused(answer: &super::actors::Answer) {
    assert_eq!(answer.error(), (INVALID_GRANT.0, INVALID_GRANT.1.to_owned()));
}

store_test!(a_refresh_token_is_used_once_and_brings_its_successor, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let first = p.tokens(&m.shop, &m.alice, "openid orders_read").await;

    let second = p.refresh(&m.shop, &first.text("refresh_token")).await;

    assert_eq!(second.status, StatusCode::OK, "{}", second.body);
    assert_ne!(first.text("refresh_token"), second.text("refresh_token"));
    assert_eq!(second.text("scope"), "openid orders_read");
    for token in [first.text("access_token"), second.text("access_token")] {
        assert!(p.is_active(&m.orders, &token).await);
    }
    // OpenID Connect Core §12.2.
    let (before, after) = (
        p.verify(&first.text("id_token"), "JWT", "shop").await.claims,
        p.verify(&second.text("id_token"), "JWT", "shop").await.claims,
    );
    assert_eq!(
        (&before["sub"], &before["auth_time"], &before["azp"]),
        (&after["sub"], &after["auth_time"], &after["azp"])
    );
    assert!(!after.contains_key("nonce"));
});

store_test!(an_immediate_repeat_gets_the_same_successor, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let first = p.tokens(&m.shop, &m.alice, "orders_read").await.text("refresh_token");

    let second = p.refresh(&m.shop, &first).await.text("refresh_token");
    p.advance(10);
    let repeated = p.refresh(&m.shop, &first).await.text("refresh_token");

    assert_eq!(second, repeated);
    assert_eq!(p.refresh(&m.shop, &second).await.status, StatusCode::OK);
});

store_test!(a_late_repeat_revokes_the_grant, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let first = p.tokens(&m.shop, &m.alice, "orders_read").await;
    let second = p.refresh(&m.shop, &first.text("refresh_token")).await;

    p.clock.advance(Duration::from_millis(10_001));
    let late = p.refresh(&m.shop, &first.text("refresh_token")).await;

    refused(&late);
    refused(&p.refresh(&m.shop, &second.text("refresh_token")).await);
    assert!(!p.is_active(&m.orders, &second.text("access_token")).await);
});

store_test!(a_repeat_two_generations_back_revokes_at_once, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let first = p.tokens(&m.shop, &m.alice, "orders_read").await.text("refresh_token");
    let second = p.refresh(&m.shop, &first).await.text("refresh_token");
    let third = p.refresh(&m.shop, &second).await.text("refresh_token");

    refused(&p.refresh(&m.shop, &first).await);

    refused(&p.refresh(&m.shop, &third).await);
});

store_test!(another_clients_refresh_token_is_worth_nothing, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let other = p.client(&ClientSpec { client_id: "other".into(), ..shop_spec() }).await;
    let first = p.tokens(&m.shop, &m.alice, "orders_read").await.text("refresh_token");

    refused(&p.refresh(&other, &first).await);

    assert_eq!(p.refresh(&m.shop, &first).await.status, StatusCode::OK);
});

store_test!(of_50_parallel_refreshes_all_get_one_successor, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    let m = p.market().await;
    let first = p.tokens(&m.shop, &m.alice, "orders_read").await.text("refresh_token");
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (p, shop, token): (_, Caller, _) = (p.clone(), m.shop.clone(), first.clone());
            tokio::spawn(async move { p.refresh(&shop, &token).await.text("refresh_token") })
        })
        .collect();

    let mut successors = std::collections::BTreeSet::new();
    for task in tasks {
        successors.insert(task.await.unwrap());
    }

    assert_eq!(successors.len(), 1);
    let sql = "SELECT refresh_generation, refresh_replays FROM grants WHERE user_id IS NOT NULL";
    let row = p.identity.db.begin().read_one(sql, &[]).await.unwrap().unwrap();
    assert_eq!((row.int("refresh_generation").unwrap(), row.int("refresh_replays").unwrap()), (2, 49));
});

store_test!(a_generation_cannot_be_repeated_without_end, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let first = p.tokens(&m.shop, &m.alice, "orders_read").await.text("refresh_token");
    let second = p.refresh(&m.shop, &first).await.text("refresh_token");
    let mut tx = p.identity.db.begin();
    tx.execute("UPDATE grants SET refresh_replays = 100", &[]).await.unwrap();
    tx.commit().await.unwrap();

    refused(&p.refresh(&m.shop, &first).await);

    assert_eq!(p.refresh(&m.shop, &second).await.status, StatusCode::OK);
});

store_test!(scopes_are_narrowed_for_one_token_and_never_widened, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let first = p.tokens(&m.shop, &m.alice, "orders_read stock_read").await.text("refresh_token");
    let ask = async |token: &str, scope: &str| {
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
        p.post_as(&m.shop, "/token", &parameters).await
    };

    let wider = ask(&first, "orders_read email").await;
    let narrow = ask(&first, "stock_read").await;
    let whole = p.refresh(&m.shop, &narrow.text("refresh_token")).await;

    assert_eq!(wider.error(), (400, "invalid_scope".to_owned()));
    assert_eq!(narrow.text("scope"), "stock_read");
    assert!(!p.is_active(&m.orders, &narrow.text("access_token")).await);
    assert_eq!(whole.text("scope"), "orders_read stock_read");
});

store_test!(what_the_client_lost_is_not_refreshed, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let tokens = p.tokens(&m.shop, &m.alice, "orders_read stock_read").await;

    let scopes = base::scope::Scopes::parse("stock_read").unwrap();
    p.apply(&ClientSpec { scopes, ..shop_spec() }).await;

    assert!(!p.is_active(&m.stock, &tokens.text("access_token")).await);
    let after = p.refresh(&m.shop, &tokens.text("refresh_token")).await;
    assert_eq!(after.text("scope"), "stock_read");
});

store_test!(an_idle_refresh_token_dies, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let idle = p.identity.config.lifetimes.refresh_idle;
    let first = p.tokens(&m.shop, &m.alice, "orders_read").await.text("refresh_token");
    p.clock.advance(idle - Duration::from_secs(1));
    let second = p.refresh(&m.shop, &first).await.text("refresh_token");

    p.clock.advance(idle);

    refused(&p.refresh(&m.shop, &second).await);
});

store_test!(no_refresh_goes_beyond_the_grant, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let lifetimes = p.identity.config.lifetimes;
    let mut token = p.tokens(&m.shop, &m.alice, "orders_read").await.text("refresh_token");
    for _ in 0..3 {
        p.clock.advance(lifetimes.grant / 3 - Duration::from_secs(20));
        token = p.refresh(&m.shop, &token).await.text("refresh_token");
    }

    let last = p.refresh(&m.shop, &token).await;
    p.advance(60);
    let over = p.refresh(&m.shop, &last.text("refresh_token")).await;

    assert_eq!(last.json()["expires_in"], 60);
    refused(&over);
});

store_test!(public_clients_rotate_too, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let spec = ClientSpec { client_id: "spa".into(), token_endpoint_auth_method: AuthMethod::None, ..shop_spec() };
    let spa = p.client(&spec).await;
    let first = p.tokens(&spa, &m.alice, "orders_read").await.text("refresh_token");

    let second = p.refresh(&spa, &first).await.text("refresh_token");
    p.advance(11);
    let stolen = p.refresh(&spa, &first).await;

    refused(&stolen);
    refused(&p.refresh(&spa, &second).await);
});

store_test!(a_disabled_user_is_refreshed_no_more, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let tokens = p.tokens(&m.shop, &m.alice, "orders_read").await;
    let mut tx = p.identity.db.begin();
    tx.execute("UPDATE users SET disabled_at = 1", &[]).await.unwrap();
    tx.commit().await.unwrap();

    refused(&p.refresh(&m.shop, &tokens.text("refresh_token")).await);
    assert!(!p.is_active(&m.orders, &tokens.text("access_token")).await);
});

store_test!(an_audience_that_the_client_lost_is_not_refreshed, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let files = "https://files.internal";
    let with = ClientSpec { audiences: crate::scopes::Audiences::one(files), ..shop_spec() };
    p.apply(&with).await;
    let mut cx = p.cx();
    let client = crate::clients::find(&mut cx, &"shop".into()).await.unwrap().unwrap();
    let asked = base::scope::Scopes::parse("stock_read").unwrap();
    let both = [STOCK.to_owned(), files.to_owned()];
    let resolved = crate::scopes::resolve(&cx, &client, Some(&asked), &both).await.unwrap();
    assert_eq!(resolved.audiences.len(), 2);
    let first = p.tokens(&m.shop, &m.alice, "stock_read").await.text("refresh_token");
    let mut tx = p.identity.db.begin();
    let sql = "UPDATE grants SET audiences = $1 WHERE audiences = $2";
    let values = store::params![resolved.audiences.to_string(), STOCK];
    assert_eq!(tx.execute(sql, &values).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let guard = ClientSpec { introspect: crate::scopes::Audiences::one(files), ..ClientSpec::named("files") };
    let guard = p.client(&guard).await;
    let second = p.refresh(&m.shop, &first).await;
    assert!(p.is_active(&guard, &second.text("access_token")).await);

    p.apply(&shop_spec()).await;
    let third = p.refresh(&m.shop, &second.text("refresh_token")).await;

    assert!(p.is_active(&m.stock, &third.text("access_token")).await, "{}", third.body);
    assert!(!p.is_active(&guard, &third.text("access_token")).await);
    let parameters =
        [("grant_type", "refresh_token"), ("refresh_token", &third.text("refresh_token")), ("resource", files)];
    assert_eq!(p.post_as(&m.shop, "/token", &parameters).await.error(), (400, "invalid_target".to_owned()));
});

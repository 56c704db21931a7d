//! Token exchange (RFC 8693): what it may and may not come to.

use std::sync::Arc;

use base::event::Revoked;
use base::scope::Scopes;
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::actors::{Answer, Caller, Market, ORDERS, STOCK};
use super::platform::{ISSUER, Platform};
use crate::clients::{self, ClientSpec, GrantType};
use crate::scopes::Audiences;
use crate::{MIGRATIONS, grants};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn relay_spec(id: &str) -> ClientSpec {
    ClientSpec {
        grant_types: vec![GrantType::TokenExchange, GrantType::ClientCredentials],
        introspect: [ORDERS, STOCK].into_iter().collect(),
        ..ClientSpec::named(id)
    }
}

async fn ask(p: &Platform, by: &Caller, token: &str, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![("grant_type", GRANT), ("subject_token", token)];
    if !more.iter().any(|(name, _)| *name == "subject_token_type") {
        form.push(("subject_token_type", ACCESS));
    }
    form.extend_from_slice(more);
    p.post_as(by, "/token", &form).await
}

/// The market, a client that exchanges, and a token of Alice for orders and stock.
async fn world(p: &Platform) -> (Market, Caller, String) {
    let m = p.market().await;
    let relay = p.client(&relay_spec("relay")).await;
    let token = p.tokens(&m.shop, &m.alice, "openid orders_read stock_read").await.text("access_token");
    (m, relay, token)
}

async fn inner(p: &Platform, by: &Caller, token: &str, audience: &str) -> String {
    let form = [("token", token), ("resource", audience)];
    let answer = p.post_accepting(by, "/introspect", "application/jwt", &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

store_test!(a_token_is_exchanged_for_one_with_fewer_rights, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (m, relay, token) = world(&p).await;

    let less = ask(&p, &relay, &token, &[("audience", STOCK), ("scope", "stock_read")]).await;

    assert_eq!(less.status, 200, "{}", less.body);
    let shown = less.json();
    assert_eq!((&shown["issued_token_type"], &shown["token_type"]), (&json!(ACCESS), &json!("Bearer")));
    assert!(shown.get("refresh_token").is_none() && shown.get("id_token").is_none());
    let less = less.text("access_token");
    assert!(less.starts_with("cat_"));
    let told = p.introspect(&m.stock, &less).await;
    assert_eq!(told["sub"], json!(m.alice));
    assert_eq!((&told["client_id"], &told["act"]), (&json!("relay"), &json!({"sub": "relay"})));
    assert_eq!((&told["aud"], &told["scope"]), (&json!(STOCK), &json!("stock_read")));
    assert!(!p.is_active(&m.orders, &less).await, "nobody else's");
    assert!(p.is_active(&m.orders, &token).await, "the one before is as it was");
    // Without a word about it, it is as much as may be passed on; the login is not.
    let all = ask(&p, &relay, &token, &[]).await;
    assert_eq!(all.text("scope"), "orders_read stock_read");
    let fewer = ask(&p, &relay, &token, &[("scope", "stock_read")]).await.text("access_token");
    assert!(!p.is_active(&m.orders, &fewer).await && p.is_active(&m.stock, &fewer).await);
    let userinfo = p.get("/userinfo", &[("authorization", &format!("Bearer {less}"))]).await;
    assert_eq!(userinfo.status, 403);
});

store_test!(nothing_becomes_wider, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (_, relay, token) = world(&p).await;
    p.scope(json!({"name": "bills_read", "audience": "https://bills.internal"})).await;
    let narrow = ask(&p, &relay, &token, &[("audience", STOCK)]).await.text("access_token");
    let orders_only = ClientSpec { introspect: Audiences::one(ORDERS), ..relay_spec("orders-only") };
    let orders_only = p.client(&orders_only).await;

    for (by, token, more, error) in [
        (&relay, &token, vec![("audience", "https://bills.internal")], "invalid_target"),
        (&relay, &token, vec![("resource", ISSUER)], "invalid_target"),
        (&relay, &token, vec![("scope", "bills_read")], "invalid_scope"),
        (&relay, &token, vec![("scope", "openid")], "invalid_scope"),
        (&relay, &token, vec![("scope", "client.register")], "invalid_scope"),
        (&relay, &token, vec![("audience", STOCK), ("scope", "orders_read")], "invalid_scope"),
        // What was narrowed stays so.
        (&relay, &narrow, vec![("audience", ORDERS)], "invalid_target"),
        (&relay, &narrow, vec![("scope", "orders_read")], "invalid_scope"),
        // The client's own reach counts, too.
        (&orders_only, &token, vec![("audience", STOCK)], "invalid_target"),
        (&orders_only, &token, vec![("scope", "stock_read")], "invalid_scope"),
    ] {
        let answer = ask(&p, by, token, &more).await;
        assert_eq!(answer.error(), (400, error.to_owned()), "{more:?}");
    }
    let only = ask(&p, &orders_only, &token, &[]).await;
    assert_eq!(only.text("scope"), "orders_read", "{}", only.body);
});

store_test!(only_who_may_exchanges_what_is_his_to_exchange, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (m, relay, token) = world(&p).await;
    let answer = p.tokens(&m.shop, &m.alice, "openid stock_read").await;
    let stranger = ClientSpec { introspect: Audiences::one("https://bills.internal"), ..relay_spec("stranger") };
    let stranger = p.client(&ClientSpec { audiences: Audiences::one(STOCK), ..stranger }).await;
    let jwt = inner(&p, &m.gateway, &token, ORDERS).await;
    let refused = |answer: &Answer| assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{}", answer.body);

    // The grant type, and a token that was meant for the client.
    assert_eq!(ask(&p, &m.gateway, &token, &[]).await.error().1, "unauthorized_client");
    refused(&ask(&p, &stranger, &token, &[("audience", STOCK)]).await);
    refused(&ask(&p, &stranger, &jwt, &[("audience", STOCK)]).await);
    for wrong in [
        "nonsense".to_owned(),
        answer.text("refresh_token"),
        answer.text("id_token"),
        format!("{token}x"),
        format!("{jwt}x"),
    ] {
        refused(&ask(&p, &relay, &wrong, &[]).await);
    }
    for more in [
        [("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token")],
        [("requested_token_type", "urn:ietf:params:oauth:token-type:id_token")],
        [("actor_token_type", ACCESS)],
        [("actor_token", token.as_str())],
    ] {
        refused(&ask(&p, &relay, &token, &more).await);
    }
    // Without any inside of its own nobody gets a JWT for it, and who cannot show who he is gets nothing.
    let shop = ClientSpec {
        grant_types: vec![GrantType::TokenExchange],
        scopes: Scopes::parse("stock_read").unwrap(),
        ..ClientSpec::named("plain")
    };
    let plain = p.client(&shop).await;
    assert_eq!(ask(&p, &plain, &token, &[("requested_token_type", JWT)]).await.error().1, "unauthorized_client");
    let public = ClientSpec { token_endpoint_auth_method: clients::AuthMethod::None, ..shop };
    assert!(clients::apply(&mut p.cx(), &public).await.is_err());
    // A token that has ended is none, and none comes of it.
    p.advance(16 * 60);
    refused(&ask(&p, &relay, &token, &[]).await);
    refused(&ask(&p, &relay, &jwt, &[]).await);
});

store_test!(a_service_exchanges_the_jwt_it_has_received, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (m, relay, token) = world(&p).await;
    let service =
        ClientSpec { introspect: Audiences::one(ORDERS), audiences: Audiences::one(STOCK), ..relay_spec("service") };
    let service = p.client(&service).await;
    p.advance(14 * 60);
    let jwt = inner(&p, &m.gateway, &token, ORDERS).await;

    for token_type in [ACCESS, JWT] {
        let more = [("subject_token_type", token_type), ("audience", STOCK), ("requested_token_type", JWT)];
        let got = ask(&p, &service, &jwt, &more).await;

        assert_eq!(got.status, 200, "{}", got.body);
        assert_eq!(got.json()["issued_token_type"], JWT);
        assert!(got.json()["expires_in"].as_u64().unwrap() <= 60, "no longer than the token has left: {}", got.body);
        let got = got.text("access_token");
        let verified = p.verify(&got, "at+jwt", STOCK).await;
        assert_eq!((verified.text("token_use"), verified.text("scope")), (Some("inner"), Some("stock_read")));
        assert_eq!(
            (verified.text("sub"), verified.claims["act"].clone()),
            (Some(m.alice.as_str()), json!({"sub": "service"}))
        );
        // It is for the inside: no token at any endpoint.
        assert!(!p.is_active(&m.stock, &got).await);
        assert_eq!(p.get("/userinfo", &[("authorization", &format!("Bearer {got}"))]).await.status, 401);
        // The next service may go on with it, and who came before is still told.
        let next = ask(&p, &m_next(&p).await, &got, &[("audience", STOCK), ("requested_token_type", JWT)]).await;
        let verified = p.verify(&next.text("access_token"), "at+jwt", STOCK).await;
        assert_eq!(verified.claims["act"], json!({"sub": "next", "act": {"sub": "service"}}));
    }
    let several = [("requested_token_type", JWT)];
    assert_eq!(ask(&p, &relay, &token, &several).await.error().1, "invalid_target", "a JWT is for one audience");
});

async fn m_next(p: &Platform) -> Caller {
    p.apply(&ClientSpec { introspect: Audiences::one(STOCK), ..relay_spec("next") }).await;
    let secret = p.secret_of("next").await;
    Caller { id: "next".to_owned(), secret: Some(secret) }
}

store_test!(of_a_clients_own_token_the_client_stays_the_subject, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (m, relay, _) = world(&p).await;
    let next = p.client(&relay_spec("next")).await;
    let form = [("grant_type", "client_credentials"), ("scope", "stock_read")];
    let own = p.post_as(&m.robot, "/token", &form).await.text("access_token");

    let first = ask(&p, &relay, &own, &[("audience", STOCK)]).await.text("access_token");
    let second = ask(&p, &next, &first, &[("audience", STOCK)]).await.text("access_token");

    for (token, client, act) in
        [(&first, "relay", json!({"sub": "relay"})), (&second, "next", json!({"sub": "next", "act": {"sub": "relay"}}))]
    {
        let told = p.introspect(&m.stock, token).await;
        assert_eq!((&told["sub"], &told["client_id"], &told["act"]), (&json!("robot"), &json!(client), &act));
        assert_eq!(told["sub_kind"], "client", "no person of that name");
        let inner = p.verify(&inner(&p, &m.gateway, token, STOCK).await, "at+jwt", STOCK).await;
        assert_eq!((inner.text("sub"), inner.text("sub_kind")), (Some("robot"), Some("client")));
    }
    let told = p.introspect(&m.stock, &own).await;
    assert_eq!((&told["sub"], told.get("sub_kind")), (&json!("robot"), None));
});

store_test!(the_actor_is_who_acts, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (m, relay, token) = world(&p).await;
    let own = relay_spec("relay");
    p.apply(&ClientSpec { scopes: Scopes::parse("stock_read").unwrap(), ..own }).await;
    let form = [("grant_type", "client_credentials"), ("scope", "stock_read")];
    let actor = p.post_as(&relay, "/token", &form).await.text("access_token");
    let with = |actor: &str| {
        let (p, relay, token, actor) = (&p, relay.clone(), token.clone(), actor.to_owned());
        async move {
            ask(p, &relay, &token, &[("audience", STOCK), ("actor_token", &actor), ("actor_token_type", ACCESS)]).await
        }
    };

    let mut got = with(&actor).await;
    assert_eq!(got.status, 200, "{}", got.body);
    let told = p.introspect(&m.stock, &got.text("access_token")).await;
    assert_eq!(told["act"], json!({"sub": "relay", "client_id": "relay"}));
    // Nobody acts as the one whose token he happens to have.
    let robot = p.post_as(&m.robot, "/token", &form).await.text("access_token");
    assert_eq!(with(&robot).await.error().1, "invalid_request");
    assert_eq!(with("nonsense").await.error().1, "invalid_request");
    // Five may stand behind each other, and not six.
    for depth in 2..=5 {
        got = ask(&p, &relay, &got.text("access_token"), &[]).await;
        assert_eq!(got.status, 200, "{depth}: {}", got.body);
    }
    assert_eq!(ask(&p, &relay, &got.text("access_token"), &[]).await.error().1, "invalid_request");
});

store_test!(
    a_token_that_is_revoked_takes_along_what_came_of_it_and_nothing_else,
    MIGRATIONS,
    |db: TestDb| async move {
        let p = Platform::on(db).await;
        let (m, relay, token) = world(&p).await;
        let next = p.client(&relay_spec("next")).await;
        let jwt = inner(&p, &m.gateway, &token, STOCK).await;
        let child = ask(&p, &relay, &token, &[]).await.text("access_token");
        let of_inner = ask(&p, &relay, &jwt, &[("subject_token_type", JWT)]).await.text("access_token");
        let grandchild = ask(&p, &next, &child, &[]).await.text("access_token");
        let great = ask(&p, &relay, &grandchild, &[]).await.text("access_token");
        let mut below = Vec::new();
        for token in [&child, &of_inner, &grandchild, &great] {
            let seen = p.introspect(&m.stock, token).await;
            assert_eq!(seen["active"], true, "{seen}");
            below.push((token, Revoked::Grant(seen["grant_id"].as_str().unwrap().to_owned())));
        }
        // Another token of the same grant, and what came of that.
        let refreshed = p.tokens(&m.shop, &m.alice, "openid orders_read stock_read").await.text("access_token");
        let sibling = ask(&p, &relay, &refreshed, &[]).await.text("access_token");

        assert_eq!(p.post_as(&m.robot, "/revoke", &[("token", &token)]).await.status, 200);
        assert!(p.is_active(&m.stock, &great).await, "it was another's token");
        assert_eq!(p.post_as(&m.shop, "/revoke", &[("token", &token)]).await.status, 200);

        let events = told(&p).await;
        for (token, event) in &below {
            assert!(!p.is_active(&m.stock, token).await);
            assert!(events.contains(event), "gateways hear of it by a name that they know: {event:?} in {events:?}");
        }
        assert!(p.is_active(&m.stock, &refreshed).await && p.is_active(&m.stock, &sibling).await);
        assert_eq!(ask(&p, &relay, &token, &[]).await.error().0, 400, "nothing more comes of it");
        assert_eq!(ask(&p, &relay, &jwt, &[("subject_token_type", JWT)]).await.error().0, 400);
        assert_eq!(ask(&p, &relay, &child, &[]).await.error().0, 400);

        // In the middle: what stands above it stays.
        let child = ask(&p, &relay, &refreshed, &[]).await.text("access_token");
        let grandchild = ask(&p, &next, &child, &[]).await.text("access_token");
        assert_eq!(p.post_as(&relay, "/revoke", &[("token", &child)]).await.status, 200);
        assert!(!p.is_active(&m.stock, &child).await && !p.is_active(&m.stock, &grandchild).await);
        assert!(p.is_active(&m.stock, &refreshed).await);
    }
);

/// The grants that events name, newest first.
async fn told(p: &Platform) -> Vec<Revoked> {
    let rows =
        p.identity.db.begin().read("SELECT subject FROM events ORDER BY seq DESC", &store::params![]).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row.text("subject").unwrap()).unwrap()).collect()
}

store_test!(what_ends_the_first_token_ends_all_that_came_of_it, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let relay = p.client(&relay_spec("relay")).await;
    for act in ["revoke", "suspend", "disable", "narrow", "user", "delete"] {
        let token = p.tokens(&m.shop, &m.alice, "stock_read").await.text("access_token");
        let child = ask(&p, &relay, &token, &[]).await.text("access_token");
        let grandchild = ask(&p, &relay, &child, &[]).await.text("access_token");
        let other = p.tokens(&m.shop, &m.alice, "stock_read").await.text("access_token");
        let seen = p.introspect(&m.stock, &grandchild).await;
        assert_eq!(seen["active"], true, "{act}: {seen}");
        let grant = p.introspect(&m.stock, &token).await["grant_id"].as_str().unwrap().to_owned();
        let shop = "shop".into();

        let mut cx = p.cx();
        let spec = clients::find(&mut cx, &shop).await.unwrap().unwrap().spec;
        let changed = match act {
            "revoke" => grants::revoke(&mut cx, &grant.as_str().into(), "test").await.unwrap(),
            "suspend" => clients::suspend(&mut cx, &shop).await.unwrap(),
            "disable" => clients::disable(&mut cx, &shop).await.unwrap(),
            "narrow" => {
                let scopes = spec.scopes.without(&Scopes::parse("orders_read").unwrap());
                clients::apply(&mut cx, &ClientSpec { scopes, ..spec.clone() }).await.is_ok()
            }
            "user" => crate::accounts::disable(&mut cx, &m.alice).await.is_ok(),
            _ => clients::delete(&mut cx, &shop).await.unwrap(),
        };
        cx.commit().await.unwrap();

        assert!(changed, "{act}");
        for dead in [&token, &child, &grandchild] {
            assert!(!p.is_active(&m.stock, dead).await, "{act}");
        }
        assert_eq!(ask(&p, &relay, &child, &[]).await.error().0, 400, "{act}: nothing more comes of it");
        // A gateway that has cached one hears of it by a name that it knows.
        let names = [Revoked::Grant(seen["grant_id"].as_str().unwrap().to_owned()), Revoked::User(m.alice.to_string())];
        let events = told(&p).await;
        assert!(events.iter().take(12).any(|event| names.contains(event)), "{act}: {events:?}");
        assert_eq!(p.is_active(&m.stock, &other).await, act == "revoke", "{act}");
        // As it was, for the next one.
        let mut cx = p.cx();
        match act {
            "suspend" => drop(clients::resume(&mut cx, &shop).await.unwrap()),
            "disable" => drop(clients::enable(&mut cx, &shop).await.unwrap()),
            "narrow" => drop(clients::apply(&mut cx, &spec).await.unwrap()),
            "user" => crate::accounts::enable(&mut cx, &m.alice).await.map(drop).unwrap(),
            _ => {}
        }
        cx.commit().await.unwrap();
    }
});

store_test!(a_revocation_in_the_middle_of_exchanges_misses_none, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    let (m, relay, token) = world(&p).await;
    let grant = p.introspect(&m.stock, &token).await["grant_id"].as_str().unwrap().to_owned();
    let tasks: Vec<_> = (0..30)
        .map(|n| {
            let (p, relay, token, grant) = (p.clone(), relay.clone(), token.clone(), grant.clone());
            tokio::spawn(async move {
                if n == 15 {
                    let mut cx = p.cx();
                    grants::revoke(&mut cx, &grant.as_str().into(), "test").await.unwrap();
                    cx.commit().await.unwrap();
                    return None;
                }
                let scope = if n % 2 == 0 { "stock_read" } else { "orders_read stock_read" };
                let answer = ask(&p, &relay, &token, &[("scope", scope)]).await;
                (answer.status == 200).then(|| answer.text("access_token"))
            })
        })
        .collect();

    let mut got = Vec::new();
    for task in tasks {
        got.extend(task.await.unwrap());
    }

    for token in got {
        let told = p.introspect(&m.stock, &token).await;
        assert_eq!(told["active"], false, "{told}");
    }
    let sql = "SELECT grant_id FROM grants WHERE parent_grant_id IS NOT NULL AND revoked_at IS NULL";
    assert!(p.identity.db.begin().read(sql, &store::params![]).await.unwrap().is_empty(), "each has its event");
});

store_test!(an_exchange_is_no_application_on_the_persons_page, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (m, relay, token) = world(&p).await;
    ask(&p, &relay, &token, &[]).await;
    ask(&p, &relay, &token, &[]).await;

    let shown = grants::list_of_user(&mut p.cx(), &m.alice).await.unwrap();
    let of_relay = grants::list_of_client(&mut p.cx(), &"relay".into()).await.unwrap();

    assert!(shown.iter().all(|grant| grant.client_id.as_str() == "shop"), "{shown:?}");
    assert_eq!(of_relay.len(), 1, "the same exchange has the same row");
    let audited = p
        .identity
        .db
        .begin()
        .read("SELECT detail FROM audit_records WHERE act = 'token.exchanged'", &store::params![])
        .await
        .unwrap();
    assert!(audited.len() == 2 && audited[0].text("detail").unwrap().contains("relay"));
});

use http::Method;
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::{application, caller, portal_spec, with};
use crate::MIGRATIONS;
use crate::clients::ClientSpec;
use crate::register::Policy;
use crate::tests::actors::{ORDERS, STOCK};
use crate::tests::platform::{ISSUER, Platform, config};

store_test!(a_registered_application_works_at_once, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;

    let app = p.app(&portal).await;

    let shown = app.json();
    let uri = format!("{ISSUER}/register/{}", app.text("client_id"));
    assert_eq!((&shown["registration_client_uri"], &shown["client_secret_expires_at"]), (&json!(uri), &json!(0)));
    assert_eq!(shown["client_id_issued_at"], json!(p.identity.clock.now().seconds()));
    assert_eq!(app.header("cache-control"), "no-store");
    for (name, value) in application().as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name} is given back");
    }
    assert_eq!(
        (&shown["response_types"], &shown["token_endpoint_auth_method"]),
        (&json!(["code"]), &json!("client_secret_basic"))
    );
    let form = [("grant_type", "client_credentials"), ("scope", "stock_read")];
    let token = p.post_as(&caller(&app), "/token", &form).await.text("access_token");
    assert!(p.is_active(&m.stock, &token).await);
});

store_test!(who_is_no_registrar_registers_nothing, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let spec = ClientSpec { scopes: base::scope::Scopes::parse("stock_read").unwrap(), ..portal_spec("portal") };
    let portal = p.portal(&spec).await;
    let token = async |scope: &str| {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        p.post_as(&portal.caller, "/token", &form).await.text("access_token")
    };
    // The last one is good for a resource server, too, which could pass it on.
    let others = [token("stock_read").await, token("client.register stock_read").await];
    let user = p.tokens(&m.shop, &m.alice, "openid").await.text("access_token");
    let app = p.app(&portal).await.text("registration_access_token");

    for wrong in ["", "nonsense", "cia_nonsense", &others[0], &others[1], &user, &app] {
        let answer = p.register(wrong, &application()).await;
        assert_eq!(answer.error(), (401, "invalid_token".to_owned()), "{wrong}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{wrong}");
        let listed = p.json(Method::GET, "/register", wrong, &[], &json!({})).await;
        assert_eq!(listed.error().0, 401, "{wrong}");
    }
    // Nobody else gets such a token, …
    let form = [("grant_type", "client_credentials"), ("scope", "client.register")];
    assert_eq!(p.post_as(&m.robot, "/token", &form).await.error(), (400, "invalid_scope".to_owned()));
    // … nobody gets it without asking for it, …
    let silent = p.post_as(&portal.caller, "/token", &[("grant_type", "client_credentials")]).await;
    assert_eq!(silent.text("scope"), "stock_read");
    // … and who is registrar no more has none.
    p.apply(&ClientSpec { registrar: false, registration: None, ..spec }).await;
    assert_eq!(p.register(&portal.token, &application()).await.error().0, 401);
});

store_test!(registration_is_open_only_where_the_operator_says_so, MIGRATIONS, |db: TestDb| async move {
    let mut config = config(&db, "a");
    config.open_registration = Some(Policy { max_clients: 2, ..Policy::default() });
    let p = Platform::with(db, config).await;
    p.market().await;
    let body = json!({"redirect_uris": ["https://weather.example/callback"]});

    let app = p.register("", &body).await;

    assert_eq!(app.status, 201, "{}", app.body);
    assert_eq!(app.json()["grant_types"], json!(["authorization_code"]));
    assert_eq!(app.text("scope"), "email offline_access openid profile");
    // A key would be anybody's: who sends the same gets nobody's secret.
    assert_eq!(p.register_once("", "app-1", &body).await.error(), (400, "invalid_request".to_owned()));
    // A wrong token is not as good as none; no more is had than the policy gives.
    assert_eq!(p.register("nonsense", &body).await.error().0, 401);
    assert_eq!(p.register("", &application()).await.error(), (400, "invalid_client_metadata".to_owned()));
    assert_eq!(p.register("", &body).await.status, 201);
    assert_eq!(p.register("", &body).await.error(), (403, "access_denied".to_owned()));
    assert_eq!(p.json(Method::GET, "/register", "", &[], &json!({})).await.error().0, 401);
});

store_test!(a_wrong_request_is_refused_and_says_why, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let redirect = |uri: &str| with("redirect_uris", json!([uri]));
    let key = json!({"kty": "oct", "k": "c2VjcmV0"});

    for (body, member) in [
        (redirect("http://weather.example/callback"), "redirect_uris"),
        (redirect("https://weather.example/callback#x"), "redirect_uris"),
        (redirect("javascript:alert(1)"), "redirect_uris"),
        (redirect("https://*.weather.example/"), "redirect_uris"),
        (with("redirect_uris", json!([])), "redirect_uris"),
        (with("redirect_uris", json!("https://weather.example/callback")), "redirect_uris"),
    ] {
        let answer = p.register(&portal.token, &body).await;
        assert_eq!(answer.error(), (400, "invalid_redirect_uri".to_owned()), "{body}");
        assert!(answer.text("error_description").contains(member), "{}", answer.body);
    }
    for (name, value) in [
        ("grant_types", json!(["implicit"])),
        ("grant_types", json!("authorization_code")),
        ("grant_types", json!(["refresh_token"])),
        ("response_types", json!(["token"])),
        ("response_types", json!(["code", "id_token"])),
        ("response_types", json!([])),
        ("token_endpoint_auth_method", json!("client_secret_jwt")),
        ("token_endpoint_auth_method", json!("tls_client_auth")),
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("scope", json!("openid orders_write")),
        ("scope", json!("client.register")),
        ("scope", json!("*")),
        ("scope", json!("open\"id")),
        ("resources", json!([STOCK])),
        ("resources", json!([ISSUER])),
        ("resources", json!(ORDERS)),
        ("client_name", json!(7)),
        ("client_name", json!("a\u{0}b")),
        // Read as `Bank` by people.
        ("client_name", json!("\u{202e}knaB")),
        ("client_name", json!("Ba\u{200b}nk")),
        ("client_name", json!("x".repeat(201))),
        ("logo_uri", json!("javascript:alert(1)")),
        ("tos_uri", json!("not an address")),
        ("contacts", json!("a@example.org")),
        ("application_type", json!("spa")),
        ("subject_type", json!("pairwise")),
        ("dpop_bound_access_tokens", json!(true)),
        ("require_pushed_authorization_requests", json!(true)),
        ("id_token_signed_response_alg", json!("none")),
        ("id_token_signed_response_alg", json!("HS256")),
        ("jwks", json!({"keys": [key]})),
        ("jwks", json!("keys")),
        ("jwks_uri", json!("http://weather.example/jwks")),
        ("jwks_uri", json!("file:///etc/passwd")),
    ] {
        let answer = p.register(&portal.token, &with(name, value.clone())).await;
        assert_eq!(answer.error(), (400, "invalid_client_metadata".to_owned()), "{name} {value}");
        let said = answer.text("error_description");
        assert!(!said.contains("etc/passwd") && !said.contains("alert"), "{said}");
    }
    let listed = p.json(Method::GET, "/register", &portal.token, &[], &json!({})).await;
    assert_eq!(listed.json()["clients"], json!([]), "nothing has been registered");
});

store_test!(what_is_not_understood_is_ignored_and_what_is_only_text_is_kept, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let mut body = application();
    body["client_name#de"] = json!("Wetter");
    body["client_uri"] = json!("https://weather.example/");
    body["contacts"] = json!(["ops@weather.example"]);
    body["introspect"] = json!([ORDERS]);
    body["registrar"] = json!(true);
    body["consent"] = json!("implicit");
    body["client_id"] = json!("chosen");
    body["client_secret"] = json!("chosen");
    body["tos_uri"] = json!(null);
    body["dpop_bound_access_tokens"] = json!(false);

    let app = p.register(&portal.token, &body).await;

    let shown = app.json();
    assert_eq!(app.status, 201, "{}", app.body);
    for kept in ["client_name#de", "client_uri", "contacts"] {
        assert_eq!(shown[kept], body[kept]);
    }
    for ignored in ["introspect", "registrar", "consent", "tos_uri"] {
        assert!(shown.get(ignored).is_none(), "{ignored}");
    }
    assert!(app.text("client_id") != "chosen" && app.text("client_secret") != "chosen");
    let client = crate::clients::find(&mut p.cx(), &app.text("client_id").as_str().into()).await.unwrap().unwrap();
    assert!(!client.spec.registrar && client.spec.introspect.is_empty());
    assert_eq!(client.spec.consent, crate::clients::Consent::Required);
});

store_test!(the_body_is_json_and_says_so, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let bearer = format!("Bearer {}", portal.token);

    let form = p.post("/register", &[("authorization", &bearer)], &[("client_name", "x")]).await;
    let list = p.register(&portal.token, &json!([application()])).await;
    let large = p.register(&portal.token, &with("contacts", json!(["x".repeat(70_000)]))).await;

    assert_eq!(form.error(), (400, "invalid_request".to_owned()));
    assert_eq!(list.error(), (400, "invalid_request".to_owned()));
    assert_eq!(large.status, 413);
});

use testkit::Browser;
use testkit::db::TestDb;
use testkit::store_test;

use crate::MIGRATIONS;
use crate::clients::{ApplicationType, AuthMethod, ClientSpec, Consent, GrantType};
use crate::router;
use crate::tests::people::{CALLBACK, CHALLENGE, PASSWORD, World, fill_in, request, shop, sign_in};
use crate::tests::platform::ISSUER;

store_test!(a_person_logs_in_consents_and_the_client_gets_a_code, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.browser.another();

    let page = browser.get(&request(&[])).await;
    assert_eq!(page.text("h1"), "Sign in");
    let page = fill_in(&mut browser, &page, "alice", PASSWORD).await;
    assert_eq!(page.text("h1"), "The <b>Shop</b> asks for access");
    let page = browser.submit(&page, "consent", &[("action", "allow")]).await;

    assert!(page.url.starts_with(&format!("{CALLBACK}?")), "{}", page.url);
    assert!(page.parameter("code").unwrap().starts_with("cac_"));
    assert_eq!(page.parameter("state").as_deref(), Some("st&te"));
    assert_eq!(page.parameter("iss").as_deref(), Some(ISSUER));
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(page.header("cache-control"), "no-store");
    let mut tx = w.p.identity.db.begin();
    let sql = "SELECT user_id, scopes, acr, amr, nonce, session_id FROM grants";
    let grant = tx.read_one(sql, &store::params![]).await.unwrap().unwrap();
    assert_eq!(grant.text("user_id").unwrap(), w.alice.as_str());
    assert_eq!(grant.text("scopes").unwrap(), "openid profile");
    assert_eq!((grant.text("amr").unwrap(), grant.text("nonce").unwrap()), ("pwd", "n-1"));
    assert!(grant.opt_text("session_id").unwrap().is_some());
    let acts = w.acts().await;
    assert_eq!(&acts[..3], ["grant.opened", "consent.given", "login.succeeded"]);
});

store_test!(who_is_signed_in_and_has_consented_sees_no_page, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;

    for url in [request(&[]), request(&[("prompt", "none")]), request(&[("scope", "openid")])] {
        let page = browser.get_once(&url).await;
        assert!(page.location().unwrap().starts_with(CALLBACK) && page.location().unwrap().contains("code=cac_"));
    }
    // More than was allowed is asked for.
    let page = browser.get(&request(&[("scope", "openid profile email")])).await;
    assert!(page.text("h1").ends_with("asks for access"));
});

store_test!(an_operators_own_client_asks_nobody, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    w.p.apply(&ClientSpec { consent: Consent::Implicit, ..shop() }).await;
    let mut browser = w.signed_in().await;

    let page = browser.get(&request(&[])).await;
    assert!(page.parameter("code").is_some(), "{}", page.url);
    let page = browser.get(&request(&[("prompt", "consent")])).await;
    assert!(page.text("h1").ends_with("asks for access"));
});

// One parameter of a good request is wrong; the client is told so, with `state` and `iss`.
store_test!(a_wrong_parameter_has_its_error, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.browser.another();
    let long = "x".repeat(5000);
    let cases: &[(&str, &str, &str)] = &[
        ("response_type", "", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "code id_token", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge", &CHALLENGE.replace('-', "+"), "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "s256", "invalid_request"),
        ("scope", "openid admin", "invalid_scope"),
        ("scope", "open\"id", "invalid_scope"),
        ("resource", "https://other.example", "invalid_target"),
        ("prompt", "none login", "invalid_request"),
        ("prompt", "maybe", "invalid_request"),
        ("prompt", "none", "login_required"),
        ("max_age", "-1", "invalid_request"),
        ("max_age", "1.5", "invalid_request"),
        ("max_age", "soon", "invalid_request"),
        ("id_token_hint", "eyJ.x.y", "invalid_request"),
        ("nonce", &long, "invalid_request"),
        ("request", "eyJ", "request_not_supported"),
        ("request_uri", "https://shop.example/r", "request_uri_not_supported"),
        ("registration", "{}", "registration_not_supported"),
    ];
    for (name, value, error) in cases {
        let page = browser.get(&request(&[(name, value)])).await;
        assert!(page.url.starts_with(CALLBACK), "{name}={value}: {} {}", page.url, page.body);
        assert_eq!(page.parameter("error").as_deref(), Some(*error), "{name}={value}");
        assert_eq!(page.parameter("state").as_deref(), Some("st&te"));
        assert_eq!(page.parameter("iss").as_deref(), Some(ISSUER));
        assert_eq!(page.parameter("code"), None);
    }
    // A parameter twice has no value (RFC 6749 §3.1).
    for name in ["scope", "state", "nonce", "code_challenge", "prompt", "response_type", "unknown"] {
        let page = browser.get(&format!("{}&{name}=a&{name}=b", request(&[]))).await;
        assert_eq!(page.parameter("error").as_deref(), Some("invalid_request"), "{name}");
    }
    let page = browser.get(&request(&[("unknown", &"x".repeat(9000))])).await;
    assert_eq!((page.status.as_u16(), page.text("h1").as_str()), (400, "This link is broken"));
    // Unknown parameters are ignored.
    assert_eq!(browser.get(&request(&[("foo", "bar")])).await.text("h1"), "Sign in");
});

store_test!(a_client_without_the_flow_is_refused, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    w.p.apply(&ClientSpec { grant_types: vec![GrantType::ClientCredentials], ..shop() }).await;

    let page = w.browser.another().get(&request(&[])).await;

    assert_eq!(page.parameter("error").as_deref(), Some("unauthorized_client"));
});

// RFC 9700 §4.1: nothing but the registered text is an address to answer to.
store_test!(no_other_redirect_uri_is_ever_used, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    let shapes = [
        "https://evil.example/callback",
        "https://shop.example",
        "https://shop.example/",
        "https://shop.example/callback/",
        "https://shop.example/callback/..",
        "https://shop.example/callback/../evil",
        "https://shop.example/callback/.",
        "https://shop.example/./callback",
        "https://shop.example//callback",
        "https://shop.example/callback?",
        "https://shop.example/callback?x=1",
        "https://shop.example/callback#",
        "https://shop.example/callback#x",
        "https://shop.example/callback;x",
        "https://shop.example/callback%00",
        "https://shop.example/callback%20",
        "https://shop.example/callback ",
        " https://shop.example/callback",
        "https://shop.example/callback\t",
        "https://shop.example/callback\r\nLocation: https://evil.example",
        "https://shop.example/callback\u{0}",
        "https://shop.example/Callback",
        "https://SHOP.example/callback",
        "HTTPS://shop.example/callback",
        "http://shop.example/callback",
        "https://shop.example:443/callback",
        "https://shop.example:8443/callback",
        "https://shop.example./callback",
        "https://www.shop.example/callback",
        "https://shop.example.evil.example/callback",
        "https://evilshop.example/callback",
        "https://shop.example@evil.example/callback",
        "https://evil.example@shop.example/callback",
        "https://shop.example:pass@evil.example/callback",
        "https://evil.example#@shop.example/callback",
        "https://evil.example?@shop.example/callback",
        "https://evil.example/@shop.example/callback",
        "https://evil.example\\@shop.example/callback",
        "https://evil.example/https://shop.example/callback",
        "https://evil.example?https://shop.example/callback",
        "https://shop.example\\.evil.example/callback",
        "https:\\\\shop.example\\callback",
        "https:/shop.example/callback",
        "https:shop.example/callback",
        "https:///shop.example/callback",
        "//shop.example/callback",
        "//evil.example/callback",
        "/callback",
        "callback",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "javascript://shop.example/%0aalert(1)",
        "vbscript:x",
        "file:///etc/passwd",
        "https://shop.example/callback\u{202e}",
        "https://shop\u{ff0e}example/callback",
        "https://ѕhop.example/callback",
        "https://shop.example/%63allback",
        "https://shop.example/callback%2f",
        "https://shop.example/callback%252f..",
        "https://[::1]/callback",
        "http://127.0.0.1/callback",
        "http://localhost/callback",
        "https://0x7f.1/callback",
        "https://shop.example/callback,https://evil.example",
        "https://shop.example/callback https://evil.example",
        "null",
        "*",
        "https://*.example/callback",
        "urn:ietf:wg:oauth:2.0:oob",
    ];
    assert!(shapes.len() >= 60);
    for shape in shapes {
        let page = browser.get_once(&request(&[("redirect_uri", shape)])).await;
        assert_eq!(page.status, 400, "{shape}");
        assert!(page.location().is_none() && !page.body.contains("evil.example"), "{shape}");
        assert_eq!(page.text("h1"), "This link does not lead back safely", "{shape}");
    }
    let twice = format!("{}&redirect_uri=https%3A%2F%2Fevil.example", request(&[]));
    for url in
        [twice, request(&[("client_id", "")]), request(&[("client_id", "nobody")]), request(&[("client_id", "shop\0")])]
    {
        let page = browser.get_once(&url).await;
        assert!(page.status == 400 && page.location().is_none(), "{url}");
    }
});

store_test!(a_native_client_may_choose_its_loopback_port, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let native = ClientSpec {
        application_type: ApplicationType::Native,
        redirect_uris: vec!["http://127.0.0.1/cb".to_owned(), "com.example.app:/cb".to_owned()],
        ..shop()
    };
    w.p.apply(&native).await;
    let mut browser = w.consented_by(&[("redirect_uri", "http://127.0.0.1:5001/cb")]).await;

    let page = browser.get(&request(&[("redirect_uri", "http://127.0.0.1:5002/cb")])).await;
    assert!(page.url.starts_with("http://127.0.0.1:5002/cb?code="), "{}", page.url);
    let page = browser.get(&request(&[("redirect_uri", "com.example.app:/cb")])).await;
    assert!(page.url.starts_with("com.example.app:/cb?code="), "{}", page.url);
    let page = browser.get(&request(&[("redirect_uri", "http://localhost:5002/cb")])).await;
    assert_eq!(page.status, 400);
});

store_test!(a_disabled_client_is_not_known, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    let mut cx = w.p.cx();
    crate::clients::disable(&mut cx, &"shop".into()).await.unwrap();
    cx.commit().await.unwrap();

    let page = browser.get(&request(&[])).await;

    assert_eq!(page.text("h1"), "This application is not known here");
});

store_test!(prompt_and_max_age_are_obeyed, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let browser = w.consented().await;
    w.p.advance(100);

    for (name, value) in [("prompt", "login"), ("max_age", "60"), ("max_age", "0")] {
        let mut browser = browser.clone();
        let page = browser.get(&request(&[(name, value)])).await;
        assert_eq!(page.text("h1"), "Sign in", "{name}={value}");
        let page = fill_in(&mut browser, &page, "alice", PASSWORD).await;
        assert!(page.parameter("code").is_some(), "{name}={value}: {}", page.body);
        w.p.advance(1);
    }
    let mut browser = w.consented().await;
    let page = browser.get(&request(&[("max_age", "600")])).await;
    assert!(page.parameter("code").is_some());
    w.p.advance(601);
    let page = browser.get(&request(&[("max_age", "600"), ("prompt", "none")])).await;
    assert_eq!(page.parameter("error").as_deref(), Some("login_required"));
    let page = browser.get(&request(&[("prompt", "none"), ("scope", "openid email")])).await;
    assert_eq!(page.parameter("error").as_deref(), Some("consent_required"));
});

store_test!(select_account_lets_choose, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;

    let page = browser.get(&request(&[("prompt", "select_account")])).await;
    assert!(page.body.contains("Continue as alice"));
    let action = [("action", "continue")];
    let page = browser.submit(&page, "/login", &action).await;

    assert!(page.parameter("code").is_some(), "{}", page.body);
});

store_test!(an_interaction_is_good_in_its_browser_only, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.browser.another();
    let page = browser.get(&request(&[])).await;
    let sealed = page.form("login").value("interaction").to_owned();

    // Another browser, with and without a session, cannot be given it.
    for mut other in [w.browser.another(), w.signed_in().await] {
        for path in ["authorize", "login", "consent"] {
            let page = other.get(&format!("/{path}?interaction={sealed}")).await;
            assert_eq!(
                (page.status.as_u16(), page.text("h1").as_str()),
                (400, "This page has waited too long"),
                "{path}"
            );
        }
    }
    // Nor can it be changed.
    let mut changed = sealed.clone().into_bytes();
    changed[40] = if changed[40] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    assert_eq!(browser.get(&format!("/login?interaction={changed}")).await.status, 400);
    assert_eq!(browser.get("/login?interaction=x").await.status, 400);
    // Nor used for ever; but the way to start again is shown.
    w.p.advance(3601);
    let page = browser.get(&format!("/login?interaction={sealed}")).await;
    assert_eq!(page.status, 400);
    assert!(page.body.contains("href=\"&#x2f;authorize?"), "{}", page.body);
});

store_test!(a_request_by_post_is_as_one_by_get, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    let url = request(&[]);
    let query = url.split_once('?').unwrap().1;
    let fields: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();

    // From the client's site: without our cookies. The answer asks for the same by GET, and that brings them.
    let answer = browser.another().post_once("/authorize", &fields).await;
    assert_eq!(answer.status, 303);
    let page = browser.get(answer.location().unwrap()).await;

    assert!(page.parameter("code").is_some());
});

store_test!(form_post_sends_itself_on, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;

    let page = browser.get(&request(&[("response_mode", "form_post")])).await;

    let form = page.form("form-post");
    assert_eq!(form.action, CALLBACK);
    assert_eq!((form.value("state"), form.value("iss")), ("st&te", ISSUER));
    assert!(form.value("code").starts_with("cac_"));
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("script-src 'self'") && policy.contains("form-action 'self' https://shop.example https:;"),
        "{policy}"
    );
});

store_test!(form_post_leaves_what_is_open_in_other_tabs, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    let account = browser.get("/account").await;
    let cookies = browser.cookies.clone();

    browser.get(&request(&[("response_mode", "form_post")])).await;

    assert_eq!(browser.cookies, cookies);
    let page = browser.submit(&account, "/account/grants/revoke", &[]).await;
    assert!(page.body.contains("The access has been withdrawn."), "{}", page.body);
});

store_test!(what_comes_from_outside_is_escaped, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.browser.another();
    let evil = "\"><script>alert(1)</script>";

    let page = browser.get(&request(&[("login_hint", evil), ("ui_locales", evil), ("state", evil)])).await;
    assert_eq!(page.form("login").value("username"), evil);
    assert!(!page.body.contains("<script>") && !page.body.contains("<b>"), "{}", page.body);
    let page = sign_in(&mut browser, evil, "wrong password").await;
    assert!(!page.body.contains("<script>"));
    let page = browser.get(&format!("/authorize?client_id={}", "%3Cscript%3E")).await;
    assert!(!page.body.contains("<script>"));
});

store_test!(no_page_can_be_framed_cached_or_scripted, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.signed_in().await;
    let login = request(&[("prompt", "login")]);
    let consent = request(&[]);

    for url in [login.as_str(), &consent, "/account", "/logout", "/authorize", "/login?interaction=x"] {
        let page = browser.get(url).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{url}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("script-src"), "{url}: {policy}");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert!(!page.body.contains("<script") && !page.body.contains(" style="), "{url}");
    }
});

// Development without TLS: browsers refuse `__Host-` and `Secure` cookies there.
store_test!(a_plain_http_issuer_has_plain_cookies, MIGRATIONS, |db: TestDb| async move {
    let w = World::with(db, |config| config.issuer = "http://localhost:8081".to_owned()).await;
    let mut browser = Browser::new(router::public(w.p.identity.clone()), "http://localhost:8081");

    let page = browser.get(&request(&[])).await;
    let page = fill_in(&mut browser, &page, "alice", PASSWORD).await;
    let page = browser.submit(&page, "consent", &[("action", "allow")]).await;

    assert_eq!(page.parameter("iss").as_deref(), Some("http://localhost:8081"));
    let names: Vec<&str> = browser.cookies.keys().map(String::as_str).collect();
    assert_eq!(names, ["cardea-browser", "cardea-device", "cardea-session"]);
});

store_test!(an_issuer_with_a_path_keeps_to_it, MIGRATIONS, |db: TestDb| async move {
    let w = World::with(db, |config| config.issuer = "https://id.example/auth".to_owned()).await;
    let app = axum::Router::new().nest("/auth", router::public(w.p.identity.clone()));
    let mut browser = Browser::new(app, ISSUER);

    let page = browser.get(&format!("/auth{}", request(&[]))).await;
    assert!(page.body.contains("href=\"/auth/assets/cardea-"));
    let page = fill_in(&mut browser, &page, "alice", PASSWORD).await;
    let page = browser.submit(&page, "consent", &[("action", "allow")]).await;

    assert_eq!(page.parameter("iss").as_deref(), Some("https://id.example/auth"));
    assert_eq!(browser.get("/auth").await.text("h1"), "Your account");
});

// R21: no name that the request brings gets into a page or an address.
store_test!(the_request_names_no_host, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.browser.another();
    for name in ["host", "x-forwarded-host", "forwarded", "x-original-url", "x-forwarded-proto", "x-forwarded-prefix"] {
        let mut browser = browser.another().with(name, "evil.example");
        for url in [request(&[]), "/login".to_owned(), "/account".to_owned(), "/logout".to_owned()] {
            let page = browser.get_once(&url).await;
            let location = page.location().unwrap_or_default();
            assert!(!page.body.contains("evil.example") && !location.contains("evil.example"), "{name} {url}");
        }
    }
    assert_eq!(browser.get("/login").await.text("h1"), "Sign in");
});

store_test!(a_code_is_good_for_tokens_and_its_id_token_signs_out, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    w.p.apply(&ClientSpec { token_endpoint_auth_method: AuthMethod::None, ..shop() }).await;
    let mut browser = w.consented().await;
    let code = browser.get(&request(&[])).await.parameter("code").unwrap();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("client_id", "shop"),
        ("redirect_uri", CALLBACK),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    ];
    let fields: Vec<(String, String)> = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();

    let answer = browser.another().post_once("/token", &fields).await;
    let tokens: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let id_token = tokens["id_token"].as_str().unwrap_or_else(|| panic!("{}", answer.body));
    browser.get(&format!("/logout?id_token_hint={id_token}")).await;

    assert_eq!(browser.get("/account").await.text("h1"), "Sign in");
});

//! Signing in, and who tries to without right: the identity system is scripted, the browser is a person's.

mod feed;

use std::sync::{Arc, Mutex};

use ::http::{Request, Response, StatusCode};
use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use jose::hash::{base64url, left_half_hash, sha256};
use jose::{Algorithm, SigningKey};
use serde_json::{Map, Value, json};
use testkit::browser::Page;
use testkit::db::TestDb;
use testkit::{Browser, store_test};
use url::Url;
use web::Fields;

use super::{link, safe_return};
use crate::tests::Platform;
use crate::tests::house::{ISSUER, URL};
use crate::{Cx, MIGRATIONS, PROVIDER};

/// An identity system that says what a test wants it to say.
struct Issuer {
    key: SigningKey,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    /// Set in the metadata.
    metadata: Map<String, Value>,
    /// Set in (or, if null, removed from) the ID token.
    claims: Map<String, Value>,
    subject: Option<String>,
    foreign_key: Option<SigningKey>,
    /// Of the authorization request, as a real one would keep it with the code.
    nonce: String,
    challenge: String,
    now: i64,
    codes_used: Vec<String>,
    /// Of the feed: id and claims.
    events: Vec<(String, Value)>,
    acknowledged: usize,
    asked: Vec<String>,
}

impl Issuer {
    fn new(now: i64) -> Arc<Self> {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        Arc::new(Self { key, script: Mutex::new(Script { now, ..Script::default() }) })
    }

    fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    fn answer(&self, request: &Request<Bytes>) -> (u16, Value) {
        let mut script = self.script.lock().unwrap();
        let path = request.uri().path().to_owned();
        script.asked.push(path.clone());
        match path.as_str() {
            "/.well-known/openid-configuration" => {
                let mut metadata = json!({
                    "issuer": ISSUER,
                    "authorization_endpoint": format!("{ISSUER}/authorize"),
                    "token_endpoint": format!("{ISSUER}/token"),
                    "jwks_uri": format!("{ISSUER}/jwks"),
                    "userinfo_endpoint": format!("{ISSUER}/userinfo"),
                    "end_session_endpoint": format!("{ISSUER}/logout"),
                    "authorization_response_iss_parameter_supported": true,
                });
                merge(&mut metadata, &script.metadata);
                (200, metadata)
            }
            "/jwks" => (200, json!({"keys": [self.key.public_jwk()]})),
            "/token" => self.token(&mut script, request),
            "/events/poll" => {
                let body: Value = serde_json::from_slice(request.body()).unwrap();
                script.acknowledged = body["ack"].as_array().unwrap().len();
                let sets: Map<String, Value> = std::mem::take(&mut script.events)
                    .into_iter()
                    .map(|(id, claims)| (id, self.key.sign("secevent+jwt", &claims).unwrap().into()))
                    .collect();
                (200, json!({"sets": sets}))
            }
            "/userinfo" => (200, json!({"sub": "ann-1", "name": "Ann Example"})),
            _ => (404, json!({})),
        }
    }

    fn token(&self, script: &mut Script, request: &Request<Bytes>) -> (u16, Value) {
        let fields = Fields::parse(request.body()).unwrap();
        let code = fields.text("code").to_owned();
        let proven = base64url(&sha256(fields.text("code_verifier").as_bytes())) == script.challenge;
        let known =
            request.headers().get("authorization").is_some_and(|value| value == "Basic cG9ydGFsOnBvcnRhbC1zZWNyZXQ=");
        if !known
            || !proven
            || script.codes_used.contains(&code)
            || fields.text("redirect_uri") != format!("{URL}/login/callback")
        {
            return (400, json!({"error": "invalid_grant"}));
        }
        script.codes_used.push(code);
        let seconds = script.now / 1000;
        let subject = script.subject.clone().unwrap_or_else(|| "ann-1".to_owned());
        let mut claims = json!({
            "iss": ISSUER, "sub": subject, "aud": "portal", "exp": seconds + 300, "iat": seconds, "nonce": script.nonce,
            "at_hash": left_half_hash(Algorithm::Es256, "the access token"),
        });
        merge(&mut claims, &script.claims);
        let key = script.foreign_key.as_ref().unwrap_or(&self.key);
        let id_token = key.sign("JWT", &claims).unwrap();
        (200, json!({"access_token": "the access token", "token_type": "Bearer", "id_token": id_token}))
    }
}

fn merge(into: &mut Value, changes: &Map<String, Value>) {
    for (name, value) in changes {
        match value {
            Value::Null => {
                into.as_object_mut().unwrap().remove(name);
            }
            value => into[name] = value.clone(),
        }
    }
}

impl Peer for Issuer {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        let (status, body) = self.answer(&request);
        let response = Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap();
        Box::pin(std::future::ready(Ok(response)))
    }
}

async fn house(db: TestDb) -> (Platform, Arc<Issuer>, Browser) {
    let issuer = Issuer::new(testkit::clock::START.ms());
    let p = Platform::asking(db, issuer.clone()).await;
    let browser = Browser::new(p.public(), URL);
    (p, issuer, browser)
}

/// The browser at the identity system's door; the parameters that came with it.
async fn sent_away(issuer: &Issuer, browser: &mut Browser, return_to: &str) -> Page {
    let page = browser.get(&format!("/login?return_to={return_to}")).await;
    assert!(page.url.starts_with(&format!("{ISSUER}/authorize?")), "{} {}", page.status, page.url);
    let (nonce, challenge) = (page.parameter("nonce").unwrap(), page.parameter("code_challenge").unwrap());
    issuer.set(|script| (script.nonce, script.challenge) = (nonce, challenge));
    page
}

fn back(state: &str, more: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://x/login/callback").unwrap();
    url.query_pairs_mut().append_pair("state", state).extend_pairs(more);
    format!("{}?{}", url.path(), url.query().unwrap())
}

async fn sign_in(issuer: &Issuer, browser: &mut Browser, code: &str) -> Page {
    let away = sent_away(issuer, browser, "/").await;
    let state = away.parameter("state").unwrap();
    browser.get_once(&back(&state, &[("code", code), ("iss", ISSUER)])).await
}

fn is_in(page: &Page) -> bool {
    let cookies = page.headers.get_all("set-cookie").iter();
    page.status == StatusCode::SEE_OTHER
        && cookies.filter_map(|value| value.to_str().ok()).any(|value| value.starts_with("__Host-cardea-portal="))
}

store_test!(a_person_signs_in_and_out, MIGRATIONS, |db: TestDb| async move {
    let (p, issuer, mut browser) = house(db).await;
    let away = sent_away(&issuer, &mut browser, "/console%3Fx=1").await;
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "portal"),
        ("redirect_uri", "https://portal.example/login/callback"),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(away.parameter(name).as_deref(), Some(value), "{name}");
    }

    let state = away.parameter("state").unwrap();
    let page = browser.get_once(&back(&state, &[("code", "c1"), ("iss", ISSUER)])).await;

    assert!(is_in(&page), "{} {}", page.status, page.body);
    assert_eq!(page.location(), Some("/console?x=1"));
    let home = browser.get("/").await;
    assert!(home.body.contains("Ann Example"), "the name is userinfo's, since the ID token has none: {}", home.body);
    let mut cx = p.nobody();
    let entries = crate::audit::list(&mut cx, &crate::audit::Filter::default(), 10).await.unwrap();
    assert!(entries.iter().any(|entry| entry.act == "person.signed_in"));

    let gone = browser.submit(&home, "logout", &[]).await;

    assert!(gone.url.starts_with(&format!("{ISSUER}/logout?client_id=portal")), "{}", gone.url);
    assert!(gone.parameter("id_token_hint").is_some_and(|hint| hint.split('.').count() == 3));
    assert_eq!(gone.parameter("post_logout_redirect_uri").as_deref(), Some("https://portal.example/logged-out"));
    assert!(!browser.cookies.contains_key("__Host-cardea-portal"));
    assert!(!browser.get("/").await.body.contains("Ann Example"));
});

store_test!(an_answer_that_does_not_fit_lets_nobody_in, MIGRATIONS, |db: TestDb| async move {
    let (_p, issuer, mut browser) = house(db).await;
    let away = sent_away(&issuer, &mut browser, "/").await;
    let state = away.parameter("state").unwrap();
    let good = [("code", "c0"), ("iss", ISSUER)];
    let mut changed = state.clone();
    changed.replace_range(50..51, if &state[50..51] == "A" { "B" } else { "A" });
    let twice = format!("{}&code=c9", back(&state, &good));
    for (what, url) in [
        ("no state", back("", &good)),
        ("a changed state", back(&changed, &good)),
        ("another's iss", back(&state, &[("code", "c0"), ("iss", "https://evil.example")])),
        ("no iss, where the server always sends it", back(&state, &[("code", "c0")])),
        ("an error", back(&state, &[("error", "server_error"), ("iss", ISSUER)])),
        ("nothing", back(&state, &[("iss", ISSUER)])),
        ("a parameter twice", twice),
    ] {
        let page = browser.get_once(&url).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{what}");
        assert!(!browser.cookies.contains_key("__Host-cardea-portal"), "{what}");
    }
    let cancelled = browser.get_once(&back(&state, &[("error", "access_denied"), ("iss", ISSUER)])).await;
    assert!(cancelled.body.contains("You did not sign in"));
    // Another browser: the state was planted on it (login CSRF).
    let mut other = browser.another();
    assert_eq!(other.get_once(&back(&state, &good)).await.status, StatusCode::BAD_REQUEST);

    assert!(is_in(&browser.get_once(&back(&state, &good)).await), "the good one still works");
});

store_test!(an_id_token_that_does_not_fit_lets_nobody_in, MIGRATIONS, |db: TestDb| async move {
    let (_p, issuer, mut browser) = house(db).await;
    let seconds = testkit::clock::START.seconds();
    for (at, (claim, value)) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("another")),
        ("aud", json!(["portal", "another"])),
        ("azp", json!("another")),
        ("exp", json!(seconds - 60)),
        ("exp", Value::Null),
        ("iat", Value::Null),
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("sub", json!("")),
        ("sub", Value::Null),
        ("at_hash", json!("another")),
    ]
    .into_iter()
    .enumerate()
    {
        issuer.set(|script| script.claims = Map::from_iter([(claim.to_owned(), value.clone())]));
        let page = sign_in(&issuer, &mut browser, &format!("c{at}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{claim} = {value}");
    }
    issuer.set(|script| {
        script.claims.clear();
        script.foreign_key = Some(SigningKey::generate(Algorithm::Es256).unwrap());
    });
    assert_eq!(sign_in(&issuer, &mut browser, "foreign").await.status, StatusCode::BAD_REQUEST, "a foreign key");
    issuer.set(|script| script.foreign_key = None);
    assert!(is_in(&sign_in(&issuer, &mut browser, "good").await));
});

store_test!(a_code_that_comes_again_is_told_so, MIGRATIONS, |db: TestDb| async move {
    let (_p, issuer, mut browser) = house(db).await;
    let away = sent_away(&issuer, &mut browser, "/").await;
    let url = back(&away.parameter("state").unwrap(), &[("code", "c1"), ("iss", ISSUER)]);

    assert!(is_in(&browser.get_once(&url).await));
    let again = browser.get_once(&url).await;

    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.body.contains("This sign-in is over"));
});

store_test!(a_sign_in_that_waits_too_long_is_over, MIGRATIONS, |db: TestDb| async move {
    let (p, issuer, mut browser) = house(db).await;
    let away = sent_away(&issuer, &mut browser, "/").await;

    p.clock.advance(std::time::Duration::from_secs(3601));

    let page = browser.get_once(&back(&away.parameter("state").unwrap(), &[("code", "c1"), ("iss", ISSUER)])).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
});

store_test!(a_planted_cookie_is_worth_nothing_after_signing_in, MIGRATIONS, |db: TestDb| async move {
    let (_p, issuer, mut browser) = house(db).await;
    assert!(is_in(&sign_in(&issuer, &mut browser, "mallory").await));
    let mallory = browser.cookies["__Host-cardea-portal"].clone();
    // Mallory's session in the browser of Ann, who signs in there.
    let mut ann = browser.another();
    ann.cookies.insert("__Host-cardea-portal".to_owned(), mallory.clone());
    issuer.set(|script| script.subject = Some("ann-2".to_owned()));
    ann.cookies.remove("__Host-cardea-portal");
    let away = sent_away(&issuer, &mut ann, "/").await;
    ann.cookies.insert("__Host-cardea-portal".to_owned(), mallory.clone());
    let page = ann.get_once(&back(&away.parameter("state").unwrap(), &[("code", "c2"), ("iss", ISSUER)])).await;

    assert!(is_in(&page));
    assert_ne!(ann.cookies["__Host-cardea-portal"], mallory);
    let seen = browser.get("/").await;
    assert!(!seen.body.contains("Ann Example"), "the session that was there has ended");
});

store_test!(a_session_ends_unused_and_at_its_age, MIGRATIONS, |db: TestDb| async move {
    let (p, issuer, mut browser) = house(db).await;
    let minutes = |minutes: u64| std::time::Duration::from_secs(minutes * 60);
    assert!(is_in(&sign_in(&issuer, &mut browser, "c1").await));
    p.clock.advance(minutes(121));
    assert!(!browser.get("/").await.body.contains("Ann Example"), "unused");

    issuer.set(|script| script.now += 121 * 60_000);
    assert!(is_in(&sign_in(&issuer, &mut browser, "c2").await));
    for _ in 0..11 {
        p.clock.advance(minutes(60));
        assert!(browser.get("/").await.body.contains("Ann Example"));
    }
    p.clock.advance(minutes(61));
    assert!(!browser.get("/").await.body.contains("Ann Example"), "too old, however much it was used");
});

store_test!(a_form_of_another_session_is_refused, MIGRATIONS, |db: TestDb| async move {
    let (_p, issuer, mut browser) = house(db).await;
    let before = browser.get("/logged-out").await;
    assert!(is_in(&sign_in(&issuer, &mut browser, "c1").await));
    let page = browser.get("/").await;
    let form = page.form("logout");

    for fields in [Vec::new(), form.with(&[("csrf", "")]), form.with(&[("csrf", "AAAA")])] {
        assert_eq!(browser.post_once("/logout", &fields).await.status, StatusCode::FORBIDDEN);
    }
    let mut elsewhere = browser.clone().with("sec-fetch-site", "cross-site");
    assert_eq!(elsewhere.post_once("/logout", &form.fields).await.status, StatusCode::FORBIDDEN);
    assert!(!before.body.contains("action=\"/logout\""));
    assert!(browser.get("/").await.body.contains("Ann Example"), "still in");
});

store_test!(a_link_opens_the_console_once, MIGRATIONS, |db: TestDb| async move {
    let (p, issuer, mut browser) = house(db).await;
    let mut cx = Cx::system(&p.management);
    let url = link::make(&mut cx).await.unwrap();
    cx.commit().await.unwrap();
    let path = url.strip_prefix(URL).unwrap().to_owned();
    let mut ahead = browser.another().with("sec-purpose", "prefetch");
    assert_eq!(ahead.get_once(&path).await.status, StatusCode::CONFLICT, "a prefetch does not use it up");
    assert_eq!(browser.get_once("/console?once=guessed").await.status, StatusCode::GONE);

    // Two at the same moment: one is in.
    let (mut one, mut two) = (browser.another(), browser.another());
    let (first, second) = tokio::join!(one.get_once(&path), two.get_once(&path));

    assert_eq!(
        [&first, &second].into_iter().filter(|page| is_in(page)).count(),
        1,
        "{} {}",
        first.status,
        second.status
    );
    assert_eq!([&first, &second].into_iter().filter(|page| page.status == StatusCode::GONE).count(), 1);
    let mut administrator = if is_in(&first) { one } else { two };
    let console = administrator.get("/console").await;
    assert_eq!(console.status, StatusCode::OK, "{}", console.body);

    // From there an account of one's own becomes administrator.
    let away = administrator.submit(&console, "adopt", &[]).await;
    let (nonce, challenge) = (away.parameter("nonce").unwrap(), away.parameter("code_challenge").unwrap());
    issuer.set(|script| (script.nonce, script.challenge) = (nonce, challenge));
    let back_at = back(&away.parameter("state").unwrap(), &[("code", "c1"), ("iss", ISSUER)]);
    let page = administrator.get_once(&back_at).await;
    assert!(is_in(&page), "{} {}", page.status, page.body);
    let console = administrator.get("/console").await;
    assert!(console.body.contains("Ann Example") && console.status == StatusCode::OK);
});

store_test!(a_link_ends_after_ten_minutes, MIGRATIONS, |db: TestDb| async move {
    let (p, _issuer, mut browser) = house(db).await;
    let mut cx = Cx::system(&p.management);
    let url = link::make(&mut cx).await.unwrap();
    cx.commit().await.unwrap();

    p.clock.advance(std::time::Duration::from_secs(601));

    let page = browser.get_once(url.strip_prefix(URL).unwrap()).await;
    assert_eq!(page.status, StatusCode::GONE);
    let mut cx = Cx::system(&p.management);
    cx.tx.execute("DELETE FROM console_links WHERE expires_at < $1", &store::params![cx.now]).await.unwrap();
});

store_test!(an_ordinary_account_does_not_become_administrator, MIGRATIONS, |db: TestDb| async move {
    let (p, issuer, mut browser) = house(db).await;
    assert!(is_in(&sign_in(&issuer, &mut browser, "c1").await));
    let page = browser.get("/").await;

    let form = page.form("logout");
    assert_eq!(browser.post_once("/login", &form.fields).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get_once("/console").await.status, StatusCode::FORBIDDEN);
    let mut cx = p.nobody();
    let rows =
        cx.tx.read("SELECT person FROM members WHERE organisation = $1", &store::params![PROVIDER]).await.unwrap();
    assert!(rows.is_empty());
});

store_test!(keys_are_asked_for_anew_but_not_for_every_stranger, MIGRATIONS, |db: TestDb| async move {
    let (_p, issuer, mut browser) = house(db).await;
    assert!(is_in(&sign_in(&issuer, &mut browser, "c0").await));
    issuer.set(|script| script.foreign_key = Some(SigningKey::generate(Algorithm::Es256).unwrap()));
    let mut stranger = browser.another();

    for at in 1..=5 {
        sign_in(&issuer, &mut stranger, &format!("c{at}")).await;
    }

    let asked = issuer.script.lock().unwrap().asked.iter().filter(|path| *path == "/jwks").count();
    assert_eq!(asked, 1, "within the cool-down an unknown key is not asked for again");
});

#[test]
fn no_address_elsewhere_is_gone_back_to() {
    for good in ["/", "/apis/echo?x=1", "/console/plans", "/a%5Cb"] {
        assert_eq!(safe_return(good), good);
    }
    for bad in [
        "",
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil",
        "/\tevil",
        "/a b",
        "/é",
        "javascript:1",
        "/login",
        "/login/callback?x",
        "/\n/evil.example",
    ] {
        assert_eq!(safe_return(bad), "/", "{bad:?}");
    }
}

store_test!(who_only_asks_for_the_head_does_not_use_a_link_up, MIGRATIONS, |db: TestDb| async move {
    let (p, _issuer, mut browser) = house(db).await;
    let mut cx = Cx::system(&p.management);
    let url = link::make(&mut cx).await.unwrap();
    cx.commit().await.unwrap();
    let path = url.strip_prefix(URL).unwrap();

    let head = crate::tests::request(::http::Method::HEAD, path, None, None);
    assert_eq!(crate::tests::exchange(p.public(), head).await.status, StatusCode::CONFLICT);

    assert!(is_in(&browser.get_once(path).await));
});

//! Tests of the kit, as a pillar uses it.

use axum::response::Response;
use base::Time;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::*;
use crate::language::Texts;

fn kit() -> Kit {
    kit_with(None)
}

fn kit_with(overrides: Option<std::path::PathBuf>) -> Kit {
    Kit::new(settings(overrides)).unwrap()
}

fn settings(overrides: Option<std::path::PathBuf>) -> Settings {
    Settings {
        origin: "https://id.test".into(),
        base_path: String::new(),
        site: "id.test".into(),
        secure: true,
        overrides,
        // Not a MAC, but different for different input, which is all that these tests need.
        mac: Box::new(|input| {
            let mut out = [7_u8; 32];
            for (at, byte) in input.iter().enumerate() {
                out[at % 32] = out[at % 32].wrapping_mul(31).wrapping_add(*byte);
            }
            out
        }),
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
}

/// A browser that has the cookie, as `(browser, its headers)`.
fn known_browser(kit: &Kit) -> (Browser, HeaderMap) {
    let new = kit.browser(&HeaderMap::new());
    let headers = headers(&[("cookie", &format!("{}={}", kit.cookies().name("browser"), new.id()))]);
    (kit.browser(&headers), headers)
}

fn message(kit: &Kit, site_text: &str) -> Response {
    let browser = kit.browser(&HeaderMap::new());
    let page = Page {
        template: "message.html",
        status: StatusCode::OK,
        language: Language::En,
        browser: &browser,
        purpose: "test",
        form_targets: vec!["https://app.test".into()],
        scripts: Scripts::None,
    };
    kit.page(page, json!({"key": site_text, "link": ["\"><script>alert(1)</script>", "link_back"]}))
}

async fn body(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn what_is_shown_is_escaped() {
    let html = body(message(&kit(), "logged_out")).await;

    assert!(html.contains("You are signed out"));
    assert!(!html.contains("<script>"), "{html}");
    assert!(html.contains("&quot;&gt;&lt;script&gt;"));
}

#[test]
fn every_page_has_the_security_headers() {
    let response = message(&kit(), "logged_out");

    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    for part in
        ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self' https://app.test"]
    {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"));
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(response.headers()[header::REFERRER_POLICY], "no-referrer");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(response.headers()["cross-origin-opener-policy"], "same-origin");
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-cardea-browser=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure")
    );
}

#[test]
fn a_form_of_this_browser_is_let_through() {
    let kit = kit();
    let (browser, mut sent) = known_browser(&kit);
    let token = kit.csrf(&browser, "login");

    assert_eq!(kit.guard(&sent, &browser, "login", &token), Ok(()));
    sent.insert("origin", HeaderValue::from_static("https://id.test"));
    sent.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
    assert_eq!(kit.guard(&sent, &browser, "login", &token), Ok(()));
    sent.insert("origin", HeaderValue::from_static("null"));
    assert_eq!(kit.guard(&sent, &browser, "login", &token), Ok(()));
}

#[test]
fn a_forged_form_is_refused() {
    let kit = kit();
    let (browser, sent) = known_browser(&kit);
    let (other, _) = known_browser(&kit);
    let good = kit.csrf(&browser, "login");
    let guard = |browser: &Browser, purpose: &str, token: &str| kit.guard(&sent, browser, purpose, token);

    assert_eq!(guard(&browser, "login", ""), Err(Forged::Token));
    assert_eq!(guard(&browser, "login", "AAAA"), Err(Forged::Token));
    assert_eq!(guard(&browser, "login", "!"), Err(Forged::Token));
    assert_eq!(guard(&browser, "consent", &good), Err(Forged::Token));
    assert_eq!(guard(&other, "login", &good), Err(Forged::Token));
    let mut changed = good.clone().into_bytes();
    changed[30] = if changed[30] == b'A' { b'B' } else { b'A' };
    assert_eq!(guard(&browser, "login", std::str::from_utf8(&changed).unwrap()), Err(Forged::Token));
    // A browser without the cookie has no form of ours, whatever it sends.
    let new = kit.browser(&HeaderMap::new());
    assert_eq!(guard(&new, "login", &kit.csrf(&new, "login")), Err(Forged::Token));
}

#[test]
fn another_site_is_refused_even_with_a_good_token() {
    let kit = kit();
    let (browser, sent) = known_browser(&kit);
    let good = kit.csrf(&browser, "login");

    for (name, value) in [
        ("origin", "https://evil.test"),
        ("origin", "http://id.test"),
        ("origin", "https://id.test:8443"),
        ("origin", "https://id.test.evil.test"),
        ("origin", ""),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "junk"),
    ] {
        let mut sent = sent.clone();
        sent.insert(name, HeaderValue::from_str(value).unwrap());
        assert_eq!(kit.guard(&sent, &browser, "login", &good), Err(Forged::CrossSite), "{name}: {value}");
    }
}

#[test]
fn a_cookie_sent_twice_counts_as_not_sent() {
    let cookies = Cookies::new(false);

    assert_eq!(cookies.read(&headers(&[("cookie", "a=1; cardea-x=2; b=3")]), "x").as_deref(), Some("2"));
    assert_eq!(cookies.read(&headers(&[("cookie", "cardea-x=1; cardea-x=2")]), "x"), None);
    assert_eq!(cookies.read(&headers(&[("cookie", "xcardea-x=1")]), "x"), None);
    assert_eq!(Cookies::new(true).read(&headers(&[("cookie", "cardea-x=1")]), "x"), None);
}

#[test]
fn a_form_field_sent_twice_has_no_value() {
    let fields = Fields::parse(b"a=1&b=2&b=3&c=&d=%20x").unwrap();

    assert_eq!(
        (fields.one("a"), fields.one("b"), fields.one("c"), fields.one("d")),
        (Some("1"), None, None, Some(" x"))
    );
    assert_eq!(fields.repeated(&[]).collect::<Vec<_>>(), ["b"]);
    assert_eq!(fields.repeated(&["b"]).count(), 0);
    let many = "a=1&".repeat(300);
    assert_eq!(Fields::parse(many.as_bytes()), Err(BadForm::TooMany));
}

#[test]
fn a_form_target_covers_the_uri_and_no_more() {
    for (uri, target) in [
        ("https://app.test/callback?x=1", Some("https://app.test")),
        ("https://app.test:8443/cb", Some("https://app.test:8443")),
        ("http://127.0.0.1:5000/cb", Some("http://127.0.0.1:5000")),
        ("http://[::1]:5000/cb", Some("http:")),
        ("com.example.app:/cb", Some("com.example.app:")),
        ("https://app.test; script-src *", Some("https:")),
        ("a b:/x", None),
        ("nothing", None),
    ] {
        assert_eq!(form_target(uri).as_deref(), target, "{uri}");
    }
}

#[test]
fn the_language_is_the_first_that_we_have() {
    let none = HeaderMap::new();
    let german = headers(&[("accept-language", "de-AT, en;q=0.5")]);

    assert_eq!(Language::choose(Some("fr-CA en"), &none), Language::En);
    assert_eq!(Language::choose(None, &german), Language::En);
    assert_eq!(Language::choose(Some("xx"), &none), Language::En);
}

#[test]
fn times_read_like_speech() {
    let now = Time::from_seconds(1_800_000_000);

    assert_eq!(when(Time::from_seconds(1_800_000_000 - 30), now).relative, "just now");
    assert_eq!(when(Time::from_seconds(1_800_000_000 - 3_700), now).relative, "1 hour ago");
    assert_eq!(when(Time::from_seconds(1_800_000_000 + 3 * 86_400), now).relative, "in 3 days");
    assert_eq!(when(now, now).absolute, "15 January 2027, 08:00 UTC");
    assert_eq!(when(now, now).machine, "2027-01-15T08:00:00Z");
}

#[tokio::test]
async fn a_customers_file_replaces_ours() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("message.html"), "{{ t('login_title') }} at ACME").unwrap();
    std::fs::write(folder.path().join("en.json"), r#"{"login_title": "Welcome"}"#).unwrap();
    std::fs::write(folder.path().join("cardea.css"), "body{}").unwrap();
    let ours = kit();
    let theirs = kit_with(Some(folder.path().to_owned()));

    assert_eq!(body(message(&theirs, "logged_out")).await, "Welcome at ACME");
    let error = ErrorPage {
        status: StatusCode::NOT_FOUND,
        language: Language::En,
        key: "not_found",
        detail: None,
        request_id: "r1",
        link: None,
    };
    let (ours, theirs) = (body(ours.error_page(&error)).await, body(theirs.error_page(&error)).await);
    let sheet = |html: &str| html.split("/assets/cardea-").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_ne!(sheet(&ours), sheet(&theirs));
}

#[tokio::test]
async fn a_customers_broken_template_is_refused_or_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("message.html");

    std::fs::write(&file, "{% if %}").unwrap();
    let refused = Kit::new(settings(Some(folder.path().to_owned()))).unwrap_err().to_string();
    assert!(refused.contains("message.html"), "{refused}");
    std::fs::write(&file, "{{ no.such.value }}").unwrap();
    assert!(
        body(message(&kit_with(Some(folder.path().to_owned())), "logged_out")).await.contains("You are signed out")
    );
    std::fs::write(&file, "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}")
        .unwrap();
    assert!(
        body(message(&kit_with(Some(folder.path().to_owned())), "logged_out")).await.contains("You are signed out")
    );
}

#[tokio::test]
async fn assets_are_served_by_their_content_and_nothing_else_is() {
    let kit = kit();
    let html = body(message(&kit, "logged_out")).await;
    let name = html.split("href=\"/assets/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let get = |path: String| {
        let router = kit.assets::<()>();
        async move {
            let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
            tower::ServiceExt::oneshot(router, request).await.unwrap()
        }
    };

    let sheet = get(format!("/assets/{name}")).await;
    assert_eq!(sheet.status(), StatusCode::OK);
    assert_eq!(sheet.headers()[header::CONTENT_TYPE], "text/css; charset=utf-8");
    assert!(sheet.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let sheet = body(sheet).await;
    assert!(html.len() + sheet.len() < 30_000, "a page is light");
    assert!(
        !sheet.contains("url(") && !html.contains("http://") && !html.contains("https://"),
        "nothing from elsewhere"
    );
    assert_eq!(get("/assets/cardea.css".into()).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get("/assets/..%2Fkit.rs".into()).await.status(), StatusCode::NOT_FOUND);
}

#[test]
fn every_text_that_a_template_names_exists() {
    let texts = Texts::parse(include_bytes!("../texts/en.json")).unwrap();
    let keys: Vec<&str> = texts.keys().collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut named = 0;
    // Those of portal and console, in folders of their own, have their words in them.
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    for file in files.filter(|path| path.is_file()) {
        let source = std::fs::read_to_string(file).unwrap();
        for call in source.replace("asset(", "").split("t(").skip(1) {
            let Some(quote @ ('"' | '\'')) = call.chars().next() else { continue };
            let key = call[1..].split(quote).next().unwrap();
            named += 1;
            assert!(keys.contains(&key), "{key}");
        }
    }
    assert!(named > 30);
    for key in ["client_unknown", "redirect_wrong", "request_wrong", "expired", "forged", "busy", "outage", "not_found"]
    {
        for part in ["title", "text", "todo"] {
            assert!(keys.contains(&format!("{key}_{part}").as_str()), "{key}_{part}");
        }
    }
}

/// WCAG 2.2 §1.4.3 (text 4.5:1) and §1.4.11 (controls 3:1), computed from the style sheet, light and dark.
#[test]
fn colours_have_enough_contrast() {
    let sheet = include_str!("../static/cardea.css");
    let (light, dark) = sheet.split_once("prefers-color-scheme: dark").unwrap();
    for (theme, source) in [("light", light), ("dark", dark)] {
        let colour = |name: &str| {
            let hex = source.split(&format!("--{name}: #")).nth(1).unwrap();
            let channel = |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
            0.2126 * linear(channel(0)) + 0.7152 * linear(channel(2)) + 0.0722 * linear(channel(4))
        };
        let ratio = |a: &str, b: &str| {
            let (a, b) = (colour(a), colour(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        for (ink, paper, least) in [
            ("text", "bg", 7.0),
            ("text", "surface", 7.0),
            ("muted", "surface", 4.5),
            ("muted", "bg", 4.5),
            ("accent", "surface", 4.5),
            ("accent", "bg", 4.5),
            ("accent", "accent-soft", 4.5),
            ("accent-strong", "accent-soft", 4.5),
            ("accent-ink", "accent", 4.5),
            ("accent-ink", "accent-strong", 4.5),
            ("danger", "surface", 4.5),
            ("danger", "danger-soft", 4.5),
            ("text", "danger-soft", 4.5),
            ("control", "surface", 3.0),
        ] {
            let found = ratio(ink, paper);
            assert!(found >= least, "{theme}: {ink} on {paper} is {found:.2}, needs {least}");
        }
    }
}

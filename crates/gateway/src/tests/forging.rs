//! R16: nothing that a client writes reaches a service as our word about the caller.

use std::collections::BTreeSet;

use super::House;
use crate::forward::is_ours;

const NAMES: &[&str] = &[
    "X-User",
    "X-User-Id",
    "X-User-Name",
    "X-User-Email",
    "X-Username",
    "X-Auth",
    "X-Auth-User",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-Token",
    "X-Authenticated-User",
    "X-Authenticated-UserId",
    "X-Authorization",
    "X-Remote-User",
    "X-Remote-Addr",
    "Remote-User",
    "Remote-Addr",
    "Remote-Email",
    "Remote-Groups",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Preferred-Username",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "X-Client-Cert",
    "X-Client-Cert-Chain",
    "X-Client-DN",
    "X-Client-Verify",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-SSL-Client-Cert",
    "X-SSL-Client-Verify",
    "X-SSL-Client-S-DN",
    "SSL-Client-Cert",
    "SSL-Client-Verify",
    "X-Consumer-Id",
    "X-Consumer-Username",
    "X-Credential-Identifier",
    "X-Anonymous-Consumer",
    "X-JWT-Assertion",
    "X-JWT-Payload",
    "X-Access-Token",
    "X-ID-Token",
    "X-Token",
    "X-Goog-Authenticated-User-Email",
    "X-Goog-IAP-JWT-Assertion",
    "X-MS-Client-Principal",
    "X-MS-Client-Principal-Id",
    "X-Amzn-Oidc-Data",
    "X-Amzn-Oidc-Identity",
    "Cf-Access-Jwt-Assertion",
    "Cf-Connecting-IP",
    "True-Client-IP",
    "X-Pomerium-Claim-Email",
    "X-Webauth-User",
    "X-Subject",
    "X-Sub",
    "X-Scope",
    "X-Scopes",
    "X-Roles",
    "X-Role",
    "X-Groups",
    "X-Principal",
    "X-Identity",
    "X-Claim-Sub",
    "X-Account-Id",
    "X-Email",
    "X-Grant-Id",
    "X-Permissions",
    "X-Admin",
    "X-Internal",
    "X-Impersonate-User",
    "X-Login",
    "X-Original-URL",
    "X-Original-URI",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Host",
    "X-Envoy-External-Address",
    "X-Request-Id",
    "Proxy",
    "Proxy-Authorization",
    "X-Bearer-Token",
    "X-Endpoint-API-UserInfo",
    "From",
];

/// Ways in which some server or framework would still read the name.
fn spellings(name: &str) -> BTreeSet<String> {
    let lower = name.to_ascii_lowercase();
    let mut out = BTreeSet::new();
    for sign in ["-", "_", ".", "~", "!", "'", "*", "+", "^", "`", "|", "#", "$", "%", "&"] {
        out.insert(lower.replace('-', sign));
        // Only the last one changed.
        if let Some((before, last)) = lower.rsplit_once('-') {
            out.insert(format!("{before}{sign}{last}"));
        }
    }
    out.insert(format!("{lower}_"));
    out.insert(format!("_{lower}"));
    out.insert(format!("-{lower}-"));
    out.insert(lower.replace('-', "--"));
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_an_identity_header_gets_through() {
    let house = House::new();
    let mut variants = 0;
    for name in NAMES {
        for spelling in spellings(name) {
            for value in ["attacker", "127.0.0.1"] {
                let mixed: String = spelling
                    .char_indices()
                    .map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c })
                    .collect();
                let sent = house.get("/public/x", &[(&mixed, value), (&spelling, value)]).await;
                for (name, found) in &sent.forward().headers {
                    assert_ne!(found, value, "{spelling} came through as {name}");
                }
                variants += 1;
            }
        }
    }
    assert!(variants >= 1_000, "{variants}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_connection_names_is_gone_and_cannot_take_ours_with_it() {
    let house = House::new();

    let headers = [
        ("connection", "x-custom, Authorization, X-Forwarded-For,traceparent"),
        ("x-custom", "attacker"),
        ("authorization", "Bearer opaque-token-0001"),
    ];
    let sent = house.get("/orders/1", &headers).await;

    let headers = &sent.forward().headers;
    assert!(!headers.contains_key("x-custom") && !headers.contains_key("connection"));
    assert!(headers["authorization"].to_str().unwrap().starts_with("Bearer eyJ"));
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
    assert_eq!(headers["x-forwarded-host"], "api.test");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["forwarded"], "for=192.0.2.7;host=\"api.test\";proto=https");
    assert!(headers.contains_key("traceparent"));
}

#[test]
fn a_name_with_an_underscore_never_gets_through() {
    for name in ["x_custom", "x-custom_name", "my_header", "_"] {
        assert!(is_ours(name), "{name}");
    }
}

#[test]
fn what_clients_need_gets_through() {
    for name in [
        "accept",
        "accept-encoding",
        "content-type",
        "cookie",
        "if-none-match",
        "user-agent",
        "x-api-key",
        "x-requested-with",
        "range",
        "x-csrf-token",
        "referer",
        "origin",
        "sec-websocket-key",
        "grpc-timeout",
        "idempotency-key",
        "prefer",
        "dpop",
        "baggage",
    ] {
        assert!(!is_ours(name), "{name}");
    }
}

//! Values stay in the place where a template puts them.

use http::StatusCode;
use proptest::prelude::*;
use serde_json::json;

use super::{Script, composition, input, ok, parts, run};
use crate::Input;

const ECHO: &str = "
steps:
- name: a
  request:
    service: orders
    method: POST
    path: /x/${ request.query.p }/y
    query: { q: '${ request.query.q }', list: ['a b', '${ request.query.?none }'] }
    headers: { x-h: 'v ${ request.query.h }' }
    body: { b: '${ request.query.b }' }
output: {}
";

fn with(values: &[(&str, &str)]) -> Input {
    let mut all = vec![("p", "p"), ("q", "q"), ("h", "h"), ("b", "b")];
    for (name, value) in values {
        all.retain(|(known, _)| known != name);
        all.push((name, value));
    }
    let query = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Input { query, ..input() }
}

#[tokio::test]
async fn values_are_encoded_for_their_place() {
    let script = Script::at_once(|_| ok(json!({})));
    let page = composition(ECHO);

    run(&page, &script, with(&[("p", "a b?c#d%2F&é"), ("q", "1&admin=true#x y+z"), ("b", "\"},\"x\":{\"")])).await;

    let sent = script.sent();
    assert_eq!(sent[0].line, "POST /v1/x/a%20b%3Fc%23d%252F%26%C3%A9/y?list=a%20b&q=1%26admin%3Dtrue%23x%20y%2Bz");
    assert_eq!(sent[0].body, json!({"b": "\"},\"x\":{\""}));
    assert_eq!(sent[0].headers["x-h"], "v h");
}

#[tokio::test]
async fn values_that_would_leave_their_place_are_refused_before_anything_is_sent() {
    let page = composition(ECHO);
    for (name, value) in [
        ("p", ".."),
        ("p", "."),
        ("p", ""),
        ("p", "a/../../admin"),
        ("p", "a\\b"),
        ("p", "a\r\nX: y"),
        ("p", "a\0"),
        ("h", "x\r\nX-Admin: 1"),
        ("h", "x\ny"),
        ("h", "é"),
        ("h", "a\0b"),
    ] {
        let script = Script::at_once(|_| ok(json!({})));
        let answer = run(&page, &script, with(&[(name, value)])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}={value:?}");
        assert_eq!(parts(&answer), ["a: Failed BadValue x0"]);
        assert!(script.sent().is_empty());
        assert!(!String::from_utf8_lossy(&answer.body).contains("admin"));
    }
}

#[tokio::test]
async fn two_values_do_not_make_a_step_up_together() {
    let page = composition(
        "steps:\n- { name: a, request: { service: orders, path: '/x/${ request.query.p }${ request.query.q }' } }\noutput: {}",
    );
    let script = Script::at_once(|_| ok(json!({})));

    let answer = run(&page, &script, with(&[("p", "."), ("q", ".")])).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(script.sent().is_empty());
}

#[tokio::test]
async fn credentials_cannot_be_read_by_expressions() {
    let page = composition("output: { body: '${ request.headers }' }");
    let mut input = input();
    for name in ["authorization", "cookie", "dpop", "proxy-authorization", "x-other"] {
        input.headers.insert(http::HeaderName::from_static(name), http::HeaderValue::from_static("secret"));
    }

    let answer = run(&page, &Script::at_once(|_| ok(json!({}))), input).await;

    assert_eq!(super::body(&answer), json!({"x-other": "secret"}));
}

#[tokio::test]
async fn a_header_of_the_answer_holds_one_line() {
    let page = composition("output: { headers: { x-a: '${ request.query.h }' } }");
    let answer = run(&page, &Script::at_once(|_| ok(json!({}))), with(&[("h", "a\r\nSet-Cookie: x=1")])).await;

    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(!answer.headers.contains_key("set-cookie"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_value_of_any_text_changes_neither_path_nor_query_nor_headers(value in "\\PC{0,12}|[./\\\\%?#&=\r\n\0a ]{0,8}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let script = Script::at_once(|_| ok(json!({})));
        let page = composition(ECHO);
        runtime.block_on(run(&page, &script, with(&[("p", &value), ("q", &value), ("b", &value)])));
        if let Some(sent) = script.sent().first() {
            let uri: http::Uri = sent.line.trim_start_matches("POST ").parse().unwrap();
            prop_assert_eq!(uri.path().split('/').count(), 5);
            prop_assert!(uri.path().starts_with("/v1/x/") && uri.path().ends_with("/y"));
            let segment = uri.path().split('/').nth(3).unwrap();
            let decoded = percent_encoding::percent_decode_str(segment).decode_utf8().unwrap().into_owned();
            prop_assert_eq!(&decoded, &value);
            prop_assert!(decoded != "." && decoded != "..");
            prop_assert_eq!(uri.query().unwrap().split('&').count(), 2);
            prop_assert_eq!(&sent.body, &json!({"b": value}));
        }
    }
}

//! What comes in, what goes on, what comes back.

use super::*;

const PAGE: &str = "
kind: Composition
name: page
spec:
  match: { path: '/page/{id}', methods: [GET] }
  auth: { issuer: main, scopes: [page_read] }
  audience: https://page.internal
  cors: { origins: [https://app.test] }
  deadline: 20s
  steps:
  - { name: order, request: { service: orders, path: '/orders/${ request.params.id }' } }
  - { name: user, request: { service: users, path: '/users/${ steps.order.body.sub }', headers: { x-lang: '${ request.headers[?\"accept-language\"].orValue(\"en\") }' } } }
  - { name: reviews, identity: none, required: false, request: { service: reviews, path: /reviews, query: { of: '${ request.params.id }', page: '${ request.query.?page }' } } }
  output:
    headers: { x-order: '${ steps.order.headers[\"x-echo\"] }', x-count: '${ size(steps.order.body.items) }' }
    body: { order: '${ steps.order.body }', user: '${ steps.user.body.sub }', name: '${ claims.name }', reviews: '${ steps.reviews.body }' }
  partial: { status: 203 }
";

#[tokio::test(flavor = "multi_thread")]
async fn three_backends_make_one_answer_and_none_sees_the_opaque_token() {
    let (orders, users) = (telling().await, telling().await);
    let reviews = HttpUpstream::start(|seen| json_answer(&json!([seen.uri.to_string()]))).await;
    let house =
        House::start(&[("orders", orders.url()), ("users", users.url()), ("reviews", reviews.url())], PAGE).await;

    let answer = house
        .ask(
            "GET /page/a%20b?page=2 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer token-alice\r\nAccept-Language: de\r\n\
             X-User: mallory\r\nX-Forwarded-For: 6.6.6.6\r\nCookie: c=1\r\nOrigin: https://app.test\r\n\
             traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
        )
        .await;

    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(
        body(&answer),
        json!({
            "order": {"sub": "alice", "path": "/v1/orders/a%20b", "items": [1, 2, 3]},
            "user": "alice", "name": "Name of alice", "reviews": ["/v1/reviews?of=a%20b&page=2"],
        })
    );
    assert_eq!(
        answer.field("cardea-parts"),
        ["order;outcome=done;status=200, user;outcome=done;status=200, reviews;outcome=done;status=200"]
    );
    assert_eq!(answer.field("access-control-allow-origin"), ["https://app.test"]);
    assert_eq!(answer.field("x-count"), ["3"]);
    // The inner JWT, told by a backend and mapped into a header, goes to no client.
    assert!(answer.field("x-order").is_empty() && !answer.head.contains("eyJ"));
    let id = answer.field("x-request-id")[0].to_owned();
    for backend in [&orders, &users, &reviews] {
        let seen = &backend.seen()[0];
        let text = format!("{seen:?}");
        assert!(!text.contains("token-alice") && !text.contains("mallory") && !text.contains("6.6.6.6"), "{text}");
        assert!(!seen.headers.contains_key("cookie"));
        assert_eq!(seen.headers["x-request-id"], id);
        assert!(seen.headers["traceparent"].to_str().unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
        assert_eq!(seen.headers["x-forwarded-for"], "127.0.0.1");
    }
    assert_eq!(users.seen()[0].headers["x-lang"], "de");
    assert!(!reviews.seen()[0].headers.contains_key("authorization"));
    let metrics = house.gateway.metrics_text();
    assert!(metrics.contains("cardea_compositions_total{composition=\"page\",ending=\"complete\"} 1"), "{metrics}");
    assert!(metrics.contains("part=\"user\",outcome=\"done\",error=\"\""), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_otherwise_than_to_a_route() {
    let orders = telling().await;
    let to = |name: &'static str| (name, orders.url());
    let house =
        House::start(&[to("orders"), to("users"), to("reviews")], &PAGE.replace("page_read", "page_write")).await;

    let without = house.ask("GET /page/1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((without.status(), slug(&without).as_str()), (401, "token_missing"));
    assert_eq!(
        without.field("www-authenticate"),
        [
            "Bearer realm=\"page\", scope=\"page_write\", resource_metadata=\"https://api.test/.well-known/oauth-protected-resource/page\""
        ]
    );
    let metadata = house.ask("GET /.well-known/oauth-protected-resource/page HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(body(&metadata)["scopes_supported"], json!(["page_write"]));

    let scope = house.get("/page/1", "alice").await;
    assert_eq!((scope.status(), slug(&scope).as_str()), (403, "insufficient_scope"));
    assert_eq!(house.ask("PUT /page/1 HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 405);
    let preflight =
        "OPTIONS /page/1 HTTP/1.1\r\nHost: a\r\nOrigin: https://app.test\r\nAccess-Control-Request-Method: GET\r\n\r\n";
    let preflight = house.ask(preflight).await;
    assert_eq!((preflight.status(), preflight.field("access-control-allow-methods")), (204, vec!["GET"]));
    assert!(orders.seen().is_empty());
}

//! Whose request, and who a step is.

use std::sync::Mutex;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_users_at_once_never_cross() {
    const USERS: usize = 500;
    let seen = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    // Answers with whose token it was, after others had their turn.
    let backend = |seen: &Arc<Mutex<HashMap<String, usize>>>| {
        let seen = Arc::clone(seen);
        HttpUpstream::streaming(move |request| {
            let sub = claim(&bearer(request.headers()), "sub");
            assert!(request.uri().path().ends_with(&format!("/{sub}")), "{} got {sub}'s token", request.uri());
            *seen.lock().unwrap().entry(sub.clone()).or_default() += 1;
            async move {
                for _ in 0..sub.len() * 3 {
                    tokio::task::yield_now().await;
                }
                json_answer(&json!({"sub": sub}))
            }
        })
    };
    let (one, two, three) = (backend(&seen).await, backend(&seen).await, backend(&seen).await);
    let spec = "
kind: Composition
name: mine
spec:
  match: { path: '/mine/{who}' }
  auth: { issuer: main }
  audience: https://page.internal
  deadline: 60s
  steps:
  - { name: a, request: { service: one, path: '/a/${ request.params.who }' } }
  - { name: b, request: { service: two, path: '/b/${ claims.sub }' } }
  - { name: c, request: { service: three, path: '/c/${ steps.a.body.sub }' } }
  output: { body: ['${ claims.sub }', '${ steps.a.body.sub }', '${ steps.b.body.sub }', '${ steps.c.body.sub }'] }
";
    let house = House::start(&[("one", one.url()), ("two", two.url()), ("three", three.url())], spec).await;
    let address = house.running.local_addrs()[0];

    let mut tasks = tokio::task::JoinSet::new();
    for user in 0..USERS {
        tasks.spawn(async move {
            let who = format!("user{user}");
            let answer = RawConnection::connect(address).await.ask(request(&format!("/mine/{who}"), &who)).await;
            assert_eq!((answer.status(), body(&answer)), (200, json!([who, who, who, who])), "{}", answer.text());
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }

    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), USERS);
    assert!(seen.values().all(|times| *times == 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_who_it_should_be() {
    let backend = HttpUpstream::start(|seen| json_answer(&json!(bearer(&seen.headers)))).await;
    let spec = "
kind: Composition
name: who
spec:
  match: { path: /who }
  auth: { issuer: main }
  audience: https://page.internal
  deadline: 20s
  tokens: { sts: { url: 'ISSUER/token', as: gateway, secret: file:secret } }
  steps:
  - { name: mail, identity: { exchange: { audience: mail } }, request: { service: any, path: /mail } }
  - { name: own, identity: { clientCredentials: { audience: own } }, request: { service: any, path: /own } }
  - { name: nobody, identity: none, request: { service: any, path: /nobody } }
  output: { body: ['${ steps.mail.body }', '${ steps.own.body }', '${ steps.nobody.body }'] }
";
    let house = House::start(&[("any", backend.url())], spec).await;

    for _ in 0..3 {
        assert_eq!(body(&house.get("/who", "alice").await), json!(["for-alice-at-mail", "for-gateway-at-own", ""]));
    }
    assert_eq!(house.issuer.exchanges.load(Ordering::SeqCst), 2);
    assert_eq!(body(&house.get("/who", "bob").await)[0], "for-bob-at-mail");
    assert_eq!(house.issuer.exchanges.load(Ordering::SeqCst), 3);
}

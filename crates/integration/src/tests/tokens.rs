use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Secret;
use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response, StatusCode};
use proptest::prelude::*;
use serde_json::json;

use super::{Hands, Script, body, compile_guarded, input, ok, parts};
use crate::{Composition, Input, Runner, Subject, TokenEndpoint, TokenSource};

/// A token endpoint: the token it gives tells for whom, for which audience and scope it is.
#[derive(Default)]
struct Authority {
    asked: Mutex<Vec<HashMap<String, String>>>,
    authorizations: Mutex<Vec<String>>,
    /// Turns that each answer waits.
    turns: AtomicUsize,
    refuse: AtomicUsize,
    without_life: AtomicUsize,
}

impl Authority {
    fn asked(&self) -> Vec<HashMap<String, String>> {
        self.asked.lock().unwrap().clone()
    }
}

struct Shared(Arc<Authority>);

impl Peer for Shared {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        let form: HashMap<String, String> = serde_urlencoded::from_bytes(request.body()).unwrap();
        let who = request.headers()["authorization"].to_str().unwrap().to_owned();
        self.0.authorizations.lock().unwrap().push(who);
        self.0.asked.lock().unwrap().push(form.clone());
        Box::pin(async move {
            for _ in 0..self.0.turns.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            if self.0.refuse.load(Ordering::SeqCst) > 0 {
                let mut refused = Response::new(Bytes::from_static(b"{\"error\":\"invalid_grant\"}"));
                *refused.status_mut() = StatusCode::BAD_REQUEST;
                return Ok(refused);
            }
            let get = |name: &str| form.get(name).map_or("", String::as_str);
            let token = format!("{}.{}.{}", get("subject_token"), get("audience"), get("scope"));
            let mut answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": 60});
            if self.0.without_life.load(Ordering::SeqCst) > 0 {
                answer.as_object_mut().unwrap().remove("expires_in");
            }
            Ok(Response::new(Bytes::from(answer.to_string())))
        })
    }
}

const BACKENDS: &str = "
kind: Issuer
name: main
spec: { issuer: http://localhost:8081, introspection: { as: gateway, secret: file:x } }
---
kind: Upstream
name: pool
spec: { endpoints: [http://127.0.0.1:9] }
---
kind: Service
name: users
spec: { upstream: pool }
";

fn page() -> Composition {
    let spec = "
audience: https://page
tokens: { sts: { url: 'http://sts/token', as: 'gate way', secret: file:secret } }
steps:
- { name: mail, identity: { exchange: { audience: mail, scopes: [read, list] } }, request: { service: users, path: /mail } }
- { name: files, identity: { exchange: { audience: files } }, request: { service: users, path: /files } }
- { name: own, identity: { clientCredentials: { audience: own } }, request: { service: users, path: /own } }
- { name: plain, request: { service: users, path: /plain } }
- { name: nobody, identity: none, request: { service: users, path: /nobody } }
output:
  body:
    mail: '${ steps.mail.body }'
    files: '${ steps.files.body }'
    own: '${ steps.own.body }'
    plain: '${ steps.plain.body }'
    nobody: '${ steps.nobody.body }'
    me: '${ claims.sub }'
";
    compile_guarded(BACKENDS, "{ issuer: main }", spec).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn user(name: &str) -> Input {
    let subject = Subject::new(name.into(), &Secret::new(format!("jwt-{name}")));
    Input { claims: json!({"sub": name}).into(), subject, ..input() }
}

/// Answers with the bearer token that it was sent, after some turns.
fn echo(turns: usize) -> Script {
    Script::new(move |sent| async move {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        let token = sent.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        ok(json!(token))
    })
}

fn runner(authority: &Arc<Authority>, script: &Script, hands: &Hands, entries: usize) -> Runner<Script> {
    let endpoint =
        TokenEndpoint { url: "http://sts/token".into(), client_id: "gate way".into(), secret: Secret::from("s:3") };
    let endpoints = HashMap::from([("sts".to_owned(), endpoint)]);
    let tokens =
        TokenSource::new(Arc::new(Shared(Arc::clone(authority))), hands.clock.shared(), entries).with(endpoints);
    Runner { caller: script.clone(), tokens, timer: hands.timer() }
}

fn expected(name: &str) -> serde_json::Value {
    json!({
        "mail": format!("Bearer jwt-{name}.mail.read list"),
        "files": format!("Bearer jwt-{name}.files."),
        "own": "Bearer .own.",
        "plain": format!("Bearer jwt-{name}"),
        "nobody": null,
        "me": name,
    })
}

#[tokio::test]
async fn each_step_has_an_identity_of_its_own() {
    let (authority, script, hands) = (Arc::new(Authority::default()), echo(0), Hands::default());

    let answer = runner(&authority, &script, &hands, 16).run(&page(), user("alice")).await;

    assert_eq!(body(&answer), expected("alice"));
    let asked = authority.asked();
    assert_eq!(asked[0]["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
    assert_eq!(asked[0]["subject_token"], "jwt-alice");
    assert_eq!(asked[0]["scope"], "read list");
    assert_eq!(asked[0]["subject_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(asked[0]["requested_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    assert_eq!(asked[2]["grant_type"], "client_credentials");
    assert!(!asked[2].contains_key("subject_token"));
    // RFC 6749 §2.3.1: `gate+way:s%3A3`.
    assert_eq!(authority.authorizations.lock().unwrap()[0], "Basic Z2F0ZSt3YXk6cyUzQTM=");
}

/// Compositions come from several hands. One that names another's client, and has not its secret, gets none of the
/// tokens that were got with it.
#[tokio::test]
async fn a_token_that_is_kept_is_for_those_who_have_the_secret_it_was_got_with() {
    let (authority, script, hands) = (Arc::new(Authority::default()), echo(0), Hands::default());
    let own = runner(&authority, &script, &hands, 16);
    own.run(&page(), user("alice")).await;
    assert_eq!(authority.asked().len(), 3);
    let endpoint =
        TokenEndpoint { url: "http://sts/token".into(), client_id: "gate way".into(), secret: Secret::from("guessed") };
    let tokens = own.tokens.with(HashMap::from([("sts".to_owned(), endpoint)]));
    authority.refuse.store(1, Ordering::SeqCst);

    let stranger = Runner { caller: script.clone(), tokens, timer: hands.timer() };
    let answer = stranger.run(&page(), user("alice")).await;

    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{}", body(&answer));
    assert!(authority.asked().len() > 3, "it is asked, with the secret that was given");
    assert_eq!(body(&own.run(&page(), user("alice")).await), expected("alice"), "nor does it spoil anything");
}

#[tokio::test]
async fn a_jwt_is_forwarded_by_default_only_where_the_service_wants_it() {
    let backends =
        format!("{BACKENDS}---\nkind: Service\nname: shy\nspec: {{ upstream: pool, identity: {{ forward: none }} }}\n");
    let page = compile_guarded(
        &backends,
        "{ issuer: main }",
        "
audience: https://page
steps:
- { name: plain, request: { service: users, path: / } }
- { name: shy, request: { service: shy, path: / } }
- { name: anybody, request: { upstream: pool, path: / } }
- { name: told, identity: forward, request: { upstream: pool, path: / } }
output: { body: ['${ steps.plain.body }', '${ steps.shy.body }', '${ steps.anybody.body }', '${ steps.told.body }'] }
",
    )
    .unwrap();
    let (authority, script, hands) = (Arc::new(Authority::default()), echo(0), Hands::default());

    let answer = runner(&authority, &script, &hands, 16).run(&page, user("alice")).await;

    assert_eq!(body(&answer), json!(["Bearer jwt-alice", null, null, "Bearer jwt-alice"]));
}

#[tokio::test]
async fn tokens_are_kept_until_shortly_before_their_end() {
    let (authority, script, hands) = (Arc::new(Authority::default()), echo(0), Hands::default());
    let (runner, page) = (runner(&authority, &script, &hands, 16), page());

    runner.run(&page, user("alice")).await;
    hands.clock.advance(Duration::from_secs(49));
    runner.run(&page, user("alice")).await;
    assert_eq!(authority.asked().len(), 3);
    runner.run(&page, user("bob")).await;
    // Our own is not asked again for another user.
    assert_eq!(authority.asked().len(), 5);
    hands.clock.advance(Duration::from_secs(1));
    runner.run(&page, user("alice")).await;
    assert_eq!(authority.asked().len(), 8);

    authority.without_life.store(1, Ordering::SeqCst);
    runner.run(&page, user("carol")).await;
    hands.clock.advance(Duration::from_millis(1));
    let before = authority.asked().len();
    runner.run(&page, user("carol")).await;
    assert_eq!(authority.asked().len(), before + 2);
}

#[tokio::test]
async fn many_who_need_the_same_token_ask_once() {
    let (authority, script, hands) = (Arc::new(Authority::default()), echo(3), Hands::default());
    authority.turns.store(20, Ordering::SeqCst);
    let (runner, page) = (runner(&authority, &script, &hands, 64), page());

    let running: FuturesUnordered<_> = (0..50).map(|_| runner.run(&page, user("alice"))).collect();
    let answers: Vec<_> = running.collect().await;

    assert!(answers.iter().all(|answer| body(answer) == expected("alice")));
    assert_eq!(authority.asked().len(), 3);
}

#[tokio::test]
async fn one_who_gives_up_does_not_stop_those_who_wait() {
    let (authority, script, hands) = (Arc::new(Authority::default()), echo(0), Hands::default());
    authority.turns.store(50, Ordering::SeqCst);
    let (runner, page) = (runner(&authority, &script, &hands, 64), Arc::new(page()));
    let first = tokio::spawn({
        let (runner, page) = (runner.clone(), Arc::clone(&page));
        async move { runner.run(&page, user("alice")).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(authority.asked().len(), 3);
    let second = tokio::spawn({
        let (runner, page) = (runner.clone(), Arc::clone(&page));
        async move { runner.run(&page, user("alice")).await }
    });
    tokio::task::yield_now().await;

    first.abort();

    assert_eq!(body(&second.await.unwrap()), expected("alice"));
    assert_eq!(authority.asked().len(), 6);
}

#[tokio::test]
async fn no_token_is_no_call_and_tells_nothing() {
    let (authority, script, hands) = (Arc::new(Authority::default()), echo(0), Hands::default());
    authority.refuse.store(1, Ordering::SeqCst);
    let runner = runner(&authority, &script, &hands, 16);

    let refused = runner.run(&page(), user("alice")).await;
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
    assert_eq!(parts(&refused)[0], "mail: Failed Identity x0");
    assert!(!script.lines().contains(&"GET /mail".to_owned()));
    let text = format!("{refused:?} {:?} {runner:?} {:?}", runner.tokens, user("alice"));
    assert!(!text.contains("jwt-alice") && !text.contains("s:3"), "{text}");

    let nobody = runner.run(&page(), input()).await;
    assert_eq!(parts(&nobody)[0], "mail: Failed Identity x0");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn five_hundred_users_at_once_never_cross(turns in 0_usize..7, answer_turns in 0_usize..5, entries in prop::sample::select(vec![8_usize, 200, 4000])) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        let (authority, script, hands) = (Arc::new(Authority::default()), echo(answer_turns), Hands::default());
        authority.turns.store(turns, Ordering::SeqCst);
        let (runner, page) = (runner(&authority, &script, &hands, entries), Arc::new(page()));
        let crossed = runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            // Names that are begins of each other, so that joined texts would meet.
            for at in 0..500 {
                let (runner, page) = (runner.clone(), Arc::clone(&page));
                tasks.spawn(async move {
                    let name = format!("u{at}");
                    for _ in 0..2 {
                        let answer = runner.run(&page, user(&name)).await;
                        if body(&answer) != expected(&name) {
                            return Some(format!("{name}: {}", body(&answer)));
                        }
                    }
                    None
                });
            }
            let mut crossed = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                crossed.extend(ended.unwrap());
            }
            crossed
        });
        prop_assert_eq!(crossed, Vec::<String>::new());
    }
}

#[test]
fn a_jwt_goes_to_nobody_for_whom_it_is_not_meant() {
    let backends = BACKENDS.replace("spec: { upstream: pool }", "spec: { upstream: pool, audience: 'https://users' }");
    let spec = |audience: &str, identity: &str| {
        let text = format!(
            "audience: '{audience}'\ntokens: {{ t: {{ url: 'http://sts/token', as: g, secret: file:s }} }}\nsteps:\n- {{ name: a, {identity} request: {{ service: users, path: / }} }}\noutput: {{}}\n"
        );
        compile_guarded(&backends, "{ issuer: main }", &text).err().unwrap_or_default()
    };

    for identity in ["", "identity: forward,"] {
        assert!(spec("https://users", identity).is_empty());
        let faults = spec("https://page", identity);
        assert!(faults[0].contains("/spec/steps/0/identity") && faults[0].contains("exchange"), "{faults:?}");
    }
    for identity in ["identity: none,", "identity: { exchange: { audience: 'https://users' } },"] {
        assert!(spec("https://page", identity).is_empty(), "{identity}");
    }
}

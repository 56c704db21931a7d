//! R1: whatever is done to issuers, tokens, audiences and the cache, facts are those of this issuer, this
//! token and this audience, and no older than they may be. Played against a model that keeps everything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Clock;
use base::event::Revoked;
use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use proptest::prelude::*;
use serde_json::json;
use testkit::ManualClock;

use super::NoFacts;
use super::authority::{Audience, Core, World};
use super::cache::AudienceId;
use super::mint::Minter;
use crate::metrics::Metrics;

const CAP_MS: u64 = 30_000;
const NEGATIVE_MS: u64 = 5_000;

#[derive(Debug, Clone)]
enum Step {
    Call {
        issuer: usize,
        audience: usize,
        token: usize,
    },
    Advance(u64),
    RevokeGrant {
        issuer: usize,
        grant: usize,
    },
    RevokeAll(usize),
    /// `Cache-Control` of what comes next.
    Keep {
        issuer: usize,
        seconds: Option<u64>,
    },
    Expire {
        issuer: usize,
        seconds: u64,
    },
    SetActive {
        issuer: usize,
        token: usize,
        active: bool,
    },
    Evict(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let issuer = 0..2_usize;
    prop_oneof![
        8 => (issuer.clone(), 0..2_usize, 0..4_usize).prop_map(|(issuer, audience, token)| Step::Call { issuer, audience, token }),
        2 => (1..20_000_u64).prop_map(Step::Advance),
        1 => (issuer.clone(), 0..2_usize).prop_map(|(issuer, grant)| Step::RevokeGrant { issuer, grant }),
        1 => issuer.clone().prop_map(Step::RevokeAll),
        1 => (issuer.clone(), proptest::option::of(0..40_u64)).prop_map(|(issuer, seconds)| Step::Keep { issuer, seconds }),
        1 => (issuer.clone(), 1..60_u64).prop_map(|(issuer, seconds)| Step::Expire { issuer, seconds }),
        2 => (issuer.clone(), 0..4_usize, any::<bool>()).prop_map(|(issuer, token, active)| Step::SetActive { issuer, token, active }),
        1 => issuer.prop_map(Step::Evict),
    ]
}

/// The token services: every answer has a number of its own.
struct Services {
    clock: ManualClock,
    answers: AtomicU64,
    state: Mutex<[ServiceState; 2]>,
}

#[derive(Clone)]
struct ServiceState {
    keep: Option<u64>,
    expires_in: u64,
    inactive: [bool; 4],
}

impl Peer for Services {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        let issuer = usize::from(request.uri().host() == Some("b.test"));
        let form: HashMap<String, String> = serde_urlencoded::from_bytes(request.body()).unwrap();
        let state = self.state.lock().unwrap()[issuer].clone();
        let token: usize = form["token"].strip_prefix("token").unwrap().parse().unwrap();
        let number = self.answers.fetch_add(1, Ordering::SeqCst);
        let now_ms = self.clock.now().ms();
        let body = if state.inactive[token] {
            json!({"active": false})
        } else {
            json!({
                "active": true, "sub": format!("{issuer}/{token}"), "aud": form["resource"], "number": number,
                "exp": (now_ms + i64::try_from(state.expires_in * 1000).unwrap()).div_euclid(1000),
                "grant_id": format!("g{}", token % 2),
            })
        };
        let mut response = Response::new(Bytes::from(body.to_string()));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        let keep = state.keep.map_or("no-store".to_owned(), |seconds| format!("max-age={seconds}"));
        response.headers_mut().insert("cache-control", HeaderValue::from_str(&keep).unwrap());
        Box::pin(async move { Ok(response) })
    }
}

/// What the model keeps.
#[derive(Clone, Copy)]
struct Kept {
    number: u64,
    until_ms: u64,
    expires_ms: i64,
}

struct Play {
    clock: ManualClock,
    services: Arc<Services>,
    cores: [Arc<Core>; 2],
    audiences: [Audience; 2],
    facts: HashMap<(usize, usize, usize), Kept>,
    inactive: HashMap<(usize, usize, usize), u64>,
    _folder: tempfile::TempDir,
}

impl Play {
    fn new() -> Self {
        let clock = ManualClock::new();
        let state = ServiceState { keep: Some(20), expires_in: 50, inactive: [false; 4] };
        let services = Arc::new(Services {
            clock: clock.clone(),
            answers: AtomicU64::new(0),
            state: Mutex::new([state.clone(), state]),
        });
        let folder = tempfile::tempdir().unwrap();
        let peer: base::peer::SharedPeer = Arc::<Services>::clone(&services);
        let world = World {
            book: Arc::default(),
            tokens: integration::TokenSource::new(Arc::clone(&peer), clock.shared(), 8),
            peer,
            clock: clock.shared(),
            runtime: tokio::runtime::Handle::current(),
            minter: Arc::new(Minter::open(folder.path(), "https://gateway.test").unwrap()),
            metrics: Arc::new(Metrics::new(&mut prometheus_client::registry::Registry::default())),
            folder: folder.path().to_owned(),
        };
        let core = |host: &str| {
            let text = format!(
                "kind: Issuer\nname: {host}\nspec: {{ issuer: 'http://{host}', introspection: {{ endpoint: 'http://{host}/i', as: g, secret: 'file:x', form: plain, cache: {{ maxTtl: 30s, negativeTtl: 5s }} }} }}"
            );
            let spec = catalog::parse("x", &text).unwrap()[0].read().unwrap();
            Arc::new(Core::new(&host.into(), &spec, base::Secret::from("s"), &world))
        };
        let audience = |name: &str| Audience { id: AudienceId::of(name), name: name.into() };
        Self {
            services,
            cores: [core("a.test"), core("b.test")],
            audiences: [audience("https://one.test"), audience("https://two.test")],
            facts: HashMap::new(),
            inactive: HashMap::new(),
            clock,
            _folder: folder,
        }
    }

    async fn call(&mut self, issuer: usize, audience: usize, token: usize) {
        let key = (issuer, audience, token);
        let now_ms = self.clock.monotonic_ms();
        let before = self.services.answers.load(Ordering::SeqCst);
        let (result, _) = self.cores[issuer].facts(&format!("token{token}"), &self.audiences[audience]).await;
        let asked = self.services.answers.load(Ordering::SeqCst) - before;

        let kept = self.facts.get(&key).copied();
        let kept = kept.filter(|kept| now_ms < kept.until_ms && self.clock.now().ms() < kept.expires_ms);
        if let Some(kept) = kept {
            assert_eq!(asked, 0, "asked about what is kept");
            let facts = result.unwrap();
            assert_eq!(facts.claims["number"], kept.number);
            assert_eq!(facts.claims["sub"], format!("{issuer}/{token}"));
            return;
        }
        self.facts.remove(&key);
        if self.inactive.get(&key).is_some_and(|until| now_ms < *until) {
            assert!(matches!(result, Err(NoFacts::Inactive(_) | NoFacts::Revoked)));
            assert_eq!(asked, 0, "asked about what is known not to be active");
            return;
        }
        assert_eq!(asked, 1, "not asked, or more than once");
        let state = self.services.state.lock().unwrap()[issuer].clone();
        if state.inactive[token] {
            assert!(matches!(result, Err(NoFacts::Inactive(_) | NoFacts::Revoked)));
            self.inactive.insert(key, now_ms + NEGATIVE_MS);
            return;
        }
        let facts = result.unwrap();
        assert_eq!(facts.claims["number"], before);
        assert_eq!(facts.claims["sub"], format!("{issuer}/{token}"));
        assert_eq!(facts.claims["aud"], *self.audiences[audience].name);
        if let Some(seconds) = state.keep.filter(|seconds| *seconds > 0) {
            let until_ms = now_ms + (seconds * 1000).min(CAP_MS);
            let expires_ms = facts.expires.unwrap().ms();
            self.facts.insert(key, Kept { number: before, until_ms, expires_ms });
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Call { issuer, audience, token } => self.call(issuer, audience, token).await,
            Step::Advance(ms) => self.clock.advance(Duration::from_millis(ms)),
            Step::RevokeGrant { issuer, grant } => {
                let now_ms = self.clock.monotonic_ms();
                self.cores[issuer].marks.revoke(Revoked::Grant(format!("g{grant}")), now_ms, CAP_MS);
                self.facts.retain(|(at, _, token), _| *at != issuer || token % 2 != grant);
            }
            Step::RevokeAll(issuer) => {
                self.cores[issuer].marks.revoke_all();
                self.facts.retain(|(at, _, _), _| *at != issuer);
            }
            Step::Keep { issuer, seconds } => self.services.state.lock().unwrap()[issuer].keep = seconds,
            Step::Expire { issuer, seconds } => self.services.state.lock().unwrap()[issuer].expires_in = seconds,
            Step::SetActive { issuer, token, active } => {
                self.services.state.lock().unwrap()[issuer].inactive[token] = !active;
            }
            Step::Evict(issuer) => {
                self.cores[issuer].cache.clear();
                self.facts.retain(|(at, _, _), _| *at != issuer);
            }
        }
    }
}

/// Few cases in the suite; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: if config.cases == 256 { 32 } else { config.cases }, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_cache_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut play = Play::new();
            for step in steps {
                play.step(step).await;
            }
        });
    }
}

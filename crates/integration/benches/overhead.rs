//! What a composition of five parallel steps costs on top of the five calls that it makes.
//! The backends answer at once from memory, so all that is measured is the composition itself.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::sync::Arc;
use std::time::Duration;

use base::peer::HttpPeer;
use base::time::Stopwatch;
use bytes::Bytes;
use catalog::{Snapshot, parse};
use http::{Request, Response, StatusCode};
use integration::{Call, CallError, Caller, Composition, Input, Runner, Target, Timer, TokenSource};
use serde_json::Value;

const SET: &str = "
kind: Upstream
name: pool
spec: { endpoints: [http://127.0.0.1:9] }
---
kind: Service
name: users
spec: { upstream: pool }
---
kind: Composition
name: page
spec:
  match: { path: '/page/{id}' }
  auth: none
  steps:
  - { name: a, request: { service: users, path: '/a/${ request.params.id }' } }
  - { name: b, request: { service: users, path: '/b/${ request.params.id }' } }
  - { name: c, request: { service: users, path: '/c/${ request.params.id }' } }
  - { name: d, request: { service: users, path: '/d/${ request.params.id }' } }
  - { name: e, request: { service: users, path: '/e/${ request.params.id }' } }
  output:
    body:
      a: '${ steps.a.body.name }'
      b: '${ steps.b.body }'
      c: '${ steps.c.body.groups[0] }'
      d: '${ steps.d.body.name }'
      e: '${ EXPRESSION }'
";

struct Memory;

impl Caller for Memory {
    async fn call(&self, _: Call<'_>) -> Result<Response<Bytes>, CallError> {
        let body = Bytes::from_static(b"{\"name\":\"Alice\",\"groups\":[\"a\",\"b\"],\"id\":7}");
        Ok(Response::builder().header("content-type", "application/json").body(body).unwrap())
    }
}

fn main() {
    let timer = Timer::system();
    let tokens = TokenSource::new(HttpPeer::shared(), Arc::clone(timer.clock()), 16);
    let runner = Runner { caller: Memory, tokens, timer };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(20_000);
    for (label, expression) in
        [("paths only", "steps.e.body.id"), ("one expression", "steps.e.body.id + size(steps.e.body.groups)")]
    {
        let set = parse("set.yaml", &SET.replace("EXPRESSION", expression)).unwrap();
        let snapshot = Snapshot::compile(&set).unwrap();
        let resource = set.iter().find(|resource| resource.kind == "Composition").unwrap();
        let page = Composition::compile(resource, &snapshot).unwrap();
        let composed = measure(rounds, || {
            let input = Input { params: vec![("id".to_owned(), "7".to_owned())], ..Input::default() };
            assert_eq!(runtime.block_on(runner.run(&page, input)).status, StatusCode::OK);
        });
        println!("composition of 5 steps, {label}: {composed:?}");
    }
    let set = parse("set.yaml", SET.split("---\nkind: Composition").next().unwrap()).unwrap();
    let service = Arc::clone(Snapshot::compile(&set).unwrap().services.first().unwrap());
    let target = Target::Service(service);
    let plain = measure(rounds, || {
        for _ in 0..5 {
            let request = Request::builder().uri("/a/7").body(Bytes::new()).unwrap();
            let call = Call { target: &target, request, time: Duration::from_secs(1), body_bytes: 1 << 20 };
            let answer = runtime.block_on(runner.caller.call(call)).unwrap();
            assert!(serde_json::from_slice::<Value>(answer.body()).is_ok());
        }
    });
    println!("5 plain calls, each answer parsed: {plain:?}");
}

fn measure(rounds: u32, mut one: impl FnMut()) -> Duration {
    (0..rounds / 10).for_each(|_| one());
    let watch = Stopwatch::start();
    (0..rounds).for_each(|_| one());
    watch.elapsed() / rounds
}

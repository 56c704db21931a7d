#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool for the terminal")]

//! Microseconds for one decision, by number of policies: `cargo run --release -p policy --example figures`.
//!
//! Each API has ten policies of its own, and the question is about one of them; so most policies cannot apply.
//! `flat` has the same number of policies with scopes that always apply. `call` and `call flat` are the same decisions about a
//! call with prepared caller and target, as the gateway makes them.

use std::sync::Arc;

use base::Time;
use base::time::Stopwatch;
use policy::{
    Authentication, Call, CallFacts, Device, Directory, Engine, EntitySpec, Network, Party, PolicySet, Question, Source,
};
use serde_json::json;

fn main() {
    println!("policies  compile ms  sliced µs  refused µs  explain µs  flat µs  call µs  call flat µs");
    for count in [20, 100, 500] {
        let watch = Stopwatch::start();
        let sliced = engine(count, true);
        let compile = watch.elapsed().as_millis();
        let flat = engine(count, false);
        println!(
            "{count:8}  {compile:10}  {:9.1}  {:10.1}  {:10.1}  {:7.1}  {:7.2}  {:12.2}",
            time(|| assert!(sliced.decide(&question("lab")).allow)),
            time(|| assert!(!sliced.decide(&question("home")).allow)),
            time(|| assert!(sliced.explain(&question("lab")).decision.allow)),
            time(|| assert!(flat.decide(&question("lab")).allow)),
            called(&sliced),
            called(&flat),
        );
    }
}

/// Each measurement is of a hundred calls, since one is near what the clock can tell.
fn called(engine: &Engine) -> f64 {
    let now = Time::from_seconds(1_767_225_600);
    let facts = CallFacts {
        authentication: Authentication { auth_time: Some(now.seconds() - 60), ..Default::default() },
        ..Default::default()
    };
    let caller = engine.caller(Party::new("User", "alice"), "call", &facts);
    let target = engine.target(Party::new("Operation", "list"), "call", &[]);
    let address = "10.1.2.3".parse().unwrap();
    let call = Call { address, method: "GET", path: "/list", host: "api.test", params: &[], now };
    time(|| (0..100).for_each(|_| assert!(engine.decide_call(&caller, &target, &call).allow))) / 100.0
}

fn engine(count: usize, apis: bool) -> Engine {
    let text: String = (0..count)
        .map(|n| {
            let resource = if apis { format!("resource in Api::\"api-{}\"", n / 10) } else { "resource".to_owned() };
            format!(
                "@id(\"p{n}\") permit (principal in Role::\"role-{}\", action == Action::\"call\", {resource})
                when {{ context.network has address && context.network.address.isInRange(ip(\"10.0.0.0/8\")) &&
                    (context.network has zone && context.network.zone == \"lab\" || !(context.network has zone)) &&
                    context.authentication has auth_time &&
                    context.time.now - context.authentication.auth_time <= 900 }};\n",
                n % 10
            )
        })
        .collect();
    let policies = PolicySet::compile(&Source::text("figures.cedar", &text)).unwrap();
    let specs: Vec<EntitySpec> = serde_json::from_value(json!([
        {"type": "User", "id": "alice", "attributes": {"department": "sales"},
         "parents": [{"type": "Role", "id": "role-3"}, {"type": "Group", "id": "staff"}]},
        {"type": "Operation", "id": "list", "parents": [{"type": "Api", "id": "api-1"}]},
    ]))
    .unwrap();
    let directory = Directory::new(&policies, &specs).unwrap();
    Engine::new(Arc::new(policies), Arc::new(directory))
}

fn question(zone: &str) -> Question {
    let now = Time::from_seconds(1_767_225_600);
    let facts = CallFacts {
        authentication: Authentication { auth_time: Some(now.seconds() - 60), ..Default::default() },
        device: Device { enrolled: Some(true), ..Default::default() },
        network: Network { zone: Some(zone.to_owned()), address: "10.1.2.3".parse().ok() },
        ..Default::default()
    };
    Question::new(Party::new("User", "alice"), "call", Party::new("Operation", "list"), now).facts(&facts)
}

/// The median of many, in microseconds.
fn time(mut work: impl FnMut()) -> f64 {
    let mut taken: Vec<f64> = (0..2_000)
        .map(|_| {
            let watch = Stopwatch::start();
            work();
            watch.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    taken.sort_by(f64::total_cmp);
    taken.get(taken.len() / 2).copied().unwrap_or_default()
}

//! What a composition costs beside the calls that it makes. Run by hand, in release.

use serde_json::json;

use super::{Hands, Script, composition, input, ok, runner};
use crate::Call;

#[test]
#[ignore = "a measurement"]
fn five_parallel_steps_beside_five_calls() {
    let steps: String = (0..5)
        .map(|at| format!("- {{ name: s{at}, identity: none, request: {{ service: users, path: '/u/${{ request.params.id }}/{at}' }} }}\n"))
        .collect();
    let members: String = (0..5).map(|at| format!("    m{at}: '${{ steps.s{at}.body.name }}'\n")).collect();
    let page = composition(&format!("steps:\n{steps}output:\n  body:\n{members}"));
    let script = Script::at_once(|_| ok(json!({"name": "Alice", "groups": ["a", "b"], "id": 7})));
    let runner = runner(&script, &Hands::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rounds = 20_000_u32;

    let clock = base::time::Stopwatch::start();
    runtime.block_on(async {
        for _ in 0..rounds {
            assert_eq!(runner.run(&page, input()).await.status, 200);
            script.sent.lock().unwrap().clear();
        }
    });
    let composed = clock.elapsed() / rounds;

    let clock = base::time::Stopwatch::start();
    runtime.block_on(async {
        for _ in 0..rounds {
            for step in &page.steps {
                let request = http::Request::builder().uri("/u/7/0").body(bytes::Bytes::new()).unwrap();
                let target = step.request.target.clone();
                let call = Call { target, request, time: page.deadline, body_bytes: 1 << 20 };
                let answer = runner.caller.call(call).await.unwrap();
                assert!(serde_json::from_slice::<serde_json::Value>(answer.body()).is_ok());
            }
            script.sent.lock().unwrap().clear();
        }
    });
    let plain = clock.elapsed() / rounds;
    println!("composed {composed:?}, five plain calls {plain:?}, on top {:?}", composed.saturating_sub(plain));
}

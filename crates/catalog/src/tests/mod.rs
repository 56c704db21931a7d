mod paths;
mod plans;
mod refusals;
mod routing;

use crate::{Resource, Snapshot, parse};

/// The sketch that the handbook opens with, and the upstream that it names.
pub const SKETCH: &str = r"kind: Issuer
name: main
spec: { issuer: http://localhost:8081, introspection: { as: gateway, secret: file:gateway.secret, cache: { maxTtl: 300s }, revocations: { maxLag: 5s } } }
---
kind: Service
name: orders
spec: { upstream: orders-pool, audience: https://orders.internal }
---
kind: Route
name: orders-read
spec: { match: { path: /orders/{id}, methods: [GET] }, service: orders, auth: { issuer: main, scopes: [orders_read] } }
---
kind: Upstream
name: orders-pool
spec: { endpoints: [http://127.0.0.1:9000] }
";

pub fn resources(text: &str) -> Vec<Resource> {
    parse("set.yaml", text).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

pub fn snapshot(text: &str) -> Snapshot {
    Snapshot::compile(&resources(text)).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// The sketch and public routes with these paths (and methods), named `r0`, `r1`, …
pub fn routes(paths: &[(&str, &[&str])]) -> String {
    let mut text = SKETCH.to_owned();
    for (at, (path, methods)) in paths.iter().enumerate() {
        let methods = methods.join(", ");
        text.push_str(&format!(
            "---\nkind: Route\nname: r{at}\nspec: {{ match: {{ path: \"{path}\", methods: [{methods}] }}, service: orders, auth: none }}\n"
        ));
    }
    text
}

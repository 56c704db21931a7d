//! The kinds of resources. A new kind of the gateway is a file here and a line in [`schemas`]; the
//! kinds of the identity system are read where they are applied.

pub mod api;
pub mod composition;
pub mod issuer;
pub mod plan;
pub mod policy_source;
pub mod route;
pub mod service;
pub mod subscription;
pub mod upstream;

use serde_json::{Value, json};

/// Kinds that the gateway is compiled from.
pub const GATEWAY_KINDS: &[&str] =
    &["Issuer", "Upstream", "Service", "Route", "Composition", "Api", "Plan", "Subscription", "PolicySource"];

/// Kinds that management keeps where there is one; the gateway takes them from files as well.
pub const MANAGEMENT_KINDS: &[&str] = &["Api", "Plan"];

/// Kinds that the identity system is given.
pub const IDENTITY_KINDS: &[&str] = &["Client", "User", "Scope", "ResourceServer"];

/// JSON Schema (2020-12) of a whole document of each kind, by kind.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Issuer", document("Issuer", &schemars::schema_for!(issuer::IssuerSpec))),
        ("Upstream", document("Upstream", &schemars::schema_for!(upstream::UpstreamSpec))),
        ("Service", document("Service", &schemars::schema_for!(service::ServiceSpec))),
        ("Route", document("Route", &schemars::schema_for!(route::RouteSpec))),
        ("Composition", document("Composition", &schemars::schema_for!(composition::CompositionSpec))),
        ("PolicySource", document("PolicySource", &schemars::schema_for!(policy_source::PolicySourceSpec))),
        ("Api", document("Api", &schemars::schema_for!(api::ApiSpec))),
        ("Plan", document("Plan", &schemars::schema_for!(plan::PlanSpec))),
        ("Subscription", document("Subscription", &schemars::schema_for!(subscription::SubscriptionSpec))),
    ]
}

fn document(kind: &str, spec: &schemars::Schema) -> Value {
    let mut spec = spec.clone().to_value();
    let definitions = spec.as_object_mut().and_then(|spec| {
        spec.remove("$schema");
        spec.remove("$defs")
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind,
        "type": "object",
        "properties": {"kind": {"const": kind}, "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"}, "spec": spec},
        "required": ["kind", "name", "spec"],
        "additionalProperties": false,
        "$defs": definitions.unwrap_or_else(|| json!({})),
    })
}

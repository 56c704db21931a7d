//! Resources as users write them, and the compiled picture that the gateway serves from.
//!
//! A resource is a YAML document with `kind`, `name` and `spec`; a set of them is parsed ([`parse`]),
//! checked and compiled ([`Snapshot::compile`]) as a whole, and every fault names file, line, pointer
//! and reason. Nothing here reads a file, a clock or the network.

mod compile;
mod explain;
mod kinds;
mod matcher;
mod money;
mod node;
mod path;
mod pattern;
pub mod published;
mod read;
mod resource;
mod snapshot;
mod source;
pub mod usage;
mod words;

pub use explain::{Explanation, Verdict};
pub use kinds::api::{ApiSpec, Lifecycle, Moment, Needed, Visibility};
pub use kinds::composition::{
    AnswerSpec, CaseSpec, CompositionSpec, Conflict, MergeSpec, PartialSpec, ReportWhen, RequestSpec, StepIdentitySpec,
    StepSpec, TokenEndpointSpec, TokenKind, TokenRequestSpec,
};
pub use kinds::issuer::{Algorithm, CacheSpec, Form, IntrospectionSpec, IssuerSpec, JwksSpec, RevocationsSpec};
pub use kinds::plan::{Approval, Currency, LimitMode, PlanSpec, PriceSpec, QuotaSpec, RateSpec, TierSpec, Window};
pub use kinds::policy_source::{
    AuthzenSpec, DecisionCacheSpec, PolicyMode, PolicySourceSpec, PolicySpec, SnapshotSpec,
};
pub use kinds::route::{
    AuthSpec, CorsSpec, ExampleSpec, LimitsSpec, MatchSpec, MockSpec, RewriteSpec, RouteSpec, TokenSpec,
};
pub use kinds::service::{ForwardIdentity, HostHeader, IdentitySpec, ServiceSpec, Tell};
pub use kinds::subscription::SubscriptionSpec;
pub use kinds::upstream::{EndpointSpec, HealthSpec, Protocol, TimeoutsSpec, TlsSpec, UpstreamSpec};
pub use kinds::{GATEWAY_KINDS, IDENTITY_KINDS, MANAGEMENT_KINDS, schemas};
pub use matcher::Found;
pub use money::Money;
pub use path::{BadPath, CanonicalPath, canonical_host};
pub use pattern::Pattern;
pub use resource::{Change, Resource, changes, export, parse, yaml};
pub use snapshot::{
    Api, Auth, Issuer, Plan, Policy, PolicyResource, PolicySource, Required, Route, Service, Snapshot, Subscription,
    Target, Upstream,
};
pub use source::{Fault, Source, did_you_mean};
pub use words::{HttpUrl, SecretRef, Size, Span};

#[cfg(test)]
mod tests;

//! Upstreams: groups of endpoints, their connections and their health.

/// A compiled `Upstream` resource with its live state.
#[derive(Debug)]
pub struct Upstream {}

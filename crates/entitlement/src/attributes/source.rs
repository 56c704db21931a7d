//! The service that knows more: asked with a time-out, believed for a while.

use std::sync::Arc;

use base::peer::{Limits, PeerError};
use base::time::SharedClock;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use quick_cache::sync::Cache;
use serde_json::{Map, Value, json};

use crate::config::{HttpSource, OnFailure};
use crate::metrics::Metrics;

/// Of one answer.
const BODY_BYTES: usize = 64 * 1024;

type Attributes = Arc<Map<String, Value>>;

pub struct HttpAttributes {
    settings: HttpSource,
    clock: SharedClock,
    /// By type and id, with the monotonic millisecond until which the answer is believed.
    known: Cache<(String, String), (u64, Attributes)>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoAnswer {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("its answer is not what was asked for")]
    Unreadable,
}

impl HttpAttributes {
    pub fn new(settings: HttpSource, clock: SharedClock) -> Self {
        Self { known: Cache::new(settings.cache), settings, clock }
    }

    pub fn ignores_failure(&self) -> bool {
        self.settings.on_failure == OnFailure::Ignore
    }

    /// Nothing for a type that the service is not asked about. A failure is not remembered.
    pub async fn attributes(&self, kind: &str, id: &str, metrics: &Metrics) -> Result<Attributes, NoAnswer> {
        // As the schema reads names of types: `user` is `User`, whoever asks.
        if !self.settings.types.iter().any(|one| policy::same_type(one, kind)) {
            return Ok(Attributes::default());
        }
        let key = (kind.to_owned(), id.to_owned());
        let now = self.clock.monotonic_ms();
        if let Some((until, attributes)) = self.known.get(&key)
            && now < until
        {
            metrics.fetch("cached");
            return Ok(attributes);
        }
        match self.ask(kind, id).await {
            Ok(attributes) => {
                metrics.fetch("answered");
                let fresh = u64::try_from(self.settings.fresh.as_millis()).unwrap_or(u64::MAX);
                self.known.insert(key, (now.saturating_add(fresh), attributes.clone()));
                Ok(attributes)
            }
            Err(why) => {
                metrics.fetch("failed");
                tracing::warn!(cause = %why, "the attribute source did not answer");
                Err(why)
            }
        }
    }

    async fn ask(&self, kind: &str, id: &str) -> Result<Attributes, NoAnswer> {
        let mut request = Request::post(&self.settings.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Bytes::from(json!({"type": kind, "id": id}).to_string()))
            .map_err(|_| NoAnswer::Unreadable)?;
        if let Some(bearer) = &self.settings.bearer {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", bearer.expose())).map_err(|_| NoAnswer::Unreadable)?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let limits = Limits { time: self.settings.time_out, body_bytes: BODY_BYTES };
        let response = self.settings.peer.call(request, limits).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Attributes::default()),
            status => return Err(NoAnswer::Status(status.as_u16())),
        }
        let answer: Value = serde_json::from_slice(response.body()).map_err(|_| NoAnswer::Unreadable)?;
        let attributes = answer.get("attributes").and_then(Value::as_object).cloned();
        attributes.map(Arc::new).ok_or(NoAnswer::Unreadable)
    }
}

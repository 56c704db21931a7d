//! The engine on the loopback, with a scripted pipeline before it and scripted upstreams behind it.

mod drain;
mod forwarding;
mod framing;
mod http2;
mod limits;
mod retry;
mod tls;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::SystemClock;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use testkit::http::{HttpUpstream, RawConnection};
use tokio::sync::mpsc;

use super::*;
use crate::upstreams::{EndpointSpec, Upstream, UpstreamSpec};

type Decide = dyn Fn(&Head<'_>, &mut Exchange) -> Decision + Send + Sync;

/// Decides as the test says, and tells what it heard at the end.
pub(super) struct Scripted {
    decide: Box<Decide>,
    finished: mpsc::UnboundedSender<(Option<&'static str>, Outcome)>,
}

impl Pipeline for Scripted {
    async fn decide(&self, head: &Head<'_>, exchange: &mut Exchange) -> Decision {
        (self.decide)(head, exchange)
    }

    fn finished(&self, exchange: &Exchange, outcome: &Outcome) {
        let _ = self.finished.send((exchange.denied, outcome.clone()));
    }
}

/// An engine at work.
pub(super) struct Edge {
    pub(super) running: Running,
    pub(super) address: SocketAddr,
    finished: mpsc::UnboundedReceiver<(Option<&'static str>, Outcome)>,
}

impl Edge {
    pub(super) fn start(
        config: EdgeConfig,
        tls: Option<Arc<Certificates>>,
        decide: impl Fn(&Head<'_>, &mut Exchange) -> Decision + Send + Sync + 'static,
    ) -> Self {
        let (sender, finished) = mpsc::unbounded_channel();
        let pipeline = Scripted { decide: Box::new(decide), finished: sender };
        let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let running = serve(config, vec![Listener { socket, tls }], Arc::new(pipeline)).unwrap();
        let address = running.local_addrs()[0];
        Self { running, address, finished }
    }

    /// Everything goes to this upstream.
    pub(super) fn before(url: &str) -> Self {
        Self::with(config(), upstream(&[url]), |_| {})
    }

    /// The first request goes to `first`, the next to `second`, and so on in turn.
    pub(super) fn before_both(first: &str, second: &str) -> Self {
        Self::with(config(), upstream(&[first, second]), |_| {})
    }

    pub(super) fn with(
        config: EdgeConfig,
        upstream: Arc<Upstream>,
        adjust: impl Fn(&mut Forward) + Send + Sync + 'static,
    ) -> Self {
        Self::start(config, None, move |head, _| {
            let mut forward = forward(head, &upstream);
            adjust(&mut forward);
            Decision::Forward(Box::new(forward))
        })
    }

    pub(super) async fn connect(&self) -> RawConnection {
        RawConnection::connect(self.address).await
    }

    /// How the next exchange ended: why it was denied, and the outcome.
    pub(super) async fn finished(&mut self) -> (Option<&'static str>, Outcome) {
        self.finished.recv().await.unwrap()
    }
}

pub(super) fn config() -> EdgeConfig {
    let limits = Limits { drain_idle: Duration::from_millis(50), ..Limits::default() };
    EdgeConfig { workers: 1, limits, trusted_proxies: vec![], clock: SystemClock::shared() }
}

pub(super) fn limits(limits: Limits) -> EdgeConfig {
    EdgeConfig { limits, ..config() }
}

pub(super) fn spec(urls: &[&str]) -> UpstreamSpec {
    UpstreamSpec::new("test", urls.iter().map(|url| EndpointSpec::parse(url).unwrap()).collect())
}

pub(super) fn upstream(urls: &[&str]) -> Arc<Upstream> {
    Arc::new(Upstream::new(spec(urls)).unwrap())
}

pub(super) fn forward(head: &Head<'_>, upstream: &Arc<Upstream>) -> Forward {
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers.iter() {
        headers.append(name, value.clone());
    }
    let query = head.query.map(|query| format!("?{query}")).unwrap_or_default();
    Forward {
        upstream: Arc::clone(upstream),
        path_and_query: format!("{}{query}", head.path),
        headers,
        authority: None,
        answer_strip: vec![],
        answer_secret: None,
        head_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        max_body_bytes: 1024 * 1024,
        retry_safe: head.method.is_idempotent(),
    }
}

pub(super) fn answer(status: u16, text: &'static str) -> Decision {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Decision::Answer(response)
}

/// An upstream that must not be reached by what is sent.
pub(super) async fn untouched() -> HttpUpstream {
    HttpUpstream::saying("reached").await
}

//! One context per request: who asks, when, and the transaction it runs in.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use base::Time;
use base::event::Revoked;
use base::ids::{ClientId, RequestId, UserId};
use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;
use store::Tx;

use crate::{SharedIdentity, events};

/// A function that does something takes `&mut Cx` and its input; the handler commits.
pub struct Cx {
    pub identity: SharedIdentity,
    pub tx: Tx,
    pub now: Time,
    pub request_id: RequestId,
    pub network: IpAddr,
    pub actor: Actor,
    /// Written last of all, by [`Cx::commit`]: see `events`.
    pub(crate) revocations: Vec<(Revoked, &'static str)>,
}

/// Who acts; what the audit log names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Nobody,
    User(UserId),
    Client(ClientId),
    /// A holder of the administration token, by its name.
    Admin(String),
    System,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Client(id) => write!(f, "client:{id}"),
            Self::Admin(name) => write!(f, "admin:{name}"),
            Self::System => f.write_str("system"),
        }
    }
}

impl Cx {
    pub fn new(identity: &SharedIdentity, request_id: RequestId, network: IpAddr) -> Self {
        Self {
            tx: identity.db.begin(),
            now: identity.clock.now(),
            identity: identity.clone(),
            request_id,
            network,
            actor: Actor::Nobody,
            revocations: Vec::new(),
        }
    }

    /// For work that nobody asked for.
    pub fn system(identity: &SharedIdentity) -> Self {
        let mut cx = Self::new(identity, RequestId::random(), IpAddr::V6(Ipv6Addr::LOCALHOST));
        cx.actor = Actor::System;
        cx
    }

    /// Another transaction of the same request, at the same moment.
    #[must_use]
    pub fn again(&self) -> Self {
        let mut cx = Self::new(&self.identity, self.request_id.clone(), self.network);
        cx.now = self.now;
        cx.actor = self.actor.clone();
        cx
    }

    /// Ends the request's transaction; an answer that promises something is sent after this.
    pub async fn commit(mut self) -> Result<(), store::StoreError> {
        events::write(&mut self).await?;
        self.tx.commit().await
    }
}

/// What the router's outermost layer found out about a request.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub request_id: RequestId,
    pub network: IpAddr,
}

impl Arrival {
    /// The network a request comes from: its connection's, or, behind a trusted proxy, what that proxy says.
    pub fn of(parts: &Parts, trusted_proxies: &[IpNet]) -> Self {
        let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = connection.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |info| info.0.ip().to_canonical());
        Self { request_id: RequestId::random(), network: network(peer, &parts.headers, trusted_proxies) }
    }
}

/// The last address of `X-Forwarded-For` that no trusted proxy of ours stands for; what stands left of
/// it was written by somebody else.
fn network(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> IpAddr {
    let trusted = |address: IpAddr| trusted_proxies.iter().any(|net| net.contains(&address));
    let mut network = peer;
    let lines = headers.get_all("x-forwarded-for").into_iter().filter_map(|value| value.to_str().ok());
    let mut hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    while trusted(network) {
        let Some(hop) = hops.pop().and_then(|text| text.parse::<IpAddr>().ok()) else {
            break;
        };
        network = hop.to_canonical();
    }
    network
}

impl FromRequestParts<SharedIdentity> for Cx {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, identity: &SharedIdentity) -> Result<Self, Infallible> {
        let arrival = match parts.extensions.get::<Arrival>() {
            Some(arrival) => arrival.clone(),
            None => Arrival::of(parts, &identity.config.trusted_proxies),
        };
        Ok(Self::new(identity, arrival.request_id, arrival.network))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(peer: &str, forwarded: &[&'static str], expected: &str) {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        let proxies = ["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()];

        let found = network(peer.parse().unwrap(), &headers, &proxies);

        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn what_the_caller_wrote_himself_is_not_believed() {
        check("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["1.1.1.1", "198.51.100.1, 10.0.0.7"], "198.51.100.1");
        check("10.0.0.1", &["198.51.100.1, nonsense"], "10.0.0.1");
    }
}

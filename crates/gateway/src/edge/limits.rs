//! What one client may take of the engine, and how many clients there may be.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Limits of the engine. Those of a route (body size, time-outs) come with each [`super::Forward`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections from clients, over all workers; more are closed at once.
    pub connections: usize,
    /// Open connections from one address, with IPv6 from one /64 network; trusted proxies are not counted.
    pub connections_per_client: usize,
    /// Bytes of a request's head, request line and all fields.
    pub head_bytes: usize,
    /// Fields in a request's head; at most 256.
    pub head_fields: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
    /// Time for a TLS handshake, and for a request's head from its first byte to its last.
    pub head_time: Duration,
    /// Time that a connection may be open without a request.
    pub keep_alive: Duration,
    /// When draining: time that a connection without a request may still send one. Closing at once
    /// would lose a request that is on its way (RFC 9112 §9.6).
    pub drain_idle: Duration,
    /// Time between two pieces of a body that nobody forwards, and for writing answers of our own.
    pub idle_time: Duration,
    /// Compositions of one worker that go on when their client leaves, to undo what they did: whoever connects, asks
    /// and leaves again takes no place among the connections, so that these have a bound of their own.
    pub outliving: usize,
    /// HTTP/2: requests at the same time on one connection.
    pub h2_streams: u32,
    /// HTTP/2: streams that the client reset before they were looked at; more end the connection
    /// (CVE-2023-44487, "rapid reset").
    pub h2_pending_resets: usize,
    /// HTTP/2: streams that we reset because of the client's faults; more end the connection
    /// (CVE-2025-8671, "made you reset").
    pub h2_error_resets: usize,
    /// HTTP/2: bytes that a client may send ahead of the upstream taking them, per request.
    pub h2_stream_window: u32,
    /// HTTP/2: the same for all requests of one connection.
    pub h2_connection_window: u32,
    /// HTTP/2: bytes of an answer that wait for a slow client, per request.
    pub h2_send_buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_client: 1_000,
            head_bytes: 32 * 1024,
            head_fields: 100,
            target_bytes: 8 * 1024,
            head_time: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            drain_idle: Duration::from_secs(1),
            idle_time: Duration::from_secs(30),
            outliving: 2_000,
            h2_streams: 128,
            h2_pending_resets: 20,
            h2_error_resets: 64,
            h2_stream_window: 256 * 1024,
            h2_connection_window: 1024 * 1024,
            h2_send_buffer: 64 * 1024,
        }
    }
}

const SHARDS: usize = 16;

/// The open connections of all workers. Taken at accept only, never per request.
#[derive(Debug)]
pub(super) struct Connections {
    total: AtomicUsize,
    by_client: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
    hasher: RandomState,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self { total: AtomicUsize::new(0), by_client: Default::default(), hasher: RandomState::new() }
    }

    pub(super) fn open(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// A place for a connection; `None` when there is none. `counted` is the address to count, none
    /// for a trusted proxy.
    pub(super) fn admit(self: &Arc<Self>, counted: Option<IpAddr>, limits: &Limits) -> Option<Place> {
        let before = self.total.fetch_add(1, Ordering::AcqRel);
        let mut place = Place { connections: Arc::clone(self), client: None };
        if before >= limits.connections {
            return None;
        }
        if let Some(client) = counted.map(network) {
            let mut shard = self.shard(client)?.lock().unwrap_or_else(PoisonError::into_inner);
            let count = shard.entry(client).or_insert(0);
            if *count >= limits.connections_per_client {
                return None;
            }
            *count += 1;
            place.client = Some(client);
        }
        Some(place)
    }

    fn shard(&self, client: IpAddr) -> Option<&Mutex<HashMap<IpAddr, usize>>> {
        let hash = usize::try_from(self.hasher.hash_one(client) & 0xffff).unwrap_or(0);
        self.by_client.get(hash % SHARDS)
    }
}

/// What is one client: whoever has one IPv6 address has the 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

/// A place among the open connections, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    client: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.total.fetch_sub(1, Ordering::AcqRel);
        let Some(client) = self.client else { return };
        let Some(shard) = self.connections.shard(client) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = shard.get_mut(&client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                shard.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_in_total_and_by_client() {
        let limits = Limits { connections: 3, connections_per_client: 2, ..Limits::default() };
        let connections = Arc::new(Connections::new());
        let one = Some(IpAddr::from([10, 0, 0, 1]));
        let two = Some(IpAddr::from([10, 0, 0, 2]));

        let first = connections.admit(one, &limits).unwrap();
        let _second = connections.admit(one, &limits).unwrap();
        assert!(connections.admit(one, &limits).is_none());
        let _third = connections.admit(two, &limits).unwrap();
        assert!(connections.admit(None, &limits).is_none());
        assert_eq!(connections.open(), 3);

        drop(first);
        assert!(connections.admit(one, &limits).is_some());
        assert_eq!(connections.open(), 2);
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let limits = Limits { connections_per_client: 1, ..Limits::default() };
        let connections = Arc::new(Connections::new());
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());

        let _first = connections.admit(address("2001:db8:1:2::1"), &limits).unwrap();

        assert!(connections.admit(address("2001:db8:1:2:3::9"), &limits).is_none());
        assert!(connections.admit(address("2001:db8:1:3::1"), &limits).is_some());
    }
}

//! Who the client is: the other end of the connection, or what a trusted proxy says of it.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

use super::Scheme;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Networks of proxies whose `Forwarded` (RFC 7239) or `X-Forwarded-*` is believed.
#[derive(Debug, Clone, Default)]
pub(super) struct Trusted(Vec<IpNet>);

impl Trusted {
    pub(super) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// The client's address and scheme. Each trusted proxy adds at the end, so the list is read from
    /// there, up to the first address that is not a trusted proxy: what stands before it is the
    /// client's own claim.
    pub(super) fn client(&self, peer: IpAddr, tls: bool, headers: &HeaderMap) -> (IpAddr, Scheme) {
        let own = if tls { Scheme::Https } else { Scheme::Http };
        if self.0.is_empty() || !self.contains(peer) {
            return (peer, own);
        }
        let standard = headers.contains_key(FORWARDED).then(|| self.walk(peer, own, forwarded(headers)));
        let usual = headers.contains_key(X_FORWARDED_FOR).then(|| self.walk(peer, own, x_forwarded(headers)));
        match (standard, usual) {
            (None, None) => (peer, own),
            (Some(found), None) | (None, Some(found)) => found,
            // A proxy writes one of them and lets the other pass as the client sent it; which one is
            // not known here, so that words against words count for nothing.
            (Some(standard), Some(usual)) if standard == usual => usual,
            (Some(_), Some(_)) => (peer, own),
        }
    }

    fn walk(&self, peer: IpAddr, own: Scheme, hops: Vec<Hop>) -> (IpAddr, Scheme) {
        let mut client = peer;
        let mut scheme = own;
        for hop in hops.into_iter().rev() {
            // An unreadable word ends the chain: what stands before it cannot be attributed.
            let Some(address) = hop.address else { break };
            client = address.to_canonical();
            scheme = hop.scheme.unwrap_or(scheme);
            if !self.contains(client) {
                break;
            }
        }
        (client, scheme)
    }
}

#[derive(Debug)]
struct Hop {
    address: Option<IpAddr>,
    scheme: Option<Scheme>,
}

fn forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let elements = list(headers, FORWARDED);
    elements
        .into_iter()
        .map(|element| {
            let mut hop = Hop { address: None, scheme: None };
            for pair in element.split(';') {
                let Some((name, value)) = pair.split_once('=') else { continue };
                let value = value.trim().trim_matches('"');
                match name.trim() {
                    name if name.eq_ignore_ascii_case("for") => hop.address = node(value),
                    name if name.eq_ignore_ascii_case("proto") => hop.scheme = scheme(value),
                    _ => {}
                }
            }
            hop
        })
        .collect()
}

fn x_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let protocols = list(headers, X_FORWARDED_PROTO);
    let addresses = list(headers, X_FORWARDED_FOR);
    let same_length = protocols.len() == addresses.len();
    let last = protocols.last().and_then(|protocol| scheme(protocol));
    let count = addresses.len();
    addresses
        .into_iter()
        .enumerate()
        .map(|(index, address)| {
            let own = protocols.get(index).and_then(|protocol| scheme(protocol));
            // Most proxies write one protocol for the whole chain: that of the last hop.
            let scheme = if same_length { own } else { last.filter(|_| index.saturating_add(1) == count) };
            Hop { address: node(&address), scheme }
        })
        .collect()
}

fn list(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(|item| item.trim().to_owned())
        .collect()
}

/// An address with an optional port; IPv6 with or without brackets (RFC 7239 §6).
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0.parse().ok(),
        None => text.split_once(':')?.0.parse().ok(),
    }
}

fn scheme(text: &str) -> Option<Scheme> {
    match text {
        _ if text.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        _ if text.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, fields: &[(&'static str, &'static str)], expected: (&str, Scheme)) {
        let trusted = Trusted::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let (client, scheme) = trusted.client(peer.parse().unwrap(), false, &headers);
        assert_eq!((client.to_string().as_str(), scheme), expected, "{fields:?}");
    }

    #[test]
    fn a_stranger_is_not_believed() {
        check("192.0.2.1", &[("x-forwarded-for", "203.0.113.9")], ("192.0.2.1", Scheme::Http));
        check("192.0.2.1", &[("forwarded", "for=203.0.113.9;proto=https")], ("192.0.2.1", Scheme::Http));
    }

    #[test]
    fn a_trusted_proxy_is_believed_up_to_the_first_stranger() {
        let proto = ("x-forwarded-proto", "https");
        check("10.0.0.1", &[("x-forwarded-for", "203.0.113.9"), proto], ("203.0.113.9", Scheme::Https));
        check("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.2.2.2")], ("203.0.113.9", Scheme::Http));
        check(
            "10.0.0.1",
            &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")],
            ("203.0.113.9", Scheme::Http),
        );
        check("::ffff:10.0.0.1", &[("x-forwarded-for", "203.0.113.9:4711")], ("203.0.113.9", Scheme::Http));
        check(
            "fd00::1",
            &[("forwarded", "for=1.1.1.1, for=\"[2001:db8::1]:80\";proto=https")],
            ("2001:db8::1", Scheme::Https),
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_believed() {
        check("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, unknown")], ("10.0.0.1", Scheme::Http));
        check("10.0.0.1", &[("forwarded", "for=_hidden;proto=https")], ("10.0.0.1", Scheme::Http));
        check("10.0.0.1", &[], ("10.0.0.1", Scheme::Http));
        let forged = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "203.0.113.9")];
        check("10.0.0.1", &forged, ("10.0.0.1", Scheme::Http));
        let agreed = [("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "203.0.113.9")];
        check("10.0.0.1", &agreed, ("203.0.113.9", Scheme::Http));
    }
}

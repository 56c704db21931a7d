//! A value of a question or an entity, read once by its declared type; Cedar gets it as an expression, the
//! quick evaluation as it is.

use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::{EntityUid, RestrictedExpression};

use crate::shape::Symbols;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Long(i64),
    Text(Arc<str>),
    Range(Range),
    Entity(EntityUid),
    Set(Arc<[Value]>),
    Record(Arc<[(u32, Value)]>),
}

/// Names are numbers of [`Symbols`]; each is there once.
pub(crate) type Members = Vec<(u32, Value)>;

pub(crate) fn member(members: &[(u32, Value)], name: u32) -> Option<&Value> {
    members.iter().find(|(one, _)| *one == name).map(|(_, value)| value)
}

/// An address, or several with the same beginning, as Cedar's `ipaddr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    address: IpAddr,
    bits: u8,
}

impl Range {
    pub fn single(address: IpAddr) -> Self {
        // One address has one form: an IPv4 address mapped into IPv6 is that IPv4 address.
        let address = address.to_canonical();
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::single(address));
        }
        let (address, bits) = text.split_once('/')?;
        let address = address.parse::<IpAddr>().ok()?;
        if address.to_canonical() != address {
            return None;
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        // As Cedar reads it: no sign, no leading zero.
        if bits.len() > 3 || !bits.bytes().all(|b| b.is_ascii_digit()) || (bits.len() > 1 && bits.starts_with('0')) {
            return None;
        }
        let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= most)?;
        Some(Self { address, bits })
    }

    /// As a policy writes it. What has two forms is Cedar's matter.
    pub fn literal(text: &str) -> Option<Self> {
        let address = text.split('/').next()?.parse::<IpAddr>().ok()?;
        if address.to_canonical() == address { Self::parse(text) } else { None }
    }

    pub fn is_v4(self) -> bool {
        self.address.is_ipv4()
    }

    pub fn is_loopback(self) -> bool {
        self.address.is_loopback() && self.bits >= if self.is_v4() { 8 } else { 128 }
    }

    pub fn is_multicast(self) -> bool {
        self.address.is_multicast() && self.bits >= if self.is_v4() { 4 } else { 8 }
    }

    pub fn bounds(self) -> Bounds {
        Bounds { v4: self.is_v4(), first: self.first(), last: self.last() }
    }

    fn host_mask(self) -> u128 {
        let width: u32 = if self.is_v4() { 32 } else { 128 };
        let free = width.saturating_sub(u32::from(self.bits));
        if free >= 128 { u128::MAX } else { (1_u128 << free).wrapping_sub(1) }
    }

    fn number(self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        }
    }

    fn first(self) -> u128 {
        self.number() & !self.host_mask()
    }

    fn last(self) -> u128 {
        self.number() | self.host_mask()
    }
}

/// The first and the last address of a range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    v4: bool,
    first: u128,
    last: u128,
}

impl Bounds {
    /// Whether all of it lies in the other one.
    pub fn is_in(&self, other: &Self) -> bool {
        self.v4 == other.v4 && other.first <= self.first && self.last <= other.last
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let most = if self.is_v4() { 32 } else { 128 };
        if self.bits == most { write!(f, "{}", self.address) } else { write!(f, "{}/{}", self.address, self.bits) }
    }
}

impl Value {
    pub fn expression(&self, symbols: &Symbols) -> RestrictedExpression {
        match self {
            Self::Bool(value) => RestrictedExpression::new_bool(*value),
            Self::Long(value) => RestrictedExpression::new_long(*value),
            Self::Text(value) => RestrictedExpression::new_string(value.to_string()),
            Self::Range(value) => RestrictedExpression::new_ip(value.to_string()),
            Self::Entity(uid) => RestrictedExpression::new_entity_uid(uid.clone()),
            Self::Set(values) => RestrictedExpression::new_set(values.iter().map(|value| value.expression(symbols))),
            Self::Record(members) => RestrictedExpression::new_record(expressions(members, symbols))
                // Each name is there once.
                .unwrap_or_else(|_| RestrictedExpression::new_set([])),
        }
    }
}

pub(crate) fn expressions(members: &[(u32, Value)], symbols: &Symbols) -> Vec<(String, RestrictedExpression)> {
    members.iter().map(|(name, value)| (symbols.name(*name).to_owned(), value.expression(symbols))).collect()
}

//! What the pipeline sees of a request: a borrowed view that says nothing of the engine behind it.

use std::net::IpAddr;

use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

/// The head of one request. The engine has refused what is not well framed before it makes one.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub method: &'a Method,
    /// The path as received, still percent-encoded, beginning with `/` (or `*` for OPTIONS).
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub version: Version,
    pub scheme: Scheme,
    /// Host and optional port that the client addressed, validated.
    pub authority: &'a str,
    pub headers: Headers<'a>,
    /// The other end of the connection, or what a trusted proxy says of it.
    pub client: IpAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Header fields in whichever form the engine holds them.
#[derive(Debug, Clone, Copy)]
pub enum Headers<'a> {
    Map(&'a HeaderMap),
}

impl<'a> Headers<'a> {
    /// The only value of a field; `None` when absent, `Err` when it is there more than once.
    pub fn single(&self, name: impl AsHeaderName + Clone) -> Result<Option<&'a HeaderValue>, Repeated> {
        match self {
            Self::Map(map) => {
                let mut values = map.get_all(name).iter();
                let first = values.next();
                if values.next().is_some() { Err(Repeated) } else { Ok(first) }
            }
        }
    }

    pub fn first(&self, name: impl AsHeaderName) -> Option<&'a HeaderValue> {
        match self {
            Self::Map(map) => map.get(name),
        }
    }

    pub fn all(&self, name: impl AsHeaderName) -> impl Iterator<Item = &'a HeaderValue> {
        match self {
            Self::Map(map) => map.get_all(name).iter(),
        }
    }

    /// How many; several of one name are counted each.
    pub fn lines(&self) -> usize {
        match self {
            Self::Map(map) => map.len(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        match self {
            Self::Map(map) => map.iter(),
        }
    }
}

/// A field that may stand once stands there several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

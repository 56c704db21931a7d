use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use jose::SigningKey;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub const ISSUER: &str = "https://login.test";

/// An issuer that answers as scripted, and counts.
pub struct Issuer {
    pub keys: Mutex<Vec<Value>>,
    pub metadata: Mutex<Value>,
    pub down: AtomicBool,
    pub metadata_read: AtomicUsize,
    pub keys_read: AtomicUsize,
    /// An answer takes one of these.
    pub answers: Semaphore,
}

impl Issuer {
    pub fn with_key(key: &SigningKey) -> Self {
        Self {
            keys: Mutex::new(vec![key.public_jwk()]),
            metadata: Mutex::new(json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks")})),
            down: AtomicBool::new(false),
            metadata_read: AtomicUsize::new(0),
            keys_read: AtomicUsize::new(0),
            answers: Semaphore::new(1_000),
        }
    }
}

impl Peer for Issuer {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let count = if path == "/jwks" { &self.keys_read } else { &self.metadata_read };
            count.fetch_add(1, Ordering::SeqCst);
            self.answers.acquire().await.unwrap().forget();
            if self.down.load(Ordering::SeqCst) {
                return Err(PeerError::Unreachable);
            }
            let body = match path.as_str() {
                "/.well-known/openid-configuration" => self.metadata.lock().unwrap().clone(),
                "/jwks" => json!({"keys": *self.keys.lock().unwrap()}),
                _ => return Ok(Response::builder().status(StatusCode::NOT_FOUND).body(Bytes::new()).unwrap()),
            };
            Ok(Response::new(Bytes::from(body.to_string())))
        })
    }
}

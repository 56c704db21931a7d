//! The engine: sockets, TLS, HTTP framing, streaming. It knows nothing of tokens; the pipeline knows
//! nothing of sockets. Only this folder names an HTTP engine.
//!
//! A connection is accepted by `serve`, read by `h1` (a strict reader of our own) or `h2` (hyper),
//! and each request of it goes through `handle`: pipeline, then an answer or `send`, which takes a
//! connection to the upstream from the worker's `pool`; or an answer that is made out of calls of the
//! gateway's own, which go the same way (`call`). Bodies stream (`body`), nothing is kept.
//! Each worker is one thread; its tasks share state without locks.

mod body;
mod call;
mod connect;
mod date;
mod exchange;
mod finish;
mod forwarded;
mod h1;
mod h2;
mod handle;
mod head;
mod limits;
mod pool;
mod problem;
mod received;
mod send;
mod serve;
mod stream;
#[cfg(test)]
mod tests;
mod timer;
mod tls;

pub(crate) use date::imf_fixdate;
pub(crate) use exchange::remove_secret;
pub use exchange::{
    Calls, Compose, Composed, Decision, Exchange, Forward, Means, Outbound, Outcome, Pipeline, RequestLine, Steps, Work,
};
pub use head::{Head, Headers, Repeated, Scheme};
pub use limits::Limits;
pub use serve::{EdgeConfig, Listener, Running, listen, serve};
pub use tls::{BadCertificate, CertificateFiles, Certificates};

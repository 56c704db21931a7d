//! The engine: sockets, TLS, HTTP framing, streaming. It knows nothing of tokens; the pipeline knows
//! nothing of sockets. Only this folder names an HTTP engine.

mod exchange;
mod head;

pub use exchange::{Decision, Exchange, Forward, Outcome, Pipeline, RequestLine};
pub use head::{Head, Headers, Repeated, Scheme};

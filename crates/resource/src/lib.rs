//! For the APIs behind the gateway: who is calling, and what they may.
//!
//! The gateway exchanges a client's opaque token for a signed JWT (RFC 9068) and forwards that. This
//! library verifies it against the issuer's published keys and gives the handler a [`Principal`].
//! Any issuer with OpenID Connect or RFC 8414 style metadata will do.
//!
//! ```
//! use axum::{Router, routing::get};
//! use resource::{Denied, Principal, Settings, Verifier};
//!
//! async fn list_orders(principal: Principal) -> Result<String, Denied> {
//!     principal.require_scope("orders:read")?;
//!     Ok(format!("the orders of {}", principal.subject))
//! }
//!
//! fn app() -> Router {
//!     let settings = Settings::new("https://login.example.com", "https://api.example.com/orders");
//!     let verifier = Verifier::connect(settings);
//!     Router::new().route("/orders", get(list_orders)).layer(verifier.layer())
//! }
//! # app();
//! ```
//!
//! Requests without a good token get 401, handlers that miss a scope 403, both as RFC 6750 says and
//! as a problem document (RFC 9457); while the issuer's keys have never been read it is 503. Keys are
//! cached, read again when a token names an unknown one, and kept while the issuer is down.

mod denied;
mod keys;
mod layer;
mod principal;
mod verifier;

pub use base::scope::Scopes;
pub use denied::Denied;
pub use jose::Algorithm;
pub use layer::{RequireToken, RequireTokenLayer};
pub use principal::Principal;
pub use verifier::{Settings, Verifier};

#[cfg(test)]
mod tests;

//! The HTML kit: templates and their overrides, forms, cookies, CSRF tokens, security headers, languages.
//!
//! It knows nothing of what the pages are about. A pillar makes one [`Kit`], gives it a keyed hash, and
//! gets answers that are safe to send: escaped, framed by nobody, cached by nobody, loading nothing from
//! elsewhere. Everything works without JavaScript. The only crate that names the template engine.

mod assets;
mod browser;
mod cookies;
mod form;
mod headers;
mod kit;
mod language;
mod when;

#[cfg(test)]
mod tests;

pub use browser::{Browser, Forged};
pub use cookies::{Cookies, SameSite};
pub use form::{BadForm, Fields};
pub use headers::{Scripts, allow_connect, form_target, harden};
pub use kit::{ErrorPage, KeyedHash, Kit, KitError, Page, Settings};
pub use language::Language;
pub use when::{When, when};

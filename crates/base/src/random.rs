#![expect(clippy::disallowed_methods, reason = "the one place that makes randomness")]

//! Randomness: the only file that asks the operating system for it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `N` random bytes from the operating system.
///
/// Without randomness nothing here is safe, so the process stops when the system gives none.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0_u8; N];
    if getrandom::fill(&mut out).is_err() {
        std::process::abort();
    }
    out
}

/// `N` random bytes as base64url text without padding (RFC 4648 §5).
pub fn text<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<N>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(bytes::<16>(), bytes::<16>());
        assert_eq!(text::<32>().len(), 43);
    }
}

//! The outer form of opaque handles: `prefix_` + base64url body + six base62 digits of CRC-32.
//!
//! The checksum is not a secret and proves nothing; it lets secret scanners recognise a leaked
//! handle and lets a gateway drop junk without asking anybody. What is inside the body only the
//! identity system can read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Prefix of opaque access tokens.
pub const ACCESS_TOKEN: &str = "cat_";
/// Prefix of refresh tokens.
pub const REFRESH_TOKEN: &str = "crt_";
/// Prefix of authorization codes.
pub const CODE: &str = "cac_";
/// Prefix of generated client secrets.
pub const CLIENT_SECRET: &str = "ccs_";
/// Prefix of registration access tokens (RFC 7592).
pub const REGISTRATION_TOKEN: &str = "cra_";
/// Prefix of initial access tokens (RFC 7591 §3).
pub const INITIAL_TOKEN: &str = "cia_";
/// Prefix of tokens for the administration interface.
pub const ADMIN_TOKEN: &str = "cad_";

const CHECKSUM_LEN: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Wraps `body` into a handle with this prefix.
pub fn encode(prefix: &str, body: &[u8]) -> String {
    let mut out = String::with_capacity(prefix.len() + body.len().div_ceil(3) * 4 + CHECKSUM_LEN);
    out.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(body, &mut out);
    let sum = checksum(out.as_bytes());
    out.extend(sum.iter().map(|byte| char::from(*byte)));
    out
}

/// The body, if prefix and checksum are right.
pub fn decode(prefix: &str, handle: &str) -> Option<Vec<u8>> {
    let (signed, _) = split(prefix, handle)?;
    URL_SAFE_NO_PAD.decode(signed.strip_prefix(prefix)?).ok()
}

/// Whether prefix and checksum are right; no allocation, for the gateway's hot path.
pub fn is_well_formed(prefix: &str, handle: &str) -> bool {
    split(prefix, handle).is_some()
}

fn split<'a>(prefix: &str, handle: &'a str) -> Option<(&'a str, &'a str)> {
    if !handle.starts_with(prefix) || !handle.is_ascii() {
        return None;
    }
    let at = handle.len().checked_sub(CHECKSUM_LEN)?;
    if at <= prefix.len() {
        return None;
    }
    let (signed, sum) = handle.split_at_checked(at)?;
    (checksum(signed.as_bytes()).as_slice() == sum.as_bytes()).then_some((signed, sum))
}

fn checksum(text: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(text);
    let mut out = [b'0'; CHECKSUM_LEN];
    for digit in out.iter_mut().rev() {
        let index = usize::try_from(rest % 62).unwrap_or(0);
        *digit = BASE62.get(index).copied().unwrap_or(b'0');
        rest /= 62;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(body in proptest::collection::vec(any::<u8>(), 1..200)) {
            let handle = encode(ACCESS_TOKEN, &body);

            prop_assert!(is_well_formed(ACCESS_TOKEN, &handle));
            prop_assert_eq!(decode(ACCESS_TOKEN, &handle), Some(body));
            prop_assert_eq!(decode(REFRESH_TOKEN, &handle), None);
        }

        #[test]
        fn one_changed_character_is_noticed(body in proptest::collection::vec(any::<u8>(), 1..60), at in 0_usize..90) {
            let handle = encode(ACCESS_TOKEN, &body);
            let at = at % handle.len();
            let mut bytes = handle.into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };

            prop_assert!(!is_well_formed(ACCESS_TOKEN, std::str::from_utf8(&bytes).unwrap()));
        }

        #[test]
        fn any_text_is_taken_without_a_panic(text in ".*") {
            let _ = decode(ACCESS_TOKEN, &text);
        }
    }
}

//! The little DER (X.690) that RSA private keys need on their way out of the cryptographic library.

use zeroize::Zeroizing;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// The parts of an `RSAPrivateKey` (RFC 8017 §A.1.2), big-endian without leading zeros.
pub(crate) struct RsaParts {
    pub(crate) n: Vec<u8>,
    pub(crate) e: Vec<u8>,
    /// d, p, q, dp, dq, qi
    pub(crate) private: [Zeroizing<Vec<u8>>; 6],
}

/// Takes apart a `PrivateKeyInfo` (RFC 5208) that holds an RSA key of two primes.
pub(crate) fn rsa_parts(pkcs8: &[u8]) -> Option<RsaParts> {
    let (mut info, _) = element(pkcs8, SEQUENCE)?;
    let (_version, rest) = element(info, INTEGER)?;
    info = rest;
    let (_algorithm, rest) = element(info, SEQUENCE)?;
    info = rest;
    let (key, _) = element(info, OCTET_STRING)?;
    let (mut key, _) = element(key, SEQUENCE)?;
    let mut next = || {
        let (value, rest) = element(key, INTEGER)?;
        key = rest;
        let zeros = value.iter().take_while(|byte| **byte == 0).count();
        value.get(zeros..).map(<[u8]>::to_vec)
    };
    let _version = next()?;
    let (n, e) = (next()?, next()?);
    let mut secret = || next().map(Zeroizing::new);
    let private = [secret()?, secret()?, secret()?, secret()?, secret()?, secret()?];
    Some(RsaParts { n, e, private })
}

/// The content of the element at the start, if it bears this tag, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = input.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
    };
    rest.split_at_checked(length)
}

use proptest::prelude::*;

use super::*;
use crate::JoseError;
use crate::seal::{OVERHEAD_BYTES, SealingKey};

fn sealing_key() -> SealingKey {
    SealingKey::new(&Secret::new(vec![7; 32])).unwrap()
}

#[test]
fn a_short_secret_is_refused() {
    assert_eq!(SealingKey::new(&Secret::new(vec![7; 31])).map(|_| ()), Err(JoseError::ShortSecret));
}

#[test]
fn what_was_sealed_is_opened_only_by_the_same_key_and_context() {
    let key = sealing_key();
    for sealed in [key.seal(b"aad", b"content"), key.seal_deterministic(b"aad", b"content")] {
        assert_eq!(key.open(b"aad", &sealed).unwrap(), b"content");
        assert_eq!(sealing_key().open(b"aad", &sealed).unwrap(), b"content");
        assert_eq!(sealed.len(), b"content".len() + OVERHEAD_BYTES);
        assert_eq!(key.open(b"ada", &sealed), None);
        assert_eq!(key.open(b"", &sealed), None);
        assert_eq!(key.derive("a").open(b"aad", &sealed), None);
        assert_eq!(SealingKey::new(&Secret::new(vec![8; 32])).unwrap().open(b"aad", &sealed), None);
    }
}

#[test]
fn a_derived_key_is_its_own() {
    let (a, b) = (sealing_key().derive("a"), sealing_key().derive("b"));
    let sealed = a.seal(b"", b"content");

    assert_eq!(sealing_key().derive("a").open(b"", &sealed).unwrap(), b"content");
    assert_eq!(b.open(b"", &sealed), None);
    assert_eq!(a.derive("a").open(b"", &sealed), None);
    assert_ne!(a.mac("a").tag(b""), a.mac("b").tag(b""));
    assert_ne!(a.mac("a").tag(b""), b.mac("a").tag(b""));
    assert_eq!(a.mac("a").tag(b""), sealing_key().derive("a").mac("a").tag(b""));
}

#[test]
fn deterministic_sealing_depends_on_the_input_alone() {
    let key = sealing_key();

    assert_eq!(key.seal_deterministic(b"a", b"b"), key.seal_deterministic(b"a", b"b"));
    assert_ne!(key.seal_deterministic(b"ab", b""), key.seal_deterministic(b"a", b"b"));
    assert_ne!(key.seal(b"a", b"b"), key.seal(b"a", b"b"));
}

#[test]
fn every_changed_bit_is_noticed() {
    let key = sealing_key();
    let sealed = key.seal(b"aad", b"content");
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);

        assert_eq!(key.open(b"aad", &changed), None, "bit {bit}");
    }
    for len in 0..sealed.len() {
        assert_eq!(key.open(b"aad", &sealed[..len]), None, "{len} bytes");
    }
    assert_eq!(key.open(b"aad", &[&sealed[..], &[0]].concat()), None);
}

#[test]
fn a_tag_is_verified_whole() {
    let mac = hash::Mac::new(b"key");
    let tag = mac.tag(b"data");

    assert!(mac.verify(b"data", &tag));
    assert!(!mac.verify(b"data", &tag[..31]));
    assert!(!mac.verify(b"data", b""));
    assert!(!mac.verify(b"dato", &tag));
    assert!(!hash::Mac::random().verify(b"data", &tag));
    // RFC 4231 test case 2
    let jefe = hash::Mac::new(b"Jefe").tag(b"what do ya want for nothing?");
    assert_eq!(hash::base64url(&jefe), "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_content_comes_back(aad in proptest::collection::vec(any::<u8>(), 0..50),
                              content in proptest::collection::vec(any::<u8>(), 0..300)) {
        let key = sealing_key();

        prop_assert_eq!(key.open(&aad, &key.seal(&aad, &content)), Some(content.clone()));
        prop_assert_eq!(key.open(&aad, &key.seal_deterministic(&aad, &content)), Some(content));
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(sealing_key().open(b"", &bytes), None);
    }
}

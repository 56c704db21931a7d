use super::*;
use crate::jwe::{self, DecryptionKey, EncryptionKey, KeyAlg};

const KEYS: [&str; 3] = ["RSA-OAEP-256", "ECDH-ES+A256KW", "X25519"];

fn decryption_key(name: &str) -> DecryptionKey {
    DecryptionKey::from_jwk(&Secret::from(elsewhere()["jwe"][name]["key"].to_string())).unwrap()
}

fn encryption_key(key: &DecryptionKey) -> EncryptionKey {
    EncryptionKey::from_jwk(&key.public_jwk()).unwrap()
}

/// A token with one of its five parts replaced.
fn with_part(token: &str, at: usize, part: &str) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[at] = part;
    parts.join(".")
}

#[test]
fn what_another_implementation_encrypted_is_decrypted() {
    for name in KEYS {
        let token = elsewhere()["jwe"][name]["token"].as_str().unwrap().to_owned();

        assert_eq!(decryption_key(name).decrypt(&token).unwrap(), b"made elsewhere", "{name}");
    }
}

#[test]
fn what_was_encrypted_is_decrypted() {
    for name in KEYS {
        let key = decryption_key(name);
        for content in [&b""[..], b"content", &[7; 10_000]] {
            let token = encryption_key(&key).encrypt("text/plain", content).unwrap();
            let header = jwe::header_of(&token).unwrap();

            assert_eq!(key.decrypt(&token).unwrap(), content, "{name}");
            assert_eq!((header.alg, header.kid.as_deref()), (key.algorithm(), Some(key.kid())));
            assert_eq!(header.cty.as_deref(), Some("text/plain"));
        }
    }
}

#[test]
fn every_encryption_is_under_fresh_keys() {
    for name in KEYS {
        let key = encryption_key(&decryption_key(name));
        let (one, two) = (key.encrypt("", b"same").unwrap(), key.encrypt("", b"same").unwrap());
        let parts = one.split('.').zip(two.split('.'));

        assert!(parts.skip(1).all(|(a, b)| a != b), "{name}");
    }
}

#[test]
fn a_token_with_one_changed_part_is_not_decrypted() {
    for name in KEYS {
        let key = decryption_key(name);
        let token = encryption_key(&key).encrypt("", b"content").unwrap();
        let other = encryption_key(&key).encrypt("", b"content").unwrap();
        let other: Vec<&str> = other.split('.').collect();
        for (at, part) in other.iter().enumerate().skip(1) {
            assert_eq!(key.decrypt(&with_part(&token, at, part)), Err(Rejected::Decryption), "{name} {at}");
            assert_eq!(key.decrypt(&with_part(&token, at, "")), Err(Rejected::Decryption), "{name} {at}");
            assert_eq!(key.decrypt(&with_part(&token, at, "AAAA")), Err(Rejected::Decryption), "{name} {at}");
            assert_eq!(key.decrypt(&with_part(&token, at, "A=")), Err(Rejected::Malformed), "{name} {at}");
        }
        // A tag cut short would be easy to forge.
        let tag = token.rsplit_once('.').unwrap().1;
        assert_eq!(key.decrypt(&with_part(&token, 4, &tag[..16])), Err(Rejected::Decryption), "{name}");
        assert_eq!(key.decrypt(&format!("{token}.")), Err(Rejected::Malformed));
        assert_eq!(key.decrypt(&token.replacen('.', "", 1)), Err(Rejected::Malformed));
    }
}

#[test]
fn a_header_with_one_fault_is_refused() {
    for name in KEYS {
        let key = decryption_key(name);
        let token = encryption_key(&key).encrypt("", b"content").unwrap();
        let header = hash::base64url_decode(token.split_once('.').unwrap().0).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        for (member, value, why) in [
            ("alg", json!("RSA1_5"), Rejected::Algorithm),
            ("alg", json!("RSA-OAEP"), Rejected::Algorithm),
            ("alg", json!("dir"), Rejected::Algorithm),
            ("alg", json!("PBES2-HS256+A128KW"), Rejected::Algorithm),
            ("enc", json!("A128GCM"), Rejected::Algorithm),
            ("enc", json!("A256CBC-HS512"), Rejected::Algorithm),
            ("enc", json!(7), Rejected::Malformed),
            ("zip", json!("DEF"), Rejected::Algorithm),
            ("crit", json!(["exp"]), Rejected::Critical),
            ("cty", json!("text/plain"), Rejected::Decryption),
        ] {
            let mut header = header.clone();
            header[member] = value.clone();
            let changed = with_part(&token, 0, &hash::base64url(header.to_string().as_bytes()));

            assert_eq!(key.decrypt(&changed), Err(why), "{name} {member} {value}");
        }
    }
}

#[test]
fn an_ephemeral_key_off_the_curve_is_refused() {
    let off = json!({"kty": "EC", "crv": "P-256", "x": hash::base64url(&[1; 32]), "y": hash::base64url(&[2; 32])});
    let small_order = json!({"kty": "OKP", "crv": "X25519", "x": hash::base64url(&[0; 32])});
    let other_curve = DecryptionKey::generate_x25519().unwrap().public_jwk();
    for (name, epk, why) in [
        ("ECDH-ES+A256KW", off, Rejected::Decryption),
        ("X25519", small_order, Rejected::Decryption),
        ("ECDH-ES+A256KW", other_curve, Rejected::Decryption),
        ("ECDH-ES+A256KW", json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}), Rejected::Malformed),
        ("ECDH-ES+A256KW", json!("epk"), Rejected::Malformed),
    ] {
        let key = decryption_key(name);
        let token = encryption_key(&key).encrypt("", b"content").unwrap();
        let header = json!({"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "epk": epk}).to_string();

        assert_eq!(key.decrypt(&with_part(&token, 0, &hash::base64url(header.as_bytes()))), Err(why), "{epk}");
    }
}

#[test]
fn a_recipient_key_with_one_fault_is_refused() {
    for (name, member, value) in [
        ("RSA-OAEP-256", "alg", json!("RSA1_5")),
        ("RSA-OAEP-256", "alg", json!("ECDH-ES+A256KW")),
        ("RSA-OAEP-256", "use", json!("sig")),
        ("RSA-OAEP-256", "n", json!(hash::base64url(&[0xff; 128]))),
        ("RSA-OAEP-256", "kty", json!("oct")),
        ("ECDH-ES+A256KW", "y", json!(hash::base64url(&[1; 32]))),
        ("ECDH-ES+A256KW", "alg", json!("ECDH-ES")),
        ("X25519", "x", json!(hash::base64url(&[0; 32]))),
        ("X25519", "crv", json!("Ed25519")),
        ("X25519", "d", json!(hash::base64url(&[1; 32]))),
    ] {
        let mut jwk = decryption_key(name).public_jwk();
        jwk[member] = value.clone();

        assert!(EncryptionKey::from_jwk(&jwk).is_err(), "{name} {member} {value}");
    }
}

#[test]
fn a_token_signed_then_encrypted_is_verified() {
    for name in KEYS {
        let (recipient, signer) = (decryption_key(name), key(Algorithm::Es256));
        let signed = signer.sign("at+jwt", &claims()).unwrap();
        let nested = encryption_key(&recipient).encrypt("JWT", signed.as_bytes()).unwrap();

        let verified = recipient.decrypt_and_verify(&nested, &key_set(&signer), &expected()).unwrap();

        assert_eq!(Value::Object(verified.claims), claims());
    }
}

#[test]
fn an_encrypted_token_that_is_not_signed_is_refused() {
    let (recipient, signer) = (decryption_key("ECDH-ES+A256KW"), key(Algorithm::Es256));
    let to = encryption_key(&recipient);
    let attacker = SigningKey::generate(Algorithm::Es256).unwrap();
    let foreign = attacker.sign("at+jwt", &claims()).unwrap();
    let none =
        format!("{}.{}.", hash::base64url(b"{\"alg\":\"none\"}"), hash::base64url(claims().to_string().as_bytes()));
    let twice = to.encrypt("JWT", claims().to_string().as_bytes()).unwrap();
    for (content, why) in [
        (claims().to_string(), Rejected::Malformed),
        (none, Rejected::Malformed),
        (twice, Rejected::Malformed),
        (foreign, Rejected::UnknownKey { kid: Some(attacker.kid().to_owned()) }),
        ("\u{0}".to_owned(), Rejected::Malformed),
    ] {
        let token = to.encrypt("JWT", content.as_bytes()).unwrap();

        assert_eq!(recipient.decrypt_and_verify(&token, &key_set(&signer), &expected()), Err(why), "{content}");
    }
    let only_signed = signer.sign("at+jwt", &claims()).unwrap();
    assert_eq!(recipient.decrypt_and_verify(&only_signed, &key_set(&signer), &expected()), Err(Rejected::Malformed));
}

#[test]
fn a_key_decrypts_only_with_its_own_algorithm() {
    let token = encryption_key(&decryption_key("RSA-OAEP-256")).encrypt("", b"x").unwrap();

    assert_eq!(decryption_key("X25519").decrypt(&token), Err(Rejected::Algorithm));
    assert_eq!(DecryptionKey::generate(KeyAlg::RsaOaep256).unwrap().decrypt(&token), Err(Rejected::Decryption));
}

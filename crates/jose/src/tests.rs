use std::time::Duration;

use base::{Secret, Time};
use serde_json::json;

use crate::jwe::{DecryptionKey, EncryptionKey, KeyAlg};
use crate::seal::SealingKey;
use crate::{Algorithm, Expected, KeySet, SigningKey};

fn expected() -> Expected<'static> {
    Expected {
        types: &["at+jwt"],
        issuer: Some("https://issuer.test"),
        audience: Some("https://api.test"),
        algorithms: &Algorithm::ALL,
        now: Time::from_seconds(1_000),
        leeway: Duration::from_secs(10),
        expiry_required: true,
    }
}

#[test]
fn every_algorithm_signs_and_verifies() {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();
        let claims = json!({"iss": "https://issuer.test", "aud": "https://api.test", "exp": 2_000});
        let token = key.sign("at+jwt", &claims).unwrap();

        let verified = KeySet::from_jwks([key.public_jwk()]).verify(&token, &expected()).unwrap();

        assert_eq!(verified.header.kid.as_deref(), Some(key.kid()));
        assert_eq!(serde_json::Value::Object(verified.claims), claims);
    }
}

#[test]
fn what_was_encrypted_is_decrypted() {
    let keys = [
        DecryptionKey::generate(KeyAlg::RsaOaep256).unwrap(),
        DecryptionKey::generate(KeyAlg::EcdhEsA256Kw).unwrap(),
        DecryptionKey::generate_x25519().unwrap(),
    ];
    for key in keys {
        let token = EncryptionKey::from_jwk(&key.public_jwk()).unwrap().encrypt("JWT", b"content").unwrap();

        assert_eq!(key.decrypt(&token).unwrap(), b"content");
        assert_eq!(DecryptionKey::from_jwk(&key.to_jwk()).unwrap().decrypt(&token).unwrap(), b"content");
    }
}

#[test]
fn what_was_sealed_is_opened() {
    let key = SealingKey::new(&Secret::new(vec![7; 32])).unwrap();

    assert_eq!(key.open(b"aad", &key.seal(b"aad", b"content")).unwrap(), b"content");
    assert_eq!(key.open(b"aad", &key.seal_deterministic(b"aad", b"content")).unwrap(), b"content");
}

//! Both ways with three other implementations: `jsonwebtoken`, `jwt-simple` (which shares no
//! cryptographic code with us) and tokens that `joserfc` made.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jwt_simple::prelude::{
    Claims, Duration, ECDSAP256KeyPairLike as _, ECDSAP256PublicKeyLike as _, ES256KeyPair, ES256PublicKey,
    EcdhEsA256KWDecryptionKey, Ed25519PublicKey, EdDSAKeyPairLike as _, EdDSAPublicKeyLike as _, HashSet,
    HeaderOptions, JWTClaims, NoCustomClaims, PS256KeyPair, PS256PublicKey, RS256KeyPair, RS256PublicKey,
    RSAKeyPairLike as _, RSAPublicKeyLike as _, VerificationOptions, X25519EcdhEsA256KWDecryptionKey,
};

use super::*;
use crate::jwe::{DecryptionKey, EncryptionKey};
use crate::jwk::{Jwk, Public};

/// Far enough for libraries that read the system's clock.
const YEAR_2100: i64 = 4_102_444_800;

fn lasting_claims() -> Value {
    claims_with("exp", json!(YEAR_2100))
}

fn private_jwk(algorithm: Algorithm) -> Value {
    elsewhere()["jws"][algorithm.as_str()]["key"].clone()
}

fn public_jwk(algorithm: Algorithm) -> String {
    key(algorithm).public_jwk().to_string()
}

#[test]
fn what_joserfc_signed_is_verified() {
    for algorithm in Algorithm::ALL {
        let token = elsewhere()["jws"][algorithm.as_str()]["token"].as_str().unwrap().to_owned();

        let verified = key_set(&key(algorithm)).verify(&token, &expected()).unwrap();

        assert_eq!(verified.claims["sub"], "alice");
        assert_eq!(verified.header.alg, algorithm);
    }
}

#[test]
fn what_we_signed_jsonwebtoken_verifies() {
    for algorithm in Algorithm::ALL {
        let token = key(algorithm).sign("at+jwt", &lasting_claims()).unwrap();
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(&public_jwk(algorithm)).unwrap();
        let mut validation = jsonwebtoken::Validation::new(algorithm.as_str().parse().unwrap());
        validation.set_audience(&["https://api.test"]);
        validation.set_issuer(&["https://issuer.test"]);

        let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let data = jsonwebtoken::decode::<Value>(&token, &decoding, &validation).unwrap();

        assert_eq!(data.claims, lasting_claims());
        assert_eq!(data.header.kid.as_deref(), Some(key(algorithm).kid()));
    }
}

#[test]
fn what_jsonwebtoken_signed_we_verify() {
    for algorithm in Algorithm::ALL {
        let jwk = Jwk::from_value(&private_jwk(algorithm)).unwrap();
        let encoding = match jwk.public().unwrap() {
            Public::P256(point) => {
                let d = jwk.private_value().unwrap();
                let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair = EcdsaKeyPair::from_private_key_and_public_key(alg, &d, &point).unwrap();
                jsonwebtoken::EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
            }
            Public::Rsa { .. } => {
                let pkcs8: Pkcs8V1Der<'_> = jwk.rsa_pair().unwrap().as_der().unwrap();
                // The RSAPrivateKey inside, after the headers that a 2048-bit key has.
                jsonwebtoken::EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..])
            }
            _ => {
                let pair = signature::Ed25519KeyPair::from_seed_unchecked(&jwk.private_value().unwrap()).unwrap();
                jsonwebtoken::EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref())
            }
        };
        let mut header = jsonwebtoken::Header::new(algorithm.as_str().parse().unwrap());
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(key(algorithm).kid().to_owned());

        let token = jsonwebtoken::encode(&header, &claims(), &encoding).unwrap();

        let verified = key_set(&key(algorithm)).verify(&token, &expected()).unwrap();
        assert_eq!(Value::Object(verified.claims), claims());
    }
}

fn options() -> VerificationOptions {
    VerificationOptions {
        allowed_issuers: Some(HashSet::from(["https://issuer.test".to_owned()])),
        allowed_audiences: Some(HashSet::from(["https://api.test".to_owned()])),
        required_signature_type: Some("at+jwt".to_owned()),
        artificial_time: Some(Duration::from_secs(1_000)),
        ..VerificationOptions::default()
    }
}

#[test]
fn what_we_signed_jwt_simple_verifies() {
    for algorithm in Algorithm::ALL {
        let token = key(algorithm).sign("at+jwt", &claims()).unwrap();
        let jwk = public_jwk(algorithm);

        let read: JWTClaims<NoCustomClaims> = match algorithm {
            Algorithm::Es256 => ES256PublicKey::from_jwk(&jwk).unwrap().verify_token(&token, Some(options())),
            Algorithm::EdDsa => Ed25519PublicKey::from_jwk(&jwk).unwrap().verify_token(&token, Some(options())),
            Algorithm::Rs256 => RS256PublicKey::from_jwk(&jwk).unwrap().verify_token(&token, Some(options())),
            Algorithm::Ps256 => PS256PublicKey::from_jwk(&jwk).unwrap().verify_token(&token, Some(options())),
        }
        .unwrap();

        assert_eq!(read.subject.as_deref(), Some("alice"));
    }
}

#[test]
fn what_jwt_simple_signed_we_verify() {
    let now = Duration::from_secs(1_000);
    let claims = || {
        let mut claims = Claims::create(Duration::from_secs(60))
            .with_issuer("https://issuer.test")
            .with_audience("https://api.test")
            .with_subject("alice");
        claims.issued_at = Some(now);
        claims.invalid_before = Some(now);
        claims.expires_at = Some(now + Duration::from_secs(60));
        claims
    };
    for algorithm in Algorithm::ALL {
        let jwk = private_jwk(algorithm).to_string();
        let options = HeaderOptions { signature_type: Some("at+jwt".to_owned()), ..HeaderOptions::default() };

        let token = match algorithm {
            Algorithm::Es256 => ES256KeyPair::from_jwk(&jwk).unwrap().sign_with_options(claims(), &options),
            Algorithm::EdDsa => {
                jwt_simple::algorithms::Ed25519KeyPair::from_jwk(&jwk).unwrap().sign_with_options(claims(), &options)
            }
            Algorithm::Rs256 => RS256KeyPair::from_jwk(&jwk).unwrap().sign_with_options(claims(), &options),
            Algorithm::Ps256 => PS256KeyPair::from_jwk(&jwk).unwrap().sign_with_options(claims(), &options),
        }
        .unwrap();

        assert_eq!(key_set(&key(algorithm)).verify(&token, &expected()).unwrap().text("sub"), Some("alice"));
    }
}

#[test]
fn encryption_works_both_ways_with_jwt_simple() {
    let jwk = |name: &str| elsewhere()["jwe"][name]["key"].to_string();
    let ours = |name: &str| DecryptionKey::from_jwk(&Secret::from(jwk(name))).unwrap();
    let p256 = EcdhEsA256KWDecryptionKey::from_jwk(&jwk("ECDH-ES+A256KW")).unwrap();
    let x25519 = X25519EcdhEsA256KWDecryptionKey::from_jwk(&jwk("X25519")).unwrap();
    let claims = || Claims::create(Duration::from_secs(60)).with_subject("alice");

    let to_us = [
        ("ECDH-ES+A256KW", p256.encryption_key().encrypt(claims()).unwrap()),
        ("X25519", x25519.encryption_key().encrypt(claims()).unwrap()),
    ];
    let to_them = |name: &str| {
        let key = EncryptionKey::from_jwk(&ours(name).public_jwk()).unwrap();
        key.encrypt("", lasting_claims().to_string().as_bytes()).unwrap()
    };

    for (name, token) in to_us {
        let content: Value = serde_json::from_slice(&ours(name).decrypt(&token).unwrap()).unwrap();
        assert_eq!(content["sub"], "alice", "{name}");
    }
    let read = p256.decrypt_token::<NoCustomClaims>(&to_them("ECDH-ES+A256KW"), None).unwrap();
    assert_eq!(read.subject.as_deref(), Some("alice"));
    let read = x25519.decrypt_token::<NoCustomClaims>(&to_them("X25519"), None).unwrap();
    assert_eq!(read.subject.as_deref(), Some("alice"));
}

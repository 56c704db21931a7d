//! Both ways with other implementations: `jsonwebtoken`, `jwt-compact` (which shares no cryptographic
//! code with us), and tokens that `joserfc` made.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jwt_compact::AlgorithmExt as _;
use jwt_compact::alg::{Ed25519, Es256};

use super::*;
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

/// `jwt-compact` knows ES256 and EdDSA.
fn compact_jwk(algorithm: Algorithm, private: bool) -> jwt_compact::jwk::JsonWebKey<'static> {
    let jwk = if private { private_jwk(algorithm).to_string() } else { public_jwk(algorithm) };
    serde_json::from_str(&jwk).unwrap()
}

#[test]
fn what_we_signed_jwt_compact_verifies() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let token = key(algorithm).sign("at+jwt", &claims()).unwrap();
        let jwk = compact_jwk(algorithm, false);
        let untrusted = jwt_compact::UntrustedToken::new(&token).unwrap();

        let read = match algorithm {
            Algorithm::Es256 => Es256.validator::<Value>(&(&jwk).try_into().unwrap()).validate(&untrusted),
            _ => Ed25519.validator::<Value>(&(&jwk).try_into().unwrap()).validate(&untrusted),
        }
        .unwrap();

        assert_eq!(read.claims().custom["sub"], "alice");
        assert_eq!(read.claims().expiration.unwrap().timestamp(), 2_000);
        assert_eq!(read.header().token_type.as_deref(), Some("at+jwt"));
    }
}

#[test]
fn what_jwt_compact_signed_we_verify() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let jwk = compact_jwk(algorithm, true);
        let header = jwt_compact::Header::empty().with_token_type("at+jwt");
        let claims = jwt_compact::Claims::new(claims());

        let token = match algorithm {
            Algorithm::Es256 => Es256.token(&header, &claims, &(&jwk).try_into().unwrap()),
            _ => Ed25519.token(&header, &claims, &(&jwk).try_into().unwrap()),
        }
        .unwrap();

        assert_eq!(key_set(&key(algorithm)).verify(&token, &expected()).unwrap().text("sub"), Some("alice"));
    }
}

#[test]
fn where_signatures_are_unique_ours_is_the_one_of_joserfc() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Rs256] {
        let token = elsewhere()["jws"][algorithm.as_str()]["token"].as_str().unwrap().to_owned();
        let (message, signature) = token.rsplit_once('.').unwrap();

        assert_eq!(hash::base64url(&key(algorithm).signature(message.as_bytes()).unwrap()), signature);
    }
}

use super::*;
use crate::JoseError;
use crate::jwe::{DecryptionKey, EncryptionKey, KeyAlg};

#[test]
fn a_key_survives_being_written_and_read() {
    for algorithm in Algorithm::ALL {
        let new = SigningKey::generate(algorithm).unwrap();
        let read = SigningKey::from_jwk(&new.to_jwk()).unwrap();
        let token = read.sign("at+jwt", &claims()).unwrap();

        assert_eq!(key_set(&new).verify(&token, &expected()).unwrap().header.kid.as_deref(), Some(new.kid()));
        assert_eq!(read.to_jwk().expose(), new.to_jwk().expose());
        assert_eq!(read.public_jwk(), new.public_jwk());
        assert_eq!(read.public_jwk()["use"], "sig");
        assert_eq!(read.public_jwk()["alg"], algorithm.as_str());
    }
    for alg in KeyAlg::ALL {
        let new = DecryptionKey::generate(alg).unwrap();
        let read = DecryptionKey::from_jwk(&new.to_jwk()).unwrap();
        let token = EncryptionKey::from_jwk(&read.public_jwk()).unwrap().encrypt("", b"x").unwrap();

        assert_eq!(new.decrypt(&token).unwrap(), b"x");
        assert_eq!(read.public_jwk(), new.public_jwk());
    }
}

#[test]
fn a_private_key_does_not_show_itself() {
    for algorithm in Algorithm::ALL {
        let key = key(algorithm);
        let d = elsewhere()["jws"][algorithm.as_str()]["key"]["d"].as_str().unwrap().to_owned();

        assert!(key.to_jwk().expose().contains(&d));
        assert!(!format!("{key:?}").contains(&d));
        assert!(key.public_jwk().get("d").is_none());
    }
}

#[test]
fn the_id_of_a_key_is_the_one_it_names_or_its_thumbprint() {
    for algorithm in Algorithm::ALL {
        assert_eq!(key(algorithm).kid(), elsewhere()["jws"][algorithm.as_str()]["thumbprint"].as_str().unwrap());
    }
    let mut jwk = elsewhere()["jws"]["ES256"]["key"].clone();
    jwk["kid"] = json!("../../etc/passwd\" or 1=1");
    let named = SigningKey::from_jwk(&Secret::from(jwk.to_string())).unwrap();
    let token = named.sign("at+jwt", &claims()).unwrap();

    assert_eq!(key_set(&named).verify(&token, &expected()).unwrap().header.kid.as_deref(), Some(named.kid()));
}

/// A good private key with one member changed, or removed by null.
fn broken(algorithm: &str, member: &str, value: Value) -> Result<SigningKey, JoseError> {
    let mut jwk = elsewhere()["jws"][algorithm]["key"].clone();
    if value.is_null() {
        jwk.as_object_mut().unwrap().remove(member);
    } else {
        jwk[member] = value;
    }
    SigningKey::from_jwk(&Secret::from(jwk.to_string()))
}

#[test]
fn a_private_key_with_one_fault_is_refused() {
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let other: Value = serde_json::from_str(other.to_jwk().expose()).unwrap();
    for (algorithm, member, value, why) in [
        ("ES256", "alg", Value::Null, JoseError::UnknownAlgorithm),
        ("ES256", "alg", json!("HS256"), JoseError::UnknownAlgorithm),
        ("ES256", "alg", json!("none"), JoseError::UnknownAlgorithm),
        ("ES256", "alg", json!("RS256"), JoseError::BadKey),
        ("ES256", "crv", json!("P-384"), JoseError::BadKey),
        ("ES256", "use", json!("enc"), JoseError::BadKey),
        ("ES256", "d", Value::Null, JoseError::BadKey),
        ("ES256", "d", other["d"].clone(), JoseError::BadKey),
        ("ES256", "d", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), JoseError::BadKey),
        ("ES256", "x", other["x"].clone(), JoseError::BadKey),
        ("ES256", "y", json!("AA"), JoseError::BadKey),
        ("EdDSA", "x", other["x"].clone(), JoseError::BadKey),
        ("EdDSA", "d", json!("c2hvcnQ"), JoseError::BadKey),
        ("RS256", "p", Value::Null, JoseError::BadKey),
        ("RS256", "qi", json!("AQ"), JoseError::BadKey),
        ("RS256", "e", json!("Aw"), JoseError::BadKey),
        ("RS256", "n", json!("AQAB"), JoseError::WeakKey),
        ("PS256", "kty", json!("oct"), JoseError::BadKey),
    ] {
        let refused = broken(algorithm, member, value.clone()).map(|key| key.kid().to_owned());

        assert_eq!(refused, Err(why), "{algorithm} {member} {value}");
    }
}

/// Whether a public key with one member changed is taken into a set.
fn taken(algorithm: Algorithm, member: &str, value: Value) -> bool {
    let mut jwk = key(algorithm).public_jwk();
    jwk[member] = value;
    !KeySet::from_jwks([jwk]).is_empty()
}

#[test]
fn a_set_takes_only_keys_that_can_verify() {
    assert!(taken(Algorithm::Es256, "use", json!("sig")));
    assert!(taken(Algorithm::Es256, "key_ops", json!(["verify"])));
    for (algorithm, member, value) in [
        (Algorithm::Es256, "use", json!("enc")),
        (Algorithm::Es256, "key_ops", json!(["encrypt"])),
        (Algorithm::Es256, "alg", json!("ES384")),
        (Algorithm::Es256, "alg", json!("HS256")),
        (Algorithm::Es256, "crv", json!("secp256k1")),
        // a point that is not on the curve, and one with a coordinate cut short
        (Algorithm::Es256, "y", json!("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM")),
        (Algorithm::Es256, "x", json!("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4I")),
        (Algorithm::Es256, "d", json!("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM")),
        (Algorithm::Es256, "kid", json!(7)),
        (Algorithm::EdDsa, "crv", json!("Ed448")),
        (Algorithm::EdDsa, "crv", json!("X25519")),
        (Algorithm::EdDsa, "x", json!("AA")),
        (Algorithm::Rs256, "kty", json!("EC")),
        (Algorithm::Rs256, "alg", json!("RSA1_5")),
        (Algorithm::Rs256, "e", json!("AQ")),
        (Algorithm::Rs256, "e", json!("AAEAAQ")),
        (Algorithm::Rs256, "n", json!(hash::base64url(&[0xff; 255]))),
    ] {
        assert!(!taken(algorithm, member, value.clone()), "{algorithm} {member} {value}");
    }
}

#[test]
fn a_set_must_be_an_object_with_keys() {
    for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]} x", "null"] {
        assert_eq!(KeySet::parse(text.as_bytes()).map(|set| set.len()), Err(JoseError::BadKeySet), "{text}");
    }
    assert_eq!(KeySet::parse(b"{\"keys\":[7,null,{}]}").unwrap().len(), 0);
}

#[test]
fn a_set_has_a_limit() {
    let many = std::iter::repeat_n(key(Algorithm::EdDsa).public_jwk(), 5_000);

    assert_eq!(KeySet::from_jwks(many).len(), 100);
}

#[test]
fn an_rsa_key_without_algorithm_is_for_both() {
    let mut jwk = key(Algorithm::Rs256).public_jwk();
    jwk.as_object_mut().unwrap().remove("alg");
    let open = KeySet::from_jwks([jwk]);
    let mut private = elsewhere()["jws"]["RS256"]["key"].clone();
    private["alg"] = json!("PS256");
    let pss = SigningKey::from_jwk(&Secret::from(private.to_string())).unwrap().sign("at+jwt", &claims()).unwrap();
    let pkcs1 = key(Algorithm::Rs256).sign("at+jwt", &claims()).unwrap();

    assert!(open.verify(&pss, &expected()).is_ok());
    assert!(open.verify(&pkcs1, &expected()).is_ok());
    assert_eq!(key_set(&key(Algorithm::Rs256)).verify(&pss, &expected()), Err(Rejected::Algorithm));
}

#[test]
fn a_key_can_be_taken_out_of_a_set() {
    let (one, two) = (key(Algorithm::Es256), key(Algorithm::EdDsa));
    let both = KeySet::from_jwks([one.public_jwk(), two.public_jwk()]);
    let token = one.sign("at+jwt", &claims()).unwrap();

    let rest = both.without(one.kid());

    assert!(both.verify(&token, &expected()).is_ok());
    assert_eq!(rest.verify(&token, &expected()), Err(Rejected::UnknownKey { kid: Some(one.kid().to_owned()) }));
    assert!(rest.contains(two.kid()) && !rest.contains(one.kid()));
}

#[test]
fn left_halves_follow_the_algorithm() {
    // OpenID Connect Core, the example of appendix A.3 and A.4.
    assert_eq!(
        hash::left_half_hash(Algorithm::Rs256, "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"),
        "77QmUPtjPfzWtF2AnpK9RQ"
    );
    assert_eq!(
        hash::left_half_hash(Algorithm::Es256, "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"),
        "LDktKdoQak3Pk0cnXxCltA"
    );
    assert_eq!(hash::left_half_hash(Algorithm::EdDsa, "token").len(), 43);
}

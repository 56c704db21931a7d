use super::*;
use crate::header::Parts;
use crate::jwe::{DecryptionKey, EncryptionKey};
use crate::jwk::Jwk;

/// The content of a JWS, which in the RFCs is mostly not a set of claims.
fn content(keys: &KeySet, token: &str) -> Result<Vec<u8>, Rejected> {
    let parts = Parts::split(token)?;
    keys.check(&parts.header()?, parts.signed.as_bytes(), &parts.signature()?)?;
    parts.payload()
}

/// The public half of an example's key, as a set.
fn public_set(key: &Value) -> KeySet {
    let mut key = key.clone();
    for private in ["d", "p", "q", "dp", "dq", "qi"] {
        key.as_object_mut().unwrap().remove(private);
    }
    KeySet::from_jwks([key])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn rfc_7515_examples_with_our_algorithms_verify() {
    let rfc = &rfc()["rfc7515"];
    for example in ["A.2", "A.3"] {
        let keys = public_set(&rfc[example]["key"]);
        let token = text(&rfc[example]["token"]);

        let verified = keys.verify(token, &anything(1_300_819_379)).unwrap();

        assert_eq!(verified.claims["iss"], "joe", "{example}");
        assert_eq!(content(&keys, token), Ok(hash::base64url_decode(text(&rfc["payload"])).unwrap()));
        assert_eq!(keys.verify(token, &anything(1_300_819_390)), Err(Rejected::Expired), "{example}");
    }
}

#[test]
fn rfc_7515_examples_with_other_algorithms_are_refused() {
    let rfc = &rfc()["rfc7515"];
    for (example, why) in [("A.1", Rejected::Algorithm), ("A.4", Rejected::Algorithm), ("A.5", Rejected::Malformed)] {
        let mut keys = vec![rfc["A.2"]["key"].clone()];
        keys.extend(rfc[example].get("key").cloned());

        let refused = KeySet::from_jwks(keys).verify(text(&rfc[example]["token"]), &anything(1));

        assert_eq!(refused, Err(why), "{example}");
    }
}

#[test]
fn rfc_7520_signatures_with_our_algorithms_verify() {
    let rfc = &rfc()["rfc7520"];
    let keys = public_set(&rfc["4.1"]["key"]);
    let token = text(&rfc["4.1"]["token"]);

    let content = content(&keys, token).unwrap();

    assert!(std::str::from_utf8(&content).unwrap().starts_with("It\u{2019}s a dangerous business, Frodo"));
    assert_eq!(keys.verify(token, &anything(1)), Err(Rejected::Malformed), "that text is no set of claims");
}

#[test]
fn rfc_7520_signatures_with_other_algorithms_are_refused() {
    for example in ["4.2", "4.3", "4.4"] {
        let rfc = &rfc()["rfc7520"][example];

        assert_eq!(content(&public_set(&rfc["key"]), text(&rfc["token"])), Err(Rejected::Algorithm), "{example}");
    }
}

#[test]
fn rfc_7517_sets_are_read() {
    let rfc = &rfc()["rfc7517"];
    let set = |example: &str| KeySet::parse(rfc[example].to_string().as_bytes()).unwrap();

    assert_eq!(set("A.1").kids().collect::<Vec<_>>(), ["2011-04-29"], "the other key is for encryption");
    assert!(set("A.2").is_empty(), "private keys have no place in a public set");
    assert!(set("A.3").is_empty(), "symmetric keys are never taken");
    assert_eq!(KeySet::from_jwks([rfc["B"].clone()]).len(), 1);
}

#[test]
fn rfc_7517_private_keys_sign_and_decrypt() {
    let rfc = &rfc()["rfc7517"];
    let private = &rfc["A.2"]["keys"];
    let signing = SigningKey::from_jwk(&Secret::from(private[1].to_string())).unwrap();
    let mut agreement = private[0].clone();
    agreement["alg"] = json!("ECDH-ES+A256KW");
    let agreement = DecryptionKey::from_jwk(&Secret::from(agreement.to_string())).unwrap();

    let token = signing.sign("at+jwt", &claims()).unwrap();
    let public = KeySet::parse(rfc["A.1"].to_string().as_bytes()).unwrap();
    let encrypted = EncryptionKey::from_jwk(&rfc["A.1"]["keys"][0]).unwrap().encrypt("", b"content").unwrap();

    assert_eq!(public.verify(&token, &expected()).unwrap().header.kid.as_deref(), Some("2011-04-29"));
    assert_eq!(agreement.decrypt(&encrypted).unwrap(), b"content");
}

#[test]
fn rfc_7638_and_8037_thumbprints_come_out() {
    let rfc = rfc();
    let rsa = Jwk::from_value(&rfc["rfc7517"]["A.1"]["keys"][1]).unwrap();
    let ed25519 = Jwk::from_value(&rfc["rfc8037"]["A.4"]["key"]).unwrap();

    assert_eq!(rsa.public().unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(ed25519.public().unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn rfc_8037_signature_is_made_and_verified() {
    let rfc = &rfc()["rfc8037"]["A.4"];
    let token = text(&rfc["token"]);
    let mut private = rfc["key"].clone();
    private["alg"] = json!("EdDSA");
    let private = SigningKey::from_jwk(&Secret::from(private.to_string())).unwrap();

    let signature = private.signature(token.rsplit_once('.').unwrap().0.as_bytes()).unwrap();

    assert_eq!(hash::base64url(&signature), token.rsplit_once('.').unwrap().1);
    assert_eq!(content(&public_set(&rfc["key"]), token), Ok(b"Example of Ed25519 signing".to_vec()));
}

#[test]
fn encryption_examples_with_other_algorithms_are_refused() {
    let rfc = rfc();
    let key = DecryptionKey::from_jwk(&Secret::from(elsewhere()["jwe"]["RSA-OAEP-256"]["key"].to_string())).unwrap();
    let agreement = DecryptionKey::from_jwk(&Secret::from(elsewhere()["jwe"]["X25519"]["key"].to_string())).unwrap();
    for (number, example) in [
        // RSA-OAEP with SHA-1, RSA1_5
        ("rfc7516", "A.1"),
        ("rfc7516", "A.2"),
        // RSA1_5, RSA-OAEP, ECDH-ES+A128KW with A128GCM, ECDH-ES, zip
        ("rfc7520", "5.1"),
        ("rfc7520", "5.2"),
        ("rfc7520", "5.4"),
        ("rfc7520", "5.5"),
        ("rfc7520", "5.9"),
        // ECDH-ES on X25519
        ("rfc8037", "A.6"),
    ] {
        let token = text(&rfc[number][example]["token"]);

        assert_eq!(key.decrypt(token), Err(Rejected::Algorithm), "{number} {example}");
        assert_eq!(agreement.decrypt(token), Err(Rejected::Algorithm), "{number} {example}");
    }
}

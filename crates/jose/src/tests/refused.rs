use proptest::prelude::*;

use super::*;
use crate::header_of;

fn good() -> String {
    key(Algorithm::Es256).sign("at+jwt", &claims()).unwrap()
}

fn unknown(kid: &str) -> Rejected {
    Rejected::UnknownKey { kid: Some(kid.to_owned()) }
}

#[test]
fn a_good_token_is_accepted() {
    let verified = verify(&good()).unwrap();

    assert_eq!(Value::Object(verified.claims.clone()), claims());
    assert_eq!(verified.text("sub"), Some("alice"));
    assert_eq!(Some(verified.header), header_of(&good()));
}

#[test]
fn a_header_with_one_fault_is_refused() {
    let key = key(Algorithm::Es256);
    let kid = key.kid();
    for (header, why) in [
        (json!({"alg": "none", "typ": "at+jwt", "kid": kid}), Rejected::Algorithm),
        (json!({"alg": "None", "typ": "at+jwt", "kid": kid}), Rejected::Algorithm),
        (json!({"alg": "es256", "typ": "at+jwt", "kid": kid}), Rejected::Algorithm),
        (json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}), Rejected::Algorithm),
        (json!({"alg": "ES384", "typ": "at+jwt", "kid": kid}), Rejected::Algorithm),
        (json!({"alg": "RS256", "typ": "at+jwt", "kid": kid}), Rejected::Algorithm),
        (json!({"alg": ["ES256"], "typ": "at+jwt", "kid": kid}), Rejected::Malformed),
        (json!({"typ": "at+jwt", "kid": kid}), Rejected::Malformed),
        (json!({"alg": "ES256", "typ": 1, "kid": kid}), Rejected::Malformed),
        (json!({"alg": "ES256", "typ": "at+jwt", "kid": {"a": kid}}), Rejected::Malformed),
        (json!({"alg": "ES256", "typ": "at+jwt", "kid": "../../dev/null"}), unknown("../../dev/null")),
        (json!({"alg": "ES256", "typ": "at+jwt", "kid": ""}), unknown("")),
        (json!({"alg": "ES256", "typ": "at+jwt", "kid": "x' or '1'='1"}), unknown("x' or '1'='1")),
        (json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "crit": ["exp"]}), Rejected::Critical),
        (json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "crit": []}), Rejected::Critical),
        (json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "crit": null}), Rejected::Critical),
        (json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "b64": false}), Rejected::Critical),
        (json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "b64": false, "crit": ["b64"]}), Rejected::Critical),
        (json!({"alg": "ES256", "kid": kid}), Rejected::Type),
        (json!({"alg": "ES256", "typ": "JWT", "kid": kid}), Rejected::Type),
        (json!({"alg": "ES256", "typ": "at+jwt/x", "kid": kid}), Rejected::Type),
        (json!({"alg": "ES256", "typ": "text/at+jwt", "kid": kid}), Rejected::Type),
    ] {
        let token = signed(&key, &header.to_string(), &claims().to_string());

        assert_eq!(verify(&token), Err(why), "{header}");
    }
}

#[test]
fn a_type_is_compared_as_rfc_7515_says() {
    let key = key(Algorithm::Es256);
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(verify(&key.sign(typ, &claims()).unwrap()).is_ok(), "{typ}");
    }
    let long = Expected { types: &["application/at+jwt"], ..expected() };
    assert!(key_set(&key).verify(&good(), &long).is_ok());
}

#[test]
fn a_header_member_that_occurs_twice_is_refused() {
    let key = key(Algorithm::Es256);
    let kid = key.kid();
    for header in [
        format!(r#"{{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"other","k\u0069d":"{kid}"}}"#),
    ] {
        assert_eq!(verify(&signed(&key, &header, &claims().to_string())), Err(Rejected::Malformed), "{header}");
    }
}

#[test]
fn a_token_cannot_bring_its_key() {
    let attacker = SigningKey::generate(Algorithm::Es256).unwrap();
    let ours = key(Algorithm::Es256);
    let jwk = attacker.public_jwk();
    for (name, value) in [
        ("jwk", jwk.clone()),
        ("jku", json!("https://attacker.test/jwks")),
        ("x5u", json!("https://attacker.test/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        let with_our_kid = json!({"alg": "ES256", "typ": "at+jwt", "kid": ours.kid(), name: value});
        let with_their_kid = json!({"alg": "ES256", "typ": "at+jwt", "kid": attacker.kid(), name: value});
        let without_kid = json!({"alg": "ES256", "typ": "at+jwt", name: value});

        let answer = |header: &Value| verify(&signed(&attacker, &header.to_string(), &claims().to_string()));

        assert_eq!(answer(&with_our_kid), Err(Rejected::Signature), "{name}");
        assert_eq!(answer(&with_their_kid), Err(unknown(attacker.kid())), "{name}");
        assert_eq!(answer(&without_kid), Err(Rejected::Signature), "{name}");
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let rsa = key(Algorithm::Rs256);
    let public = rsa.public_jwk();
    let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": rsa.kid()}).to_string();
    for secret in [public.to_string(), public["n"].as_str().unwrap().to_owned()] {
        let message =
            format!("{}.{}", hash::base64url(header.as_bytes()), hash::base64url(claims().to_string().as_bytes()));
        let tag = hash::Mac::new(secret.as_bytes()).tag(message.as_bytes());
        let token = format!("{message}.{}", hash::base64url(&tag));

        assert_eq!(key_set(&rsa).verify(&token, &expected()), Err(Rejected::Algorithm));
    }
}

#[test]
fn an_algorithm_that_is_not_asked_for_is_refused() {
    let key = key(Algorithm::Es256);
    for algorithms in [&[][..], &[Algorithm::EdDsa, Algorithm::Rs256]] {
        let expected = Expected { algorithms, ..expected() };

        assert_eq!(key_set(&key).verify(&good(), &expected), Err(Rejected::Algorithm));
    }
}

#[test]
fn a_token_in_another_shape_is_refused() {
    let good = good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("a compact JWS has three parts") };
    let other = key(Algorithm::Es256).sign("at+jwt", &claims_with("sub", json!("bob"))).unwrap();
    let other: Vec<&str> = other.split('.').collect();
    // The last character holds bits beyond the last byte: the next one in the alphabet decodes to the same.
    let last = signature.chars().last().unwrap();
    let twin = char::from(u8::try_from(u32::from(last)).unwrap() + 1);
    let twin = format!("{}{twin}", &signature[..signature.len() - 1]);
    for (token, why) in [
        (String::new(), Rejected::Malformed),
        (".".to_owned(), Rejected::Malformed),
        ("..".to_owned(), Rejected::Malformed),
        (format!("{header}.{payload}"), Rejected::Malformed),
        (format!("{header}.{payload}."), Rejected::Malformed),
        (format!("{good}."), Rejected::Malformed),
        (format!("{good}.{signature}"), Rejected::Malformed),
        (format!(".{good}"), Rejected::Malformed),
        (format!(" {good}"), Rejected::Malformed),
        (format!("{good}\n"), Rejected::Malformed),
        (format!("{good}="), Rejected::Malformed),
        (format!("{header}=.{payload}.{signature}"), Rejected::Malformed),
        (format!("{header}.{payload} .{signature}"), Rejected::Signature),
        (format!("{header}.{payload}.+{}", &signature[1..]), Rejected::Malformed),
        (format!("{header}.{payload}.{twin}"), Rejected::Malformed),
        (format!("{header}.{payload}.{}", &signature[..84]), Rejected::Signature),
        (format!("{header}.{payload}.{}", "A".repeat(86)), Rejected::Signature),
        (format!("{header}.{payload}.{signature}AAAA"), Rejected::Signature),
        (format!("{header}.{}.{signature}", other[1]), Rejected::Signature),
        (format!("{header}..{signature}"), Rejected::Signature),
        (format!("{header}.{payload}.{}", other[2]), Rejected::Signature),
        ("a".repeat(300_000), Rejected::Malformed),
    ] {
        assert_eq!(verify(&token), Err(why), "{token:.200}");
    }
}

#[test]
fn an_ecdsa_signature_in_der_is_refused() {
    let good = good();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let fixed = hash::base64url_decode(signature).unwrap();
    let integer = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
    let der = [vec![0x30, 70], integer(&fixed[..32]), integer(&fixed[32..])].concat();

    assert_eq!(verify(&format!("{message}.{}", hash::base64url(&der))), Err(Rejected::Signature));
}

#[test]
fn a_header_swapped_for_another_does_not_verify() {
    let key = key(Algorithm::Es256);
    let good = key.sign("JWT", &claims()).unwrap();
    let (_, rest) = good.split_once('.').unwrap();
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": key.kid()}).to_string();

    assert_eq!(verify(&format!("{}.{rest}", hash::base64url(header.as_bytes()))), Err(Rejected::Signature));
}

#[test]
fn claims_with_one_fault_are_refused() {
    let key = key(Algorithm::Es256);
    for (claim, value, why) in [
        ("iss", Value::Null, Rejected::Issuer),
        ("iss", json!("https://issuer.test/"), Rejected::Issuer),
        ("iss", json!("https://ISSUER.test"), Rejected::Issuer),
        ("iss", json!(["https://issuer.test"]), Rejected::Issuer),
        ("aud", Value::Null, Rejected::Audience),
        ("aud", json!("https://api.test.attacker.test"), Rejected::Audience),
        ("aud", json!([]), Rejected::Audience),
        ("aud", json!(["https://other.test"]), Rejected::Audience),
        ("aud", json!(["https://api.test", 7]), Rejected::Audience),
        ("aud", json!({"0": "https://api.test"}), Rejected::Audience),
        ("exp", Value::Null, Rejected::Expired),
        ("exp", json!(990), Rejected::Expired),
        ("exp", json!(0), Rejected::Expired),
        ("exp", json!(-1), Rejected::Expired),
        ("exp", json!(989.5), Rejected::Expired),
        ("exp", json!("2000"), Rejected::Malformed),
        ("exp", json!(-1.5), Rejected::Malformed),
        ("exp", json!(1e300), Rejected::Malformed),
        ("exp", json!([2_000]), Rejected::Malformed),
        ("nbf", json!(1_011), Rejected::NotYetValid),
        ("nbf", json!("1"), Rejected::Malformed),
        ("iat", json!(1_011), Rejected::NotYetValid),
        ("iat", json!(true), Rejected::Malformed),
    ] {
        let token = key.sign("at+jwt", &claims_with(claim, value.clone())).unwrap();

        assert_eq!(verify(&token), Err(why), "{claim} {value}");
    }
}

#[test]
fn claims_at_the_edge_are_accepted() {
    let key = key(Algorithm::Es256);
    for (claim, value) in [
        ("aud", json!(["https://other.test", "https://api.test"])),
        ("exp", json!(991)),
        ("exp", json!(990.5)),
        ("exp", json!(i64::MAX)),
        ("nbf", json!(1_010)),
        ("iat", json!(1_010)),
    ] {
        let token = key.sign("at+jwt", &claims_with(claim, value.clone())).unwrap();

        assert!(verify(&token).is_ok(), "{claim} {value}");
    }
}

#[test]
fn a_claim_that_occurs_twice_is_refused() {
    let key = key(Algorithm::Es256);
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": key.kid()}).to_string();
    let payload = claims().to_string().replacen('{', r#"{"sub":"root","#, 1);

    assert_eq!(verify(&signed(&key, &header, &payload)), Err(Rejected::Malformed));
}

#[test]
fn a_payload_that_is_no_object_is_neither_signed_nor_accepted() {
    let key = key(Algorithm::Es256);
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": key.kid()}).to_string();
    for payload in ["", "[]", "\"claims\"", "null", "{} {}", "{"] {
        assert_eq!(verify(&signed(&key, &header, payload)), Err(Rejected::Malformed), "{payload}");
    }
    assert!(key.sign("at+jwt", &json!(["claims"])).is_err());
}

#[test]
fn an_expiry_may_be_missing_only_where_that_is_said() {
    let key = key(Algorithm::Es256);
    let set_token = Expected { expiry_required: false, ..expected() };
    let without = key.sign("at+jwt", &claims_with("exp", Value::Null)).unwrap();
    let past = key.sign("at+jwt", &claims_with("exp", json!(900))).unwrap();

    assert!(key_set(&key).verify(&without, &set_token).is_ok());
    assert_eq!(key_set(&key).verify(&past, &set_token), Err(Rejected::Expired));
}

#[test]
fn an_empty_set_knows_no_key() {
    assert_eq!(KeySet::default().verify(&good(), &expected()), Err(unknown(key(Algorithm::Es256).kid())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_changed_character_is_noticed(at in 0_usize..1_000, to in proptest::char::range('!', '~')) {
        let good = good();
        let at = at % good.len();
        prop_assume!(good.chars().nth(at) != Some(to));
        let changed: String = good.chars().enumerate().map(|(i, c)| if i == at { to } else { c }).collect();

        prop_assert!(verify(&changed).is_err());
    }

    #[test]
    fn any_text_is_taken_without_a_panic(text in "\\PC{0,40}(\\.\\PC{0,40}){0,5}") {
        let _ = header_of(&text);
        let _ = crate::jwe::header_of(&text);
        prop_assert!(verify(&text).is_err());
    }
}

//! JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037 §2) as they are written, and their thumbprints (RFC 7638).

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair, RsaPublicKeyComponents,
};
use aws_lc_rs::{agreement, rsa};
use base::Secret;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{JoseError, der, hash};

/// A key as its JSON says it. Members that are not needed here are not read; `k` is one of them, so a
/// symmetric key cannot come in.
#[derive(Deserialize)]
pub(crate) struct Jwk {
    pub(crate) kty: String,
    pub(crate) crv: Option<String>,
    pub(crate) kid: Option<String>,
    pub(crate) alg: Option<String>,
    #[serde(rename = "use")]
    pub(crate) usage: Option<String>,
    pub(crate) key_ops: Option<Vec<String>>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<Secret<String>>,
    p: Option<Secret<String>>,
    q: Option<Secret<String>>,
    dp: Option<Secret<String>>,
    dq: Option<Secret<String>>,
    qi: Option<Secret<String>>,
}

/// The public half of a key, decoded.
pub(crate) enum Public {
    /// Uncompressed point (SEC 1 §2.3.3).
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
    X25519(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl Jwk {
    pub(crate) fn from_json(text: &str) -> Result<Self, JoseError> {
        serde_json::from_str(text).map_err(|_| JoseError::BadKey)
    }

    pub(crate) fn from_value(value: &Value) -> Result<Self, JoseError> {
        Self::deserialize(value).map_err(|_| JoseError::BadKey)
    }

    pub(crate) fn is_private(&self) -> bool {
        self.d.is_some()
    }

    pub(crate) fn public(&self) -> Result<Public, JoseError> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => {
                let mut point = vec![4];
                point.extend(coordinate(self.x.as_deref())?);
                point.extend(coordinate(self.y.as_deref())?);
                Ok(Public::P256(point))
            }
            ("OKP", Some("Ed25519")) => coordinate(self.x.as_deref()).map(Public::Ed25519),
            ("OKP", Some("X25519")) => coordinate(self.x.as_deref()).map(Public::X25519),
            ("RSA", None) => {
                let number = |text: &Option<String>| text.as_deref().and_then(hash::base64url_decode);
                let n = number(&self.n).ok_or(JoseError::BadKey)?;
                let e = number(&self.e).ok_or(JoseError::BadKey)?;
                // An exponent of 1 makes every text its own signature; even ones are no exponents at all.
                let odd = e.last().is_some_and(|last| last % 2 == 1);
                if !odd || e == [1] || e.first() == Some(&0) || e.len() > 5 {
                    return Err(JoseError::BadKey);
                }
                // RFC 7518 §3.3 and §4.3 demand 2048 bits.
                match n.first() {
                    Some(0) | None => Err(JoseError::BadKey),
                    Some(first) if n.len() < 256 || (n.len() == 256 && *first < 0x80) => Err(JoseError::WeakKey),
                    Some(_) => Ok(Public::Rsa { n, e }),
                }
            }
            _ => Err(JoseError::BadKey),
        }
    }

    /// The private value `d` of an elliptic-curve or octet key.
    pub(crate) fn private_value(&self) -> Result<Zeroizing<Vec<u8>>, JoseError> {
        let value = secret(&self.d)?;
        if value.len() == 32 { Ok(value) } else { Err(JoseError::BadKey) }
    }

    /// This private key written anew, with its id, algorithm and use.
    pub(crate) fn to_private_json(
        &self,
        public: &Public,
        kid: &str,
        alg: &str,
        usage: &str,
    ) -> Result<Secret<String>, JoseError> {
        let named =
            [("d", &self.d), ("p", &self.p), ("q", &self.q), ("dp", &self.dp), ("dq", &self.dq), ("qi", &self.qi)];
        let mut private = Vec::new();
        for (name, value) in named {
            if value.is_some() {
                private.push((name, secret(value)?));
            }
        }
        let private: Vec<(&str, &[u8])> = private.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        Ok(private_json(&public.to_value(kid, alg, usage), &private))
    }

    /// The key pair of an RSA key; all of its parts must be there and agree.
    pub(crate) fn rsa_pair(&self) -> Result<RsaKeyPair, JoseError> {
        let Public::Rsa { n, e } = self.public()? else {
            return Err(JoseError::BadKey);
        };
        let public_key = RsaPublicKeyComponents { n, e };
        let components = rsa::KeyPairComponents {
            public_key,
            d: secret(&self.d)?,
            p: secret(&self.p)?,
            q: secret(&self.q)?,
            dP: secret(&self.dp)?,
            dQ: secret(&self.dq)?,
            qInv: secret(&self.qi)?,
        };
        Ok(RsaKeyPair::from_components(&components)?)
    }
}

impl Public {
    /// The required members in the order of RFC 7638 §3.2 (RFC 8037 §2 for OKP).
    pub(crate) fn members(&self) -> Map<String, Value> {
        let okp = |crv: &str, x: &[u8]| json!({"crv": crv, "kty": "OKP", "x": hash::base64url(x)});
        let members = match self {
            Self::P256(point) => {
                let (x, y) = coordinates(point);
                json!({"crv": "P-256", "kty": "EC", "x": x, "y": y})
            }
            Self::Ed25519(x) => okp("Ed25519", x),
            Self::X25519(x) => okp("X25519", x),
            Self::Rsa { n, e } => json!({"e": hash::base64url(e), "kty": "RSA", "n": hash::base64url(n)}),
        };
        match members {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// RFC 7638 thumbprint with SHA-256, as base64url.
    pub(crate) fn thumbprint(&self) -> String {
        let mut members: Vec<_> = self.members().into_iter().collect();
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        let members: Map<_, _> = members.into_iter().collect();
        hash::base64url(&hash::sha256(Value::Object(members).to_string().as_bytes()))
    }

    /// The public JWK with its id, algorithm and use.
    pub(crate) fn to_value(&self, kid: &str, alg: &str, usage: &str) -> Value {
        let mut members = self.members();
        members.insert("kid".to_owned(), kid.into());
        members.insert("alg".to_owned(), alg.into());
        members.insert("use".to_owned(), usage.into());
        Value::Object(members)
    }
}

/// The private JWK: the public one and these private members.
pub(crate) fn private_json(public: &Value, private: &[(&str, &[u8])]) -> Secret<String> {
    let mut text = public.to_string();
    text.pop();
    for (name, value) in private {
        let value = Zeroizing::new(hash::base64url(value));
        for part in [",\"", name, "\":\"", value.as_str(), "\""] {
            text.push_str(part);
        }
    }
    text.push('}');
    Secret::new(text)
}

/// New keys, written as private JWKs: what is made here is read back like any other key.
pub(crate) fn generate_p256(alg: &str, usage: &str) -> Result<Secret<String>, JoseError> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let d: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
    Ok(new_json(Public::P256(pair.public_key().as_ref().to_vec()), alg, usage, &[("d", d.as_ref())]))
}

pub(crate) fn generate_ed25519(alg: &str) -> Result<Secret<String>, JoseError> {
    let pair = Ed25519KeyPair::generate()?;
    let d: Curve25519SeedBin<'_> = pair.seed()?.as_be_bytes()?;
    Ok(new_json(Public::Ed25519(pair.public_key().as_ref().to_vec()), alg, "sig", &[("d", d.as_ref())]))
}

pub(crate) fn generate_x25519(alg: &str) -> Result<Secret<String>, JoseError> {
    let key = agreement::PrivateKey::generate(&agreement::X25519)?;
    let d: Curve25519SeedBin<'_> = key.as_be_bytes()?;
    let public = key.compute_public_key()?;
    Ok(new_json(Public::X25519(public.as_ref().to_vec()), alg, "enc", &[("d", d.as_ref())]))
}

pub(crate) fn generate_rsa(alg: &str, usage: &str) -> Result<Secret<String>, JoseError> {
    let pkcs8: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa2048)?.as_der()?;
    let parts = der::rsa_parts(pkcs8.as_ref()).ok_or(JoseError::Failed)?;
    let [d, p, q, dp, dq, qi] = &parts.private;
    let private = [("d", &d[..]), ("p", &p[..]), ("q", &q[..]), ("dp", &dp[..]), ("dq", &dq[..]), ("qi", &qi[..])];
    Ok(new_json(Public::Rsa { n: parts.n, e: parts.e }, alg, usage, &private))
}

fn new_json(public: Public, alg: &str, usage: &str, private: &[(&str, &[u8])]) -> Secret<String> {
    private_json(&public.to_value(&public.thumbprint(), alg, usage), private)
}

fn secret(text: &Option<Secret<String>>) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let text = text.as_ref().ok_or(JoseError::BadKey)?;
    hash::base64url_decode(text.expose()).map(Zeroizing::new).ok_or(JoseError::BadKey)
}

/// RFC 7518 §6.2.1.2: the full size of a coordinate, leading zeros included.
fn coordinate(text: Option<&str>) -> Result<Vec<u8>, JoseError> {
    let bytes = text.and_then(hash::base64url_decode).ok_or(JoseError::BadKey)?;
    if bytes.len() == 32 { Ok(bytes) } else { Err(JoseError::BadKey) }
}

fn coordinates(point: &[u8]) -> (String, String) {
    let (_form, both) = point.split_at_checked(1).unwrap_or_default();
    let (x, y) = both.split_at_checked(32).unwrap_or_default();
    (hash::base64url(x), hash::base64url(y))
}

/// Why a key could not be made, read or used. Never holds key material or text that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    #[error("the key is not a JSON Web Key that can be used here")]
    BadKey,
    #[error("the key set is not a JSON object with an array `keys`")]
    BadKeySet,
    #[error("an RSA key needs at least 2048 bits")]
    WeakKey,
    #[error("the key names no algorithm, or one that is not supported")]
    UnknownAlgorithm,
    #[error("the claims cannot be written as a JSON object")]
    BadClaims,
    #[error("sealing needs at least 32 bytes of key material")]
    ShortSecret,
    #[error("the cryptographic library failed")]
    Failed,
}

impl From<aws_lc_rs::error::Unspecified> for JoseError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Failed
    }
}

impl From<aws_lc_rs::error::KeyRejected> for JoseError {
    fn from(_: aws_lc_rs::error::KeyRejected) -> Self {
        Self::BadKey
    }
}

/// Why a token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("the token is not well-formed")]
    Malformed,
    #[error("no key of this id is known")]
    UnknownKey { kid: Option<String> },
    #[error("the algorithm is not allowed, or not that of the key")]
    Algorithm,
    #[error("the signature does not match")]
    Signature,
    #[error("the token cannot be decrypted with this key")]
    Decryption,
    #[error("the token is of another type")]
    Type,
    #[error("the issuer is not the expected one")]
    Issuer,
    #[error("the audience is not the expected one")]
    Audience,
    #[error("the token has expired, or names no expiry")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token demands an extension that is not supported")]
    Critical,
}

impl Rejected {
    /// A name for metrics and logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKey { .. } => "unknown_key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Decryption => "decryption",
            Self::Type => "type",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Critical => "critical",
        }
    }
}

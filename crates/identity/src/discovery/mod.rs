//! Metadata of the issuer: OpenID Connect Discovery 1.0 and RFC 8414, one document at both places.
//!
//! Every value comes from the configuration, none from the request (RFC 8414 §6.2), and only what is there is listed.

mod http;

use jose::Algorithm;
use serde_json::{Value, json};

use crate::clients::AuthMethod;
use crate::config::Config;
use crate::scopes::BUILT_IN;
use crate::sessions::ACR_PASSWORD;
use crate::token::GRANTS;

pub use http::routes;

/// The metadata document.
pub fn metadata(config: &Config) -> Value {
    let issuer = &config.issuer;
    let at = |path: &str| format!("{issuer}{path}");
    let algorithms: Vec<&str> = config.keys.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
    let methods = AuthMethod::ALL.map(AuthMethod::as_str);
    let confidential = AuthMethod::ALL.into_iter().filter(|method| *method != AuthMethod::None).map(AuthMethod::as_str);
    let confidential: Vec<&str> = confidential.collect();
    let assertions = Algorithm::ALL.map(Algorithm::as_str);
    json!({
        "issuer": issuer,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "jwks_uri": at("/jwks"),
        "userinfo_endpoint": at("/userinfo"),
        "introspection_endpoint": at("/introspect"),
        "revocation_endpoint": at("/revoke"),
        "registration_endpoint": at("/register"),
        "end_session_endpoint": at("/logout"),
        "scopes_supported": BUILT_IN.map(|(name, _)| name),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": GRANTS.map(|(name, _)| name),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "introspection_signing_alg_values_supported": algorithms,
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": assertions,
        "introspection_endpoint_auth_methods_supported": confidential,
        "introspection_endpoint_auth_signing_alg_values_supported": assertions,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": assertions,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "acr_values_supported": [ACR_PASSWORD],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid", "at_hash",
            "name", "preferred_username", "email", "email_verified"],
        "ui_locales_supported": ["en"],
        // Ours: `GET` of the registration endpoint lists the clients of the registrar that asks.
        "registration_list_supported": true,
        // Ours: `POST /register/CLIENT/revoke` ends what a client holds.
        "registration_revocation_supported": true,
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        // Ours: by this and the checksum behind it a gateway tells junk without asking.
        "cardea_access_token_prefix": base::handle::ACCESS_TOKEN,
    })
}

//! Client metadata (RFC 7591 §2, OpenID Connect Registration §2): from a request to a client's document, and back.
//!
//! Members that are not understood are ignored, as the standard asks (§2), and the answer shows what was
//! registered. Those by which a client asks for a protection that is not there are refused.

use base::scope::Scopes;
use jose::Algorithm;
use serde_json::{Map, Value, json};
use url::Url;

use super::error::{Error, invalid_client_metadata, invalid_redirect_uri};
use crate::clients::{ApplicationType, AuthMethod, Client, ClientSpec, GrantType};
use crate::scopes::{Audiences, BUILT_IN, is_audience};

/// A protection that a client must not believe it has.
const PROTECTIONS: [&str; 13] = [
    "id_token_encrypted_response_alg",
    "id_token_encrypted_response_enc",
    "userinfo_signed_response_alg",
    "userinfo_encrypted_response_alg",
    "userinfo_encrypted_response_enc",
    "introspection_encrypted_response_alg",
    "request_object_signing_alg",
    "request_object_encryption_alg",
    "require_signed_request_object",
    "require_pushed_authorization_requests",
    "dpop_bound_access_tokens",
    "tls_client_certificate_bound_access_tokens",
    "authorization_signed_response_alg",
];
const ADDRESSES: [&str; 4] = ["client_uri", "logo_uri", "tos_uri", "policy_uri"];
const MOST_URIS: usize = 50;
const MOST_CONTACTS: usize = 20;
/// Translations of one member (`client_name#de`).
const MOST_LANGUAGES: usize = 20;

/// A request that was read.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Without `client_id`.
    pub spec: ClientSpec,
    pub software_id: String,
    /// What is stored and given back, and is no part of the document.
    pub kept: Map<String, Value>,
}

pub fn read(request: &Map<String, Value>) -> Result<Asked, Error> {
    // §2: a member that is null counts as absent.
    let request: Map<String, Value> = request.clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
    let request = &request;
    for name in PROTECTIONS {
        if request.get(name).is_some_and(|value| *value != Value::Bool(false) && *value != "none") {
            return Err(unsupported(name));
        }
    }
    if request.get("subject_type").is_some_and(|value| value != "public") {
        return Err(invalid_client_metadata("subject_type", "must be `public`"));
    }
    let grant_types = grant_types(request)?;
    let spec = ClientSpec {
        display_name: text(request, "client_name", 200)?.unwrap_or_default(),
        token_endpoint_auth_method: auth_method(request)?,
        token_endpoint_auth_signing_alg: algorithm(request, "token_endpoint_auth_signing_alg")?,
        jwks: request.get("jwks").cloned(),
        jwks_uri: text(request, "jwks_uri", 2000)?,
        application_type: application_type(request)?,
        redirect_uris: uris(request, "redirect_uris")?,
        post_logout_redirect_uris: uris(request, "post_logout_redirect_uris")?,
        scopes: scopes(request, &grant_types)?,
        audiences: resources(request)?,
        id_token_signed_response_alg: algorithm(request, "id_token_signed_response_alg")?,
        grant_types,
        ..ClientSpec::named("")
    };
    let software_id = text(request, "software_id", 256)?.unwrap_or_default();
    Ok(Asked { spec, software_id, kept: kept(request)? })
}

/// What is registered, as RFC 7591 §3.2.1 has it in an answer.
pub fn written(client: &Client, kept: &Map<String, Value>) -> Map<String, Value> {
    let spec = &client.spec;
    let code = spec.grant_types.contains(&GrantType::AuthorizationCode);
    let response_types: &[&str] = if code { &["code"] } else { &[] };
    let mut out = kept.clone();
    let mut put = |name: &str, value: Value| {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value == "";
        // These have defaults that are not empty: none of them is said.
        if !empty || matches!(name, "grant_types" | "response_types" | "redirect_uris") {
            out.insert(name.to_owned(), value);
        }
    };
    put("client_name", json!(spec.display_name));
    put("redirect_uris", json!(spec.redirect_uris));
    put("post_logout_redirect_uris", json!(spec.post_logout_redirect_uris));
    put("grant_types", json!(spec.grant_types));
    put("response_types", json!(response_types));
    put("token_endpoint_auth_method", json!(spec.token_endpoint_auth_method));
    put("token_endpoint_auth_signing_alg", json!(spec.token_endpoint_auth_signing_alg));
    put("jwks", spec.jwks.clone().unwrap_or_default());
    put("jwks_uri", json!(spec.jwks_uri));
    put("application_type", json!(spec.application_type));
    put("id_token_signed_response_alg", json!(spec.id_token_signed_response_alg));
    put("subject_type", json!("public"));
    put("scope", json!(spec.scopes.to_string()));
    put("resources", json!(spec.audiences));
    out
}

fn unsupported(name: &'static str) -> Error {
    invalid_client_metadata(name, "asks for something that this server does not do")
}

fn text(request: &Map<String, Value>, name: &'static str, most: usize) -> Result<Option<String>, Error> {
    match request.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if is_text(text, most) => Ok(Some(text.clone())),
        Some(_) => Err(invalid_client_metadata(name, "must be text of a sane length")),
    }
}

/// No control characters: it is shown on pages and in logs. (A NUL cannot be stored.) Nor those that nobody sees and
/// that turn what is read around: a name must not look like another one to whoever is asked for consent.
fn is_text(text: &str, most: usize) -> bool {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().count() <= most && !text.chars().any(hidden)
}

fn texts<'a>(request: &'a Map<String, Value>, name: &'static str) -> Result<Option<Vec<&'a str>>, Error> {
    let Some(value) = request.get(name) else {
        return Ok(None);
    };
    let listed = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    listed.map(Some).ok_or_else(|| invalid_client_metadata(name, "must be a list of texts"))
}

fn uris(request: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, Error> {
    let listed = texts(request, name).map_err(|error| match name {
        "redirect_uris" => invalid_redirect_uri("must be a list of texts"),
        _ => error,
    })?;
    let listed = listed.unwrap_or_default();
    if listed.len() > MOST_URIS {
        return Err(invalid_client_metadata(name, "has too many"));
    }
    Ok(listed.into_iter().map(str::to_owned).collect())
}

/// §2.1: `authorization_code` and the response type `code` come together.
fn grant_types(request: &Map<String, Value>) -> Result<Vec<GrantType>, Error> {
    let unknown = || invalid_client_metadata("grant_types", "names one that this server does not have");
    let mut grant_types = Vec::new();
    for name in texts(request, "grant_types")?.unwrap_or_else(|| vec!["authorization_code"]) {
        let known: GrantType = serde_json::from_value(Value::from(name)).map_err(|_| unknown())?;
        if !grant_types.contains(&known) {
            grant_types.push(known);
        }
    }
    let code = grant_types.contains(&GrantType::AuthorizationCode);
    match texts(request, "response_types")?.as_deref() {
        None => {}
        Some([]) if !code => {}
        Some(["code"]) if code => {}
        Some(_) => {
            return Err(invalid_client_metadata(
                "response_types",
                "must be [\"code\"] with the grant type authorization_code, and empty without it",
            ));
        }
    }
    if grant_types.contains(&GrantType::RefreshToken) && !code {
        return Err(invalid_client_metadata("grant_types", "has refresh_token without authorization_code"));
    }
    Ok(grant_types)
}

fn auth_method(request: &Map<String, Value>) -> Result<AuthMethod, Error> {
    let Some(name) = text(request, "token_endpoint_auth_method", 100)? else {
        return Ok(AuthMethod::default());
    };
    AuthMethod::parse(&name).ok_or_else(|| unsupported("token_endpoint_auth_method"))
}

fn application_type(request: &Map<String, Value>) -> Result<ApplicationType, Error> {
    let value = request.get("application_type").cloned().unwrap_or_else(|| Value::from("web"));
    serde_json::from_value(value).map_err(|_| invalid_client_metadata("application_type", "must be web or native"))
}

fn algorithm(request: &Map<String, Value>, name: &'static str) -> Result<Option<Algorithm>, Error> {
    let Some(algorithm) = text(request, name, 20)? else {
        return Ok(None);
    };
    Algorithm::parse(&algorithm).map(Some).ok_or_else(|| unsupported(name))
}

/// Who names none and has people gets those that OpenID Connect knows (RFC 7591 §2: "a default set").
fn scopes(request: &Map<String, Value>, grant_types: &[GrantType]) -> Result<Scopes, Error> {
    match text(request, "scope", 4000)? {
        Some(text) => Scopes::parse(&text).map_err(|_| invalid_client_metadata("scope", "is not well-formed")),
        None if grant_types.contains(&GrantType::AuthorizationCode) => {
            Ok(BUILT_IN.iter().map(|(name, _)| *name).collect())
        }
        None => Ok(Scopes::default()),
    }
}

/// Ours: the resource servers (RFC 8707) that it may ask tokens for, beyond those of its scopes.
fn resources(request: &Map<String, Value>) -> Result<Audiences, Error> {
    let listed = texts(request, "resources")?.unwrap_or_default();
    if listed.len() > MOST_URIS || !listed.iter().all(|audience| is_audience(audience)) {
        return Err(invalid_client_metadata("resources", "must be a list of names or URIs without spaces"));
    }
    Ok(listed.into_iter().collect())
}

fn kept(request: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
    let mut kept = Map::new();
    for (name, most) in [("software_id", 256), ("software_version", 100), ("software_statement", 16_000)] {
        if let Some(text) = text(request, name, most)? {
            kept.insert(name.to_owned(), text.into());
        }
    }
    for name in ADDRESSES {
        if let Some(address) = text(request, name, 2000)? {
            check_address(name, &address)?;
            kept.insert(name.to_owned(), address.into());
        }
    }
    if let Some(contacts) = texts(request, "contacts")? {
        if contacts.len() > MOST_CONTACTS || !contacts.iter().all(|contact| is_text(contact, 256)) {
            return Err(invalid_client_metadata("contacts", "has too many, or one that is too long"));
        }
        kept.insert("contacts".to_owned(), json!(contacts));
    }
    translations(request, &mut kept)?;
    Ok(kept)
}

/// It is put into pages as a link: no `javascript:`, no `data:`.
fn check_address(name: &'static str, address: &str) -> Result<(), Error> {
    let fine = Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.host().is_some());
    if fine { Ok(()) } else { Err(invalid_client_metadata(name, "must be an http or https URL")) }
}

/// §2.2: `client_name#de` and the like.
fn translations(request: &Map<String, Value>, kept: &mut Map<String, Value>) -> Result<(), Error> {
    for name in ["client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri"] {
        let mut count = 0;
        for (member, value) in request {
            let Some((base, language)) = member.split_once('#') else { continue };
            if base != name {
                continue;
            }
            count += 1;
            let tag = (1..=35).contains(&language.len())
                && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let text = value.as_str().filter(|text| is_text(text, 2000));
            let (true, Some(text), true) = (tag, text, count <= MOST_LANGUAGES) else {
                return Err(invalid_client_metadata(name, "has a translation that is not well-formed"));
            };
            if ADDRESSES.contains(&name) {
                check_address(name, text)?;
            }
            kept.insert(member.clone(), text.into());
        }
    }
    Ok(())
}

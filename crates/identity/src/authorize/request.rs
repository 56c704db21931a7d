//! An authorization request, parsed once: text becomes types, and what is not as it should be is kept as
//! such for the checks to refuse. Unknown parameters are ignored (RFC 6749 §3.1).

use base::ids::ClientId;
use base::scope::{BadScope, Scopes};
use web::Fields;

use crate::codes::CodeChallenge;

/// Parameters that may come several times (RFC 8707 §2).
const REPEATABLE: &[&str] = &["resource"];

#[derive(Debug, Clone)]
pub struct Request {
    pub client_id: Option<ClientId>,
    pub redirect_uri: Option<String>,
    pub response_type: Option<String>,
    pub response_mode: Given<ResponseMode>,
    pub state: Option<String>,
    pub nonce: Option<String>,
    pub scope: Result<Option<Scopes>, BadScope>,
    pub resources: Vec<String>,
    pub code_challenge: Given<CodeChallenge>,
    pub code_challenge_method: Option<String>,
    pub prompt: Given<Prompt>,
    pub max_age_s: Given<u64>,
    pub login_hint: Option<String>,
    pub id_token_hint: Option<String>,
    pub ui_locales: Option<String>,
    /// Parameters that came twice (RFC 6749 §3.1: "MUST NOT be included more than once").
    pub repeated: Vec<String>,
    /// Ways to send a request that are not spoken here.
    pub unsupported: Option<&'static str>,
}

/// A parameter that has a grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given<T> {
    Not,
    Well(T),
    Badly,
}

impl<T> Given<T> {
    fn read(text: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Self {
        match text {
            None => Self::Not,
            Some(text) => parse(text).map_or(Self::Badly, Self::Well),
        }
    }

    pub fn well(&self) -> Option<&T> {
        match self {
            Self::Well(value) => Some(value),
            Self::Not | Self::Badly => None,
        }
    }
}

/// How the answer reaches the client (OAuth 2.0 Multiple Response Types §2.1; Form Post Response Mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseMode {
    #[default]
    Query,
    FormPost,
}

/// What the client wants to happen even if it need not (OpenID Connect Core §3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prompt {
    #[default]
    AsNeeded,
    /// No page at all.
    None,
    These(Wanted),
}

/// Pages that a request wants; any of them may be wanted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    pub login: Want,
    pub consent: Want,
    pub select_account: Want,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Want {
    #[default]
    IfNeeded,
    Always,
}

impl Prompt {
    /// None for an unknown word, or `none` beside another.
    fn parse(text: &str) -> Option<Self> {
        let mut wanted = Wanted::default();
        let mut none = false;
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        for word in &words {
            match *word {
                "none" => none = true,
                "login" => wanted.login = Want::Always,
                "consent" => wanted.consent = Want::Always,
                "select_account" => wanted.select_account = Want::Always,
                _ => return None,
            }
        }
        match (none, words.len()) {
            (true, 1) => Some(Self::None),
            (true, _) => None,
            (false, 0) => Some(Self::AsNeeded),
            (false, _) => Some(Self::These(wanted)),
        }
    }

    pub fn wanted(self) -> Wanted {
        match self {
            Self::AsNeeded | Self::None => Wanted::default(),
            Self::These(wanted) => wanted,
        }
    }
}

pub fn parse(fields: &Fields) -> Request {
    let text = |name: &str| fields.one(name).map(str::to_owned);
    Request {
        client_id: text("client_id").map(ClientId::from),
        redirect_uri: text("redirect_uri"),
        response_type: text("response_type"),
        response_mode: Given::read(fields.one("response_mode"), response_mode),
        state: text("state"),
        nonce: text("nonce"),
        scope: fields.one("scope").map(Scopes::parse).transpose(),
        resources: fields.all("resource").map(str::to_owned).collect(),
        code_challenge: Given::read(fields.one("code_challenge"), CodeChallenge::parse),
        code_challenge_method: text("code_challenge_method"),
        prompt: Given::read(fields.one("prompt"), Prompt::parse),
        max_age_s: Given::read(fields.one("max_age"), seconds),
        login_hint: text("login_hint"),
        id_token_hint: text("id_token_hint"),
        ui_locales: text("ui_locales"),
        repeated: fields.repeated(REPEATABLE).map(str::to_owned).collect(),
        unsupported: ["request", "request_uri", "registration"].into_iter().find(|name| fields.one(name).is_some()),
    }
}

fn response_mode(text: &str) -> Option<ResponseMode> {
    match text {
        "query" => Some(ResponseMode::Query),
        "form_post" => Some(ResponseMode::FormPost),
        _ => None,
    }
}

fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

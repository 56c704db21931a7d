//! Why the entitlement system gave no answer that can be shown, and what to do about it.

use base::peer::PeerError;
use http::StatusCode;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The configuration names none.
    #[error("no entitlement system is configured")]
    NotSet,
    #[error(transparent)]
    Away(#[from] PeerError),
    #[error("the entitlement system does not take our secret")]
    Secret,
    #[error("the entitlement system gives our secret too few rights")]
    NoRight,
    #[error("there is no such thing at the entitlement system")]
    NotFound,
    /// It says no, and why.
    #[error("{title}")]
    Refused { status: StatusCode, title: String, errors: Vec<String> },
    /// It works not as it should, and says so.
    #[error("{0}")]
    Failing(String),
    /// Whoever answers there does not speak as an entitlement system does.
    #[error("the answer is not one of an entitlement system: {0}")]
    Odd(String),
}

/// For people: what happened and what to do.
pub(crate) struct Told {
    pub status: StatusCode,
    pub title: &'static str,
    pub text: String,
    pub todo: &'static str,
}

impl Trouble {
    pub fn told(&self) -> Told {
        let told = |status, title, text: &str, todo| Told { status, title, text: text.to_owned(), todo };
        match self {
            Self::NotSet => told(
                StatusCode::OK,
                "The entitlement system is not known here",
                "Policies are kept, decided and explained by the entitlement system. These pages ask it, and nobody has told management where it is.",
                "Name it in the file that management starts with, and start management again:",
            ),
            Self::Away(cause) => told(
                match cause {
                    PeerError::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
                    _ => StatusCode::BAD_GATEWAY,
                },
                "The entitlement system does not answer",
                &format!(
                    "It was asked, and {cause}. Calls go on being decided: gateways hold the last policies that they heard of."
                ),
                "Look whether it runs (its `/readyz?verbose` says what it lacks) and whether management can reach it, then load this page again. If a version was to be put in force, Publications say whether it was.",
            ),
            Self::Secret => told(
                StatusCode::BAD_GATEWAY,
                "The entitlement system does not know our secret",
                "It answers, and takes management for a stranger (401).",
                "`management.entitlement.secret` has to be the secret of a caller that stands in `entitlement.callers`. Secrets are read at the start: start both again after a change.",
            ),
            Self::NoRight => told(
                StatusCode::BAD_GATEWAY,
                "Our secret has not the right to this",
                "The entitlement system knows management, and does not let it do this (403).",
                "Give the caller the right `read` for these pages, or `administer` to put versions in force too: `entitlement.callers[].rights`, then start the entitlement system again.",
            ),
            Self::NotFound => told(
                StatusCode::NOT_FOUND,
                "There is no such version",
                "The entitlement system does not have it. Versions are never removed; look at the address.",
                "See which versions there are, or which one is in force.",
            ),
            Self::Refused { status, title, .. } => {
                told(*status, "The entitlement system refuses this", &sentence(title), "Nothing has been changed.")
            }
            Self::Failing(title) => told(
                StatusCode::BAD_GATEWAY,
                "The entitlement system cannot do this at the moment",
                &sentence(title),
                "Its `/readyz?verbose` and its log say what it lacks. Nothing has been changed; try again in a minute.",
            ),
            Self::Odd(what) => told(
                StatusCode::BAD_GATEWAY,
                "What answers is not an entitlement system",
                &format!("Somebody answers at its address, and {what}."),
                "Compare `management.entitlement.url` with `entitlement.url`, and look whether both run the same release.",
            ),
        }
    }
}

/// As it stands in a problem, with a full stop.
fn sentence(title: &str) -> String {
    let mut letters = title.trim().chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if title.trim().ends_with('.') { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

//! What is still missing before a request can be answered, and how a request travels from page to page.

use std::time::Duration;

use base::Time;
use base::ids::{SessionId, UserId};
use base::scope::Scopes;
use serde::{Deserialize, Serialize};
use web::Browser;

use super::checks::Accepted;
use super::request::{Prompt, Want};
use super::respond::{AuthorizationError, access_denied, consent_required, invalid_scope, login_required};
use crate::Cx;
use crate::clients::Consent;
use crate::pages::{self, PageError};
use crate::policy::{Denied, StepUp};
use crate::sessions::{ACR_PASSWORD, Session};

/// How long a person may take from the first page to the last.
pub const LIFETIME: Duration = Duration::from_secs(3600);
/// It has to fit, sealed, into the address of the next page.
const MAX_QUERY_BYTES: usize = 8 * 1024;
const PURPOSE: &str = "interaction";

/// A request under way. It is no row: it travels sealed, bound to the browser (so it cannot be planted on
/// somebody else), and holds the request as it came, which is checked again at every step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interaction {
    pub query: String,
    pub started_at: Time,
    /// The session that the user chose to go on with.
    pub selected: Option<SessionId>,
    /// The user wants another account: only a login from then on counts.
    pub login_after: Option<Time>,
    /// What the consent page showed, and to whom.
    pub shown: Option<Shown>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub user_id: UserId,
    pub scopes: Scopes,
}

impl Interaction {
    pub fn start(cx: &Cx, query: String) -> Result<Self, PageError> {
        if query.len() > MAX_QUERY_BYTES {
            return Err(PageError::RequestWrong("the request is longer than 8 KiB"));
        }
        Ok(Self { query, started_at: cx.now, selected: None, login_after: None, shown: None })
    }

    pub fn seal(&self, cx: &Cx, browser: &Browser) -> Result<String, PageError> {
        pages::seal(cx, PURPOSE, browser, self)
    }

    /// Unsealed, of this browser, and not too old.
    pub fn open(cx: &Cx, browser: &Browser, sealed: &str) -> Result<Self, PageError> {
        let found = pages::open::<Self>(cx, PURPOSE, browser, sealed);
        let interaction = found.ok_or(PageError::Expired { restart: None })?;
        if cx.now > interaction.started_at.plus(LIFETIME) {
            let restart = cx.identity.kit.path(&format!("/authorize?{}", interaction.query));
            return Err(PageError::Expired { restart: Some(restart) });
        }
        Ok(interaction)
    }
}

/// All that the next step depends on.
pub struct Facts<'a> {
    pub accepted: &'a Accepted,
    pub session: Option<&'a Session>,
    /// Scopes that the user let this client have before.
    pub remembered: &'a Scopes,
    /// Scopes were asked for, and not one of them can be this person's.
    pub nothing_left: bool,
    pub interaction: &'a Interaction,
    pub now: Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Login,
    SelectAccount,
    Consent,
    Refuse(AuthorizationError),
    /// Nothing is missing: these scopes are granted.
    Answer(Scopes),
}

/// The next step. The order counts: who it is comes before what they allow.
pub fn next(facts: &Facts<'_>) -> Step {
    let silent = facts.accepted.prompt == Prompt::None;
    let Some(session) = facts.session else {
        return if silent { Step::Refuse(login_required("nobody is signed in")) } else { Step::Login };
    };
    // The user has signed in for this very request.
    let just_now = session.auth_time >= facts.interaction.started_at;
    if !is_fresh(facts, session, just_now) {
        return if silent { Step::Refuse(login_required("the user must sign in again")) } else { Step::Login };
    }
    if facts.accepted.hinted_user.as_ref().is_some_and(|hinted| *hinted != session.user_id) {
        // Somebody else than the client expects: signing in again may help, but not twice.
        let refuse = silent || just_now;
        let error = login_required("another user is signed in than id_token_hint names");
        return if refuse { Step::Refuse(error) } else { Step::Login };
    }
    let wanted = facts.accepted.prompt.wanted();
    if wanted.select_account == Want::Always
        && !just_now
        && facts.interaction.selected.as_ref() != Some(&session.session_id)
    {
        return Step::SelectAccount;
    }
    let asks = facts.accepted.client.spec.consent == Consent::Required;
    if facts.nothing_left || (asks && facts.accepted.scopes.is_empty()) {
        // There is nothing to show that a person could agree to.
        return Step::Refuse(invalid_scope("none of the scopes can be granted"));
    }
    if needs_consent(facts) {
        return if silent { Step::Refuse(consent_required("the user has not consented")) } else { Step::Consent };
    }
    Step::Answer(facts.accepted.scopes.clone())
}

/// Whether signing in (again) is the login that policy wants: of a kind that there is here, and not done for this
/// very request already, so that nobody is asked twice.
pub fn would_help(step_up: &StepUp, session: &Session, interaction: &Interaction) -> bool {
    let just_now = session.auth_time >= interaction.started_at;
    let newer = step_up.max_age.is_some() || !step_up.is_met_by(&session.acr);
    !just_now && newer && step_up.is_met_by(ACR_PASSWORD)
}

/// Policy says no: unless a login would turn it, that is the answer.
pub fn after_denial(denied: Denied, accepted: &Accepted, session: &Session, interaction: &Interaction) -> Step {
    let helpful = denied.step_up.is_some_and(|step_up| would_help(&step_up, session, interaction));
    match (helpful, accepted.prompt == Prompt::None) {
        (true, false) => Step::Login,
        (true, true) => Step::Refuse(login_required("the user must sign in again")),
        (false, _) => {
            let mut error = access_denied("policy does not allow it");
            if let Some(reason) = denied.reason {
                error.description = reason.into();
            }
            Step::Refuse(error)
        }
    }
}

/// `prompt=login` and `max_age` (OpenID Connect Core §3.1.2.1). A login for this very request satisfies both.
fn is_fresh(facts: &Facts<'_>, session: &Session, just_now: bool) -> bool {
    if facts.interaction.login_after.is_some_and(|after| session.auth_time < after) {
        return false;
    }
    if just_now {
        return true;
    }
    let young = facts
        .accepted
        .max_age_s
        .is_none_or(|max_age_s| facts.now.since(session.auth_time) <= Duration::from_secs(max_age_s));
    young && facts.accepted.prompt.wanted().login == Want::IfNeeded
}

/// The consent page itself answers the request, so `prompt=consent` always leads to it from here.
fn needs_consent(facts: &Facts<'_>) -> bool {
    if facts.accepted.prompt.wanted().consent == Want::Always {
        return true;
    }
    facts.accepted.client.spec.consent == Consent::Required && !facts.accepted.scopes.is_subset(facts.remembered)
}

//! Brings the identity system to what is wanted: registers, changes, exchanges a secret, deletes.
//!
//! One worker at a time has an application; what it finds out counts only while it has it.

use std::sync::Arc;
use std::time::Duration;

use base::Secret;
use base::random;
use jose::hash::{base64url, base64url_decode};
use serde_json::{Value, json};
use store::StoreError;
use store::jobs::{Failure, Handlers, Job, Policy, Runner};

use super::registrar::{Desk, Registered, Trouble};
use super::store::{Held, Known};
use super::{Application, JOB, TOPIC, document, store as table};
use crate::audit::{self, Record};
use crate::{Cx, Management, Refused, SharedManagement, subscriptions};

/// Longer than all that one step waits for.
const LEASE: Duration = Duration::from_secs(60);
/// What whoever waits for a page gives it.
const PATIENCE: Duration = Duration::from_millis(900);
/// Steps at one go: registered, changed, deleted.
const STEPS: usize = 4;
/// Where a repeat may make a second client: after so many answers that were lost a person has to look.
const MOST_UNSURE: i64 = 2;
const SECRETS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
const LEFT_BEHIND: Duration = Duration::from_secs(120);

const POLICY: Policy = Policy {
    lease: Duration::from_secs(90),
    first_pause: Duration::from_secs(1),
    longest_pause: Duration::from_secs(60),
    // What an organisation meant is not forgotten because identity was away for a week.
    attempts: i64::MAX,
    at_once: 16,
};

/// How far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Came {
    /// The identity system is as it should be, or has said no for good.
    Done,
    /// Somebody else is at it.
    Busy,
    Again(String),
}

/// After a commit: asks at once, and waits a moment for what comes of it. Whoever asked is not kept longer than that,
/// and the work goes on without them.
pub async fn go_on(management: &SharedManagement, id: &str) -> Result<Option<Application>, Refused> {
    let (own, key) = (management.clone(), id.to_owned());
    let work = tokio::spawn(async move {
        if let Err(error) = settle(&own, &key).await {
            tracing::warn!(cause = %error, "an application is left to the next attempt");
        }
    });
    let _still_going = tokio::time::timeout(PATIENCE, work).await;
    super::find(&mut Cx::system(management), id).await
}

/// Takes the jobs of applications, as long as the process runs.
pub(crate) async fn work(management: SharedManagement) {
    runner(&management).run(std::future::pending()).await;
}

pub(super) fn runner(management: &SharedManagement) -> Runner {
    let own = management.clone();
    let handlers = Handlers::new().on(JOB, move |job| run(own.clone(), job));
    Runner::new(management.db.clone(), management.clock.clone(), handlers).with_policy(POLICY)
}

async fn run(management: SharedManagement, job: Job) -> Result<(), Failure> {
    let payload: Value = serde_json::from_str(&job.payload).unwrap_or_default();
    let Some(id) = payload.get("application").and_then(Value::as_str) else {
        return Err(Failure::Never("the job names no application".to_owned()));
    };
    match settle(&management, id).await {
        Ok(Came::Done) => Ok(()),
        Ok(Came::Busy) => Err(Failure::Again("another worker has it".to_owned())),
        Ok(Came::Again(why)) => Err(Failure::Again(why)),
        Err(error) => Err(Failure::Again(error.to_string())),
    }
}

/// What nobody is at, though it is not as it should be; and secrets that nobody came for.
pub(crate) async fn sweep(management: &SharedManagement) -> Result<(), StoreError> {
    let mut cx = Cx::system(management);
    let before = cx.now.minus(LEFT_BEHIND);
    let now = cx.now;
    for id in table::left_behind(&mut cx, before).await? {
        let payload = json!({"application": id}).to_string();
        ::store::jobs::enqueue(&mut cx.tx, JOB, &format!("{id}/again"), &payload, now).await?;
    }
    let unseen = now.minus(SECRETS_KEPT);
    table::forget_secrets(&mut cx, unseen).await?;
    cx.commit().await
}

pub(super) async fn settle(management: &SharedManagement, id: &str) -> Result<Came, Refused> {
    for _ in 0..STEPS {
        let mut cx = Cx::system(management);
        let (worker, until) = (random::text::<16>(), cx.now.plus(LEASE));
        let Some(held) = table::hold(&mut cx, id, &worker, until).await? else {
            let left = table::is_unsettled(&mut cx, id).await?;
            return Ok(if left { Came::Busy } else { Came::Done });
        };
        cx.commit().await?;
        if let Some(came) = step(management, &held).await? {
            return Ok(came);
        }
    }
    Ok(Came::Again("it changes while it is being brought in order".to_owned()))
}

/// One thing that is to be done. `None`: look again.
async fn step(management: &SharedManagement, held: &Held) -> Result<Option<Came>, Refused> {
    let done = match Desk::open(management).await {
        Err(trouble) => Err(trouble),
        Ok(desk) => match held.state {
            super::State::Intended => register(management, &desk, held).await?,
            super::State::Deleting => remove(management, &desk, held).await?,
            _ if held.settled < held.revision && held.refused < held.revision => {
                change(management, &desk, held).await?
            }
            _ => exchange(management, &desk, held).await?,
        },
    };
    match done {
        Ok(()) => Ok(None),
        Err(trouble) => fail(management, held, trouble).await,
    }
}

/// What came of a question to the identity system, when our own database has no trouble.
type Outcome = Result<Result<(), Trouble>, Refused>;

async fn register(management: &SharedManagement, desk: &Desk<'_>, held: &Held) -> Outcome {
    if !desk.repeats() && held.unsure >= MOST_UNSURE {
        let why = "its answers were lost, and it may hold clients that nobody uses: look there for this application's \
                   number, then try again";
        return Ok(Err(Trouble::No(format!("the identity system cannot be asked again: {why}"))));
    }
    let registered = match desk.register(&key_of(held), &held.asked).await {
        Ok(registered) => registered,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let secret = match (&registered.secret, &registered.uri) {
        _ if !held.kind.has_secret() => None,
        (Some(secret), _) => Some(secret.clone()),
        // The answer of that time is no longer kept; the way to another secret is.
        (None, Some(uri)) => match desk.new_secret(uri, registered.token.as_ref(), 0).await {
            Ok(secret) => Some(secret),
            Err(trouble) => return Ok(Err(trouble)),
        },
        (None, None) => return Ok(Err(Trouble::No("the identity system gave no secret".to_owned()))),
    };
    let mut cx = Cx::system(management);
    if !keep(&mut cx, held, &registered, secret.as_ref(), held.asked_revision).await? {
        return Ok(Err(Trouble::Later("the client that it gave is another application's".to_owned())));
    }
    subscriptions::client_known(&mut cx, &held.id, &registered.client).await?;
    tell(&mut cx, held, "application.registered", json!({"client": registered.client})).await?;
    management.metrics.registration("registered");
    cx.commit().await?;
    Ok(Ok(()))
}

/// The key stays the same as long as no client of it has been and gone.
fn key_of(held: &Held) -> String {
    if held.generation <= 1 { held.id.clone() } else { format!("{}.{}", held.id, held.generation) }
}

async fn change(management: &SharedManagement, desk: &Desk<'_>, held: &Held) -> Outcome {
    let (Some(client), Some(uri)) = (&held.client, &held.client_uri) else {
        return Ok(Err(Trouble::No("this identity system lets nobody change a client".to_owned())));
    };
    let wanted = document(&held.id, &held.wanted);
    let token = token_of(management, held);
    let updated = match desk.update((client, uri), token.as_ref(), &wanted).await {
        Ok(updated) => updated,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let mut cx = Cx::system(management);
    // A server may give another secret with a change (RFC 7592 §2.2); one that is known is no news.
    let news = updated.secret.clone().filter(|_| held.kind.has_secret());
    let news = news.filter(|secret| held.secret_hash.as_deref() != Some(&*hash_of(management, secret)));
    let merged = Registered {
        client: client.clone(),
        secret: None,
        token: updated.token.or(token),
        uri: updated.uri.or_else(|| held.client_uri.clone()),
    };
    if keep(&mut cx, held, &merged, news.as_ref(), held.revision).await? {
        tell(&mut cx, held, "application.change_registered", json!({"client": client})).await?;
        management.metrics.registration("changed");
        cx.commit().await?;
    }
    Ok(Ok(()))
}

async fn exchange(management: &SharedManagement, desk: &Desk<'_>, held: &Held) -> Outcome {
    let Some(uri) = &held.client_uri else {
        return Ok(Err(Trouble::No("this identity system lets nobody change a client".to_owned())));
    };
    let secret = match desk.new_secret(uri, token_of(management, held).as_ref(), held.overlap_s).await {
        Ok(secret) => secret,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let mut cx = Cx::system(management);
    if table::rotated(&mut cx, held, &hash_of(management, &secret)).await? {
        table::keep_secret(&mut cx, &held.id, &seal(management, &held.id, "secret", &secret)).await?;
        tell(&mut cx, held, "application.secret_exchanged", json!({"client": held.client})).await?;
        management.metrics.registration("secret_exchanged");
        cx.tx.notify(TOPIC);
        cx.commit().await?;
    }
    Ok(Ok(()))
}

/// There first, then here. What was meant and never answered is looked for by its number.
async fn remove(management: &SharedManagement, desk: &Desk<'_>, held: &Held) -> Outcome {
    if let Some(uri) = &held.client_uri {
        match desk.delete(uri, token_of(management, held).as_ref()).await {
            // RFC 7592 §2.1: a client that is gone and a token that is not good have the same answer. Where there is
            // a list, the registrar's own right was tried too.
            Ok(()) | Err(Trouble::Unauthorized) => {}
            Err(trouble) => return Ok(Err(trouble)),
        }
    }
    match desk.list(Some(&held.id)).await {
        Ok(listed) => {
            for client in listed.unwrap_or_default() {
                let Some(uri) = client.uri.filter(|_| client.software_id == held.id) else { continue };
                if let Err(trouble) = desk.delete(&uri, None).await {
                    return Ok(Err(trouble));
                }
            }
        }
        Err(trouble) => return Ok(Err(trouble)),
    }
    let mut cx = Cx::system(management);
    if table::gone(&mut cx, held).await? {
        let _unseen = table::take_secret(&mut cx, &held.id).await?;
        subscriptions::application_gone(&mut cx, &held.id).await?;
        tell(&mut cx, held, "application.deleted", json!({"client": held.client})).await?;
        management.metrics.registration("deleted");
        cx.tx.notify(TOPIC);
        cx.commit().await?;
    }
    Ok(Ok(()))
}

async fn fail(management: &SharedManagement, held: &Held, trouble: Trouble) -> Result<Option<Came>, Refused> {
    let mut cx = Cx::system(management);
    let came = match trouble {
        Trouble::Later(why) => {
            table::again(&mut cx, held, &why, false).await?;
            Some(Came::Again(why))
        }
        Trouble::Unsure(why) => {
            table::again(&mut cx, held, &why, true).await?;
            Some(Came::Again(why))
        }
        Trouble::KeyUsedUp => {
            table::next_key(&mut cx, held).await?;
            let why = "the client that was registered for it has been deleted; another one is asked for".to_owned();
            table::again(&mut cx, held, &why, false).await?;
            Some(Came::Again(why))
        }
        Trouble::Unauthorized => {
            let why = "the identity system does not know this client, or not our right to manage it; `cardea reconcile` says which";
            table::never(&mut cx, held, why).await?;
            None
        }
        Trouble::No(why) => {
            table::never(&mut cx, held, &why).await?;
            None
        }
    };
    management.metrics.registration(if came.is_some() { "postponed" } else { "refused" });
    if came.is_none() {
        tell(&mut cx, held, "application.refused", json!({"state": held.state.as_str()})).await?;
    }
    cx.tx.notify(TOPIC);
    cx.commit().await?;
    Ok(came)
}

async fn keep(
    cx: &mut Cx,
    held: &Held,
    registered: &Registered,
    secret: Option<&Secret<String>>,
    settled: i64,
) -> Result<bool, Refused> {
    let management = cx.management.clone();
    let token = registered.token.as_ref().map(|token| seal(&management, &held.id, "token", token));
    let hash = secret.map(|secret| hash_of(&management, secret)).or_else(|| held.secret_hash.clone());
    let known = Known {
        client: &registered.client,
        client_uri: registered.uri.as_deref(),
        client_token: token.as_deref(),
        secret_hash: hash.as_deref(),
        settled,
    };
    if !table::know(cx, held, &known).await? {
        return Ok(false);
    }
    if let Some(secret) = secret {
        table::keep_secret(cx, &held.id, &seal(&management, &held.id, "secret", secret)).await?;
    }
    cx.tx.notify(TOPIC);
    Ok(true)
}

async fn tell(cx: &mut Cx, held: &Held, act: &'static str, detail: Value) -> Result<(), Refused> {
    let object = format!("application:{}", held.id);
    audit::record(cx, Record { act, object, organisation: Some(&held.organisation), detail }).await?;
    Ok(())
}

fn token_of(management: &Management, held: &Held) -> Option<Secret<String>> {
    open(management, &held.id, "token", held.client_token.as_deref()?)
}

fn seal(management: &Management, id: &str, what: &str, secret: &Secret<String>) -> String {
    let seal = management.seal.derive("applications");
    base64url(&seal.seal(format!("{what} {id}").as_bytes(), secret.expose().as_bytes()))
}

pub(super) fn open(management: &Management, id: &str, what: &str, sealed: &str) -> Option<Secret<String>> {
    let seal = management.seal.derive("applications");
    let opened = seal.open(format!("{what} {id}").as_bytes(), &base64url_decode(sealed)?)?;
    String::from_utf8(opened).ok().map(Secret::new)
}

fn hash_of(management: &Management, secret: &Secret<String>) -> String {
    base64url(&management.seal.mac("application secrets").tag(secret.expose().as_bytes()))
}

/// For tests and `reconcile`: until nothing is due any more.
pub(crate) async fn run_due(management: &Arc<Management>) -> Result<usize, StoreError> {
    runner(management).run_due().await
}

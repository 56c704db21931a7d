//! Applications of the visitor's organisation: made, shown with the state of their registration, their secret shown
//! once and exchanged, deleted.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::Response;
use serde::Serialize;
use web::{Fields, When, when};

use super::subscribe::{self, Mine};
use crate::actor::Share;
use crate::applications::{self, Application, Filter, Kind, State, Wanted};
use crate::error::Refused;
use crate::pages::{Halt, Visit};

const PAGE: i64 = 100;

#[derive(Serialize)]
struct View {
    id: String,
    name: String,
    kind: &'static str,
    what: &'static str,
    redirect_uris: Vec<String>,
    scopes: Vec<String>,
    client: Option<String>,
    state: &'static str,
    tone: &'static str,
    said: &'static str,
    waiting: bool,
    failed: bool,
    attempts: i64,
    error: Option<String>,
    has_secret: bool,
    has_new_secret: bool,
    made: When,
}

fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "A program that acts for itself (client credentials)",
        Kind::Web => "A server with pages that people sign in to",
        Kind::Browser => "Code in a browser; it can keep no secret",
        Kind::Native => "An app on people's devices; it can keep no secret",
    }
}

fn view(of: Application, now: base::Time) -> View {
    let (state, tone, said) = match (of.state, of.is_settled, of.error.is_some()) {
        (State::Registered, true, _) => ("registered", "good", "is registered at the identity system"),
        (State::Failed, ..) => ("failed", "bad", "could not be registered"),
        (State::Deleting, ..) => ("deleting", "warn", "is being deleted at the identity system"),
        (State::Deleted, ..) => ("deleted", "", "has been deleted"),
        (State::Registered, false, _) => ("changing", "info", "is registered; a change waits for the identity system"),
        (State::Intended, _, true) => {
            ("waiting", "warn", "waits for the identity system, which is asked again and again")
        }
        (State::Intended, ..) => ("waiting", "info", "waits for the identity system"),
    };
    View {
        what: kind_words(of.kind),
        kind: of.kind.as_str(),
        waiting: matches!(state, "waiting" | "changing" | "deleting"),
        failed: of.state == State::Failed,
        has_secret: of.kind.has_secret(),
        made: when(of.created_at, now),
        id: of.id,
        name: of.name,
        redirect_uris: of.redirect_uris,
        scopes: of.scopes,
        client: of.client,
        state,
        tone,
        said,
        attempts: of.attempts,
        error: of.error,
        has_new_secret: of.has_new_secret,
    }
}

pub(super) async fn list(mut visit: Visit) -> Response {
    let made = list_page(&mut visit).await;
    visit.answer(made)
}

async fn list_page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Line {
        #[serde(flatten)]
        application: View,
        subscriptions: Vec<Mine>,
    }
    #[derive(Serialize)]
    struct Content {
        applications: Vec<Line>,
        may: bool,
    }
    let home = visit.home(Share::See)?;
    let now = visit.cx.now;
    let mine = subscribe::mine(visit, &home, None).await?;
    let may = visit.cx.need_for(&home, Share::Develop).is_ok();
    let filter = Filter { organisation: Some(home), ..Filter::default() };
    let found = applications::list(&mut visit.cx, &filter, PAGE).await?;
    let lines = found.into_iter().map(|application| Line {
        subscriptions: mine.iter().filter(|one| one.application == application.id).cloned().collect(),
        application: view(application, now),
    });
    let content = Content { applications: lines.collect(), may };
    Ok(visit.show("portal/applications.html", content))
}

#[derive(Serialize)]
struct FormContent {
    name: String,
    kind: String,
    redirect_uris: String,
    api: String,
    kinds: Vec<(&'static str, &'static str)>,
    wrong: String,
    name_error: String,
    uris_error: String,
}

fn form_content(fields: &Fields) -> FormContent {
    FormContent {
        name: fields.text("name").to_owned(),
        kind: fields.one("kind").unwrap_or("service").to_owned(),
        redirect_uris: fields.text("redirect_uris").to_owned(),
        api: fields.text("api").to_owned(),
        kinds: Kind::ALL.map(|kind| (kind.as_str(), kind_words(kind))).to_vec(),
        wrong: String::new(),
        name_error: String::new(),
        uris_error: String::new(),
    }
}

pub(super) async fn new(visit: Visit) -> Response {
    let made =
        visit.home(Share::Develop).map(|_| visit.show("portal/application_new.html", form_content(&visit.query)));
    visit.answer(made)
}

pub(super) async fn make(mut visit: Visit, body: Bytes) -> Response {
    let made = create(&mut visit, &body).await;
    visit.answer(made)
}

async fn create(visit: &mut Visit, body: &[u8]) -> Result<Response, Halt> {
    let home = visit.home(Share::Develop)?;
    let fields = visit.form(body)?;
    let kind = Kind::parse(fields.text("kind")).unwrap_or(Kind::Service);
    let lines = fields.text("redirect_uris").split_whitespace().map(str::to_owned);
    let wanted = Wanted {
        name: fields.text("name").to_owned(),
        redirect_uris: if kind.has_people() { lines.collect() } else { Vec::new() },
        kind,
        scopes: Vec::new(),
    };
    let mut cx = visit.cx.again();
    match applications::create(&mut cx, &home, &wanted).await {
        Ok(made) => {
            cx.commit().await?;
            applications::go_on(&visit.cx.management, &made.id).await?;
            let api = serde_urlencoded::to_string([("new", "1"), ("api", fields.text("api"))]).unwrap_or_default();
            Ok(visit.go(&format!("/applications/{}?{api}", made.id)))
        }
        Err(Refused::Invalid(wrong, errors)) => {
            let of = |place: &str| {
                let found = errors.iter().find(|error| error.pointer.starts_with(place));
                found.map(|error| error.detail.clone()).unwrap_or_default()
            };
            let mut content = form_content(&fields);
            (content.name_error, content.uris_error) = (of("/name"), of("/redirectUris"));
            content.wrong = wrong;
            let status = http::StatusCode::UNPROCESSABLE_ENTITY;
            Ok(visit.show_with(status, "portal/application_new.html", content))
        }
        Err(refused) => Err(refused.into()),
    }
}

pub(super) async fn show(mut visit: Visit, Path(id): Path<String>) -> Response {
    let made = page(&mut visit, &id, None).await;
    visit.answer(made)
}

/// A secret that is shown this once.
#[derive(Serialize)]
struct Shown {
    client: String,
    secret: String,
}

async fn page(visit: &mut Visit, id: &str, shown: Option<Shown>) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        application: View,
        shown: Option<Shown>,
        subscriptions: Vec<Mine>,
        may: bool,
        api: String,
        token_endpoint: String,
        issuer: String,
    }
    visit.person()?;
    let found = applications::see(&mut visit.cx, id).await?;
    let organisation = found.organisation.clone();
    let mine = subscribe::mine(visit, &organisation, None).await?;
    let management = visit.cx.management.clone();
    let endpoint = management.issuer.metadata(&management).await.ok().and_then(|known| known.token_endpoint.clone());
    let now = visit.cx.now;
    let content = Content {
        subscriptions: mine.into_iter().filter(|one| one.application == id).collect(),
        application: view(found, now),
        shown,
        may: visit.cx.need_for(&organisation, Share::Develop).is_ok(),
        api: visit.query.text("api").to_owned(),
        token_endpoint: endpoint.unwrap_or_default(),
        issuer: management.config.issuer.clone(),
    };
    Ok(visit.show("portal/application.html", content))
}

pub(super) async fn change(mut visit: Visit, Path(id): Path<String>, body: Bytes) -> Response {
    let made = changed(&mut visit, &id, &body).await;
    visit.answer(made)
}

async fn changed(visit: &mut Visit, id: &str, body: &[u8]) -> Result<Response, Halt> {
    visit.person()?;
    let fields = visit.form(body)?;
    let mut cx = visit.cx.again();
    let mut to = format!("/applications/{id}");
    match fields.text("action") {
        "show" => {
            let taken = applications::take_credentials(&mut cx, id).await?;
            let gone = "the secret has been shown already, or there is none; exchange it for another";
            let taken = taken.ok_or_else(|| Refused::Conflict(gone.to_owned()))?;
            // Shown after it is durable that it has been: a second look finds nothing.
            cx.commit().await?;
            let shown = Shown { client: taken.client, secret: taken.secret.expose().clone() };
            return page(visit, id, Some(shown)).await;
        }
        "rotate" => {
            let hours = fields.one("overlap").and_then(|hours| hours.parse::<u64>().ok());
            let overlap = hours.map(|hours| Duration::from_secs(hours.saturating_mul(3600)));
            applications::rotate(&mut cx, id, overlap).await?;
        }
        "retry" => {
            applications::retry(&mut cx, id).await?;
        }
        "delete" => {
            applications::delete(&mut cx, id).await?;
            "/applications".clone_into(&mut to);
        }
        _ => return Err(Refused::BadRequest("the form says nothing to do".to_owned()).into()),
    }
    cx.commit().await?;
    applications::go_on(&visit.cx.management, id).await?;
    Ok(visit.go(&to))
}

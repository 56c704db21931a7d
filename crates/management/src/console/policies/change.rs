//! What two versions differ in, and putting another one in force: mostly the way back.

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::{Stop, answer, read};
use crate::actor::{Actor, Right};
use crate::audit::{self, Record};
use crate::error::Refused;
use crate::pages::Visit;
use crate::policies::{self, Changed, Publication, State, Trouble, Version};

/// Why somebody puts a version in force is a sentence, not a book.
const COMMENT: usize = 500;

pub(super) async fn difference(visit: Visit) -> Response {
    let made = difference_page(&visit).await;
    answer(&visit, made)
}

async fn difference_page(visit: &Visit) -> Result<Response, Stop> {
    #[derive(Serialize)]
    struct Content {
        from: i64,
        to: i64,
        active: i64,
        changes: Vec<Changed>,
        may_publish: bool,
    }
    visit.need(Right::Read)?;
    let state = policies::in_force(&visit.cx).await?;
    let to = read::number(visit, "to").ok_or(Trouble::NotFound)?;
    let from = read::number(visit, "from").unwrap_or(state.version);
    let new = policies::version(&visit.cx, to).await?;
    let content = Content {
        from,
        to,
        active: state.version,
        changes: compared(visit, from, new).await?,
        may_publish: state.may_publish && visit.cx.actor.may(Right::Publish),
    };
    Ok(visit.show("console/policy_difference.html", content))
}

/// What `new` changes against a version; against 0, before there was any, all of it is new.
async fn compared(visit: &Visit, from: i64, new: Version) -> Result<Vec<Changed>, Stop> {
    let old = match from {
        0 => None,
        from => Some(policies::version(&visit.cx, from).await?),
    };
    let work = move || policies::changes(old.as_ref(), &new);
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Refused::Broken(error.to_string()))?)
}

pub(super) async fn confirm(visit: Visit, Path(number): Path<String>) -> Response {
    let made = async {
        visit.need(Right::Publish)?;
        confirm_page(&visit, read::chosen(&number)?, StatusCode::OK, Typed::default()).await
    };
    let made = made.await;
    answer(&visit, made)
}

/// What stands in the form, and what is wrong with it.
#[derive(Default)]
struct Typed {
    comment: String,
    wrong: String,
    faults: Vec<String>,
}

async fn confirm_page(visit: &Visit, number: i64, status: StatusCode, typed: Typed) -> Result<Response, Stop> {
    #[derive(Serialize)]
    struct Content {
        version: i64,
        made_by: String,
        said: String,
        state: InForce,
        back: bool,
        changes: Vec<Changed>,
        tests: usize,
        comment: String,
        wrong: String,
        faults: Vec<String>,
    }
    #[derive(Serialize)]
    struct InForce {
        version: i64,
        activation: i64,
        may_publish: bool,
    }
    let State { version, activation, may_publish, .. } = policies::in_force(&visit.cx).await?;
    let new = policies::version(&visit.cx, number).await?;
    let content = Content {
        version: number,
        made_by: new.author.clone(),
        said: new.comment.clone(),
        back: number < version,
        tests: new.tests.tests.len(),
        changes: compared(visit, version, new).await?,
        state: InForce { version, activation, may_publish },
        comment: typed.comment,
        wrong: typed.wrong,
        faults: typed.faults,
    };
    Ok(visit.show_with(status, "console/policy_publish.html", content))
}

pub(super) async fn publish(visit: Visit, Path(number): Path<String>, body: Bytes) -> Response {
    let made = published(&visit, &number, &body).await;
    answer(&visit, made)
}

async fn published(visit: &Visit, number: &str, body: &[u8]) -> Result<Response, Stop> {
    visit.need(Right::Publish)?;
    let fields = visit.form(body)?;
    let version = read::chosen(number)?;
    let comment = fields.text("comment").trim();
    let activation = fields.one("activation").and_then(|number| number.parse().ok());
    let wrong = match (comment.is_empty(), comment.chars().count() > COMMENT, activation) {
        (true, ..) => Some("say why: it stands in the history".to_owned()),
        (_, true, _) => Some(format!("say it in {COMMENT} letters")),
        (.., None) => Some("the form is not whole: load this page again".to_owned()),
        _ => None,
    };
    let (Some(activation), None) = (activation, &wrong) else {
        let typed = Typed { comment: comment.to_owned(), wrong: wrong.unwrap_or_default(), faults: Vec::new() };
        return confirm_page(visit, version, StatusCode::UNPROCESSABLE_ENTITY, typed).await;
    };
    note(visit, "policies.publication_asked", version, json!({"comment": comment, "over": activation})).await?;
    let by = match &visit.cx.actor {
        Actor::Person(person) => person.name.clone(),
        other => other.to_string(),
    };
    let publication = Publication { version, activation, comment, by: &by };
    let done = match policies::publish(&visit.cx, &publication).await {
        Ok(done) => done,
        Err(trouble) => {
            // Without an answer nobody here knows whether it has been done.
            let act = if matches!(trouble, Trouble::Away(_)) { "policies.no_answer" } else { "policies.not_published" };
            note(visit, act, version, json!({"why": trouble.to_string()})).await?;
            let Trouble::Refused { status, title, errors } = trouble else { return Err(trouble.into()) };
            let typed = Typed { comment: comment.to_owned(), wrong: title, faults: errors };
            return confirm_page(visit, version, status, typed).await;
        }
    };
    note(visit, "policies.published", version, json!({"comment": comment, "activation": done.activation})).await?;
    Ok(visit.go("/console/policies"))
}

/// Each in a transaction of its own, since the act is another system's: what was asked for is written before it is
/// done, so that nothing is done that is not written, and what came of it after.
async fn note(visit: &Visit, act: &'static str, version: i64, detail: serde_json::Value) -> Result<(), Stop> {
    let mut cx = visit.cx.again();
    let object = format!("policies:{version}");
    audit::record(&mut cx, Record { act, object, organisation: None, detail }).await?;
    Ok(cx.commit().await?)
}

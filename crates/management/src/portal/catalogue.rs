//! The catalogue, the page of an API, and that of an operation.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use http::header;
use serde::Serialize;
use serde_json::{Value, json};

use super::reference::{self, Block, Group, Operation};
use super::snippets;
use crate::actor::Share;
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::plans::{self, Plan};
use crate::registry::{self, Api, Query, Revision, document_for_consumers};
use crate::views::{self, ApiView, PlanView};

const PAGE: usize = 48;

pub(super) async fn show(mut visit: Visit) -> Response {
    let made = catalogue(&mut visit).await;
    visit.answer(made)
}

async fn catalogue(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        apis: Vec<ApiView>,
        text: String,
        lifecycle: String,
        filtered: bool,
        next: Option<String>,
    }
    let asked = |name: &str| visit.query.one(name).map(str::to_owned);
    let query = Query {
        text: asked("q"),
        lifecycle: asked("lifecycle"),
        visibility: None,
        owner: None,
        published_only: true,
        after: asked("after"),
    };
    let (apis, next) = registry::list(&mut visit.cx, &query, PAGE).await?;
    let now = visit.cx.now;
    let content = Content {
        apis: apis.iter().map(|api| views::api(api, now)).collect(),
        filtered: query.text.is_some() || query.lifecycle.is_some(),
        text: query.text.unwrap_or_default(),
        lifecycle: query.lifecycle.unwrap_or_default(),
        next: next.map(|after| visit.with("after", &after)),
    };
    Ok(visit.show("portal/catalogue.html", content))
}

/// An API as this visitor may see it. Who may see only what is published is not told of others; who has not signed in
/// is asked to, since it may be theirs.
pub(super) async fn find(visit: &mut Visit, name: &str) -> Result<(Api, Revision), Halt> {
    let Some(api) = registry::get_visible(&mut visit.cx, name).await? else {
        return Err(if visit.session.is_none() { Halt::SignIn } else { Refused::NotFound("API of this name").into() });
    };
    let number = api.published.unwrap_or(api.revision);
    let revision = registry::revision(&mut visit.cx, name, number).await?;
    Ok((api, revision.ok_or(Refused::NotFound("API of this name"))?))
}

pub(super) async fn document(mut visit: Visit, Path(name): Path<String>) -> Response {
    let made = match find(&mut visit, &name).await {
        Ok((_, revision)) => {
            let document = document_for_consumers(&visit.cx.management.config, &revision);
            let mut response = Response::new(Body::from(document.to_string()));
            let json = http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            web::harden(&mut response, &[], web::Scripts::None);
            Ok(response)
        }
        Err(halt) => Err(halt),
    };
    visit.answer(made)
}

/// A plan with this API, as a visitor may have it.
#[derive(Serialize)]
struct Offer {
    #[serde(flatten)]
    plan: PlanView,
    /// The visitor's subscriptions to it.
    mine: Vec<super::subscribe::Mine>,
}

#[derive(Serialize)]
struct About {
    api: ApiView,
    description: Vec<Block>,
    base: String,
    groups: Vec<Group>,
    document: String,
}

async fn about(visit: &mut Visit, name: &str) -> Result<(About, Value), Halt> {
    let (api, revision) = find(visit, name).await?;
    let document = document_for_consumers(&visit.cx.management.config, &revision);
    let view = views::api(&api, visit.cx.now);
    let about = About {
        description: reference::prose(&view.description),
        base: document.pointer("/servers/0/url").and_then(Value::as_str).unwrap_or_default().to_owned(),
        groups: reference::groups(&document),
        document: format!("/apis/{name}/document.json"),
        api: view,
    };
    Ok((about, document))
}

pub(super) async fn show_api(mut visit: Visit, Path(name): Path<String>) -> Response {
    let made = api_page(&mut visit, &name).await;
    visit.answer(made)
}

async fn api_page(visit: &mut Visit, name: &str) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        #[serde(flatten)]
        about: About,
        offers: Vec<Offer>,
        applications: Vec<(String, String)>,
        scopes: Vec<String>,
        chosen: String,
    }
    let (about, document) = about(visit, name).await?;
    let home = visit.home(Share::See).ok();
    let plans: Vec<Plan> = match &home {
        Some(home) => plans::offered(&mut visit.cx, home).await?,
        // Plans for everybody are for everybody to see.
        None => plans::list(&mut visit.cx).await?.into_iter().filter(|plan| plan.is_for("")).collect(),
    };
    let mine = match &home {
        Some(home) => super::subscribe::mine(visit, home, Some(name)).await?,
        None => Vec::new(),
    };
    let now = visit.cx.now;
    let offers = plans.iter().filter(|plan| plan.spec.apis.iter().any(|api| api == name)).map(|plan| Offer {
        plan: views::plan(plan, now),
        mine: mine.iter().filter(|one| one.plan == plan.name).cloned().collect(),
    });
    let content = Content {
        offers: offers.collect(),
        applications: match &home {
            Some(home) => super::subscribe::applications(visit, home).await?,
            None => Vec::new(),
        },
        scopes: reference::scopes(&document, None),
        chosen: visit.query.text("application").to_owned(),
        about,
    };
    Ok(visit.show("portal/api.html", content))
}

pub(super) async fn show_operation(mut visit: Visit, Path((api, name)): Path<(String, String)>) -> Response {
    let made = operation_page(&mut visit, &api, &name).await;
    visit.answer(made)
}

/// A page does not wait long for it, nor fail without it.
async fn token_endpoint(visit: &Visit) -> Option<String> {
    let management = &visit.cx.management;
    let asked = tokio::time::timeout(Duration::from_millis(500), management.issuer.metadata(management)).await;
    asked.ok()?.ok()?.token_endpoint.clone()
}

async fn operation_page(visit: &mut Visit, api: &str, name: &str) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        #[serde(flatten)]
        about: About,
        operation: Operation,
        trying: Value,
        /// How to get a token, where one is needed and the issuer says where.
        token: Option<String>,
    }
    let (about, document) = about(visit, api).await?;
    let operation = reference::operation(&document, name).ok_or(Refused::NotFound("operation of this name"))?;
    let trying = json!({"possible": visit.session.is_some()});
    let token = match operation.public {
        true => None,
        false => token_endpoint(visit).await.map(|endpoint| snippets::token(&endpoint, &operation.scopes)),
    };
    let content = Content { about, operation, trying, token };
    let gateway = visit.cx.management.config.gateway_url.clone();
    let mut response = visit.show("portal/operation.html", content);
    // The form on it calls the gateway itself, and nobody else.
    web::allow_connect(&mut response, Some(&gateway));
    Ok(response)
}

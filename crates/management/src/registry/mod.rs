//! The registry: APIs with owner, life cycle and visibility, and all their revisions.
//!
//! A revision is what an API was at a time: its description, what gateways are given for it, and its OpenAPI
//! document. Revisions never change; going back makes a new one. The newest one is the head, and one of them may be
//! published. A set that gateways would refuse is refused here, with pointers (RFC 6901).

mod breaking;
mod describe;
mod differences;
mod generate;
mod http;
mod import;
mod lint;
mod merge;
mod openapi;
mod schema;
mod served;
mod store;
#[cfg(test)]
mod tests;

use base::Time;
use base::problem::FieldError;
use catalog::published::Document;
use catalog::{ApiSpec, Fault, Resource, Visibility};
use serde_json::{Value, json};

pub use breaking::{Breaking, breaking};
pub(crate) use describe::{operations, shapes};
pub use differences::{Difference, differences};
pub(crate) use http::{routes, view};
pub use import::{Import, Imported, import};
pub use lint::{Finding, Level};
pub use openapi::{check as check_document, header_parameters};
pub(crate) use served::asked_scopes;
pub use served::{OperationView, document_for_consumers, operations_of};
pub(crate) use store::containing;
pub use store::{Query, published, remove, revision, revisions, set_published};

use crate::actor::Right;
use crate::audit::{self, Record};
use crate::cx::Cx;
use crate::error::Refused;
use crate::{Actor, plans, publish};

/// Kinds that an API is served by.
pub const PARTS: [&str; 4] = ["Upstream", "Service", "Route", "Composition"];

/// An API in one of its revisions: the head, or the published one for who sees only that.
#[derive(Debug, Clone)]
pub struct Api {
    pub name: String,
    /// The newest one.
    pub head: i64,
    pub published: Option<i64>,
    /// The one that `spec` is of.
    pub revision: i64,
    pub spec: ApiSpec,
    pub created_at: Time,
    pub changed_at: Time,
}

#[derive(Debug, Clone)]
pub struct Revision {
    pub api: String,
    pub revision: i64,
    pub at: Time,
    pub actor: String,
    pub note: String,
    pub draft: Draft,
}

/// What a revision says.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub spec: ApiSpec,
    pub resources: Vec<Document>,
    /// What the last import made of its document.
    pub generated: Vec<Document>,
    pub openapi: Option<Value>,
}

/// What must be true of an API for a change of it (RFC 9110 §13.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Anything,
    /// There is none of that name.
    Nothing,
    /// The head is this revision.
    Head(i64),
}

impl Api {
    pub fn is_published(&self) -> bool {
        self.published.is_some()
    }
}

impl Draft {
    pub fn new(spec: ApiSpec) -> Self {
        Self { spec, resources: Vec::new(), generated: Vec::new(), openapi: None }
    }

    /// The API and its parts, as gateways are given them.
    pub fn documents(&self, name: &str) -> Vec<Document> {
        let api = Document { kind: "Api".to_owned(), name: name.to_owned(), spec: value(&self.spec) };
        std::iter::once(api).chain(self.resources.iter().cloned()).collect()
    }
}

/// Reads what a user wrote as the spec of an API; the OpenAPI document that may stand in it comes apart.
pub fn read_spec(name: &str, spec: &Value) -> Result<(ApiSpec, Option<Value>), Refused> {
    let mut resource = Resource::new("Api", name, spec.clone());
    let openapi = resource.spec.as_object_mut().and_then(|spec| spec.shift_remove("openapi"));
    let spec = resource.read::<ApiSpec>().map_err(|faults| invalid(&faults))?;
    let alone = [Resource::new("Api", name, value(&spec))];
    catalog::Snapshot::compile(&alone).map_err(|faults| invalid(&faults))?;
    Ok((spec, openapi))
}

fn invalid(faults: &[Fault]) -> Refused {
    let errors =
        faults.iter().map(|fault| FieldError { pointer: fault.pointer.clone(), detail: fault.message.clone() });
    Refused::Invalid("the API has errors".to_owned(), errors.collect())
}

/// The head of an API, for who may see all.
pub async fn get(cx: &mut Cx, name: &str) -> Result<Option<Api>, Refused> {
    Ok(store::api(cx, name, false).await?)
}

/// An API as the asker may see it: the head for the provider's people, the published revision for others.
pub async fn get_visible(cx: &mut Cx, name: &str) -> Result<Option<Api>, Refused> {
    let published_only = !cx.actor.may(Right::Read);
    let Some(api) = store::api(cx, name, published_only).await? else { return Ok(None) };
    let audience = Audience::of(cx).await?;
    Ok(audience.sees(&api).then_some(api))
}

/// A page of the APIs that the asker may see, by name; and where the next one begins.
pub async fn list(cx: &mut Cx, query: &Query, limit: usize) -> Result<(Vec<Api>, Option<String>), Refused> {
    let audience = Audience::of(cx).await?;
    let mut query = Query { published_only: query.published_only || !cx.actor.may(Right::Read), ..query.clone() };
    let mut found: Vec<Api> = Vec::new();
    loop {
        let batch = store::list(cx, &query, limit.saturating_add(1)).await?;
        let more = batch.len() > limit;
        query.after = batch.last().map(|api| api.name.clone());
        found.extend(batch.into_iter().filter(|api| audience.sees(api)));
        if found.len() > limit || !more {
            break;
        }
    }
    let full = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| full).map(|api| api.name.clone());
    Ok((found, next))
}

/// Who looks, and what is there for them besides what everybody sees.
struct Audience {
    all: bool,
    logged_in: bool,
    /// APIs of plans that name an organisation of theirs.
    private: Vec<String>,
}

impl Audience {
    async fn of(cx: &mut Cx) -> Result<Self, Refused> {
        let all = cx.actor.may(Right::Read);
        let logged_in = matches!(cx.actor, Actor::Person(_));
        let private = match cx.actor.clone() {
            Actor::Person(person) if !all => {
                let of = |document: Document| {
                    let theirs = strings(document.spec.get("organisations"))
                        .any(|name| person.memberships.iter().any(|member| member.organisation == name));
                    let apis: Vec<String> = strings(document.spec.get("apis")).map(str::to_owned).collect();
                    if theirs { apis } else { Vec::new() }
                };
                plans::published(cx).await?.into_iter().flat_map(of).collect()
            }
            _ => Vec::new(),
        };
        Ok(Self { all, logged_in, private })
    }

    fn sees(&self, api: &Api) -> bool {
        self.all
            || match api.spec.visibility {
                Visibility::Public => true,
                Visibility::Internal => self.logged_in,
                Visibility::Private => self.private.contains(&api.name),
            }
    }
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Makes a revision, unless the head says the same already. Returns the API, and whether something changed.
pub async fn put(
    cx: &mut Cx,
    name: &str,
    draft: &Draft,
    note: &str,
    expected: Expected,
) -> Result<(Api, bool), Refused> {
    cx.need(Right::Publish)?;
    check_parts(name, draft)?;
    let head = store::api(cx, name, false).await?;
    match (expected, &head) {
        (Expected::Nothing, Some(_)) => return Err(stale(name, "is there already")),
        (Expected::Head(_), None) => return Err(stale(name, "is not there any more")),
        (Expected::Head(asked), Some(api)) if asked != api.head => {
            return Err(stale(name, "has a newer revision; look at it and try again"));
        }
        _ => {}
    }
    if let Some(api) = head.clone()
        && let Some(old) = store::revision(cx, name, api.head).await?
        && old.draft == *draft
    {
        return Ok((api, false));
    }
    publish::check(cx, name, draft).await?;
    let was = head.as_ref().map(|api| api.head);
    if !store::save(cx, name, draft, note, was).await? {
        return Err(stale(name, "was changed by somebody else at the same time; try again"));
    }
    let act = if was.is_some() { "api.changed" } else { "api.made" };
    let revision = was.unwrap_or(0) + 1;
    let detail = json!({"revision": revision, "note": note});
    audit::record(cx, Record { act, object: format!("api:{name}"), organisation: None, detail }).await?;
    let api = store::api(cx, name, false).await?.ok_or(Refused::NotFound("API of this name"))?;
    Ok((api, true))
}

/// Makes a revision that says what an older one said.
pub async fn roll_back(cx: &mut Cx, name: &str, to: i64) -> Result<Api, Refused> {
    cx.need(Right::Publish)?;
    let old = store::revision(cx, name, to).await?.ok_or(Refused::NotFound("revision of this number"))?;
    let (api, _) = put(cx, name, &old.draft, &format!("back to revision {to}"), Expected::Anything).await?;
    Ok(api)
}

fn stale(name: &str, what: &str) -> Refused {
    Refused::Stale(format!("API `{name}` {what}"))
}

/// That the parts are an API's own: what a revision holds must not reach into another API.
fn check_parts(name: &str, draft: &Draft) -> Result<(), Refused> {
    let mut errors = Vec::new();
    let mut fault = |at: usize, pointer: &str, detail: String| {
        errors.push(FieldError { pointer: format!("/resources/{at}{pointer}"), detail });
    };
    let services: Vec<&str> =
        draft.resources.iter().filter(|one| one.kind == "Service").map(|one| one.name.as_str()).collect();
    for (at, part) in draft.resources.iter().enumerate() {
        let text = |key: &str| part.spec.get(key).and_then(Value::as_str);
        match part.kind.as_str() {
            "Service" | "Composition" if text("api") != Some(name) => {
                fault(at, "/spec/api", format!("a {} of this API says `api: {name}`", part.kind));
            }
            "Route" if !text("service").is_some_and(|service| services.contains(&service)) => {
                fault(at, "/spec/service", "a route of this API leads to a service of this API".to_owned());
            }
            kind if !PARTS.contains(&kind) => {
                fault(at, "/kind", format!("an API is served by {}, not by `{kind}`", PARTS.join(", ")));
            }
            _ => {}
        }
        if draft.resources.iter().take(at).any(|before| before.kind == part.kind && before.name == part.name) {
            fault(at, "/name", format!("{} `{}` stands here a second time", part.kind, part.name));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Refused::Invalid("the API has errors".to_owned(), errors)) }
}

/// A spec as JSON; specs always have one.
pub(crate) fn value(spec: &impl serde::Serialize) -> Value {
    serde_json::to_value(spec).unwrap_or_default()
}

//! Plans: the list, and one as a form and as YAML.

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::Response;
use catalog::published::Document;
use serde::Serialize;
use serde_json::{Map, Value, json};
use web::{Fields, When, when};

use crate::actor::Right;
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::plans::{self, Plan};
use crate::registry::{self, Query};
use crate::views::{self, PlanView};

pub(super) async fn list(mut visit: Visit) -> Response {
    let made = list_page(&mut visit).await;
    visit.answer(made)
}

async fn list_page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        plans: Vec<PlanView>,
    }
    visit.need(Right::Read)?;
    let now = visit.cx.now;
    let plans = plans::list(&mut visit.cx).await?.iter().map(|plan| views::plan(plan, now)).collect();
    Ok(visit.show("console/plans.html", Content { plans }))
}

/// The form's fields, as they were typed or as the plan has them.
#[derive(Serialize, Default)]
struct PlanForm {
    name: String,
    title: String,
    description: String,
    apis: Vec<String>,
    rate_requests: String,
    rate_per: String,
    rate_burst: String,
    quota_requests: String,
    quota_per: String,
    soft: bool,
    manual: bool,
    organisations: String,
    currency: String,
    monthly: String,
    tiers: String,
}

#[derive(Serialize)]
struct VersionView {
    number: i64,
    since: When,
    by: String,
}

#[derive(Serialize)]
struct Content {
    plan: Option<PlanView>,
    form: PlanForm,
    apis: Vec<(String, String)>,
    versions: Vec<VersionView>,
    yaml: String,
    wrong: String,
    faults: Vec<(String, String)>,
}

async fn content(visit: &mut Visit, plan: Option<&Plan>, form: PlanForm) -> Result<Content, Halt> {
    let (apis, _) = registry::list(&mut visit.cx, &Query::default(), 500).await?;
    let now = visit.cx.now;
    let versions = match plan {
        Some(plan) => plans::versions(&mut visit.cx, &plan.name).await?,
        None => Vec::new(),
    };
    let versions = versions.iter().rev().take(20).map(|version| VersionView {
        number: version.number,
        since: when(version.since, now),
        by: version.changed_by.clone(),
    });
    let document = |plan: &Plan| Document {
        kind: "Plan".to_owned(),
        name: plan.name.clone(),
        spec: serde_json::to_value(&plan.spec).unwrap_or_default(),
    };
    Ok(Content {
        plan: plan.map(|plan| views::plan(plan, now)),
        form,
        apis: apis.into_iter().map(|api| (api.name, api.spec.title)).collect(),
        versions: versions.collect(),
        yaml: plan.map(|plan| views::yaml(&[document(plan)])).unwrap_or_default(),
        wrong: String::new(),
        faults: Vec::new(),
    })
}

pub(super) async fn new(mut visit: Visit) -> Response {
    let made = new_page(&mut visit).await;
    visit.answer(made)
}

async fn new_page(visit: &mut Visit) -> Result<Response, Halt> {
    visit.need(Right::Publish)?;
    let form = PlanForm {
        apis: visit.query.one("api").map(str::to_owned).into_iter().collect(),
        rate_requests: "60".to_owned(),
        rate_per: "1m".to_owned(),
        quota_per: "day".to_owned(),
        currency: "EUR".to_owned(),
        ..PlanForm::default()
    };
    let content = content(visit, None, form).await?;
    Ok(visit.show("console/plan.html", content))
}

pub(super) async fn show(mut visit: Visit, Path(name): Path<String>) -> Response {
    let made = plan_page(&mut visit, &name).await;
    visit.answer(made)
}

async fn plan_page(visit: &mut Visit, name: &str) -> Result<Response, Halt> {
    visit.need(Right::Read)?;
    let plan = plans::find(&mut visit.cx, name).await?.ok_or(Refused::NotFound("plan of this name"))?;
    let form = form_of(&plan);
    let content = content(visit, Some(&plan), form).await?;
    Ok(visit.show("console/plan.html", content))
}

fn form_of(plan: &Plan) -> PlanForm {
    let spec = serde_json::to_value(&plan.spec).unwrap_or_default();
    let text = |pointer: &str| match spec.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let tiers = spec.pointer("/price/tiers").and_then(Value::as_array).into_iter().flatten();
    let tiers = tiers.map(|tier| {
        let unit = tier.get("unit").and_then(Value::as_str).unwrap_or_default();
        match tier.get("upTo").and_then(Value::as_u64) {
            Some(end) => format!("{end}: {unit}"),
            None => unit.to_owned(),
        }
    });
    PlanForm {
        name: plan.name.clone(),
        title: plan.spec.title.clone(),
        description: plan.spec.description.clone().unwrap_or_default(),
        apis: plan.spec.apis.clone(),
        rate_requests: text("/rate/requests"),
        rate_per: plan.spec.rate.as_ref().map_or_else(|| "1m".to_owned(), |rate| span_of(rate.per.0.as_secs())),
        rate_burst: text("/rate/burst"),
        quota_requests: text("/quota/requests"),
        quota_per: text("/quota/per"),
        soft: spec.pointer("/quota/hard") == Some(&Value::Bool(false)),
        manual: text("/approval") == "manual",
        organisations: plan.spec.organisations.join(" "),
        currency: text("/price/currency"),
        monthly: text("/price/monthly"),
        tiers: tiers.collect::<Vec<_>>().join("\n"),
    }
}

/// As the form's choices have it; what is none of them is one more.
fn span_of(seconds: u64) -> String {
    match seconds {
        1 => "1s".to_owned(),
        60 => "1m".to_owned(),
        3600 => "1h".to_owned(),
        other => format!("{other}s"),
    }
}

pub(super) async fn make(mut visit: Visit, body: Bytes) -> Response {
    let made = save(&mut visit, None, &body).await;
    visit.answer(made)
}

pub(super) async fn change(mut visit: Visit, Path(name): Path<String>, body: Bytes) -> Response {
    let made = save(&mut visit, Some(&name), &body).await;
    visit.answer(made)
}

async fn save(visit: &mut Visit, name: Option<&str>, body: &[u8]) -> Result<Response, Halt> {
    visit.need(Right::Publish)?;
    let fields = visit.form(body)?;
    let name = name.unwrap_or_else(|| fields.text("name")).to_owned();
    let mut cx = visit.cx.again();
    if fields.text("action") == "retire" {
        plans::retire(&mut cx, &name).await?;
        cx.commit().await?;
        return Ok(visit.go("/console/plans"));
    }
    let saved = match spec_of(&fields) {
        Ok(spec) => plans::put(&mut cx, &name, &spec).await,
        Err(refused) => Err(refused),
    };
    match saved {
        Ok(plan) => {
            cx.commit().await?;
            Ok(visit.go(&format!("/console/plans/{}", plan.name)))
        }
        Err(Refused::Invalid(wrong, errors)) => {
            drop(cx);
            let before = plans::find(&mut visit.cx, &name).await?;
            let mut content = content(visit, before.as_ref(), typed(&name, &fields)).await?;
            content.wrong = wrong;
            content.faults = errors.into_iter().map(|error| (error.pointer, error.detail)).collect();
            let status = http::StatusCode::UNPROCESSABLE_ENTITY;
            Ok(visit.show_with(status, "console/plan.html", content))
        }
        Err(refused) => Err(refused.into()),
    }
}

fn typed(name: &str, fields: &Fields) -> PlanForm {
    let text = |name: &str| fields.text(name).to_owned();
    PlanForm {
        name: name.to_owned(),
        title: text("title"),
        description: text("description"),
        apis: fields.all("apis").map(str::to_owned).collect(),
        rate_requests: text("rate_requests"),
        rate_per: text("rate_per"),
        rate_burst: text("rate_burst"),
        quota_requests: text("quota_requests"),
        quota_per: text("quota_per"),
        soft: fields.one("soft").is_some(),
        manual: fields.one("manual").is_some(),
        organisations: text("organisations"),
        currency: text("currency"),
        monthly: text("monthly"),
        tiers: text("tiers"),
    }
}

/// The spec that the form says, or that was written as YAML.
fn spec_of(fields: &Fields) -> Result<Value, Refused> {
    if let Some(text) = fields.one("yaml") {
        let document = catalog::yaml(text).map_err(|cause| Refused::invalid("", cause))?;
        return Ok(document.get("spec").cloned().unwrap_or(document));
    }
    let text = |name: &str| fields.one(name).map(str::trim).filter(|text| !text.is_empty());
    let whole = |name: &'static str, pointer: &str| match text(name) {
        None => Ok(None),
        Some(text) => match text.replace([',', ' '], "").parse::<u64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Refused::invalid(pointer, format!("`{text}` is not a whole number"))),
        },
    };
    let mut spec = Map::new();
    spec.insert("title".to_owned(), text("title").unwrap_or_default().into());
    if let Some(description) = text("description") {
        spec.insert("description".to_owned(), description.into());
    }
    spec.insert("apis".to_owned(), fields.all("apis").collect::<Vec<_>>().into());
    if let Some(requests) = whole("rate_requests", "/spec/rate/requests")? {
        let mut rate = json!({"requests": requests, "per": text("rate_per").unwrap_or("1m")});
        if let (Some(burst), Some(rate)) = (whole("rate_burst", "/spec/rate/burst")?, rate.as_object_mut()) {
            rate.insert("burst".to_owned(), burst.into());
        }
        spec.insert("rate".to_owned(), rate);
    }
    if let Some(requests) = whole("quota_requests", "/spec/quota/requests")? {
        let hard = fields.one("soft").is_none();
        let per = text("quota_per").unwrap_or("day");
        spec.insert("quota".to_owned(), json!({"requests": requests, "per": per, "hard": hard}));
    }
    let approval = if fields.one("manual").is_some() { "manual" } else { "automatic" };
    spec.insert("approval".to_owned(), approval.into());
    let organisations: Vec<&str> =
        fields.text("organisations").split([' ', ',', '\n', '\r']).filter(|id| !id.is_empty()).collect();
    if !organisations.is_empty() {
        spec.insert("organisations".to_owned(), organisations.into());
    }
    let tiers = tiers_of(fields.text("tiers"))?;
    if text("monthly").is_some() || !tiers.is_empty() {
        let price = json!({"currency": text("currency").unwrap_or("EUR"), "monthly": text("monthly").unwrap_or("0"), "tiers": tiers});
        spec.insert("price".to_owned(), price);
    }
    Ok(Value::Object(spec))
}

/// A line for each tier: `10000: 0.001`; the last one without an end.
fn tiers_of(text: &str) -> Result<Vec<Value>, Refused> {
    let mut out = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let tier = match line.split_once(':') {
            Some((end, unit)) => {
                let number = end.trim().replace(',', "").parse::<u64>();
                let bad = |_| Refused::invalid("/spec/price/tiers", format!("`{line}`: write `10000: 0.001`"));
                json!({"upTo": number.map_err(bad)?, "unit": unit.trim()})
            }
            None => json!({"unit": line}),
        };
        out.push(tier);
    }
    Ok(out)
}

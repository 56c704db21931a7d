//! How things read on pages: numbers with a unit, calls, plans. What a template is given is made here, so that the
//! same thing looks the same everywhere.

mod calls;
#[cfg(test)]
mod tests;
mod way;

use base::Time;
use catalog::published::Document;
use catalog::{ApiSpec, Approval, LimitMode, PlanSpec, PriceSpec, Resource};
use serde::Serialize;
use web::{When, when};

pub(crate) use calls::{CallView, call};
pub(crate) use way::Reader;

use crate::plans::Plan;
use crate::plans::window_word;
use crate::registry::Api;
use crate::usage::Figures;

/// `12,345`
pub(crate) fn number(value: impl TryInto<i64>) -> String {
    let value: i64 = value.try_into().unwrap_or(i64::MAX);
    let digits = value.unsigned_abs().to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if value < 0 { format!("-{out}") } else { out }
}

/// `1.2 ms`
pub(crate) fn time_of(micros: i64) -> String {
    match micros {
        ..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// Of ten thousand: `1.25 %`
pub(crate) fn per_cent(of_10000: i64) -> String {
    format!("{}.{:02} %", of_10000 / 100, of_10000 % 100)
}

/// How much of a whole, from 0 to 100.
pub(crate) fn share(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0).min(100)
}

pub(crate) fn tone_of_share(share: u64) -> &'static str {
    match share {
        0..75 => "",
        75..100 => "warn",
        _ => "bad",
    }
}

#[derive(Serialize)]
pub(crate) struct FiguresView {
    pub calls: String,
    pub served: String,
    pub refused: String,
    pub failed: String,
    pub units: String,
    pub mean: String,
    pub refused_share: String,
    pub failed_share: String,
}

pub(crate) fn figures(of: &Figures) -> FiguresView {
    FiguresView {
        calls: number(of.calls()),
        served: number(of.served),
        refused: number(of.refused),
        failed: number(of.failed),
        units: number(of.units),
        mean: if of.calls() == 0 { "–".to_owned() } else { time_of(of.mean_micros()) },
        refused_share: per_cent(of.refused_per_10000()),
        failed_share: per_cent(of.failed_per_10000()),
    }
}

#[derive(Serialize)]
pub(crate) struct PlanView {
    pub name: String,
    pub title: String,
    pub description: Option<String>,
    pub apis: Vec<String>,
    pub rate: String,
    pub quota: String,
    pub price: String,
    pub tiers: Vec<String>,
    pub approval: bool,
    pub shadow: bool,
    pub organisations: Vec<String>,
    pub version: i64,
    pub changed: When,
    pub retired: bool,
}

pub(crate) fn plan(of: &Plan, now: Time) -> PlanView {
    let spec = &of.spec;
    PlanView {
        name: of.name.clone(),
        title: spec.title.clone(),
        description: spec.description.clone(),
        apis: spec.apis.clone(),
        rate: rate_words(spec),
        quota: quota_words(spec),
        price: spec.price.as_ref().map_or_else(|| "free of charge".to_owned(), price_words),
        tiers: spec.price.as_ref().map(tier_words).unwrap_or_default(),
        approval: spec.approval == Approval::Manual,
        shadow: spec.mode == LimitMode::Shadow,
        organisations: spec.organisations.clone(),
        version: of.version,
        changed: when(of.changed_at, now),
        retired: of.retired_at.is_some(),
    }
}

fn rate_words(spec: &PlanSpec) -> String {
    let Some(rate) = &spec.rate else { return "no limit of speed".to_owned() };
    let seconds = rate.per.0.as_secs();
    let per = match seconds {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        3600 => "hour".to_owned(),
        86_400 => "day".to_owned(),
        other => format!("{other} s"),
    };
    let burst =
        if rate.burst() == rate.requests { String::new() } else { format!(", {} at once", number(rate.burst())) };
    format!("{} a {per}{burst}", number(rate.requests))
}

fn quota_words(spec: &PlanSpec) -> String {
    let Some(quota) = &spec.quota else { return "no quota".to_owned() };
    let soft = if quota.hard { "" } else { ", more is allowed" };
    format!("{} a {}{soft}", number(quota.requests), window_word(quota.per))
}

fn price_words(price: &PriceSpec) -> String {
    let currency = price.currency.as_str();
    let monthly = price.monthly.to_string();
    let nothing = monthly.trim_matches(['0', '.']).is_empty();
    match (nothing, price.tiers.as_slice()) {
        (true, []) => "free of charge".to_owned(),
        (false, []) => format!("{currency} {monthly} a month"),
        (true, [only]) => format!("{currency} {} a call", only.unit),
        (false, [only]) => format!("{currency} {monthly} a month and {} a call", only.unit),
        (true, _) => format!("{currency}, by number of calls"),
        (false, _) => format!("{currency} {monthly} a month, and by number of calls"),
    }
}

fn tier_words(price: &PriceSpec) -> Vec<String> {
    if price.tiers.len() < 2 {
        return Vec::new();
    }
    let mut from = 1_u64;
    let mut out = Vec::new();
    for tier in &price.tiers {
        let range = match tier.up_to {
            Some(end) => format!("call {} to {}", number(from), number(end)),
            None => format!("from call {}", number(from)),
        };
        out.push(format!("{range}: {} {} each", price.currency.as_str(), tier.unit));
        from = tier.up_to.map_or(from, |end| end.saturating_add(1));
    }
    out
}

#[derive(Serialize)]
pub(crate) struct ApiView {
    pub name: String,
    pub title: String,
    pub version: String,
    pub description: String,
    pub owner: Option<String>,
    pub lifecycle: String,
    pub lifecycle_tone: &'static str,
    pub visibility: String,
    pub subscription: String,
    pub deprecated: Option<When>,
    pub sunset: Option<When>,
    pub head: i64,
    pub published: Option<i64>,
    pub changed: When,
}

pub(crate) fn api(of: &Api, now: Time) -> ApiView {
    let ApiSpec { title, version, description, owner, .. } = of.spec.clone();
    let lifecycle = word(&of.spec.lifecycle);
    ApiView {
        name: of.name.clone(),
        title,
        version,
        description: description.unwrap_or_default(),
        owner,
        lifecycle_tone: match lifecycle.as_str() {
            "active" => "good",
            "planned" => "info",
            "deprecated" => "warn",
            _ => "bad",
        },
        lifecycle,
        visibility: word(&of.spec.visibility),
        subscription: word(&of.spec.subscription),
        deprecated: of.spec.deprecated_at.as_ref().map(|moment| when(moment.0, now)),
        sunset: of.spec.sunset_at.as_ref().map(|moment| when(moment.0, now)),
        head: of.head,
        published: of.published,
        changed: when(of.changed_at, now),
    }
}

/// The word that a choice is written with.
pub(crate) fn word(choice: &impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// As `cardea apply` takes it back.
pub(crate) fn yaml(documents: &[Document]) -> String {
    let resources: Vec<Resource> = documents.iter().map(Document::resource).collect();
    catalog::export(&resources)
}

/// A bar of a chart: places from 0 to 100.
#[derive(Serialize)]
pub(crate) struct Bar {
    pub x: String,
    pub width: String,
    pub served: [String; 2],
    pub refused: [String; 2],
    pub failed: [String; 2],
    pub title: String,
}

/// Columns of calls by time, in a square of 100 by 100; the table beside it has the numbers.
pub(crate) fn bars(columns: &[(String, Figures)]) -> Vec<Bar> {
    let most = columns.iter().map(|(_, figures)| figures.calls()).max().unwrap_or(0).max(1);
    let count = i64::try_from(columns.len()).unwrap_or(1).max(1);
    let width = 100_000 / count;
    let fixed = |thousandths: i64| format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    let mut out = Vec::new();
    for (at, (title, figures)) in (0_i64..).zip(columns) {
        let height = |calls: i64| calls.saturating_mul(100_000) / most;
        let (served, refused, failed) = (height(figures.served), height(figures.refused), height(figures.failed));
        let top = |below: i64, own: i64| fixed((100_000 - below - own).max(0));
        out.push(Bar {
            x: fixed(at * width + width / 10),
            width: fixed(width * 8 / 10),
            served: [top(0, served), fixed(served)],
            refused: [top(served, refused), fixed(refused)],
            failed: [top(served + refused, failed), fixed(failed)],
            title: format!("{title}: {} calls", number(figures.calls())),
        });
    }
    out
}

/// A day as `2026-11-22`, for addresses and forms.
pub(crate) fn day(at: Time) -> String {
    jiff::Timestamp::from_millisecond(at.ms())
        .map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string())
        .unwrap_or_default()
}

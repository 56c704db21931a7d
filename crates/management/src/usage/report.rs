//! How much, how well and how fast: by time and by API, operation, client, plan, subscription or organisation.

use base::Time;
use serde_json::{Value, json};

use super::store;
use crate::Cx;
use crate::actor::{Right, Share};
use crate::error::Refused;

/// What a line of the report stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Group {
    #[default]
    None,
    Api,
    Operation,
    Client,
    Plan,
    Subscription,
    Organisation,
}

/// How time is cut. Hours go back 40 days, days to the beginning (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Step {
    Hour,
    #[default]
    Day,
    /// One line for the whole of it, of whole days.
    Whole,
}

#[derive(Debug, Clone)]
pub struct Question {
    /// `None`: of all, for the provider.
    pub organisation: Option<String>,
    pub subscription: Option<String>,
    pub client: Option<String>,
    pub api: Option<String>,
    pub from: Time,
    pub until: Time,
    pub step: Step,
    pub group: Group,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub begins: Time,
    /// The API, client …; empty where nothing is told apart, or where nobody knows it.
    pub label: String,
    pub figures: Figures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    pub served: i64,
    pub refused: i64,
    pub failed: i64,
    pub units: i64,
    pub micros: i64,
}

/// A row of the fold.
pub(super) struct Sum {
    pub begins: Time,
    pub label: String,
    pub outcome: String,
    pub calls: i64,
    pub units: i64,
    pub micros: i64,
}

impl Group {
    pub(super) const ALL: [Self; 7] =
        [Self::None, Self::Api, Self::Operation, Self::Client, Self::Plan, Self::Subscription, Self::Organisation];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Api => "api",
            Self::Operation => "operation",
            Self::Client => "client",
            Self::Plan => "plan",
            Self::Subscription => "subscription",
            Self::Organisation => "organisation",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.as_str() == text)
    }
}

impl Step {
    pub(super) const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Whole];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Whole => "whole",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }

    pub(super) fn is_hours(self) -> bool {
        self == Self::Hour
    }
}

impl Figures {
    pub fn calls(&self) -> i64 {
        self.served.saturating_add(self.refused).saturating_add(self.failed)
    }

    /// From the head of the request to the head of the answer.
    pub fn mean_micros(&self) -> i64 {
        self.micros.checked_div(self.calls()).unwrap_or(0)
    }

    /// Of ten thousand calls, how many failed.
    pub fn failed_per_10000(&self) -> i64 {
        self.failed.saturating_mul(10_000).checked_div(self.calls()).unwrap_or(0)
    }

    /// Of ten thousand calls, how many were refused.
    pub fn refused_per_10000(&self) -> i64 {
        self.refused.saturating_mul(10_000).checked_div(self.calls()).unwrap_or(0)
    }

    fn add(&mut self, sum: &Sum) {
        let calls = match sum.outcome.as_str() {
            "served" => &mut self.served,
            "refused" => &mut self.refused,
            _ => &mut self.failed,
        };
        *calls = calls.saturating_add(sum.calls);
        self.units = self.units.saturating_add(sum.units);
        self.micros = self.micros.saturating_add(sum.micros);
    }
}

/// By time, then by label. An organisation sees its own, the provider all.
pub async fn report(cx: &mut Cx, question: &Question) -> Result<Vec<Line>, Refused> {
    match &question.organisation {
        None => cx.need(Right::Read)?,
        Some(organisation) => cx.need_for(organisation, Share::See)?,
    }
    let mut lines: Vec<Line> = Vec::new();
    for sum in store::report(cx, question).await? {
        match lines.last_mut().filter(|line| line.begins == sum.begins && line.label == sum.label) {
            Some(line) => line.figures.add(&sum),
            None => {
                let mut figures = Figures::default();
                figures.add(&sum);
                lines.push(Line { begins: sum.begins, label: sum.label, figures });
            }
        }
    }
    Ok(lines)
}

pub(super) fn view(line: &Line) -> Value {
    let figures = &line.figures;
    json!({
        "begins": line.begins, "label": line.label, "calls": figures.calls(), "served": figures.served,
        "refused": figures.refused, "failed": figures.failed, "units": figures.units,
        "meanMicros": figures.mean_micros(),
    })
}

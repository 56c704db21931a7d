//! From records to what is added to the folds.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base::Time;
use catalog::Window;
use catalog::usage::{UsageRecord, Way};

use super::number;

/// Longer names are cut: they come from gateways, and the ledger must be able to hold them.
const LONGEST: usize = 200;
/// The same for what was said about a call.
const LONGEST_WORDS: usize = 1_000;
const DAY: i64 = 86_400_000;
/// A record that is older, or from further ahead, has a wrong clock; it counts at the moment it comes.
const OLDEST: i64 = 400 * DAY;
const AHEAD: i64 = 3_600_000;

const SPANS: [(&str, Window); 4] =
    [("hour", Window::Hour), ("day", Window::Day), ("week", Window::Week), ("month", Window::Month)];

/// A record as the ledger holds it.
pub(super) struct Known<'a> {
    pub record: &'a UsageRecord,
    pub at: i64,
    pub id: Cow<'a, str>,
    pub api: Cow<'a, str>,
    pub operation: Cow<'a, str>,
    pub method: Cow<'a, str>,
    pub client: Option<Cow<'a, str>>,
    pub subscription: Option<Cow<'a, str>>,
    pub plan: Option<Cow<'a, str>>,
    pub reason: Option<Cow<'a, str>>,
    pub organisation: Option<Arc<str>>,
    pub micros: i64,
    /// As JSON.
    pub way: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub calls: i64,
    pub units: i64,
    pub micros: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key<'a> {
    pub start: i64,
    pub organisation: &'a str,
    pub client: &'a str,
    pub subscription: &'a str,
    pub plan: &'a str,
    pub api: &'a str,
    pub operation: &'a str,
    pub outcome: &'static str,
}

/// For the metrics.
#[derive(Debug, PartialEq, Eq)]
pub struct Count {
    pub api: String,
    pub plan: String,
    pub outcome: &'static str,
    pub calls: u64,
    pub units: u64,
}

/// Sorted, so that two transactions never wait for each other's rows.
#[derive(Default)]
pub(super) struct Folds<'a> {
    pub hours: BTreeMap<Key<'a>, Sums>,
    pub days: BTreeMap<Key<'a>, Sums>,
    /// By subscription, span and begin: end, units.
    pub windows: BTreeMap<(&'a str, &'static str, i64), (i64, i64)>,
    /// By subscription, plan and month.
    pub months: BTreeMap<(&'a str, &'a str, i64), Sums>,
}

impl<'a> Known<'a> {
    pub(super) fn new(record: &'a UsageRecord, now: Time, owners: &HashMap<String, Arc<str>>) -> Self {
        let owner = record.subscription.as_ref().or(record.client.as_ref()).and_then(|name| owners.get(name));
        let age = now.ms().saturating_sub(record.at);
        let at = if (-AHEAD..=OLDEST).contains(&age) { record.at } else { now.ms() };
        Self {
            record,
            at,
            id: clean(&record.id),
            api: clean(&record.api),
            operation: clean(&record.operation),
            method: clean(&record.method),
            client: record.client.as_deref().map(clean),
            subscription: record.subscription.as_deref().map(clean),
            plan: record.plan.as_deref().map(clean),
            reason: record.reason.as_deref().map(clean),
            organisation: owner.cloned(),
            micros: number(record.micros).min(DAY * 1000),
            way: record.way.as_deref().and_then(|way| serde_json::to_string(&cleaned(way)).ok()),
        }
    }

    fn key(&self, start: i64) -> Key<'_> {
        Key {
            start,
            organisation: self.organisation.as_deref().unwrap_or_default(),
            client: self.client.as_deref().unwrap_or_default(),
            subscription: self.subscription.as_deref().unwrap_or_default(),
            plan: self.plan.as_deref().unwrap_or_default(),
            api: &self.api,
            operation: &self.operation,
            outcome: self.record.outcome.as_str(),
        }
    }
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.units = self.units.saturating_add(other.units);
        self.micros = self.micros.saturating_add(other.micros);
    }
}

impl<'a> Folds<'a> {
    pub(super) fn of(records: &'a [Known<'a>]) -> Self {
        let mut folds = Self::default();
        for record in records {
            folds.add(record);
        }
        folds
    }

    fn add(&mut self, record: &'a Known<'a>) {
        let units = i64::from(record.record.units);
        let sums = Sums { calls: 1, units, micros: record.micros };
        let (hour, _) = Window::Hour.around(record.at);
        let (day, _) = Window::Day.around(record.at);
        self.hours.entry(record.key(hour)).or_default().add(sums);
        self.days.entry(record.key(day)).or_default().add(sums);
        let Some(subscription) = record.subscription.as_deref() else { return };
        let (month, _) = Window::Month.around(record.at);
        let plan = record.plan.as_deref().unwrap_or_default();
        self.months.entry((subscription, plan, month)).or_default().add(sums);
        if units == 0 {
            return;
        }
        for (word, span) in SPANS {
            let (start, end) = span.around(record.at);
            let (_, used) = self.windows.entry((subscription, word, start)).or_insert((end, 0));
            *used = used.saturating_add(units);
        }
    }

    pub(super) fn counts(&self) -> Vec<Count> {
        let mut counts: BTreeMap<(&str, &str, &'static str), Sums> = BTreeMap::new();
        for (key, sums) in &self.days {
            counts.entry((key.api, key.plan, key.outcome)).or_default().add(*sums);
        }
        let count = |((api, plan, outcome), sums): ((&str, &str, &'static str), Sums)| Count {
            api: api.to_owned(),
            plan: plan.to_owned(),
            outcome,
            calls: super::unsigned(sums.calls),
            units: super::unsigned(sums.units),
        };
        counts.into_iter().map(count).collect()
    }
}

fn cleaned(way: &Way) -> Way {
    let text = |text: &Option<String>| text.as_deref().map(|text| clean(text).into_owned());
    let words = |text: &Option<String>| text.as_deref().map(|text| cut(text, LONGEST_WORDS).into_owned());
    Way {
        token: text(&way.token),
        token_end: text(&way.token_end),
        grant: text(&way.grant),
        verdict: text(&way.verdict),
        policies: text(&way.policies),
        shadowed: text(&way.shadowed),
        told: words(&way.told),
        parts: words(&way.parts),
        ..*way
    }
}

/// Without what a database cannot hold or a page cannot show.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    cut(text, LONGEST)
}

fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest && !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if kept.len() + letter.len_utf8() > longest {
            break;
        }
        kept.push(letter);
    }
    Cow::Owned(kept)
}

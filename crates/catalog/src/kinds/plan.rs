//! `Plan`: what a subscription allows, and what it costs.

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use crate::money::Money;
use crate::words::{Span, TextOr};

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanSpec {
    pub title: String,
    /// Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Names of `Api`s.
    pub apis: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaSpec>,
    #[serde(default)]
    pub mode: LimitMode,
    #[serde(default)]
    pub approval: Approval,
    /// Names of the organisations that may subscribe; empty: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organisations: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceSpec>,
}

/// How fast: so many requests per time, and at most `burst` at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateSpec {
    pub requests: u32,
    /// From `1s` to `24h`.
    pub per: Span,
    /// Default: `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// How many in a calendar window (UTC; weeks begin on Monday).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotaSpec {
    pub requests: u64,
    pub per: Window,
    /// False: what is over is told and counted, not refused.
    #[serde(default = "yes")]
    pub hard: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    Hour,
    Day,
    Week,
    Month,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LimitMode {
    #[default]
    Enforce,
    /// Counted and told to the operator, never refused.
    Shadow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    #[default]
    Automatic,
    Manual,
}

/// The gateway passes over it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceSpec {
    pub currency: Currency,
    /// For each calendar month (UTC) that the subscription was in force in, if only for a moment.
    #[serde(default)]
    pub monthly: Money,
    /// Graduated: each call of a month has the price of the tier that it falls into. One tier without `upTo` is a price per call.
    #[serde(default)]
    pub tiers: Vec<TierSpec>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TierSpec {
    /// The last call of a month that this tier holds for; left out for the last tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<u64>,
    /// For one call.
    pub unit: Money,
}

/// A code of ISO 4217: three capitals.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Currency(String);

impl Currency {
    pub fn parse(text: &str) -> Option<Self> {
        let fine = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        fine.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Digits behind the point in what is paid (ISO 4217).
    pub fn digits(&self) -> u32 {
        match self.0.as_str() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND" | "VUV"
            | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            _ => 2,
        }
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const HELP: &str = "a code of ISO 4217, such as `EUR`";
        let text = deserializer.deserialize_any(TextOr(HELP))?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not {HELP}")))
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["EUR"]})
    }
}

/// So that a rate is counted in whole numbers without end.
const MOST_REQUESTS: u32 = 10_000_000;

impl PlanSpec {
    /// What no single value tells: pointer below `/spec`, and message.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |pointer: &str, message: &str| faults.push((pointer.to_owned(), message.to_owned()));
        if let Some(rate) = &self.rate {
            if rate.requests == 0 {
                fault("/spec/rate/requests", "at least one request is needed; a plan without calls is no plan");
            }
            if rate.burst == Some(0) {
                fault("/spec/rate/burst", "a burst of none lets no request through");
            }
            for (pointer, number) in [("/spec/rate/requests", rate.requests), ("/spec/rate/burst", rate.burst())] {
                if number > MOST_REQUESTS {
                    fault(pointer, "a rate is at most 10000000 requests: beyond that leave it out");
                    break;
                }
            }
            if !(Span::from_secs(1)..=Span::from_secs(86_400)).contains(&rate.per) {
                fault("/spec/rate/per", "a rate is counted over `1s` to `24h`; what is longer is a `quota`");
            }
        }
        if self.quota.as_ref().is_some_and(|quota| quota.requests == 0) {
            fault("/spec/quota/requests", "at least one request is needed; a plan without calls is no plan");
        }
        if let Some(price) = &self.price {
            price.faults(&mut fault);
        }
        faults
    }
}

impl PriceSpec {
    fn faults(&self, fault: &mut impl FnMut(&str, &str)) {
        let mut before = 0;
        let last = self.tiers.len().saturating_sub(1);
        for (at, tier) in self.tiers.iter().enumerate() {
            match tier.up_to {
                None if at == last => {}
                None => fault(&format!("/spec/price/tiers/{at}/upTo"), "only the last tier is without an end"),
                Some(_) if at == last => {
                    fault(&format!("/spec/price/tiers/{at}/upTo"), "the last tier has no end: leave `upTo` out");
                }
                Some(end) if end <= before => {
                    fault(&format!("/spec/price/tiers/{at}/upTo"), "each tier ends behind the one before it");
                }
                Some(end) => before = end,
            }
        }
    }
}

impl RateSpec {
    pub fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.requests)
    }
}

impl Window {
    /// Begin and end (the begin of the next one) of the window that a moment lies in, in milliseconds.
    pub fn around(self, at_ms: i64) -> (i64, i64) {
        const HOUR: i64 = 3_600_000;
        const DAY: i64 = 24 * HOUR;
        let of_length = |length: i64, offset: i64| {
            let begin = at_ms.saturating_sub((at_ms.saturating_sub(offset)).rem_euclid(length));
            (begin, begin.saturating_add(length))
        };
        match self {
            Self::Hour => of_length(HOUR, 0),
            Self::Day => of_length(DAY, 0),
            // The epoch was a Thursday; ISO weeks begin on Monday.
            Self::Week => of_length(7 * DAY, 4 * DAY),
            Self::Month => month(at_ms).unwrap_or_else(|| of_length(30 * DAY, 0)),
        }
    }
}

/// `None` beyond the year 9999.
fn month(at_ms: i64) -> Option<(i64, i64)> {
    let date = Offset::UTC.to_datetime(Timestamp::from_millisecond(at_ms).ok()?).date();
    let first = date.first_of_month();
    let ms = |date: Date| {
        Offset::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok().map(Timestamp::as_millisecond)
    };
    Some((ms(first)?, ms(first.checked_add(1.month()).ok()?)?))
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(window: Window, at: &str, begin: &str, end: &str) {
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(window.around(ms(at)), (ms(begin), ms(end)), "{window:?} {at}");
    }

    #[test]
    fn windows_are_those_of_the_calendar_in_utc() {
        check(Window::Hour, "2026-11-22T03:59:59.999Z", "2026-11-22T03:00:00Z", "2026-11-22T04:00:00Z");
        check(Window::Day, "2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z");
        check(Window::Week, "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
        check(Window::Week, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z");
        check(Window::Month, "2026-12-31T23:59:59.999Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
        check(Window::Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
        check(Window::Week, "1969-12-31T00:00:00Z", "1969-12-29T00:00:00Z", "1970-01-05T00:00:00Z");
    }
}

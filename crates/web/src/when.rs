//! Times for people: how long ago, with the moment itself in the title.

use base::Time;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// A moment as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct When {
    /// `3 hours ago`, `in 5 days`.
    pub relative: String,
    /// `12 March 2026, 14:05 UTC`.
    pub absolute: String,
    /// `12 March 2026`.
    pub date: String,
    /// RFC 3339, for `<time datetime>`.
    pub machine: String,
}

pub fn when(time: Time, now: Time) -> When {
    let at = Timestamp::from_millisecond(time.ms()).unwrap_or_default().to_zoned(TimeZone::UTC);
    When {
        relative: relative(time, now),
        absolute: at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
        date: at.strftime("%-d %B %Y").to_string(),
        machine: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}

fn relative(time: Time, now: Time) -> String {
    /// From how many seconds on a unit is used, and its length.
    const UNITS: &[(u64, u64, &str)] = &[
        (2 * 365 * 86_400, 365 * 86_400, "year"),
        (120 * 86_400, 30 * 86_400, "month"),
        (86_400, 86_400, "day"),
        (3_600, 3_600, "hour"),
        (60, 60, "minute"),
    ];
    let future = time > now;
    let seconds = if future { time.since(now) } else { now.since(time) }.as_secs();
    let Some((_, size, unit)) = UNITS.iter().find(|(from, ..)| seconds >= *from) else {
        return if future { "in less than a minute" } else { "just now" }.to_owned();
    };
    let count = seconds / size;
    let plural = if count == 1 { "" } else { "s" };
    if future { format!("in {count} {unit}{plural}") } else { format!("{count} {unit}{plural} ago") }
}

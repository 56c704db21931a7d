//! Calendar months in UTC.

use std::fmt;
use std::time::Duration;

use base::Time;
use catalog::Window;
use jiff::Timestamp;
use jiff::tz::Offset;

/// A month, by the moment at which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(Time);

impl Month {
    /// The month that a moment lies in.
    pub fn of(at: Time) -> Self {
        Self(Time::from_ms(Window::Month.around(at.ms()).0))
    }

    /// `2026-11`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits =
            text.bytes().enumerate().all(|(at, byte)| if at == 4 { byte == b'-' } else { byte.is_ascii_digit() });
        if text.len() != 7 || !digits {
            return None;
        }
        let first = format!("{text}-01T00:00:00Z").parse::<Timestamp>().ok()?;
        Some(Self(Time::from_ms(first.as_millisecond())))
    }

    pub fn begin(self) -> Time {
        self.0
    }

    /// The begin of the next one.
    pub fn end(self) -> Time {
        Time::from_ms(Window::Month.around(self.0.ms()).1)
    }

    /// The one before.
    #[must_use]
    pub fn previous(self) -> Self {
        Self::of(self.0.minus(Duration::from_millis(1)))
    }

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.end())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(begin) = Timestamp::from_millisecond(self.0.ms()) else { return f.write_str("?") };
        let date = Offset::UTC.to_datetime(begin).date();
        write!(f, "{:04}-{:02}", date.year(), date.month())
    }
}

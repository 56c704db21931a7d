//! Money in whole millionths of a currency's unit: exact, never a float, never out of range unseen.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use crate::words::TextOr;

/// An amount of one currency, written as a decimal text: `"9.00"`, `"0.0005"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i64);

const DECIMALS: u32 = 6;
const ONE: i64 = 1_000_000;
/// A thousand million of the unit; what is more is a slip.
const MOST: i64 = 1_000_000_000 * ONE;

impl Money {
    pub const ZERO: Self = Self(0);

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// A price: digits, maybe a point and at most six digits, without a sign.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || whole.len() > 12 || part.len() > 6 {
            return None;
        }
        let scale = 10_i64.checked_pow(DECIMALS.checked_sub(u32::try_from(part.len()).ok()?)?)?;
        let micros =
            whole.parse::<i64>().ok()?.checked_mul(ONE)?.checked_add(part.parse::<i64>().ok()?.checked_mul(scale)?)?;
        (micros <= MOST).then_some(Self(micros))
    }

    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The price of so many units.
    pub fn checked_mul(self, units: u64) -> Option<Self> {
        self.0.checked_mul(i64::try_from(units).ok()?).map(Self)
    }

    /// To this many digits behind the point (2 for most currencies), half away from zero: once, at the
    /// end of a sum.
    pub fn rounded(self, digits: u32) -> Option<Self> {
        let step = 10_i64.checked_pow(DECIMALS.checked_sub(digits)?)?;
        let half = step.checked_div(2)?;
        let moved = if self.0 < 0 { self.0.checked_sub(half)? } else { self.0.checked_add(half)? };
        moved.checked_div(step)?.checked_mul(step).map(Self)
    }
}

/// With two digits behind the point, or as many more as there are.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.unsigned_abs();
        let (whole, part) = (all / 1_000_000, all % 1_000_000);
        let part = format!("{part:06}");
        let kept = part.trim_end_matches('0').len().max(2);
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}.{}", part.get(..kept).unwrap_or(&part))
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const HELP: &str = "an amount in quotes, with at most six digits behind the point, such as `\"9.00\"`";
        let text = deserializer.deserialize_any(TextOr(HELP))?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not {HELP}")))
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Money {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]{1,12}(\\.[0-9]{1,6})?$", "examples": ["9.00", "0.0005"]})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, micros, shown) in
            [("9", 9_000_000, "9.00"), ("9.00", 9_000_000, "9.00"), ("0.0005", 500, "0.0005"), ("0", 0, "0.00")]
        {
            assert_eq!(Money::parse(text), Some(Money(micros)));
            assert_eq!(Money(micros).to_string(), shown);
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.0000001", "1000000000.01", "9999999999999", " 1"]
        {
            assert_eq!(Money::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_an_amount() {
        assert_eq!(Money(i64::MAX).checked_add(Money(1)), None);
        assert_eq!(Money(2).checked_mul(u64::MAX), None);
        assert_eq!(Money(500).checked_mul(3), Some(Money(1_500)));
    }

    #[test]
    fn a_half_is_rounded_away_from_zero() {
        for (micros, cents) in [(4_999, 0), (5_000, 10_000), (14_999, 10_000), (-5_000, -10_000)] {
            assert_eq!(Money(micros).rounded(2), Some(Money(cents)), "{micros}");
        }
        assert_eq!(Money(1).rounded(7), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(micros in 0..=MOST) {
            prop_assert_eq!(Money::parse(&Money(micros).to_string()), Some(Money(micros)));
        }
    }
}

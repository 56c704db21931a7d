//! What units cost. Whole millionths, checked: an amount that does not fit is none.

use catalog::{Money, PriceSpec};
use serde::{Deserialize, Serialize};

/// Units that fell into one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// The last unit that the tier holds for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<u64>,
    pub units: u64,
    #[serde(with = "signed")]
    pub unit: Money,
    /// Not rounded.
    #[serde(with = "signed")]
    pub amount: Money,
}

/// The tiers that so many units of a month fall into, and what they cost together: rounded once, half away from zero,
/// to the digits of the currency.
pub fn rate(price: &PriceSpec, units: u64) -> Option<(Vec<Tier>, Money)> {
    let mut tiers = Vec::new();
    let mut sum = Money::ZERO;
    let mut below = 0;
    for tier in &price.tiers {
        let end = tier.up_to.unwrap_or(u64::MAX).min(units);
        let within = end.saturating_sub(below);
        if within > 0 {
            let amount = tier.unit.checked_mul(within)?;
            sum = sum.checked_add(amount)?;
            tiers.push(Tier { up_to: tier.up_to, units: within, unit: tier.unit, amount });
        }
        below = below.max(end);
    }
    Some((tiers, sum.rounded(price.currency.digits())?))
}

/// As text, also below nothing.
mod signed {
    use catalog::Money;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(money)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (negative, digits) = text.strip_prefix('-').map_or((false, text.as_str()), |digits| (true, digits));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let wrong = || serde::de::Error::custom("an amount is expected");
        let micros = format!("{whole}{part:0<6}").parse::<i64>().map_err(|_| wrong())?;
        Ok(Money::from_micros(if negative { micros.saturating_neg() } else { micros }))
    }
}

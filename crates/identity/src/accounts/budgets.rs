//! How often a password may be guessed.
//!
//! A guess is counted before its hash is computed, by one statement and in a transaction of its own, so
//! guesses in parallel cannot be more than the budget. Strangers share a budget per account and one per
//! network; a browser that has logged the user in before has one of its own, so that strangers who use up
//! the others do not lock it out. What is stored are keyed hashes.

use std::net::IpAddr;

use base::Time;
use base::ids::UserId;
use store::{StoreError, params};

use super::devices::KnownDevice;
use crate::Cx;

/// One counter.
#[derive(Debug, Clone)]
pub struct Budget {
    key: String,
    limit: u32,
}

/// A guess that has been counted; given back if it was right.
#[derive(Debug, Clone)]
pub struct Counted {
    key: String,
    window_start: Time,
    /// Within the budget.
    pub within: bool,
}

/// The budgets that a guess is counted against.
pub fn for_login(cx: &Cx, username: &str, known: Option<&KnownDevice>) -> Vec<Budget> {
    let limits = cx.identity.config.budgets;
    match known {
        Some(device) => vec![of_device(cx, device)],
        None => vec![
            budget(cx, limits.per_account, &format!("account\n{username}")),
            budget(cx, limits.per_network, &format!("network\n{}", network_prefix(cx.network))),
        ],
    }
}

fn of_device(cx: &Cx, device: &KnownDevice) -> Budget {
    budget(cx, cx.identity.config.budgets.per_known_device, &format!("device\n{}\n{}", device.hash(), device.user_id()))
}

fn budget(cx: &Cx, limit: u32, what: &str) -> Budget {
    Budget { key: jose::hash::base64url(&cx.identity.seal.mac("login budget").tag(what.as_bytes())), limit }
}

/// Counts one guess against a budget.
pub async fn count(cx: &mut Cx, budget: &Budget) -> Result<Counted, StoreError> {
    let sql = "INSERT INTO login_budgets (budget_key, window_start, failures, expires_at) VALUES ($1, $2, 1, $3)
        ON CONFLICT (budget_key) DO UPDATE SET
          failures = CASE WHEN login_budgets.expires_at <= $2 THEN 1 ELSE login_budgets.failures + 1 END,
          window_start = CASE WHEN login_budgets.expires_at <= $2 THEN $2 ELSE login_budgets.window_start END,
          expires_at = CASE WHEN login_budgets.expires_at <= $2 THEN $3 ELSE login_budgets.expires_at END
        RETURNING failures, window_start";
    let end = cx.now.plus(cx.identity.config.budgets.window);
    let row = cx.tx.one(sql, &params![&budget.key, cx.now, end]).await?;
    let row = row.ok_or_else(|| StoreError::Bug("a counted guess has no row".into()))?;
    Ok(Counted {
        key: budget.key.clone(),
        window_start: row.time("window_start")?,
        within: row.int("failures")? <= i64::from(budget.limit),
    })
}

/// The guess was right: it does not count. Others' failures stay counted.
pub async fn give_back(cx: &mut Cx, counted: &Counted) -> Result<(), StoreError> {
    let sql = "UPDATE login_budgets SET failures = failures - 1
        WHERE budget_key = $1 AND window_start = $2 AND failures > 0";
    cx.tx.execute(sql, &params![&counted.key, counted.window_start]).await?;
    Ok(())
}

/// Forgets the failures of one device.
pub async fn forget(cx: &mut Cx, device: &KnownDevice) -> Result<(), StoreError> {
    let key = of_device(cx, device).key;
    cx.tx.execute("DELETE FROM login_budgets WHERE budget_key = $1", &params![key]).await?;
    Ok(())
}

/// What one customer of an Internet provider has: a /24 of IPv4, a /64 of IPv6.
fn network_prefix(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// The key of a user's device budget rests on both, so that one browser of two people has two budgets.
impl KnownDevice {
    fn user_id(&self) -> &UserId {
        &self.user_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_network() {
        let prefix = |text: &str| network_prefix(text.parse().unwrap());

        assert_eq!(prefix("192.0.2.7"), prefix("192.0.2.250"));
        assert_ne!(prefix("192.0.2.7"), prefix("192.0.3.7"));
        assert_eq!(prefix("::ffff:192.0.2.7"), "192.0.2.0/24");
        assert_eq!(prefix("2001:db8:1:2:aaaa::1"), prefix("2001:db8:1:2:bbbb::2"));
        assert_ne!(prefix("2001:db8:1:2::1"), prefix("2001:db8:1:3::1"));
    }
}

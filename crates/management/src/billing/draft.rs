//! From terms, folds and prices to what a month costs.

use std::collections::{BTreeMap, HashMap};

use base::Time;
use catalog::{Currency, Money, PriceSpec};

use super::store::{self, Paid};
use super::{Invoice, Kind, Line, Month, Statement, rate, too_much};
use crate::Cx;
use crate::actor::Share;
use crate::error::Refused;
use crate::plans::{self, Version};
use crate::subscriptions::{self, Term};
use crate::usage::{self, Billed};

/// All that invoices of an organisation rest on.
pub(super) struct Facts {
    pub organisation: String,
    pub terms: Vec<Term>,
    pub used: Vec<Billed>,
    pub versions: HashMap<String, Vec<Version>>,
    /// What has been billed for the calls of a subscription on a plan in a month.
    pub paid: HashMap<(String, String, Month), Paid>,
    /// The last month that was issued, by currency.
    pub last: HashMap<String, Month>,
}

/// What a month costs: the invoices that are issued, drafts of the others.
pub async fn statement(cx: &mut Cx, organisation: &str, month: Month) -> Result<Statement, Refused> {
    cx.need_for(organisation, Share::See)?;
    let facts = Facts::gather(cx, organisation).await?;
    let mut statement = facts.statement(month)?;
    let issued = store::of_month(cx, organisation, month).await?;
    statement.invoices.retain(|draft| issued.iter().all(|one| one.currency != draft.currency));
    statement.invoices.extend(issued);
    statement.invoices.sort_by(|a, b| a.currency.cmp(&b.currency));
    Ok(statement)
}

impl Facts {
    pub(super) async fn gather(cx: &mut Cx, organisation: &str) -> Result<Self, Refused> {
        let (first, end) = (Time::from_ms(i64::MIN), Time::from_ms(i64::MAX));
        let terms = subscriptions::terms(cx, organisation, first, end).await?;
        let used = usage::billed(cx, organisation, first, end).await?;
        let mut versions = HashMap::new();
        for plan in terms.iter().map(|term| &term.plan).chain(used.iter().map(|used| &used.plan)) {
            if !versions.contains_key(plan) {
                let found = plans::versions(cx, plan).await?;
                versions.insert(plan.clone(), found);
            }
        }
        let paid = store::paid(cx, organisation).await?;
        let last = store::last_months(cx, organisation).await?;
        Ok(Self { organisation: organisation.to_owned(), terms, used, versions, paid, last })
    }

    /// The first month that anything happened in.
    pub(super) fn first(&self) -> Option<Month> {
        let terms = self.terms.iter().map(|term| Month::of(term.since));
        terms.chain(self.used.iter().map(|used| Month::of(used.month))).min()
    }

    /// The drafts of a month.
    pub(super) fn statement(&self, month: Month) -> Result<Statement, Refused> {
        let mut by_currency: BTreeMap<Currency, Vec<Line>> = BTreeMap::new();
        let mut free = Vec::new();
        for (currency, line) in self.monthly(month) {
            by_currency.entry(currency).or_default().push(line);
        }
        for used in self.used.iter().filter(|used| Month::of(used.month) == month && used.units > 0) {
            match self.price(&used.subscription, &used.plan, month) {
                None => free.push(self.line(Kind::Usage, used, month)),
                Some(price) => {
                    let (tiers, amount) = rate(price, used.units).ok_or_else(too_much)?;
                    let line = Line { tiers, amount, ..self.line(Kind::Usage, used, month) };
                    by_currency.entry(price.currency.clone()).or_default().push(line);
                }
            }
        }
        for (currency, line) in self.corrections(month)? {
            by_currency.entry(currency).or_default().push(line);
        }
        // What is behind us for good has no draft: its late calls are corrections.
        by_currency.retain(|currency, _| self.last.get(currency.as_str()).is_none_or(|last| month > *last));
        let invoices = by_currency.into_iter().map(|(currency, lines)| self.draft(month, currency, lines));
        Ok(Statement { month, invoices: invoices.collect::<Result<_, _>>()?, free })
    }

    fn draft(&self, month: Month, currency: Currency, mut lines: Vec<Line>) -> Result<Invoice, Refused> {
        lines.sort_by(|a, b| {
            (&a.subscription, a.kind, a.month, &a.plan).cmp(&(&b.subscription, b.kind, b.month, &b.plan))
        });
        let total = lines.iter().try_fold(Money::ZERO, |sum, line| sum.checked_add(line.amount));
        let total = total.ok_or_else(too_much)?;
        Ok(Invoice { issued: None, organisation: self.organisation.clone(), month, currency, lines, total })
    }

    /// For each subscription that was in force, the dearest of its plans.
    fn monthly(&self, month: Month) -> Vec<(Currency, Line)> {
        let mut dearest: BTreeMap<(&str, &Currency), (&Term, Money)> = BTreeMap::new();
        for term in &self.terms {
            let in_force = term.since < month.end() && term.until.is_none_or(|until| until > month.begin());
            let price = in_force.then(|| self.price(&term.subscription, &term.plan, month)).flatten();
            let Some(price) = price.filter(|price| price.monthly > Money::ZERO) else { continue };
            let best = dearest.entry((&term.subscription, &price.currency)).or_insert((term, price.monthly));
            if price.monthly > best.1 {
                *best = (term, price.monthly);
            }
        }
        let line = |((_, currency), (term, amount)): ((&str, &Currency), (&Term, Money))| {
            let line = Line {
                kind: Kind::Monthly,
                month,
                subscription: term.subscription.clone(),
                application: term.application.clone(),
                plan: term.plan.clone(),
                units: 0,
                tiers: Vec::new(),
                amount: amount.rounded(currency.digits()).unwrap_or(amount),
            };
            (currency.clone(), line)
        };
        dearest.into_iter().map(line).collect()
    }

    /// What has come late: for the invoice after the last one that was issued.
    fn corrections(&self, month: Month) -> Result<Vec<(Currency, Line)>, Refused> {
        let mut lines = Vec::new();
        for used in &self.used {
            let of = Month::of(used.month);
            let Some(price) = self.price(&used.subscription, &used.plan, of) else { continue };
            let Some(last) = self.last.get(price.currency.as_str()) else { continue };
            if of > *last || month != last.next() {
                continue;
            }
            let key = (used.subscription.clone(), used.plan.clone(), of);
            let paid = self.paid.get(&key).copied().unwrap_or_default();
            let now = i64::try_from(used.units).map_err(|_| too_much())?;
            if paid.units == now {
                continue;
            }
            let (tiers, full) = rate(price, used.units).ok_or_else(too_much)?;
            let amount = full.checked_sub(paid.amount).ok_or_else(too_much)?;
            let units = now.checked_sub(paid.units).ok_or_else(too_much)?;
            lines
                .push((price.currency.clone(), Line { units, tiers, amount, ..self.line(Kind::Correction, used, of) }));
        }
        Ok(lines)
    }

    /// The price of a plan for a subscription in a month.
    fn price(&self, subscription: &str, plan: &str, month: Month) -> Option<&PriceSpec> {
        let of_plan = self.terms.iter().filter(|term| term.subscription == subscription && term.plan == plan);
        let in_month = |term: &&Term| {
            term.since < month.end() && term.until.is_none_or(|until| until > month.begin() || until == term.since)
        };
        let agreed = of_plan.filter(in_month).map(|term| term.since).min().unwrap_or(month.begin());
        plans::price_at(self.versions.get(plan)?, month.begin(), agreed)
    }

    fn line(&self, kind: Kind, used: &Billed, month: Month) -> Line {
        let application = self.terms.iter().find(|term| term.subscription == used.subscription);
        Line {
            kind,
            month,
            subscription: used.subscription.clone(),
            application: application.map_or_else(String::new, |term| term.application.clone()),
            plan: used.plan.clone(),
            units: i64::try_from(used.units).unwrap_or(i64::MAX),
            tiers: Vec::new(),
            amount: Money::ZERO,
        }
    }
}

//! From draft to invoice: once, whole, and with the next number.

use ::store::StoreError;
use base::ids::RequestId;
use serde_json::json;

use super::draft::Facts;
use super::{Invoice, Issued, Month, amount, store};
use crate::actor::Right;
use crate::audit::{self, Record};
use crate::error::Refused;
use crate::{Cx, subscriptions, usage};

/// Two who issue at once may want the same number; one of them tries again.
const TRIES: usize = 8;

/// Issues the drafts of a month that is over. Nothing to issue is no fault: then there is none.
pub async fn issue(cx: &Cx, organisation: &str, month: Month) -> Result<Vec<Invoice>, Refused> {
    cx.need(Right::Administer)?;
    for _ in 0..TRIES {
        let mut turn = cx.again();
        match once(&mut turn, organisation, month).await {
            Ok(issued) => {
                turn.commit().await?;
                cx.management.metrics.invoices_issued(issued.len());
                return Ok(issued);
            }
            Err(Refused::Store(StoreError::Conflict(_) | StoreError::Contended(_))) => {}
            Err(other) => return Err(other),
        }
    }
    Err(Refused::Conflict("others issue invoices at this moment; try again".to_owned()))
}

/// The same for all organisations: what was issued, and what could not be, by organisation.
pub async fn issue_all(cx: &Cx, month: Month) -> Result<(Vec<Invoice>, Vec<(String, String)>), Refused> {
    cx.need(Right::Administer)?;
    let mut issued = Vec::new();
    let mut not = Vec::new();
    for organisation in subscriptions::organisations(&mut cx.again()).await? {
        match issue(cx, &organisation, month).await {
            Ok(mut more) => issued.append(&mut more),
            Err(Refused::Store(error)) => return Err(error.into()),
            Err(why) => not.push((organisation, why.to_string())),
        }
    }
    Ok((issued, not))
}

async fn once(cx: &mut Cx, organisation: &str, month: Month) -> Result<Vec<Invoice>, Refused> {
    if cx.now < month.end() {
        return Err(Refused::Conflict(format!("{month} is not over yet")));
    }
    // Nothing comes to the ledger until the commit: the invoice knows all up to here, and nothing else.
    let ledger_at = usage::hold(cx).await?;
    let facts = Facts::gather(cx, organisation).await?;
    let drafts = facts.statement(month)?.invoices;
    for draft in &drafts {
        refuse_gap(&facts, draft)?;
    }
    let mut issued = Vec::new();
    for draft in drafts.into_iter().filter(|draft| !draft.lines.is_empty()) {
        let id = RequestId::random().0;
        let Some(number) = store::insert(cx, &id, &draft, ledger_at).await? else {
            return Err(Refused::Conflict(format!("the invoice of {month} is issued already")));
        };
        store::insert_lines(cx, &id, &draft.lines).await?;
        let detail = json!({"number": number, "month": month.to_string(),
            "total": amount(draft.total, &draft.currency), "currency": draft.currency});
        let object = format!("invoice:{id}");
        let organisation = Some(organisation);
        audit::record(cx, Record { act: "invoice.issued", object, organisation, detail }).await?;
        let of_issue = Issued { id, number, at: cx.now, by: cx.actor.to_string(), ledger_at };
        issued.push(Invoice { issued: Some(of_issue), ..draft });
    }
    Ok(issued)
}

/// Months are issued in their order, so that a late call always has one invoice that it belongs to.
fn refuse_gap(facts: &Facts, draft: &Invoice) -> Result<(), Refused> {
    let last = facts.last.get(draft.currency.as_str()).map(|last| last.next());
    let Some(mut month) = last.or(facts.first()) else { return Ok(()) };
    while month < draft.month {
        let open = facts.statement(month)?.invoices;
        if open.iter().any(|one| one.currency == draft.currency && !one.lines.is_empty()) {
            return Err(Refused::Conflict(format!("{month} is not issued yet, and comes first")));
        }
        month = month.next();
    }
    Ok(())
}

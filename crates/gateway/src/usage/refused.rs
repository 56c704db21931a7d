//! What becomes of a batch that management refuses for good: it is sent in halves, until it is known which record is
//! meant; that one is set aside (`aside`), and the rest goes on.

use catalog::usage::{Gap, UsageAnswer};

use super::Usage;
use super::ship::{Failed, Shipper, batch, beside};
use crate::management::NoAnswer;

/// Records that are set aside one behind the other without a pause. When more are refused, it is hardly the records
/// that are wrong, and people get time to look.
const ASIDE_AT_ONCE: u32 = 3;

/// Something of the batch under way is refused for good. What the ledger has of it is done with; of the rest the first
/// half is next, or if it is one record, that is set aside.
pub(super) async fn narrow(
    usage: &Usage,
    mut shipper: Shipper,
    status: u16,
    why: &str,
) -> (Shipper, Result<(), Failed>) {
    // Without records: if that is refused too, it is not for them. And what it wants next tells what it has.
    let wanted = match wanted(usage, &shipper).await {
        Ok(wanted) => wanted,
        Err(error) => return (shipper, Err(error)),
    };
    let pending = shipper.count();
    let Some(known) = wanted.checked_sub(shipper.state.first).filter(|known| *known <= pending) else {
        let renumbered = shipper.renumber(wanted);
        return (shipper, renumbered.map_err(Failed::from).and(Err(NoAnswer::Status(status).into())));
    };
    if known == 0 && pending == 1 {
        return set_aside(usage, shipper, status, why).await;
    }
    // An earlier sending may have arrived, and its answer not.
    let most = usize::try_from(if known > 0 { known } else { pending / 2 }).unwrap_or(1);
    let (mut shipper, result) = beside(shipper, move |shipper| shipper.shorten(most)).await;
    if result.is_ok() && known > 0 {
        let settled = shipper.done(wanted);
        usage.book.settle(&settled, &[]);
    }
    (shipper, result.map_err(Failed::from))
}

async fn set_aside(usage: &Usage, shipper: Shipper, status: u16, why: &str) -> (Shipper, Result<(), Failed>) {
    let (mut shipper, result) = beside(shipper, Shipper::set_aside).await;
    if let Err(error) = result {
        return (shipper, Err(error.into()));
    }
    tell_set_aside(&shipper, status, why);
    // The ledger will never tell it, so the quota does not count it.
    let settled = shipper.settled();
    usage.book.settle(&settled, &[]);
    usage.look_aside().await;
    shipper.refused = shipper.refused.saturating_add(1);
    let many = shipper.refused > ASIDE_AT_ONCE;
    (shipper, if many { Err(Failed::Many) } else { Ok(()) })
}

fn tell_set_aside(shipper: &Shipper, status: u16, why: &str) {
    for record in &shipper.pending {
        tracing::error!(
            request.id = record.id,
            api = record.api,
            subscription = record.subscription,
            units = record.units,
            status,
            why,
            folder = %shipper.log.folder.display(),
            "management refuses a usage record for good: it is set aside, and not counted"
        );
    }
}

async fn wanted(usage: &Usage, shipper: &Shipper) -> Result<u64, Failed> {
    let answer = usage.management.send_usage(&batch(usage, shipper, Vec::new(), 0)).await?;
    if answer.status() == http::StatusCode::CONFLICT {
        let gap: Gap = serde_json::from_slice(answer.body()).map_err(|_| NoAnswer::Unreadable)?;
        return Ok(gap.next);
    }
    let answer: UsageAnswer = serde_json::from_slice(answer.body()).map_err(|_| NoAnswer::Unreadable)?;
    Ok(answer.next)
}

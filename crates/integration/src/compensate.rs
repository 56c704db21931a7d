//! Undoing: when the whole fails, what earlier steps have written is taken back in reverse order.
//!
//! At least once: a step whose request may have arrived is compensated, too, and each compensation is
//! tried several times (it bears that: the compiler asks for an idempotent method or a key). What
//! cannot be undone is told in the report and logged as an error, for a person to see to.

use std::time::Duration;

use expression::Scope;

use crate::caller::Caller;
use crate::composition::Composition;
use crate::input::Subject;
use crate::partial::{Compensated, Outcome, PartReport, Trouble};
use crate::run::Runner;
use crate::step::Sending;

/// Of one compensation, all attempts together. On top of the deadline, which may be over already.
const TIME: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 3;

impl<C: Caller> Runner<C> {
    /// `started`: steps in the order in which they were sent.
    pub(crate) async fn compensate(
        &self,
        composition: &Composition,
        scope: &Scope,
        parts: &[PartReport],
        started: &[usize],
        subject: Option<&Subject>,
    ) -> Vec<Compensated> {
        let mut compensated = Vec::new();
        for at in started.iter().rev() {
            let (Some(step), Some(part)) = (composition.steps.get(*at), parts.get(*at)) else { continue };
            let Some(undo) = &step.compensate else { continue };
            if !may_have_acted(part) {
                continue;
            }
            let mut told = Compensated { step: step.name.clone(), done: false, status: None, error: None, attempts: 0 };
            match undo.render(scope) {
                Err(trouble) => told.error = Some(trouble),
                Ok(request) => {
                    let sending = Sending {
                        target: &undo.target,
                        request,
                        identity: &step.identity,
                        attempts: ATTEMPTS,
                        time: TIME,
                        // Gone already is as good as undone.
                        expect: &[200, 201, 202, 203, 204, 205, 404, 410],
                        max_body: step.max_body,
                        headers: false,
                    };
                    let sent = self.send(sending, subject).await;
                    told.status = sent.status;
                    told.attempts = sent.attempts;
                    // What it says does not matter, only that it did.
                    told.error = sent.result.err().filter(|trouble| *trouble != Trouble::BadAnswer);
                    told.done = told.error.is_none();
                }
            }
            if !told.done {
                tracing::error!(
                    composition.name = %composition.name, step.name = %step.name, error = ?told.error,
                    "a step could not be compensated: its effect may stand"
                );
            }
            compensated.push(told);
        }
        compensated
    }
}

/// A first answer that says no has had no effect; silence may have had one, and so may an attempt
/// before the one that was refused.
fn may_have_acted(part: &PartReport) -> bool {
    let refused = match part.error {
        Some(Trouble::Status) => part.status.is_some_and(|status| (400..500).contains(&status)),
        Some(Trouble::Busy) => true,
        _ => false,
    };
    part.attempts > 0 && (part.outcome == Outcome::Done || part.attempts > 1 || !refused)
}

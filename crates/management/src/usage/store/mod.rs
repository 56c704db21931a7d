//! The tables `gateways` and `usage_…`.

mod bulk;
mod events;
mod push;
mod read;
mod write;

pub(super) use events::{billable, call_by_request, calls, exported, report};
pub(super) use push::{
    begin_push, claim_push, end_push, fail_push, introduce_push, pass_push, place_before, pushes, restart_push,
    stop_push,
};
pub use read::{Billed, Gateway};
pub(super) use read::{billed, changed_up_to, clock, gateway, gateways, totals, used};
pub(super) use write::{
    SWEEP, advance, append, carry_over, fold, has_ended, introduce, note_life, remove_events, remove_folds, tick,
    touch, touch_plan,
};

//! Memory that nobody needs any more goes back to the system, also while nothing happens.

use std::ffi::{c_int, c_long};
use std::time::Duration;

/// How often it is seen to.
pub const EVERY: Duration = Duration::from_secs(10);

/// More than the allocator keeps for the next one who asks.
const BLOCK: usize = 32 * 1024 * 1024;

/// `mi_option_purge_delay` of mimalloc.h: milliseconds that freed memory is kept for the next one who asks.
const PURGE_DELAY: c_int = 15;
/// Long enough for a busy process to use it again, short enough that a start does not leave all that it has touched.
const PURGE_DELAY_MS: c_long = 10;

#[expect(unsafe_code, reason = "a function of the allocator that takes two numbers; its crate does not offer it")]
mod allocator {
    use super::{c_int, c_long};

    unsafe extern "C" {
        pub safe fn mi_option_set_default(option: c_int, value: c_long);
    }
}

/// Before anything is done. `MIMALLOC_PURGE_DELAY` in the environment outranks it.
pub fn set_up() {
    allocator::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS);
}

/// mimalloc hands freed memory back when some thread next lets go of a page. A process that rests lets go of none: it
/// would keep for as long as it rests what its start, or the last login (argon2id takes 19 MiB), has needed. A block
/// that is never touched takes no memory, and counts as one that is let go.
pub fn give_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK)));
}

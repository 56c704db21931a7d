//! Memory that nobody needs any more goes back to the system, also while nothing happens.

use std::time::Duration;

/// How often it is seen to.
pub const EVERY: Duration = Duration::from_secs(10);

/// More than the allocator keeps for the next one who asks.
const BLOCK: usize = 32 * 1024 * 1024;

/// mimalloc keeps what was freed for a second, and hands it back when some thread next lets go of a page. A process
/// that rests lets go of none: it would keep for as long as it rests what its start, or the last login
/// (argon2id takes 19 MiB), has needed. A block that is never touched takes no memory, and counts as one that is let go.
pub fn give_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK)));
}

//! What the rules let pass, with the reason. These lists may only shrink.

/// Path, most lines, why it is one piece.
pub const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Slice folder, why it has no tests of its own.
pub const SLICES_WITHOUT_TESTS: &[(&str, &str)] = &[];

/// Table, the slices that write it, why more than one does.
pub const SHARED_TABLES: &[(&str, &[&str], &str)] = &[];

/// Source file, why SQL that writes stands in it and not in a `store.rs`.
pub const SQL_ELSEWHERE: &[(&str, &str)] = &[
    ("crates/identity/src/accounts/budgets.rs", "a small module with a table of its own"),
    ("crates/identity/src/accounts/devices.rs", "a small module with a table of its own"),
    ("crates/identity/src/handles/sets.rs", "a small module with a table of its own"),
    ("crates/identity/src/housekeeping.rs", "one list of what expires, and when it goes"),
];

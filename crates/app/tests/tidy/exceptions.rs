//! What the rules let pass, with the reason. These lists may only shrink.

/// Path, most lines, why it is one piece.
pub const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Slice folder, why it has no tests of its own.
pub const SLICES_WITHOUT_TESTS: &[(&str, &str)] = &[];

/// Table, the slices that write it, why more than one does.
pub const SHARED_TABLES: &[(&str, &[&str], &str)] = &[
    ("authorization_codes", &["identity/codes", "identity/housekeeping"], EXPIRED),
    ("event_streams", &["identity/events", "identity/housekeeping"], EXPIRED),
    ("events", &["identity/events", "identity/housekeeping"], EXPIRED),
    ("grants", &["identity/grants", "identity/housekeeping"], EXPIRED),
];

const EXPIRED: &str = "housekeeping removes what has expired, by one list";

/// Source file, why SQL that writes stands in it.
pub const SQL_ELSEWHERE: &[(&str, &str)] = &[
    ("crates/identity/src/handles/sets.rs", "the table of one small module, beside its cache"),
    ("crates/identity/src/housekeeping.rs", EXPIRED),
];

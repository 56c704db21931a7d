//! What the rules let pass, with the reason. These lists may only shrink.

/// Path, most lines, why it is one piece.
pub const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Slice folder, why it has no tests of its own.
pub const SLICES_WITHOUT_TESTS: &[(&str, &str)] = &[
    ("crates/gateway/src/edge", "the sockets are tested from outside, on loopback"),
    ("crates/gateway/src/upstreams", "the pool is tested from outside, with scripted upstreams"),
];

/// Table, the slices that write it, why more than one does.
pub const SHARED_TABLES: &[(&str, &[&str], &str)] = &[];

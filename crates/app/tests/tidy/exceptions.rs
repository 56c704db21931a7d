//! What the rules let pass, with the reason. These lists may only shrink.

/// Path, most lines, why it is one piece.
pub const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Slice folder, the file where its rules are tested, or why nowhere in its pillar.
pub const SLICES_WITHOUT_TESTS: &[(&str, &str)] = &[
    ("crates/entitlement/src/attributes", "crates/entitlement/src/tests/attributes.rs"),
    ("crates/entitlement/src/decisions", "crates/entitlement/src/tests/decisions.rs"),
    ("crates/entitlement/src/evaluate", "crates/entitlement/src/tests/certification.rs"),
    ("crates/entitlement/src/policies", "crates/entitlement/src/tests/administration.rs"),
    ("crates/identity/src/audit", "crates/identity/src/tests/audit.rs"),
    ("crates/identity/src/clients", "crates/identity/src/tests/clients.rs"),
    ("crates/identity/src/codes", "crates/identity/src/tests/token_endpoint.rs"),
    ("crates/identity/src/discovery", "crates/identity/src/tests/metadata.rs"),
    ("crates/identity/src/events", "crates/identity/src/tests/feed.rs"),
    ("crates/identity/src/grants", "crates/identity/src/tests/grants.rs"),
    ("crates/identity/src/introspect", "crates/identity/src/tests/introspection.rs"),
    ("crates/identity/src/revoke", "crates/identity/src/tests/revocation.rs"),
    ("crates/identity/src/token", "crates/identity/src/tests/token_endpoint.rs"),
    ("crates/identity/src/userinfo", "crates/identity/src/tests/revocation.rs"),
];

/// Test files with `#[ignore]`, and why: it starts itself as another process.
pub const SELF_STARTING: &[&str] = &["crates/app/tests/handover.rs"];

/// Table, the slices that write it, why more than one does.
pub const SHARED_TABLES: &[(&str, &[&str], &str)] = &[];

/// Source file, why SQL that writes stands in it and not in a `store.rs`.
pub const SQL_ELSEWHERE: &[(&str, &str)] = &[
    ("crates/identity/src/accounts/budgets.rs", "a small module with a table of its own"),
    ("crates/identity/src/accounts/devices.rs", "a small module with a table of its own"),
    ("crates/identity/src/handles/sets.rs", "a small module with a table of its own"),
    ("crates/identity/src/housekeeping.rs", "one list of what expires, and when it goes"),
];

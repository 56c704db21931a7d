//! The house rules that no lint knows: who may use whom, who may name which library, who owns which
//! table, and what no file of the project says. A rule gives findings, one line each, and its test
//! shows them all at once. The lists of exceptions may only shrink: one that is not needed is a finding.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken assumption about our own files should stop the test"
)]

#[path = "tidy/crates.rs"]
mod crates;
#[path = "tidy/exceptions.rs"]
mod exceptions;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/sql.rs"]
mod sql;
#[path = "tidy/text.rs"]
mod text;

fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}\n  {}\n", findings.join("\n  "));
}

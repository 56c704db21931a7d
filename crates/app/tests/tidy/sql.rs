//! Rules over SQL in the source: one writer for each table, and one text for both databases.

use std::collections::{BTreeMap, BTreeSet};

use crate::assert_none;
use crate::exceptions::{SHARED_TABLES, SQL_ELSEWHERE};
use crate::files::{File, project};

#[test]
fn every_table_is_written_by_one_slice() {
    let mut writers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in project() {
        let Some(slice) = slice(file) else { continue };
        let code = file.code();
        // It removes what has expired, from one list, and must do nothing else.
        if slice.ends_with("/housekeeping") && !code.contains("INSERT INTO") && !code.contains("UPDATE ") {
            continue;
        }
        for table in written(&code) {
            writers.entry(table).or_default().insert(slice.clone());
        }
    }

    let mut findings = Vec::new();
    for (table, _, _) in SHARED_TABLES.iter().filter(|(table, _, _)| !writers.contains_key(*table)) {
        findings.push(format!("`{table}` is written by nobody, drop its exception"));
    }
    for (table, slices) in &writers {
        let excused = SHARED_TABLES.iter().find(|(name, _, _)| name == table);
        let allowed = |slice: &String| excused.is_some_and(|(_, by, _)| by.contains(&slice.as_str()));
        if slices.len() > 1 && !slices.iter().all(allowed) {
            findings.push(format!("`{table}` is written by {slices:?}"));
        }
        if slices.len() == 1 && excused.is_some() {
            findings.push(format!("`{table}` has one writer now, drop its exception"));
        }
    }
    assert_none("each table is written by one slice", &findings);
}

#[test]
fn sql_is_portable_and_stands_in_store_files() {
    let mut findings = Vec::new();
    for (path, _) in SQL_ELSEWHERE {
        if !project().iter().any(|file| file.path == *path && !written(&file.code()).is_empty()) {
            findings.push(format!("{path}: needs no exception any more, drop it"));
        }
    }
    for file in project() {
        let Some((name, below)) = file.source() else { continue };
        if file.is_test() || name == "store" {
            continue;
        }
        let code = file.code();
        let at_home = below.ends_with("store.rs") || below.contains("/store/") || below.contains("migrations");
        let excused = SQL_ELSEWHERE.iter().any(|(path, _)| *path == file.path);
        if !at_home && !excused && !written(&code).is_empty() {
            findings.push(format!("{}: SQL that writes belongs to a store.rs", file.path));
        }
        for dialect in ["INSERT OR ", "AUTOINCREMENT", "datetime('now'", "::jsonb", "SERIAL PRIMARY", "SELECT * "] {
            if code.contains(dialect) {
                findings.push(format!("{}: `{dialect}` is not for both databases, or not said by name", file.path));
            }
        }
    }
    assert_none("one SQL text for SQLite and PostgreSQL", &findings);
}

/// The slice a source file belongs to: the folder below `src`, or the file itself.
fn slice(file: &File) -> Option<String> {
    let (name, below) = file.source()?;
    if file.is_test() {
        return None;
    }
    let first = below.split('/').next()?.trim_end_matches(".rs");
    Some(format!("{name}/{first}"))
}

/// The tables that SQL in this code writes.
fn written(code: &str) -> BTreeSet<String> {
    let words: Vec<&str> =
        code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).collect();
    let mut tables = BTreeSet::new();
    for three in words.windows(3) {
        let table = match (three[0], three[1], three[2]) {
            ("INSERT", "INTO", table) | ("DELETE", "FROM", table) => table,
            ("UPDATE", table, "SET") => table,
            _ => continue,
        };
        tables.insert(table.to_owned());
    }
    tables
}

#[test]
fn writing_sql_is_recognised() {
    let code = r#"
        tx.execute("INSERT INTO codes (id) VALUES ($1)");
        tx.execute("UPDATE grants \
                    SET epoch = epoch + 1 WHERE id = $1");
        tx.execute("DELETE FROM sessions WHERE id = $1");
        tx.query("SELECT id FROM clients FOR UPDATE OF clients");
    "#;

    let tables = written(code);

    assert_eq!(tables, BTreeSet::from(["codes".to_owned(), "grants".to_owned(), "sessions".to_owned()]));
}

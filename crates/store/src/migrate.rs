//! Which migrations are to run: rules over data, the same for both engines.
//!
//! Migrations go forward only. What ran is kept with its whole text, so that a changed or unknown
//! one is noticed before anything is read or written.

use crate::StoreError;

/// One step of a schema: several statements in one text, run in one transaction.
///
/// The text must be portable: TEXT and BIGINT columns; keys written `NOT NULL`; constraints that
/// hold at once (a deferred one could fail the commit of a transaction that shares it).
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    pub version: i64,
    pub name: &'static str,
    pub sql: &'static str,
}

/// The bookkeeping itself, and the tables of `jobs`, are a series of their own.
pub(crate) const OWN_SERIES: &str = "store";
pub(crate) const USER_SERIES: &str = "product";

pub(crate) const TABLE: &str = "CREATE TABLE IF NOT EXISTS store_migrations (
    series TEXT NOT NULL,
    version BIGINT NOT NULL,
    name TEXT NOT NULL,
    sql TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    PRIMARY KEY (series, version)
)";
pub(crate) const APPLIED: &str = "SELECT version, sql FROM store_migrations WHERE series = $1 ORDER BY version";
pub(crate) const APPLY: &str =
    "INSERT INTO store_migrations (series, version, name, sql, applied_at) VALUES ($1, $2, $3, $4, $5)";

/// The tables of this crate.
pub(crate) const OWN: &[Migration] = &[crate::jobs::MIGRATION];

pub(crate) struct Applied {
    pub version: i64,
    pub sql: String,
}

/// The migrations of `known` that have not run yet.
pub(crate) fn pending<'a>(applied: &[Applied], known: &'a [Migration]) -> Result<Vec<&'a Migration>, StoreError> {
    check(known)?;
    let newest_known = known.last().map_or(0, |migration| migration.version);
    let newest_applied = applied.last().map_or(i64::MIN, |migration| migration.version);
    for old in applied {
        match known.iter().find(|migration| migration.version == old.version) {
            Some(migration) if migration.sql == old.sql => {}
            None if old.version > newest_known => {
                return Err(StoreError::Newer { found: newest_applied, known: newest_known });
            }
            _ => return Err(StoreError::Changed { version: old.version }),
        }
    }

    let pending: Vec<_> = known.iter().filter(|new| applied.iter().all(|old| old.version != new.version)).collect();
    if pending.iter().any(|migration| migration.version < newest_applied) {
        return Err(StoreError::bug("a migration was added before one that has run"));
    }
    Ok(pending)
}

fn check(known: &[Migration]) -> Result<(), StoreError> {
    let rising = known.iter().zip(known.iter().skip(1)).all(|(a, b)| a.version < b.version);
    if !rising {
        return Err(StoreError::bug("the versions of migrations must rise"));
    }
    match known.iter().find(|migration| migration.sql.to_ascii_uppercase().contains("INITIALLY DEFERRED")) {
        Some(migration) => Err(StoreError::bug(format!("migration {} has a deferred constraint", migration.version))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Migration = Migration { version: 1, name: "one", sql: "CREATE TABLE a (id TEXT NOT NULL)" };
    const TWO: Migration = Migration { version: 2, name: "two", sql: "CREATE TABLE b (id TEXT NOT NULL)" };

    fn applied(migrations: &[Migration]) -> Vec<Applied> {
        migrations.iter().map(|m| Applied { version: m.version, sql: m.sql.to_owned() }).collect()
    }

    #[test]
    fn only_what_has_not_run_is_pending() {
        let versions = |old: &[Migration]| -> Vec<i64> {
            pending(&applied(old), &[ONE, TWO]).unwrap().iter().map(|m| m.version).collect()
        };

        assert_eq!(versions(&[]), [1, 2]);
        assert_eq!(versions(&[ONE]), [2]);
        assert_eq!(versions(&[ONE, TWO]), [0; 0]);
    }

    #[test]
    fn a_newer_database_is_refused() {
        let error = pending(&applied(&[ONE, TWO]), &[ONE]).unwrap_err();

        assert!(matches!(error, StoreError::Newer { found: 2, known: 1 }));
    }

    #[test]
    fn a_changed_or_removed_migration_is_refused() {
        let changed = Migration { sql: "CREATE TABLE a (id BIGINT NOT NULL)", ..ONE };

        assert!(matches!(pending(&applied(&[ONE]), &[changed]), Err(StoreError::Changed { version: 1 })));
        assert!(matches!(pending(&applied(&[ONE]), &[TWO]), Err(StoreError::Changed { version: 1 })));
    }

    #[test]
    fn migrations_only_go_forward() {
        assert!(matches!(pending(&[], &[TWO, ONE]), Err(StoreError::Bug(_))));
        assert!(matches!(pending(&applied(&[TWO]), &[ONE, TWO]), Err(StoreError::Bug(_))));
    }

    #[test]
    fn deferred_constraints_are_refused() {
        let deferred = Migration { sql: "CREATE TABLE c (a TEXT REFERENCES a (id) initially deferred)", ..ONE };

        assert!(matches!(pending(&[], &[deferred]), Err(StoreError::Bug(_))));
    }
}

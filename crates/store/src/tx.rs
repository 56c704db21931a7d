//! A transaction.

use crate::db::{Db, Engine};
use crate::{Row, StoreError, Value, postgres, sqlite};

/// A transaction: begun by its first write, ended by [`Tx::commit`], rolled back when dropped.
///
/// Between the first write and the commit nothing else may be waited for: others wait meanwhile, and a
/// transaction that stays open too long is rolled back. After a failed statement the transaction can
/// only be dropped (so at PostgreSQL, therefore so at SQLite): use `ON CONFLICT` where a conflict is expected.
pub struct Tx {
    engine: EngineTx,
    topics: Vec<&'static str>,
    failed: bool,
}

enum EngineTx {
    Sqlite(sqlite::Tx),
    Postgres(postgres::Tx),
}

/// What a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Rows,
    Count,
    /// Rows of a statement that must not change anything.
    Read,
}

pub(crate) enum Answer {
    Rows(Vec<Row>),
    Count(u64),
}

impl Tx {
    pub(crate) fn new(db: &Db) -> Self {
        let engine = match &db.engine {
            Engine::Sqlite(db) => EngineTx::Sqlite(sqlite::Tx::new(db.clone())),
            Engine::Postgres(db) => EngineTx::Postgres(postgres::Tx::new(db.clone())),
        };
        Self { engine, topics: Vec::new(), failed: false }
    }

    /// Runs a statement that may write, and returns its rows (`… RETURNING`).
    pub async fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        rows(self.run(sql, params, Want::Rows).await?)
    }

    /// As [`Tx::query`], for a statement that touches at most one row.
    pub async fn one(&mut self, sql: &'static str, params: &[Value]) -> Result<Option<Row>, StoreError> {
        let rows = self.query(sql, params).await?;
        self.at_most_one(sql, rows)
    }

    /// Runs a statement and returns how many rows it changed.
    pub async fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, StoreError> {
        match self.run(sql, params, Want::Count).await? {
            Answer::Count(count) => Ok(count),
            Answer::Rows(_) => Err(StoreError::bug("rows where a count was asked for")),
        }
    }

    /// Runs a pure SELECT. Before the first write it takes no turn and sees what is committed at that moment;
    /// after it, it sees the transaction's own changes.
    pub async fn read(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        rows(self.run(sql, params, Want::Read).await?)
    }

    pub async fn read_one(&mut self, sql: &'static str, params: &[Value]) -> Result<Option<Row>, StoreError> {
        let rows = self.read(sql, params).await?;
        self.at_most_one(sql, rows)
    }

    /// Wakes those who watch `topic`, when this transaction has been committed.
    pub fn notify(&mut self, topic: &'static str) {
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
    }

    /// The number of the writer that this transaction has (it takes one now if it has none).
    ///
    /// Transactions that run at the same time in one process have different numbers, so that chains kept per
    /// writer do not queue behind one row. SQLite has one writer: 0.
    pub async fn lane(&mut self) -> Result<i64, StoreError> {
        match &mut self.engine {
            EngineTx::Sqlite(_) => Ok(0),
            EngineTx::Postgres(tx) => tx.lane().await,
        }
    }

    /// Returns only when the changes are durable. Without changes it returns when all that it saw is durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::bug("commit after a failed statement"));
        }
        match self.engine {
            EngineTx::Sqlite(tx) => tx.commit(self.topics).await,
            EngineTx::Postgres(tx) => tx.commit(self.topics).await,
        }
    }

    async fn run(&mut self, sql: &'static str, params: &[Value], want: Want) -> Result<Answer, StoreError> {
        if self.failed {
            return Err(StoreError::bug("a statement after a failed statement"));
        }
        // A statement whose future was dropped half way counts as failed too.
        self.failed = true;
        if params.iter().any(|value| matches!(value, Value::Text(text) if text.contains('\0'))) {
            return Err(StoreError::Invalid);
        }
        let answer = match &mut self.engine {
            EngineTx::Sqlite(tx) => tx.run(sql, params, want).await?,
            EngineTx::Postgres(tx) => tx.run(sql, params, want).await?,
        };
        self.failed = false;
        Ok(answer)
    }

    fn at_most_one(&mut self, sql: &'static str, mut rows: Vec<Row>) -> Result<Option<Row>, StoreError> {
        let row = rows.pop();
        if rows.is_empty() {
            return Ok(row);
        }
        self.failed = true;
        Err(StoreError::bug(format!("more than one row from: {sql}")))
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("topics", &self.topics).field("failed", &self.failed).finish_non_exhaustive()
    }
}

fn rows(answer: Answer) -> Result<Vec<Row>, StoreError> {
    match answer {
        Answer::Rows(rows) => Ok(rows),
        Answer::Count(_) => Err(StoreError::bug("a count where rows were asked for")),
    }
}

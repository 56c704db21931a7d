//! Many rows by one statement: a statement costs a turn of the writer, a row does not.

use std::fmt::Write as _;

use store::{StoreError, Tx, Value};

/// Few sizes, so that each is prepared once.
const SIZES: [usize; 3] = [64, 8, 1];

pub(super) struct Bulk {
    columns: usize,
    statements: [(usize, String); 3],
}

impl Bulk {
    /// `head` ends before the rows (`INSERT INTO … VALUES`), `tail` begins behind them (`ON CONFLICT …`).
    pub(super) fn new(head: &str, columns: usize, tail: &str) -> Self {
        Self { columns, statements: SIZES.map(|rows| (rows, statement(head, rows, columns, tail))) }
    }

    /// `values`: one row after the other.
    pub(super) async fn run(&'static self, tx: &mut Tx, values: &[Value]) -> Result<(), StoreError> {
        let mut rest = values;
        for (rows, sql) in &self.statements {
            while let Some((now, later)) = rest.split_at_checked(rows * self.columns).filter(|(now, _)| !now.is_empty())
            {
                tx.execute(sql, now).await?;
                rest = later;
            }
        }
        Ok(())
    }
}

fn statement(head: &str, rows: usize, columns: usize, tail: &str) -> String {
    let mut sql = head.to_owned();
    for row in 0..rows {
        sql.push_str(if row == 0 { " (" } else { ", (" });
        for column in 1..=columns {
            let comma = if column == 1 { "" } else { ", " };
            // Writing to a text cannot fail.
            let _ = write!(sql, "{comma}${}", row * columns + column);
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
}

//! Rows of answers, read by column name.

use std::sync::Arc;

use base::Time;

use crate::{StoreError, Value};

pub(crate) type Columns = Arc<[Box<str>]>;

/// One row. A wrong column name or type is a mistake of the program, never of the data.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Columns,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn new(columns: Columns, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    pub fn text(&self, column: &str) -> Result<&str, StoreError> {
        self.opt_text(column)?.ok_or_else(|| wrong(column, "is null, and a text was asked for"))
    }

    /// The text as a value of its own; for ids too (`row.string("id")?.into()`).
    pub fn string(&self, column: &str) -> Result<String, StoreError> {
        self.text(column).map(str::to_owned)
    }

    pub fn int(&self, column: &str) -> Result<i64, StoreError> {
        self.opt_int(column)?.ok_or_else(|| wrong(column, "is null, and an integer was asked for"))
    }

    pub fn time(&self, column: &str) -> Result<Time, StoreError> {
        self.int(column).map(Time::from_ms)
    }

    pub fn opt_text(&self, column: &str) -> Result<Option<&str>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Int(_) => Err(wrong(column, "is an integer, and a text was asked for")),
        }
    }

    pub fn opt_string(&self, column: &str) -> Result<Option<String>, StoreError> {
        Ok(self.opt_text(column)?.map(str::to_owned))
    }

    pub fn opt_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Int(int) => Ok(Some(*int)),
            Value::Text(_) => Err(wrong(column, "is a text, and an integer was asked for")),
        }
    }

    pub fn opt_time(&self, column: &str) -> Result<Option<Time>, StoreError> {
        Ok(self.opt_int(column)?.map(Time::from_ms))
    }

    fn value(&self, column: &str) -> Result<&Value, StoreError> {
        let at = self.columns.iter().position(|name| &**name == column);
        at.and_then(|at| self.values.get(at)).ok_or_else(|| wrong(column, "is not in the answer"))
    }
}

fn wrong(column: &str, what: &str) -> StoreError {
    StoreError::bug(format!("column `{column}` {what}"))
}

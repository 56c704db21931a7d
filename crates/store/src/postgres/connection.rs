//! One connection: its settings, its prepared statements, and values over the wire.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::errors::meaning;
use super::server::{Server, no_answer, within};
use crate::row::{Columns, Row};
use crate::tx::{Answer, Want};
use crate::{StoreError, Value};

pub(super) struct Connection {
    client: Client,
    patience: Duration,
    /// The server did not answer in time; what it says later belongs to nobody.
    silent: AtomicBool,
    prepared: Mutex<HashMap<&'static str, Prepared>>,
}

#[derive(Clone)]
struct Prepared {
    statement: Statement,
    columns: Columns,
}

impl Connection {
    /// Connects, and runs `settings` there.
    pub(super) async fn open(server: &Server, settings: &str) -> Result<Self, StoreError> {
        let (client, connection) = server.connect().await?;
        // The driver of the connection; it ends when the client is dropped or the server goes.
        // Its error is seen by whoever waits for an answer.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let patience = server.patience;
        let this = Self { client, patience, silent: AtomicBool::new(false), prepared: Mutex::default() };
        this.control(settings).await?;
        Ok(this)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.silent.load(Ordering::Acquire)
    }

    /// Statements without parameters or answer. They are sent when this is first polled, and are not
    /// taken back when it is dropped.
    pub(super) async fn control(&self, sql: &str) -> Result<(), StoreError> {
        let done = within(self.patience, self.client.batch_execute(sql)).await;
        done.ok_or_else(|| self.gone_silent())?.map_err(|error| meaning(&error))
    }

    pub(super) async fn run(&self, sql: &'static str, values: &[Value], want: Want) -> Result<Answer, StoreError> {
        let answer = within(self.patience, self.try_run(sql, values, want)).await;
        let answer = answer.unwrap_or_else(|| Err(self.gone_silent()));
        if let Err(StoreError::Contended(_)) = &answer {
            // Maybe its plan is out of date: prepare it anew next time.
            self.prepared.lock().unwrap_or_else(PoisonError::into_inner).remove(sql);
        }
        answer.map_err(|error| match error {
            StoreError::Bug(cause) => StoreError::bug(format!("{cause} in: {sql}")),
            other => other,
        })
    }

    async fn try_run(&self, sql: &'static str, values: &[Value], want: Want) -> Result<Answer, StoreError> {
        let Prepared { statement, columns } = self.prepare(sql).await?;
        if statement.params().len() != values.len() {
            return Err(StoreError::bug(format!("{} parameters", values.len())));
        }
        let params: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| -> &(dyn ToSql + Sync) { value }).collect();
        if want == Want::Count {
            let count = self.client.execute(&statement, &params).await;
            return count.map(Answer::Count).map_err(|error| meaning(&error));
        }
        let rows = self.client.query(&statement, &params).await.map_err(|error| meaning(&error))?;
        let rows = rows.iter().map(|row| decode(row, &columns)).collect::<Result<_, _>>()?;
        Ok(Answer::Rows(rows))
    }

    fn gone_silent(&self) -> StoreError {
        self.silent.store(true, Ordering::Release);
        no_answer()
    }

    async fn prepare(&self, sql: &'static str) -> Result<Prepared, StoreError> {
        let known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(prepared) = known {
            return Ok(prepared);
        }
        let statement = self.client.prepare(sql).await.map_err(|error| meaning(&error))?;
        let names: Vec<Box<str>> = statement.columns().iter().map(|column| column.name().into()).collect();
        let prepared = Prepared { statement, columns: names.into() };
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, prepared.clone());
        Ok(prepared)
    }
}

/// Integers of all sizes and truth values (`EXISTS …`) are integers, as at SQLite.
fn decode(row: &tokio_postgres::Row, columns: &Columns) -> Result<Row, StoreError> {
    let mut values = Vec::with_capacity(row.len());
    for (at, column) in row.columns().iter().enumerate() {
        let int = |number: Option<i64>| number.map_or(Value::Null, Value::Int);
        let value = match *column.type_() {
            Type::INT8 => row.try_get(at).map(int),
            Type::INT4 => row.try_get::<_, Option<i32>>(at).map(|number| int(number.map(i64::from))),
            Type::INT2 => row.try_get::<_, Option<i16>>(at).map(|number| int(number.map(i64::from))),
            Type::BOOL => row.try_get::<_, Option<bool>>(at).map(|truth| int(truth.map(i64::from))),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
                row.try_get::<_, Option<String>>(at).map(|text| text.map_or(Value::Null, Value::Text))
            }
            ref other => {
                let (name, other) = (column.name(), other.name());
                return Err(StoreError::bug(format!("column `{name}` is {other}: cast it to BIGINT or TEXT")));
            }
        };
        values.push(value.map_err(|error| meaning(&error))?);
    }
    Ok(Row::new(columns.clone(), values))
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, ty) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Int(int), &Type::INT8) => int.to_sql(ty, out),
            (Self::Int(int), &Type::INT4) => i32::try_from(*int)?.to_sql(ty, out),
            (Self::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR | &Type::NAME | &Type::UNKNOWN) => {
                text.to_sql(ty, out)
            }
            (Self::Int(_), other) => Err(format!("an integer where {other} is needed").into()),
            (Self::Text(_), other) => Err(format!("a text where {other} is needed").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

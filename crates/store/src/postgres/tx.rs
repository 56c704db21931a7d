//! The engine's half of a transaction.

use std::sync::Arc;

use base::time::Stopwatch;
use futures_util::FutureExt as _;
use futures_util::future::join;

use super::Postgres;
use super::pool::Lease;
use crate::tx::{Answer, Want};
use crate::{StoreError, Value};

pub(crate) struct Tx {
    db: Arc<Postgres>,
    lease: Option<Lease>,
    /// Since when the transaction is open at the server.
    begun: Option<Stopwatch>,
}

impl Tx {
    pub(crate) fn new(db: Arc<Postgres>) -> Self {
        Self { db, lease: None, begun: None }
    }

    pub(crate) async fn run(&mut self, sql: &'static str, params: &[Value], want: Want) -> Result<Answer, StoreError> {
        if let (Some(lease), Some(begun)) = (&self.lease, &self.begun) {
            if begun.elapsed() >= self.db.hold {
                return Err(held_too_long());
            }
            let answer = match lease.connection() {
                Ok(connection) => connection.run(sql, params, want).await,
                Err(error) => Err(error),
            };
            return answer.map_err(|error| cut(error, begun, self.db.hold));
        }
        if want == Want::Read {
            return self.db.pool.read(sql, params).await;
        }
        self.take_lease().await?;
        match self.first(sql, params, want).await {
            // The connection was lost before it was known. Nothing was committed, so it can be done again.
            Err(StoreError::Unavailable(_)) if self.lost_connection() => {
                self.take_lease().await?;
                self.first(sql, params, want).await
            }
            other => other,
        }
    }

    pub(crate) async fn lane(&mut self) -> Result<i64, StoreError> {
        self.take_lease().await?;
        Ok(self.lease.as_ref().map_or(0, Lease::number))
    }

    pub(crate) async fn commit(mut self, topics: Vec<&'static str>) -> Result<(), StoreError> {
        let mut sql = String::new();
        for topic in &topics {
            sql.push_str(&format!("SELECT pg_notify('{}', '{}'); ", self.db.channel, topic.replace('\'', "''")));
        }
        let Some(begun) = self.begun else {
            // Nothing was written: there may be something to tell, but nothing to make durable.
            if !sql.is_empty() {
                self.take_lease().await?;
                self.connection()?.control(&sql).await?;
                self.tell_here(&topics);
            }
            return Ok(());
        };
        if begun.elapsed() >= self.db.hold {
            return Err(held_too_long());
        }
        sql.push_str("COMMIT");
        let done = match self.connection() {
            Ok(connection) => connection.control(&sql).await,
            Err(error) => Err(error),
        };
        done.map_err(|error| cut(error, &begun, self.db.hold))?;
        self.begun = None;
        self.tell_here(&topics);
        Ok(())
    }

    /// Whoever has committed sees it now, and does not wait for the server's echo.
    fn tell_here(&self, topics: &[&'static str]) {
        for topic in topics {
            self.db.topics.bump(topic);
        }
    }

    /// BEGIN and the first statement, sent together.
    async fn first(&mut self, sql: &'static str, params: &[Value], want: Want) -> Result<Answer, StoreError> {
        self.begun = Some(Stopwatch::start());
        let connection = self.connection()?;
        let (begin, answer) = join(connection.control("BEGIN"), connection.run(sql, params, want)).await;
        begin.and(answer)
    }

    async fn take_lease(&mut self) -> Result<(), StoreError> {
        let mut lease = match self.lease.take() {
            Some(lease) => lease,
            None => self.db.pool.lease().await?,
        };
        self.db.pool.connect(&mut lease).await?;
        self.lease = Some(lease);
        Ok(())
    }

    fn connection(&self) -> Result<&super::connection::Connection, StoreError> {
        self.lease.as_ref().ok_or_else(|| StoreError::bug("no connection was taken"))?.connection()
    }

    fn lost_connection(&self) -> bool {
        self.connection().is_err()
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if self.begun.is_none() {
            return;
        }
        // Polled once, which sends it; whoever has the connection next is served after it. If the connection is
        // lost, the server rolls back by itself.
        if let Ok(connection) = self.connection() {
            let _ = connection.control("ROLLBACK").now_or_never();
        }
    }
}

/// The server cuts a transaction that idles by closing its connection.
fn cut(error: StoreError, begun: &Stopwatch, hold: std::time::Duration) -> StoreError {
    match error {
        StoreError::Unavailable(cause) if begun.elapsed() >= hold => StoreError::TimedOut(cause),
        other => other,
    }
}

fn held_too_long() -> StoreError {
    StoreError::TimedOut("the transaction was open for too long".into())
}

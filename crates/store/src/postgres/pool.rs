//! Connections: numbered ones for writers, one transaction at a time; shared ones for reads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};

use super::connection::Connection;
use super::server::Server;
use crate::tx::{Answer, Want};
use crate::{Limits, StoreError, Value};

pub(super) struct Pool {
    server: Arc<Server>,
    writer_settings: String,
    reader_settings: String,
    wait: Duration,
    permits: Arc<Semaphore>,
    slots: Arc<Mutex<Vec<Slot>>>,
    readers: Vec<AsyncMutex<Option<Arc<Connection>>>>,
    next_reader: AtomicUsize,
    closed: AtomicBool,
}

/// A writer's place. Its connection is made when first needed, and made anew when lost.
struct Slot {
    number: i64,
    connection: Option<Box<Connection>>,
}

/// A slot that belongs to one transaction; it goes back when dropped.
pub(super) struct Lease {
    slot: Option<Slot>,
    slots: Arc<Mutex<Vec<Slot>>>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(server: Arc<Server>, schema: &str, limits: Limits) -> Self {
        let common = format!(
            "SET search_path TO \"{schema}\"; SET client_min_messages TO warning;
             SET default_transaction_isolation TO 'read committed'"
        );
        // Acknowledged means durable, also where the server's default is not.
        let durable = "SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') = 'off'";
        let hold = limits.hold.as_millis();
        let wait = limits.wait.as_millis();
        let writers = limits.writers.max(1);
        // The lowest number is taken first: from the end.
        let numbers = (0..i64::try_from(writers).unwrap_or(i64::MAX)).rev();
        let slots = numbers.map(|number| Slot { number, connection: None });
        Self {
            server,
            writer_settings: format!(
                "{common}; {durable}; SET statement_timeout TO {hold};
                 SET idle_in_transaction_session_timeout TO {hold}"
            ),
            reader_settings: format!(
                "{common}; SET statement_timeout TO {wait}; SET default_transaction_read_only TO on"
            ),
            wait: limits.wait,
            permits: Arc::new(Semaphore::new(writers)),
            slots: Arc::new(Mutex::new(slots.collect())),
            readers: (0..limits.readers.max(1)).map(|_| AsyncMutex::default()).collect(),
            next_reader: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) async fn lease(&self) -> Result<Lease, StoreError> {
        let permit = match tokio::time::timeout(self.wait, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(closed()),
            Err(_) => return Err(StoreError::unavailable("waited too long for a connection")),
        };
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let lease = Lease { slot, slots: self.slots.clone(), _permit: permit };
        if lease.slot.is_none() {
            return Err(StoreError::bug("a permit without a connection"));
        }
        Ok(lease)
    }

    /// Makes sure that the lease has a connection that is not known to be lost.
    pub(super) async fn connect(&self, lease: &mut Lease) -> Result<(), StoreError> {
        if lease.connection().is_ok() {
            return Ok(());
        }
        let connection = Connection::open(&self.server, &self.writer_settings).await?;
        if let Some(slot) = &mut lease.slot {
            slot.connection = Some(Box::new(connection));
        }
        Ok(())
    }

    /// Runs a SELECT by itself, among others on the same connection.
    pub(super) async fn read(&self, sql: &'static str, params: &[Value]) -> Result<Answer, StoreError> {
        let connection = self.reader().await?;
        match connection.run(sql, params, Want::Read).await {
            // The connection was lost before it was known; reading again is harmless.
            Err(StoreError::Unavailable(_)) if connection.is_closed() => {
                self.reader().await?.run(sql, params, Want::Read).await
            }
            Err(StoreError::Full(cause)) => {
                Err(StoreError::bug(format!("`read` with a statement that writes: {cause}")))
            }
            other => other,
        }
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END AS standby";
        let Answer::Rows(rows) = self.read(sql, &[]).await? else {
            return Err(StoreError::bug("a ping without rows"));
        };
        match rows.first().map(|row| row.int("standby")).transpose()? {
            Some(0) => Ok(()),
            _ => Err(StoreError::Full("the server is a standby".into())),
        }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.permits.close();
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for reader in &self.readers {
            if let Ok(mut reader) = reader.try_lock() {
                *reader = None;
            }
        }
    }

    async fn reader(&self) -> Result<Arc<Connection>, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let at = turn.checked_rem(self.readers.len()).unwrap_or(0);
        let Some(reader) = self.readers.get(at) else { return Err(StoreError::bug("no readers")) };
        let mut reader = reader.lock().await;
        if let Some(connection) = reader.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = Arc::new(Connection::open(&self.server, &self.reader_settings).await?);
        *reader = Some(connection.clone());
        Ok(connection)
    }
}

impl Lease {
    pub(super) fn number(&self) -> i64 {
        self.slot.as_ref().map_or(0, |slot| slot.number)
    }

    pub(super) fn connection(&self) -> Result<&Connection, StoreError> {
        let connection = self.slot.as_ref().and_then(|slot| slot.connection.as_deref());
        connection
            .filter(|connection| !connection.is_closed())
            .ok_or_else(|| StoreError::unavailable("connection lost"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            // Before the permit goes back, so that whoever gets it finds a slot.
            self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        }
    }
}

fn closed() -> StoreError {
    StoreError::unavailable("the database was closed")
}

//! SQLite: one writer thread that shares commits between transactions, and several reading threads.

mod connection;
mod reader;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::topics::Topics;
use crate::tx::{Answer, Want};
use crate::{Limits, Migration, StoreError, Value};

/// Another process that opens the same new file needs some milliseconds.
const OPENING_TRIES: usize = 500;
const OPENING_PAUSE: Duration = Duration::from_millis(10);

/// One statement, on its way to a thread.
struct Run {
    sql: &'static str,
    params: Vec<Value>,
    want: Want,
    reply: oneshot::Sender<Result<Answer, StoreError>>,
}

/// What a transaction says to the writer while it has the turn.
enum Command {
    Run(Run),
    Commit { topics: Vec<&'static str>, reply: oneshot::Sender<Result<(), StoreError>> },
}

/// A transaction that waits for its turn to write.
struct Turn {
    commands: mpsc::Receiver<Command>,
    cut: Arc<AtomicBool>,
}

/// What queues at a thread. `Close` is answered by ending, although senders are still alive.
enum Queued<T> {
    Next(T),
    Close,
}

pub(crate) struct Sqlite {
    turns: mpsc::Sender<Queued<Turn>>,
    reads: mpsc::Sender<Queued<Run>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    wait: Duration,
    readers: usize,
}

impl Sqlite {
    pub(crate) async fn open(
        path: &Path,
        migrations: &[Migration],
        limits: Limits,
        topics: Topics,
    ) -> Result<Self, StoreError> {
        for _ in 0..OPENING_TRIES {
            let (path, migrations, topics) = (path.to_owned(), migrations.to_vec(), topics.clone());
            let opened = tokio::task::spawn_blocking(move || Self::start(&path, &migrations, limits, topics)).await;
            if let Some(opened) = opened.map_err(|error| StoreError::bug(error.to_string()))?? {
                return Ok(opened);
            }
            tokio::time::sleep(OPENING_PAUSE).await;
        }
        Err(StoreError::unavailable("another process keeps the file locked"))
    }

    fn start(
        path: &Path,
        migrations: &[Migration],
        limits: Limits,
        topics: Topics,
    ) -> Result<Option<Self>, StoreError> {
        let Some(mut writer) = connection::open(path)? else { return Ok(None) };
        connection::migrate(&mut writer, migrations)?;

        let mut threads = Vec::new();
        let (turns, turn_queue) = mpsc::channel();
        let writer = writer::Writer::new(writer, turn_queue, topics, limits.hold);
        threads.push(spawn("store-writer", move || writer.run())?);

        let (reads, read_queue) = mpsc::channel();
        let read_queue = Arc::new(Mutex::new(read_queue));
        let readers = limits.readers.max(1);
        for _ in 0..readers {
            let connection = connection::open_reader(path)?;
            let queue = read_queue.clone();
            threads.push(spawn("store-reader", move || reader::run(connection, &queue))?);
        }
        Ok(Some(Self { turns, reads, threads: Mutex::new(threads), wait: limits.wait, readers }))
    }

    pub(crate) async fn ping(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut tx = Tx::new(self.clone());
        tx.run("SELECT 1 AS one", &[], Want::Rows).await?;
        tx.commit(Vec::new()).await
    }

    pub(crate) async fn close(&self) {
        // A send fails only where the thread has ended already.
        let _ = self.turns.send(Queued::Close);
        for _ in 0..self.readers {
            let _ = self.reads.send(Queued::Close);
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        })
        .await;
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(body).map_err(|error| StoreError::unavailable(format!("no thread for the database: {error}")))
}

/// The engine's half of a transaction.
pub(crate) struct Tx {
    db: Arc<Sqlite>,
    turn: Option<Held>,
}

/// The turn to write, asked for or held.
struct Held {
    commands: mpsc::Sender<Command>,
    cut: Arc<AtomicBool>,
}

impl Tx {
    pub(crate) fn new(db: Arc<Sqlite>) -> Self {
        Self { db, turn: None }
    }

    pub(crate) async fn run(&mut self, sql: &'static str, params: &[Value], want: Want) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        let run = Run { sql, params: params.to_vec(), want, reply };
        if let Some(held) = &self.turn {
            held.commands.send(Command::Run(run)).map_err(|_| held.lost())?;
            return answer.await.map_err(|_| held.lost())?;
        }
        if want == Want::Read {
            self.db.reads.send(Queued::Next(run)).map_err(|_| closed())?;
        } else {
            self.ask_for_turn(Command::Run(run))?;
        }
        match tokio::time::timeout(self.db.wait, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(StoreError::unavailable("waited too long for a turn")),
        }
    }

    pub(crate) async fn commit(mut self, topics: Vec<&'static str>) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let commit = Command::Commit { topics, reply };
        if let Some(held) = &self.turn {
            held.commands.send(commit).map_err(|_| held.lost())?;
            return answer.await.map_err(|_| held.lost())?;
        }
        let Command::Commit { topics, .. } = &commit else { return Ok(()) };
        if topics.is_empty() {
            return Ok(());
        }
        self.ask_for_turn(commit)?;
        answer.await.map_err(|_| closed())?
    }

    fn ask_for_turn(&mut self, first: Command) -> Result<(), StoreError> {
        let (commands, queue) = mpsc::channel();
        let held = Held { commands, cut: Arc::default() };
        held.commands.send(first).map_err(|_| closed())?;
        let turn = Turn { commands: queue, cut: held.cut.clone() };
        self.db.turns.send(Queued::Next(turn)).map_err(|_| closed())?;
        self.turn = Some(held);
        Ok(())
    }
}

impl Held {
    fn lost(&self) -> StoreError {
        if self.cut.load(Ordering::Acquire) {
            return StoreError::TimedOut("held the turn to write for too long".into());
        }
        closed()
    }
}

fn closed() -> StoreError {
    StoreError::unavailable("the database was closed")
}

//! The thread that writes: group commit.
//!
//! Transactions have the turn one after the other, each inside a savepoint; several share one COMMIT, and
//! each is told of its success only after it. A batch ends when nobody waits for the turn, after
//! [`BATCH_TIME`], or at [`BATCH_SIZE`] transactions: a lonely transaction waits for nobody.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use base::time::Stopwatch;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::connection::{Runner, meaning};
use super::{Command, Queued, Run, Turn};
use crate::StoreError;
use crate::topics::Topics;
use crate::tx::Answer;

const BATCH_SIZE: usize = 256;
const BATCH_TIME: Duration = Duration::from_millis(3);
/// How long a batch waits for one more transaction, while it is smaller than the batch before: those who
/// have just been answered are about to come back.
const COMPANY: Duration = Duration::from_micros(300);

pub(super) struct Writer {
    runner: Runner,
    turns: Receiver<Queued<Turn>>,
    topics: Topics,
    hold: Duration,
    /// Done, and waiting for the COMMIT that makes them durable.
    pending: Vec<Pending>,
    last_batch: usize,
    closed: bool,
}

struct Pending {
    topics: Vec<&'static str>,
    reply: oneshot::Sender<Result<(), StoreError>>,
}

impl Writer {
    pub(super) fn new(connection: Connection, turns: Receiver<Queued<Turn>>, topics: Topics, hold: Duration) -> Self {
        let runner = Runner::new(connection);
        Self { runner, turns, topics, hold, pending: Vec::new(), last_batch: 0, closed: false }
    }

    pub(super) fn run(mut self) {
        while let Ok(Queued::Next(turn)) = self.turns.recv() {
            let started = Stopwatch::start();
            let mut next = Some(turn);
            while let Some(turn) = next {
                self.serve(&turn);
                next = self.next(&started);
            }
            self.finish_batch();
            if self.closed {
                return;
            }
        }
    }

    /// The next transaction of this batch, or none if the batch is to be committed now.
    fn next(&mut self, started: &Stopwatch) -> Option<Turn> {
        let left = BATCH_TIME.saturating_sub(started.elapsed());
        if self.pending.len() >= BATCH_SIZE || left.is_zero() {
            return None;
        }
        let queued = match self.turns.try_recv() {
            Err(TryRecvError::Empty) if self.pending.len() < self.last_batch => {
                self.turns.recv_timeout(left.min(COMPANY)).ok()
            }
            other => other.ok(),
        };
        match queued {
            Some(Queued::Next(turn)) => Some(turn),
            Some(Queued::Close) => {
                self.closed = true;
                None
            }
            None => None,
        }
    }

    /// Gives one transaction its turn, from its first command to its end.
    fn serve(&mut self, turn: &Turn) {
        let held = Stopwatch::start();
        let mut state = None;
        loop {
            let command = match turn.commands.recv_timeout(self.hold.saturating_sub(held.elapsed())) {
                Ok(command) => command,
                Err(end) => {
                    if end == RecvTimeoutError::Timeout {
                        turn.cut.store(true, Ordering::Release);
                        tracing::warn!("a transaction held the turn to write for too long and was rolled back");
                    }
                    return self.roll_back(state);
                }
            };
            let state = state.get_or_insert_with(|| self.open());
            match command {
                // Whoever gave up while waiting for the turn wants nothing written.
                Command::Run(run) if run.reply.is_closed() => *state = Err(gone()),
                Command::Run(run) => self.statement(run, state),
                Command::Commit { topics, reply } => {
                    let state = state.clone();
                    return self.end(state, Pending { topics, reply });
                }
            }
        }
    }

    fn open(&mut self) -> Result<(), StoreError> {
        if self.runner.connection.is_autocommit() {
            self.control("BEGIN IMMEDIATE")?;
        }
        self.control("SAVEPOINT turn")
    }

    fn statement(&mut self, run: Run, state: &mut Result<(), StoreError>) {
        let answer = match state {
            Ok(()) => self.runner.run(run.sql, &run.params, run.want),
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = &answer {
            *state = Err(error.clone());
            self.notice_lost_batch(error);
        }
        let _: Result<(), Result<Answer, StoreError>> = run.reply.send(answer);
    }

    fn end(&mut self, state: Result<(), StoreError>, done: Pending) {
        match state.clone().and_then(|()| self.control("RELEASE turn")) {
            Ok(()) => self.pending.push(done),
            Err(error) => {
                self.roll_back(Some(state));
                let _ = done.reply.send(Err(error));
            }
        }
    }

    /// Takes back what the transaction with the turn has done, and only that.
    fn roll_back(&mut self, state: Option<Result<(), StoreError>>) {
        if state.is_none() || self.runner.connection.is_autocommit() {
            return;
        }
        // If `open` failed after BEGIN there is no savepoint; then there is nothing to take back either.
        if let Err(error) = self.control("ROLLBACK TO turn").and_then(|()| self.control("RELEASE turn")) {
            tracing::warn!(error = %error, cause = std::error::Error::source(&error), "a rollback failed");
            self.lose_batch(&error);
        }
    }

    fn finish_batch(&mut self) {
        if self.runner.connection.is_autocommit() {
            return;
        }
        match self.control("COMMIT") {
            Ok(()) => {
                self.last_batch = self.pending.len();
                for done in self.pending.drain(..) {
                    for topic in &done.topics {
                        self.topics.bump(topic);
                    }
                    let _ = done.reply.send(Ok(()));
                }
            }
            Err(error) => self.lose_batch(&error),
        }
    }

    /// Some errors (a full disk, a failed read) make SQLite roll back the whole batch by itself.
    fn notice_lost_batch(&mut self, error: &StoreError) {
        if self.runner.connection.is_autocommit() {
            self.lose_batch(error);
        }
    }

    fn lose_batch(&mut self, error: &StoreError) {
        tracing::error!(error = %error, cause = std::error::Error::source(error), "a commit failed");
        if !self.runner.connection.is_autocommit() {
            // If this fails too, the next BEGIN says so.
            let _ = self.control("ROLLBACK");
        }
        for lost in self.pending.drain(..) {
            let _ = lost.reply.send(Err(error.clone()));
        }
    }

    fn control(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let connection = &self.runner.connection;
        let run = || connection.prepare_cached(sql)?.raw_execute();
        run().map(|_| ()).map_err(|error| meaning(&error))
    }
}

fn gone() -> StoreError {
    StoreError::unavailable("the caller has gone")
}

//! A thread that reads: each statement sees what is committed when it starts.

use std::sync::{Mutex, PoisonError, mpsc};

use rusqlite::Connection;

use super::connection::Runner;
use super::{Queued, Run};

pub(super) fn run(connection: Connection, queue: &Mutex<mpsc::Receiver<Queued<Run>>>) {
    let mut runner = Runner::new(connection);
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Queued::Next(run)) = next else { return };
        if run.reply.is_closed() {
            continue;
        }
        let answer = runner.run(run.sql, &run.params, run.want);
        // The asker may have gone; then nobody needs the answer.
        let _ = run.reply.send(answer);
    }
}

//! Hears of the commits of all processes (LISTEN/NOTIFY), on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_postgres::{AsyncMessage, Client};

use super::errors::meaning;
use super::server::{Server, no_answer, within};
use crate::StoreError;
use crate::topics::Topics;

/// How often a silent connection is asked whether it is alive, and how long it may think.
const CHECK_EVERY: Duration = Duration::from_secs(10);
const CHECK_WITHIN: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Listener(AbortHandle);

/// One connection; dropping it ends it.
struct Ear {
    client: Client,
    driver: JoinHandle<()>,
}

impl Listener {
    /// Returns when the server listens, so that no later commit is missed.
    pub(super) async fn start(server: Arc<Server>, channel: &str, topics: Topics) -> Result<Self, StoreError> {
        let listen = format!("LISTEN \"{channel}\"");
        let ear = Ear::open(&server, &listen, &topics).await?;
        let task = tokio::spawn(keep_listening(server, listen, topics, ear));
        Ok(Self(task.abort_handle()))
    }

    pub(super) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn keep_listening(server: Arc<Server>, listen: String, topics: Topics, mut ear: Ear) {
    loop {
        ear.until_deaf().await;
        tracing::warn!("the connection that listens to PostgreSQL was lost; connecting again");
        let mut pause = FIRST_PAUSE;
        ear = loop {
            match Ear::open(&server, &listen, &topics).await {
                Ok(ear) => break ear,
                Err(error) => tracing::debug!(error = %error, "PostgreSQL cannot be reached"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        // Something may have been said meanwhile.
        topics.bump_all();
    }
}

impl Ear {
    async fn open(server: &Server, listen: &str, topics: &Topics) -> Result<Self, StoreError> {
        let (client, mut connection) = server.connect().await?;
        let topics = topics.clone();
        let driver = tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(notification) = message {
                    topics.bump(notification.payload());
                }
            }
        });
        let ear = Self { client, driver };
        let listening = within(server.patience, ear.client.batch_execute(listen)).await;
        listening.ok_or_else(no_answer)?.map_err(|error| meaning(&error))?;
        Ok(ear)
    }

    /// Returns when nothing more can be heard.
    async fn until_deaf(&mut self) {
        loop {
            tokio::select! {
                _ = &mut self.driver => return,
                () = tokio::time::sleep(CHECK_EVERY) => {}
            }
            let check = tokio::time::timeout(CHECK_WITHIN, self.client.batch_execute(""));
            if !matches!(check.await, Ok(Ok(()))) {
                return;
            }
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

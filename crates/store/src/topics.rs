//! Counters of commits by topic, so that a reader can sleep until something it cares for has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

#[derive(Clone, Default)]
pub(crate) struct Topics(Arc<Mutex<HashMap<String, watch::Sender<u64>>>>);

impl Topics {
    pub(crate) fn watch(&self, topic: &str) -> watch::Receiver<u64> {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        topics.entry(topic.to_owned()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    pub(crate) fn bump(&self, topic: &str) {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = topics.get(topic) {
            sender.send_modify(|count| *count += 1);
        }
    }

    /// After a gap in listening: anything may have been missed.
    pub(crate) fn bump_all(&self) {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in topics.values() {
            sender.send_modify(|count| *count += 1);
        }
    }
}

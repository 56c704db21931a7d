//! Single flight: however many ask about one token at the same time, one question is sent.
//!
//! The question runs on the shared runtime, since those who wait live on threads of their own; when
//! they go away, it goes on for the others. Who asks after the answer has come in starts a new one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::NoFacts;
use super::cache::{Entry, Key};

pub(crate) type Answer = Result<Arc<Entry>, NoFacts>;

#[derive(Debug, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Key, watch::Receiver<Option<Answer>>>>>);

impl Flights {
    /// Waits for the answer to the question that is under way, or has `start` make one. `start` is
    /// called under the lock and only makes the future; `None` = no more questions at once.
    pub async fn join<F>(&self, runtime: &Handle, key: Key, start: impl FnOnce() -> Option<F>) -> Answer
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let mut answer = {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.get(&key) {
                Some(answer) => answer.clone(),
                None => {
                    let Some(question) = start() else { return Err(NoFacts::Busy) };
                    let (sender, answer) = watch::channel(None);
                    flights.insert(key, answer.clone());
                    let landing = Landing { flights: Arc::clone(&self.0), key };
                    runtime.spawn(async move {
                        let answer = question.await;
                        // Before it is told: whoever asks from here on asks anew.
                        drop(landing);
                        let _nobody_waits = sender.send(Some(answer));
                    });
                    answer
                }
            }
        };
        let told = answer.wait_for(Option::is_some).await;
        // The sender is gone without an answer only when its task was ended with the runtime.
        told.ok().and_then(|told| told.clone()).unwrap_or(Err(NoFacts::Unavailable("the question was ended")))
    }
}

/// Takes the flight off the list, also when its task is dropped half way.
struct Landing {
    flights: Arc<Mutex<HashMap<Key, watch::Receiver<Option<Answer>>>>>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

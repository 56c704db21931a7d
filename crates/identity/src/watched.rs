//! A picture of some rows, kept in memory until a commit notifies their topic.

use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use store::{Db, StoreError, Tx};
use tokio::sync::{Mutex, watch};

/// Read again at the first use after a commit of this process, or of another one, notified the topic;
/// so whoever uses it after a commit sees that commit, and no task has to run for it.
pub struct Watched<T> {
    counter: watch::Receiver<u64>,
    picture: ArcSwapOption<Picture<T>>,
    loading: Mutex<()>,
}

struct Picture<T> {
    count: u64,
    value: Arc<T>,
}

impl<T> Watched<T> {
    pub fn new(db: &Db, topic: &'static str) -> Self {
        Self { counter: db.watch(topic), picture: ArcSwapOption::empty(), loading: Mutex::new(()) }
    }

    pub async fn get<F, Fut>(&self, db: &Db, load: F) -> Result<Arc<T>, StoreError>
    where
        F: FnOnce(Tx) -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        if let Some(value) = self.fresh() {
            return Ok(value);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(value) = self.fresh() {
            return Ok(value);
        }
        // Counted before the rows are read: a commit in between is seen twice rather than never.
        let count = *self.counter.borrow();
        let value = Arc::new(load(db.begin()).await?);
        self.picture.store(Some(Arc::new(Picture { count, value: value.clone() })));
        Ok(value)
    }

    /// Reads again at the next use: a notification can be lost while the connection that hears them is down.
    pub fn forget(&self) {
        self.picture.store(None);
    }

    fn fresh(&self) -> Option<Arc<T>> {
        let picture = self.picture.load();
        let picture = picture.as_ref()?;
        (picture.count == *self.counter.borrow()).then(|| picture.value.clone())
    }
}

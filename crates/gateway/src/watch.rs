//! Loads anew when files change: told by the operating system, and by looking every two seconds, since
//! some file systems tell nothing.

use std::path::Path;
use std::sync::Weak;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::loader::Loader;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Editors write in several steps.
const SETTLE: Duration = Duration::from_millis(50);

pub(crate) async fn watch(loader: Weak<Loader>, path: Option<std::path::PathBuf>) {
    let (told, mut changes) = mpsc::channel(1);
    let _watcher = path.as_deref().and_then(|path| watcher(path, told.clone()));
    loop {
        let told = tokio::time::timeout(LOOK_EVERY, changes.recv()).await;
        if told.is_ok() {
            tokio::time::sleep(SETTLE).await;
            while changes.try_recv().is_ok() {}
        }
        let Some(loader) = loader.upgrade() else { return };
        let looked = tokio::task::spawn_blocking(move || {
            let changed = loader.changed();
            (loader, changed)
        });
        let Ok((loader, Some(first))) = looked.await else { continue };
        // A file that is being written is no set yet: it is read when it has come to rest.
        tokio::time::sleep(SETTLE).await;
        let looked = tokio::task::spawn_blocking(move || {
            if loader.changed().as_ref() == Some(&first) {
                let _faults_are_logged_and_kept = loader.reload();
            }
        });
        if looked.await.is_err() {
            tracing::error!("looking at the files of resources has failed");
        }
    }
}

fn watcher(path: &Path, told: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |_event| {
        // One word in the box is enough.
        let _full = told.try_send(());
    })
    .ok()?;
    // The folder, since editors and mounts replace files instead of writing them.
    let folder = if path.is_dir() { path } else { path.parent()? };
    watcher.watch(folder, RecursiveMode::Recursive).ok()?;
    Some(watcher)
}

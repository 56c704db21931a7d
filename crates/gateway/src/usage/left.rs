//! What other processes have left in their folders, shipped by the one that runs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Usage;
use super::log::{Log, slots};
use super::ship::{Shipper, ship_all};

/// Folders that other processes have left with something in them.
pub(super) async fn find(usage: &Usage, own: &std::path::Path, left: &mut Vec<Shipper>) {
    let folder = usage.folder.clone();
    let mut known: Vec<PathBuf> = left.iter().map(|shipper| shipper.log.folder.clone()).collect();
    known.push(own.to_owned());
    let max_bytes = usage.config.max_bytes;
    let found = tokio::task::spawn_blocking(move || -> io::Result<Vec<Shipper>> {
        let mut found = Vec::new();
        for slot in slots(&folder)?.into_iter().filter(|slot| !known.contains(slot)) {
            let Some(log) = Log::adopt(&slot, max_bytes)? else { continue };
            let mut shipper = Shipper::open(Arc::new(log), false, |_| {})?;
            shipper.take_back()?;
            if shipper.log.unshipped() > 0 {
                found.push(shipper);
            } else if shipper.state.ends.is_none() {
                shipper.tidy()?;
            }
        }
        Ok(found)
    });
    match found.await {
        Ok(Ok(found)) => left.extend(found),
        Ok(Err(error)) => tracing::warn!(cause = %error, "folders of earlier processes cannot be looked through"),
        Err(_) => {}
    }
}

pub(super) async fn ship(usage: &Usage, left: Vec<Shipper>, seen: &mut u64) -> Vec<Shipper> {
    let mut rest = Vec::new();
    for shipper in left {
        let (shipper, result) = ship_all(usage, shipper, seen).await;
        if let Err(error) = result {
            tracing::warn!(cause = %error, "usage of an earlier process cannot be shipped now");
            rest.push(shipper);
        }
    }
    rest
}

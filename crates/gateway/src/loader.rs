//! Where resources come from: files of the operator, and a set that was applied; and the last good of
//! both, which serves when they are bad (also at a start with everything else down).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use arc_swap::{ArcSwapOption, Guard};
use catalog::published::Published;
use catalog::{Change, Fault, Resource, Source, changes, export, parse};
use serde::Serialize;

use crate::files;
use crate::phantom::World;
use crate::published;
use crate::secrets::{Secrets, reason};
use crate::snapshot::{Live, Plan, Version};

pub(crate) struct Loader {
    live: ArcSwapOption<Live>,
    /// One load at a time.
    turn: Mutex<()>,
    count: AtomicU64,
    /// The faults of the last load; empty = it was good.
    faults: Mutex<Arc<[Fault]>>,
    seen: Mutex<Vec<Seen>>,
    /// File or folder of the operator.
    path: Option<PathBuf>,
    /// What management has published and was good.
    published: Mutex<Arc<Published>>,
    /// `gateway` in the data folder.
    folder: PathBuf,
    public_url: String,
    secrets: Secrets,
    world: World,
}

/// A file as it was when it was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    path: PathBuf,
    changed: Option<std::time::SystemTime>,
    bytes: u64,
}

impl Seen {
    fn look(path: PathBuf) -> Self {
        let found = fs::metadata(&path).ok();
        let changed = found.as_ref().and_then(|found| found.modified().ok());
        Self { path, changed, bytes: found.map_or(0, |found| found.len()) }
    }
}

/// What `apply` has done, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct Applied {
    pub version: Option<Version>,
    pub changes: Vec<Change>,
}

/// How a set is applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyMode {
    /// What was applied before and is not in this set is removed.
    pub prune: bool,
    /// Only say what would change.
    pub dry_run: bool,
}

const LAST_GOOD: &str = "last-good.yaml";
const PUBLISHED: &str = "published.json";
const APPLIED: &str = "applied.yaml";
const MAX_FILES: usize = 10_000;
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
const MAX_DEPTH: usize = 8;

impl Loader {
    pub fn new(path: Option<PathBuf>, folder: PathBuf, public_url: String, secrets: Secrets, world: World) -> Self {
        Self {
            live: ArcSwapOption::empty(),
            turn: Mutex::new(()),
            count: AtomicU64::new(0),
            faults: Mutex::new(Arc::new([])),
            seen: Mutex::default(),
            path,
            published: Mutex::default(),
            folder,
            public_url,
            secrets,
            world,
        }
    }

    pub fn live(&self) -> Guard<Option<Arc<Live>>> {
        self.live.load()
    }

    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    pub fn faults(&self) -> Arc<[Fault]> {
        Arc::clone(&self.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads what there is; where that is bad, what was good last.
    pub fn start(&self) {
        if let Some(published) = self.read_published() {
            *self.published.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(published);
        }
        let Err(faults) = self.reload() else { return };
        let path = self.folder.join(LAST_GOOD);
        let Ok(text) = fs::read_to_string(&path) else {
            tracing::error!(
                faults = faults.len(),
                "no resources are served: the set is refused, and none was good before"
            );
            return;
        };
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match parse(LAST_GOOD, &text).and_then(|resources| self.build(resources, &self.published())) {
            Ok(live) => {
                tracing::warn!(faults = faults.len(), "the set is refused; the last good one is served");
                self.live.store(Some(Arc::new(live)));
            }
            Err(_) => tracing::error!("no resources are served: neither the set nor the last good one can be used"),
        }
    }

    /// Reads files and applied set anew and serves them, if all of it is good.
    pub fn reload(&self) -> Result<Version, Vec<Fault>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.applied().and_then(|applied| self.serve(applied));
        self.note(&result);
        result
    }

    /// What management has published and is served; version 0 stands for nothing.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves what management has published together with files and applied set, if all of it is good.
    pub fn publish(&self, new: Published) -> Result<Version, Vec<Fault>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Arc::new(new);
        let version = self.swap(self.applied()?, &new)?;
        let kept = serde_json::to_vec(&*new).map_err(std::io::Error::other);
        if let Err(error) = kept.and_then(|text| files::write_private(&self.published_file(), &text)) {
            tracing::error!(cause = %error, "what is published cannot be kept on disk");
        }
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(version)
    }

    /// Where it is kept.
    pub fn published_file(&self) -> PathBuf {
        self.folder.join(PUBLISHED)
    }

    fn read_published(&self) -> Option<Published> {
        let text = match fs::read(self.published_file()) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::error!(cause = %error, "what was published cannot be read");
                }
                return None;
            }
        };
        serde_json::from_slice(&text)
            .inspect_err(|error| tracing::error!(cause = %error, "what was published cannot be read"))
            .ok()
    }

    /// Puts a set on top of what was applied before, by kind and name.
    pub fn apply(&self, documents: &str, mode: ApplyMode) -> Result<Applied, Vec<Fault>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<Resource> = parse("apply", documents)?.into_iter().filter(Resource::is_for_gateway).collect();
        let before = self.applied()?;
        let same = |a: &Resource, b: &Resource| a.kind == b.kind && a.name == b.name;
        let mut after: Vec<Resource> = match mode.prune {
            true => Vec::new(),
            false => before.iter().filter(|old| !new.iter().any(|new| same(old, new))).cloned().collect(),
        };
        after.extend(new);
        let changes = changes(&before, &after);
        if mode.dry_run {
            let mut all = self.files()?;
            all.extend(after);
            let published = self.published();
            all.extend(published::resources(&published)?);
            crate::snapshot::compile(&all, &published.subscriptions)?;
            return Ok(Applied { version: None, changes });
        }
        let text = export(&after);
        let version = self.serve(after)?;
        // Served and not kept would be gone with the process: the caller must know.
        let kept = files::write_private(&self.folder.join(APPLIED), text.as_bytes());
        kept.map_err(|error| vec![bare(APPLIED, format!("the set is served but cannot be kept: {}", reason(&error)))])?;
        Ok(Applied { version: Some(version), changes })
    }

    /// The files as they are now, if that is not how they were loaded, or refused.
    pub fn changed(&self) -> Option<Vec<Seen>> {
        let mut now = self.look_at_files();
        now.extend(self.look_at_secrets());
        (*self.seen.lock().unwrap_or_else(PoisonError::into_inner) != now).then_some(now)
    }

    fn serve(&self, applied: Vec<Resource>) -> Result<Version, Vec<Fault>> {
        // Looked at before they are read: what changes meanwhile is then seen as changed.
        let mut seen = self.look_at_files();
        let result = self.swap(applied, &self.published());
        seen.extend(self.look_at_secrets());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        result
    }

    fn swap(&self, applied: Vec<Resource>, published: &Published) -> Result<Version, Vec<Fault>> {
        let mut resources = self.files()?;
        resources.extend(applied);
        self.refuse_nothing(&resources)?;
        resources.extend(published::resources(published)?);
        let live = self.build(resources, published)?;
        let version = live.version.clone();
        let unchanged = self.live().as_ref().is_some_and(|before| before.version.hash == version.hash);
        let text = (!unchanged).then(|| export(&live.resources));
        self.live.store(Some(Arc::new(live)));
        tracing::info!(version.number, version.hash, "resources are served");
        if let Some(text) = text
            && let Err(error) = files::write_private(&self.folder.join(LAST_GOOD), text.as_bytes())
        {
            tracing::error!(cause = %error, "the last good resources cannot be kept on disk");
        }
        Ok(version)
    }

    /// An empty file is most often one that is about to be written, or a disk that is full. To take
    /// every route away at once needs a start of the gateway.
    fn refuse_nothing(&self, resources: &[Resource]) -> Result<(), Vec<Fault>> {
        let Some(path) = &self.path else { return Ok(()) };
        let serves = self.live().as_ref().is_some_and(|live| live.resources.iter().any(|one| !published::is(one)));
        if serves && !resources.iter().any(Resource::is_for_gateway) {
            let message = "nothing is left of the set; it is not taken from a running gateway".to_owned();
            return Err(vec![bare(&path.display().to_string(), message)]);
        }
        Ok(())
    }

    fn look_at_files(&self) -> Vec<Seen> {
        let mut paths = Vec::new();
        if let Some(path) = &self.path {
            let _what_cannot_be_read_is_told_by_the_load = list(path, 0, &mut paths);
        }
        paths.into_iter().map(Seen::look).collect()
    }

    fn look_at_secrets(&self) -> Vec<Seen> {
        let live = self.live();
        let Some(live) = &*live else { return Vec::new() };
        let introspections = live.catalog().issuers.iter().filter_map(|issuer| issuer.spec.introspection.as_ref());
        let secrets = introspections.map(|introspection| &introspection.secret);
        let certificates = live.catalog().upstreams.iter().filter_map(|upstream| upstream.spec.tls.ca.as_ref());
        let endpoints = live.compositions_of(None).flat_map(|composition| composition.tokens.values());
        secrets
            .chain(certificates)
            .chain(endpoints.map(|endpoint| &endpoint.secret))
            .filter_map(|reference| match reference {
                catalog::SecretRef::File(path) => Some(Seen::look(self.secrets.path(path))),
                catalog::SecretRef::Env(_) => None,
            })
            .collect()
    }

    fn build(&self, mut resources: Vec<Resource>, published: &Published) -> Result<Live, Vec<Fault>> {
        resources.retain(Resource::is_for_gateway);
        let mut text = export(&resources);
        for subscription in &published.subscriptions {
            text.extend([&*subscription.id, "\n", &subscription.client, "\n", &subscription.plan, "\n"]);
        }
        let hash = jose::hash::sha256(text.as_bytes());
        let hash = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let version = Version { number: self.count.fetch_add(1, Ordering::AcqRel).saturating_add(1), hash };
        let before = self.live();
        Live::build(Plan {
            resources,
            subscriptions: &published.subscriptions,
            before: before.as_deref(),
            world: &self.world,
            secrets: &self.secrets,
            public_url: &self.public_url,
            version,
        })
    }

    fn applied(&self) -> Result<Vec<Resource>, Vec<Fault>> {
        match fs::read_to_string(self.folder.join(APPLIED)) {
            Ok(text) => parse(APPLIED, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(vec![bare(APPLIED, format!("cannot be read: {}", reason(&error)))]),
        }
    }

    fn files(&self) -> Result<Vec<Resource>, Vec<Fault>> {
        match &self.path {
            Some(path) => read_all(path),
            None => Ok(Vec::new()),
        }
    }

    fn note(&self, result: &Result<Version, Vec<Fault>>) {
        let faults: &[Fault] = result.as_ref().err().map_or(&[], |faults| faults);
        for fault in faults {
            tracing::error!(cause = %fault, "the set of resources is refused");
        }
        self.world.metrics.loaded(if faults.is_empty() { "good" } else { "refused" });
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults.into();
    }
}

/// All resources of a file, or of the `.yaml`, `.yml` and `.json` files of a folder, by name.
pub fn read_all(path: &Path) -> Result<Vec<Resource>, Vec<Fault>> {
    let mut paths = Vec::new();
    list(path, 0, &mut paths).map_err(|fault| vec![fault])?;
    let mut resources = Vec::new();
    let mut faults = Vec::new();
    for file in paths {
        let label = file.display().to_string();
        // Before it is read: a file that fills the memory is a way to stop the gateway, too.
        if fs::metadata(&file).is_ok_and(|found| found.len() > MAX_FILE_BYTES) {
            faults.push(bare(&label, format!("is larger than {MAX_FILE_BYTES} bytes")));
            continue;
        }
        match fs::read_to_string(&file) {
            Ok(text) => match parse(&label, &text) {
                Ok(found) => resources.extend(found),
                Err(found) => faults.extend(found),
            },
            Err(error) => faults.push(bare(&label, format!("cannot be read: {}", reason(&error)))),
        }
    }
    if faults.is_empty() { Ok(resources) } else { Err(faults) }
}

fn list(path: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), Fault> {
    let label = path.display().to_string();
    let cannot = |error: std::io::Error| bare(&label, format!("cannot be read: {}", reason(&error)));
    if !fs::metadata(path).map_err(cannot)?.is_dir() {
        paths.push(path.to_owned());
        return Ok(());
    }
    if depth >= MAX_DEPTH {
        return Err(bare(&label, format!("folders lie more than {MAX_DEPTH} deep")));
    }
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path).map_err(cannot)? {
        entries.push(entry.map_err(cannot)?.path());
    }
    entries.sort();
    for entry in entries {
        let hidden = entry.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
        let wanted =
            entry.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|own| extension == *own));
        if !hidden && (wanted || entry.is_dir()) {
            list(&entry, depth + 1, paths)?;
        }
        if paths.len() > MAX_FILES {
            return Err(bare(&label, format!("there are more than {MAX_FILES} files")));
        }
    }
    Ok(())
}

fn bare(file: &str, message: String) -> Fault {
    Fault { source_at: Source { file: file.into(), line: 0, column: 0 }, pointer: String::new(), message }
}

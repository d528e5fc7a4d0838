//! Sources outside the graph: files by pattern, hashed where they lie, and pinned URIs, verified against `flow.lock`.
//!
//! A fetched source is published as one read-only folder under `src/<digest>`. What a scheme means is its resolver's concern.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{
    StatIndex, StoreError,
    cas::{Measured, measure},
    files, pattern,
};
use crate::{
    Digest, Locate, Located, SourceError, SourceRef, StageError, StageRegistry,
    lock::{LockFile, Pin},
    path_bytes::text_of,
    project::Project,
    source::SourceFile,
};

/// How a pinned source was had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Supply {
    /// It was there and verified against `flow.lock`.
    Pinned,
    /// It was found on this machine and agrees with `flow.lock`.
    Found,
    /// It was fetched and agrees with `flow.lock`.
    Fetched,
}

/// One resolved source.
#[derive(Clone, Debug)]
pub struct ResolvedSource {
    /// The pattern or URI, as the configuration names it.
    pub name: String,
    /// Its files, sorted by name.
    pub files: Vec<SourceFile>,
    /// One digest over names and contents.
    pub digest: Digest,
    /// For a pinned source: how it was had.
    pub supply: Option<Supply>,
}

/// Where sources are looked for.
pub struct SourceRequest<'a> {
    /// The project: base folder, lock file, registry.
    pub project: &'a Project,
    /// Who knows the schemes.
    pub registry: &'a StageRegistry,
    /// Digests of files that did not change.
    pub index: &'a StatIndex,
    /// Called with the URI, bytes done, and bytes expected.
    pub progress: &'a dyn Fn(&str, u64, Option<u64>),
    /// Called before files are read or fetched: looking at their metadata takes no time, and this may.
    pub waits: &'a dyn Fn(),
}

impl<'a> SourceRequest<'a> {
    /// A request that nobody watches.
    pub fn unwatched(project: &'a Project, registry: &'a StageRegistry, index: &'a StatIndex) -> Self {
        Self { project, registry, index, progress: &|_, _, _| {}, waits: &|| {} }
    }
}

/// Fetched sources of one store.
#[derive(Clone, Debug)]
pub struct SourceStore {
    root: PathBuf,
}

/// Serialises fetching and pinning inside this process.
static PINNING: Mutex<()> = Mutex::new(());

/// One digest over the files of a source: what enters an action key.
pub fn source_digest(files: &[SourceFile]) -> Digest {
    let mut bytes = Vec::new();
    for file in files {
        bytes.extend_from_slice(&(file.name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(file.name.as_bytes());
        bytes.extend_from_slice(file.digest.as_bytes());
    }
    Digest::derive("flow.dev 2026-11 source v1", &bytes)
}

impl SourceStore {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Resolves one source. Pinned ones may be fetched.
    pub fn resolve(&self, source: &SourceRef, request: &SourceRequest<'_>) -> Result<ResolvedSource, StageError> {
        match source {
            SourceRef::Files(pattern) => resolve_files((&request.project.base, pattern), request),
            SourceRef::Below { folder, pattern } => {
                resolve_files((&request.index.folders.below(folder, request), pattern), request)
            }
            SourceRef::Program(program) => crate::program::resolve(program, request),
            SourceRef::Pinned(uri) => {
                (request.waits)();
                // One at a time: two stages that name the same URI fetch it once.
                let _turn = PINNING.lock().unwrap_or_else(PoisonError::into_inner);
                self.resolve_pinned(uri, request)
            }
        }
    }

    /// Resolves one source without fetching anything; none when it would have to be fetched.
    pub fn look(&self, source: &SourceRef, request: &SourceRequest<'_>) -> Result<Option<ResolvedSource>, StageError> {
        match source {
            SourceRef::Files(pattern) => resolve_files((&request.project.base, pattern), request).map(Some),
            SourceRef::Below { folder, pattern } => {
                resolve_files((&request.index.folders.below(folder, request), pattern), request).map(Some)
            }
            SourceRef::Program(program) => crate::program::resolve(program, request).map(Some),
            SourceRef::Pinned(uri) => match self.published(uri, request)? {
                Some(found) => Ok(Some(found)),
                None => in_place(uri, request),
            },
        }
    }

    fn resolve_pinned(&self, uri: &str, request: &SourceRequest<'_>) -> Result<ResolvedSource, StageError> {
        if let Some(found) = self.published(uri, request)? {
            return Ok(found);
        }
        let (scheme, _) = uri.split_once(':').unwrap_or((uri, ""));
        let resolver = request.registry.resolver(scheme).ok_or_else(|| {
            StageError::input(format!("cannot get {uri}: unknown scheme {scheme:?}")).help("use pip:, hf:, file:, or registry:")
        })?;
        let into = self.root.join("tmp").join(format!("fetch-{}", ulid::Ulid::new()));
        files::make_folder(&into)?;
        let locate = Locate {
            uri,
            base: &request.project.base,
            registry: &request.project.site.registry,
            into: &into,
            progress: &|done, total| (request.progress)(uri, done, total),
        };
        let found = resolver.locate(&locate).map_err(located_error);
        let settled = found.and_then(|located| self.settle(uri, &located, request));
        // The folder is ours alone; what was worth keeping was moved out of it.
        files::remove_all(&into).ok();
        settled
    }

    /// A source that was pinned and published before.
    fn published(&self, uri: &str, request: &SourceRequest<'_>) -> Result<Option<ResolvedSource>, StageError> {
        let Some(pin) = pin_of(uri, request)? else { return Ok(None) };
        let folder = self.folder(uri, &pin.blake3);
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(None) };
        let mut names: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        names.sort();
        let found = match names.as_slice() {
            [only] => measure(only, &|file| request.index.digest(file))?,
            _ => return Ok(None),
        };
        if found.digest == pin.blake3 {
            let top = names.first().map_or(folder.as_path(), PathBuf::as_path);
            return Ok(Some(resolved(uri, top, found, Supply::Pinned)));
        }
        tracing::warn!(uri, "A published source is damaged; it is fetched again.");
        let aside = self.root.join("quarantine").join(format!("{}.{}.src", pin.blake3, ulid::Ulid::new()));
        fs::rename(&folder, &aside).map_err(StoreError::io("set aside", &folder))?;
        Ok(None)
    }

    fn settle(&self, uri: &str, located: &Located, request: &SourceRequest<'_>) -> Result<ResolvedSource, StageError> {
        let (path, supply) = match located {
            Located::InPlace(path) => (path.as_path(), Supply::Found),
            Located::Fetched(path) => (path.as_path(), Supply::Fetched),
        };
        let found = measure(path, &|file| request.index.digest(file))?;
        verify(uri, &found, request)?;
        match supply {
            Supply::Found | Supply::Pinned => {
                remember_place(uri, path, request)?;
                Ok(resolved(uri, path, found, supply))
            }
            Supply::Fetched => {
                let top = self.publish((uri, path), &found)?;
                let moved = relocate(found, path, &top);
                Ok(resolved(uri, &top, moved, supply))
            }
        }
    }

    /// Moves a fetched file or folder to `src/<digest of URI and content>/NAME`, read-only.
    fn publish(&self, (uri, path): (&str, &Path), found: &Measured) -> Result<PathBuf, StoreError> {
        for (file, _, _) in &found.files {
            // A file that a cache of the resolver shares keeps the cache's mode; a change to it is found by its digest.
            if file.metadata().is_ok_and(|metadata| metadata.nlink() == 1) {
                files::seal(file, 0o444)?;
            }
        }
        let folder = self.folder(uri, &found.digest);
        let top = folder.join(path.file_name().unwrap_or_default());
        let staging = self.root.join("tmp").join(format!("src-{}", ulid::Ulid::new()));
        files::make_folder(&staging)?;
        let staged = staging.join(path.file_name().unwrap_or_default());
        fs::rename(path, &staged).map_err(StoreError::io("move", path))?;
        files::sync_folder(&staging)?;
        match fs::rename(&staging, &folder) {
            Ok(()) => files::sync_folder(&self.root.join("src"))?,
            // Another run published the same source meanwhile.
            Err(_) if top.exists() => {
                files::remove_all(&staging).ok();
            }
            Err(error) => return Err(StoreError::io("publish", &folder)(error)),
        }
        Ok(top)
    }

    /// By URI and content: a source keeps the names of its files, which are part of the key.
    fn folder(&self, uri: &str, digest: &Digest) -> PathBuf {
        let name = Digest::derive("flow.dev 2026-11 published source v1", format!("{digest} {uri}").as_bytes());
        self.root.join("src").join(name.to_string())
    }
}

/// Where a project notes the place of a source that is used where it lies.
fn place_of(uri: &str, request: &SourceRequest<'_>) -> PathBuf {
    request.project.state.join("state").join("places").join(Digest::of(uri.as_bytes()).to_string())
}

fn remember_place(uri: &str, path: &Path, request: &SourceRequest<'_>) -> Result<(), StoreError> {
    let note = place_of(uri, request);
    let text = path.to_string_lossy();
    if fs::read_to_string(&note).is_ok_and(|known| known == text) {
        return Ok(());
    }
    files::make_folder(note.parent().unwrap_or(&note))?;
    files::write_atomic(text.as_bytes(), &note)
}

/// A source that was used where it lies before, if it still has the pinned content there.
fn in_place(uri: &str, request: &SourceRequest<'_>) -> Result<Option<ResolvedSource>, StageError> {
    let (Some(pin), Ok(path)) = (pin_of(uri, request)?, fs::read_to_string(place_of(uri, request))) else { return Ok(None) };
    let path = PathBuf::from(path);
    if !path.exists() {
        return Ok(None);
    }
    let found = measure(&path, &|file| request.index.digest(file))?;
    Ok((found.digest == pin.blake3).then(|| resolved(uri, &path, found, Supply::Found)))
}

fn relocate(found: Measured, from: &Path, to: &Path) -> Measured {
    let moved = found.files.into_iter().map(|(path, digest, bytes)| {
        let path = match path.strip_prefix(from) {
            Ok(rest) if !rest.as_os_str().is_empty() => to.join(rest),
            _ => to.to_owned(),
        };
        (path, digest, bytes)
    });
    Measured { files: moved.collect(), ..found }
}

fn resolved(uri: &str, top: &Path, found: Measured, supply: Supply) -> ResolvedSource {
    let files: Vec<SourceFile> = found
        .files
        .into_iter()
        .map(|(path, digest, bytes)| {
            let relative = path.strip_prefix(top).ok().filter(|rest| !rest.as_os_str().is_empty());
            let name = relative.unwrap_or_else(|| top.file_name().map_or(top, Path::new));
            let name = text_of(name.as_os_str().as_bytes());
            SourceFile { path, name, digest, bytes }
        })
        .collect();
    // The pin's digest, so that the key agrees with the lock file.
    ResolvedSource { name: uri.to_owned(), files, digest: found.digest, supply: Some(supply) }
}

fn pin_of(uri: &str, request: &SourceRequest<'_>) -> Result<Option<Pin>, StageError> {
    Ok(read_lock(&request.project.lock_file)?.sources.get(uri).copied())
}

fn read_lock(path: &Path) -> Result<LockFile, StageError> {
    LockFile::read(path).map_err(|error| lock_error(&error))
}

fn lock_error(error: &crate::lock::LockError) -> StageError {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string());
    let stage = StageError::input(error.to_string());
    let stage = match std::error::Error::source(error) {
        Some(cause) => stage.because(cause),
        None => stage,
    };
    match help {
        Some(help) => stage.help(help),
        None => stage,
    }
}

/// Compares what was found with the pin, or pins it.
fn verify(uri: &str, found: &Measured, request: &SourceRequest<'_>) -> Result<(), StageError> {
    let lock_file = &request.project.lock_file;
    // Runs of other processes pin too; nobody's pin may be lost.
    let state = request.project.state.join("state");
    files::make_folder(&state)?;
    let _turn = files::exclusive(&state.join("pinning"))?;
    let mut lock = read_lock(lock_file)?;
    match lock.sources.get(uri) {
        Some(pin) if pin.blake3 == found.digest => Ok(()),
        Some(pin) => Err(StageError::input(format!(
            "source {uri} is not what flow.lock pins: expected {}, got {}",
            pin.blake3, found.digest
        ))
        .help(format!("restore the source, or remove its entry from {} to accept the new content", lock_file.display()))),
        None => {
            let pin = Pin { blake3: found.digest, bytes: found.bytes, files: found.files.len() as u64 };
            lock.sources.insert(uri.to_owned(), pin);
            lock.write(lock_file).map_err(|error| lock_error(&error))
        }
    }
}

fn located_error(error: SourceError) -> StageError {
    let stage = StageError::resource(error.to_string());
    match error.help {
        Some(help) => stage.help(help),
        None => stage,
    }
}

/// Folders that were looked up before: one run sees one state of the machine, and looks once.
#[derive(Debug, Default)]
pub(crate) struct Folders(Mutex<BTreeMap<PathBuf, PathBuf>>);

impl Folders {
    /// A folder without `..` and links, so that the names of its files do not depend on how it is reached.
    fn below(&self, folder: &Path, request: &SourceRequest<'_>) -> PathBuf {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(real) = known.get(folder) {
            return real.clone();
        }
        let named = request.project.base.join(folder);
        let real = named.canonicalize().unwrap_or(named);
        known.insert(folder.to_owned(), real.clone());
        real
    }
}

fn resolve_files((base, pattern): (&Path, &str), request: &SourceRequest<'_>) -> Result<ResolvedSource, StageError> {
    let looks = &request.index.looks;
    if let Some(known) = looks.get(base, pattern) {
        return Ok(known);
    }
    let at = Instant::now();
    let (names, paths): (Vec<_>, Vec<_>) = expand(pattern, base)?.into_iter().unzip();
    let hashed = request.index.digests(&paths, request.waits)?;
    let file =
        |((name, path), (digest, bytes)): ((Vec<u8>, PathBuf), _)| SourceFile { path, name: text_of(&name), digest, bytes };
    let files: Vec<SourceFile> = names.into_iter().zip(paths).zip(hashed).map(file).collect();
    let found = ResolvedSource { name: pattern.to_owned(), digest: source_digest(&files), files, supply: None };
    looks.put((base, pattern), (at, &found));
    Ok(found)
}

/// Files that match a pattern by their raw name relative to the base, folders walked, sorted. None is an error.
fn expand(pattern: &str, base: &Path) -> Result<pattern::Files, StageError> {
    let found = pattern::find(pattern, base)
        .map_err(|error| StageError::input(format!("cannot understand pattern {pattern:?}")).because(&error))??;
    if found.is_empty() {
        return Err(StageError::input(format!("no file matches {pattern:?}"))
            .help(format!("paths are relative to the workflow file's folder, {}", base.display())));
    }
    Ok(found)
}

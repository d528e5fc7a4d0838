//! How two artifacts differ: files by content, rows by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde::Serialize;

use super::{RowsDifference, rows::rows_difference, unified::unified};
use crate::{
    Artifact, ArtifactKind, Digest, StageError, StageRegistry,
    artifact::ArtifactForm,
    run::{RunError, RunState},
    store::{Cas, Materialise, NodeEntry, Store, StoreError, remove_all},
};

/// Longer texts are compared by their digests alone.
const LARGEST_TEXT: u64 = 256 << 10;
/// Texts of more files would be no overview.
const MOST_TEXTS: usize = 5;

/// How two artifacts differ.
#[derive(Clone, Debug, Serialize)]
pub struct ArtifactDifference {
    /// In the first run.
    pub from: Artifact,
    /// In the second run.
    pub to: Artifact,
    /// Files that were added, removed, or changed, by path.
    pub files: Vec<ArtifactFile>,
    /// Files that are the same in both.
    pub same_files: usize,
    /// Rows, for kinds that have them and a viewer.
    pub rows: Option<RowsDifference>,
}

/// A file in which two artifacts differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArtifactFile {
    /// Below the artifact's folder; empty when the artifact is one file.
    pub path: String,
    /// In the first artifact; none when it was added.
    pub old: Option<FileState>,
    /// In the second artifact; none when it was removed.
    pub new: Option<FileState>,
    /// The changed lines of a short text.
    pub unified: Option<String>,
}

/// The state of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// A file.
    File {
        /// Its content.
        digest: Digest,
        /// Its size.
        bytes: u64,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: String,
    },
}

/// The artifact that a person means by `STAGE.PORT`.
pub fn find_output<'a>(run: &'a RunState, name: &str) -> Result<&'a Artifact, RunError> {
    let found = name.match_indices('.').find_map(|(at, _)| {
        let (stage, port) = (name.get(..at)?, name.get(at + 1..)?);
        run.stage(stage)?.outputs.get(port)
    });
    found.ok_or_else(|| {
        let all = run.stages.iter().flat_map(|stage| stage.outputs.keys().map(|port| format!("{}.{port}", stage.name)));
        RunError::UnknownOutput { run: run.run, name: name.to_owned(), known: all.collect::<Vec<_>>().join(", ") }
    })
}

/// Compares two artifacts of a store.
pub fn artifact_difference(
    store: &Store,
    registry: &StageRegistry,
    (from, to): (&Artifact, &Artifact),
) -> Result<ArtifactDifference, StageError> {
    let (from, to) = (from.clone(), to.clone());
    if from.digest == to.digest {
        let same_files = flat(&store.cas(), &from)?.len();
        return Ok(ArtifactDifference { from, to, files: Vec::new(), same_files, rows: None });
    }
    let (old, new) = (flat(&store.cas(), &from)?, flat(&store.cas(), &to)?);
    let same_files = old.iter().filter(|(path, state)| new.get(*path) == Some(*state)).count();
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = paths.into_iter().map(|path| (path, old.get(path), new.get(path))).filter(|(_, old, new)| old != new);
    let mut files: Vec<ArtifactFile> = changed
        .map(|(path, old, new)| ArtifactFile { path: path.clone(), old: old.cloned(), new: new.cloned(), unified: None })
        .collect();
    let readable = [from.kind, to.kind].iter().all(|kind| matches!(kind, ArtifactKind::File | ArtifactKind::Dir));
    for file in files.iter_mut().filter(|file| readable && file.old.is_some() && file.new.is_some()).take(MOST_TEXTS) {
        file.unified = text_difference(&store.cas(), file);
    }
    let rows = match registry.viewer(to.kind).filter(|_| from.kind == to.kind) {
        Some(viewer) => Some(laid_out(store, (&from, &to), |from, to| rows_difference(viewer.as_ref(), (from, to)))?),
        None => None,
    };
    Ok(ArtifactDifference { from, to, files, same_files, rows })
}

fn text_difference(cas: &Cas, file: &ArtifactFile) -> Option<String> {
    let read = |state: &Option<FileState>| match state {
        Some(FileState::File { digest, bytes, .. }) if *bytes <= LARGEST_TEXT => fs::read_to_string(cas.path(digest)).ok(),
        _ => None,
    };
    unified(&file.path, &read(&file.old)?, &read(&file.new)?)
}

/// Opens both artifacts as folders or files and forgets them afterwards.
fn laid_out<R>(
    store: &Store,
    (from, to): (&Artifact, &Artifact),
    look: impl FnOnce(&std::path::Path, &std::path::Path) -> Result<R, StageError>,
) -> Result<R, StageError> {
    let place = store.temporary(&format!("look-{}", ulid::Ulid::new()));
    let cas = store.cas();
    let old = cas.materialise(from, &place.join("old"), Materialise::Linked);
    let new = cas.materialise(to, &place.join("new"), Materialise::Linked);
    let found = match (old, new) {
        (Ok(old), Ok(new)) => look(&old, &new),
        (Err(error), _) | (_, Err(error)) => Err(error.into()),
    };
    if let Err(error) = remove_all(&place) {
        tracing::warn!(%error, "Could not remove a temporary folder.");
    }
    found
}

/// Every file of an artifact by its path.
pub(crate) fn flat(cas: &Cas, artifact: &Artifact) -> Result<BTreeMap<String, FileState>, StageError> {
    let gone = |error: &StoreError| {
        StageError::input(format!("artifact {} is no longer in the store", artifact.digest.short()))
            .because(error)
            .help("run the workflow again with the parameters of that run: what is gone is made anew")
    };
    let mut files = BTreeMap::new();
    match artifact.form {
        ArtifactForm::Blob => {
            let state = FileState::File { digest: artifact.digest, bytes: artifact.bytes, executable: false };
            files.insert(String::new(), state);
        }
        ArtifactForm::Tree => walk(cas, &artifact.digest, ("", &mut files)).map_err(|error| gone(&error))?,
    }
    Ok(files)
}

fn walk(cas: &Cas, digest: &Digest, (above, files): (&str, &mut BTreeMap<String, FileState>)) -> Result<(), StoreError> {
    for (name, entry) in &cas.node(digest)?.entries {
        let name = String::from_utf8_lossy(name);
        let path = if above.is_empty() { name.into_owned() } else { format!("{above}/{name}") };
        match entry {
            NodeEntry::File { digest, bytes, executable } => {
                files.insert(path, FileState::File { digest: *digest, bytes: *bytes, executable: *executable });
            }
            NodeEntry::Folder { digest } => walk(cas, digest, (&path, files))?,
            NodeEntry::Link { target } => {
                files.insert(path, FileState::Link { target: String::from_utf8_lossy(target).into_owned() });
            }
        }
    }
    Ok(())
}

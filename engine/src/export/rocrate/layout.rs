//! Where the files of a run lie in a folder of its own: texts, pins, reports, and the results that nothing else read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use super::{metadata, without_nulls};
use crate::{
    Artifact, ArtifactKind, Digest,
    export::{Account, StageAccount},
    store::{Materialise, Store, StoreError, write_atomic},
};

/// The name of the metadata file, which the standard fixes.
const METADATA: &str = "ro-crate-metadata.json";

/// What lies where.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    texts: Vec<(String, String)>,
    outputs: BTreeMap<(String, String), (String, Artifact)>,
}

impl Layout {
    /// The usual layout of a run.
    pub fn of(account: &Account) -> Self {
        let read: BTreeSet<Digest> = account.stages.iter().flat_map(StageAccount::inputs).map(|(_, digest)| digest).collect();
        let mut outputs = BTreeMap::new();
        for stage in &account.stages {
            let wanted = |artifact: &&Artifact| artifact.kind == ArtifactKind::Report || !read.contains(&artifact.digest);
            for (port, artifact) in stage.outputs.iter().filter(|(_, artifact)| wanted(artifact)) {
                let place = format!("outputs/{}/{port}", stage.name.replace('/', "."));
                outputs.insert((stage.name.clone(), port.clone()), (place, artifact.clone()));
            }
        }
        Self { texts: texts(account), outputs }
    }

    /// Nothing but the texts.
    pub fn texts_only(account: &Account) -> Self {
        Self { texts: texts(account), outputs: BTreeMap::new() }
    }

    /// Paths and texts, the workflow file first.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Where an output lies, if it is in the folder.
    pub(super) fn output(&self, stage: &str, port: &str) -> Option<String> {
        self.outputs.get(&(stage.to_owned(), port.to_owned())).map(|(place, artifact)| match artifact.form {
            crate::artifact::ArtifactForm::Blob => place.clone(),
            // The standard asks folders to say that they are.
            crate::artifact::ArtifactForm::Tree => format!("{place}/"),
        })
    }
}

/// Texts by paths inside the folder: what lies outside the project gets a name by its content.
fn texts(account: &Account) -> Vec<(String, String)> {
    let inside = |path: &str| {
        let mut parts = Path::new(path).components();
        parts.all(|part| matches!(part, Component::Normal(_)))
    };
    let place = |(path, text): &(String, String)| {
        if inside(path) {
            return (path.clone(), text.clone());
        }
        let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
        let digest = Digest::of(text.as_bytes()).to_string();
        (format!("components/{}/{name}", digest.get(..12).unwrap_or_default()), text.clone())
    };
    account.texts.iter().map(place).collect()
}

/// Writes a crate into a folder that must be new or empty, and gives the path of its metadata.
pub fn lay_out(account: &Account, store: &Store, folder: &Path) -> Result<PathBuf, StoreError> {
    let layout = Layout::of(account);
    for (path, text) in layout.texts() {
        write(&folder.join(path), text.as_bytes())?;
    }
    if let Some(lock) = &account.lock {
        write(&folder.join("flow.lock"), lock.as_bytes())?;
    }
    for (place, artifact) in layout.outputs.values() {
        let to = folder.join(place);
        make_parent(&to)?;
        store.cas().materialise(artifact, &to, Materialise::Copied)?;
    }
    let document = without_nulls(metadata(account, &layout));
    let place = folder.join(METADATA);
    let bytes = serde_json::to_vec_pretty(&document).map_err(|source| StoreError::Record { path: place.clone(), source })?;
    write(&place, &bytes)?;
    Ok(place)
}

fn make_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(StoreError::io("create", parent))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    make_parent(path)?;
    write_atomic(bytes, path)
}

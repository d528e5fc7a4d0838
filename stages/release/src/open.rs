//! Opens a model by the name a person gives it: a registered version with its pinned base, or a base model by URI.

use std::path::{Path, PathBuf};

use flow_engine::{
    Digest, SourceRef, StageError, StageRegistry,
    context::Site,
    govern::Governance,
    lock::{LockFile, Pin},
    project::Project,
    settings::Settings,
    source::SourceFile,
    store::{SourceRequest, StatIndex, Store},
};
use flow_text::generate::{Generate, LoadModel, ModelFiles};

use crate::models::{Base, ModelRegistry, Reference};

/// A located model.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name it answers to: `NAME@VERSION`, or the URI.
    pub name: String,
    /// A GGUF file or a Hugging Face folder.
    pub base: PathBuf,
    /// A PEFT folder to lay over it.
    pub adapter: Option<PathBuf>,
}

/// What it takes to locate models.
pub struct Opener<'a> {
    /// Who knows the schemes of sources.
    pub registry: &'a StageRegistry,
    /// Places of this machine.
    pub site: &'a Site,
}

impl Opener<'_> {
    /// Locates a model, fetching its base when it is not on this machine, and loads it.
    pub fn open<L: LoadModel>(&self, reference: &str) -> Result<Box<dyn Generate>, StageError> {
        let found = self.locate(reference)?;
        let files = ModelFiles { name: &found.name, base: &found.base, adapter: found.adapter.as_deref() };
        L::load(&files).map_err(|error| {
            let stage = StageError::input(format!("cannot open {reference}")).because(&error);
            match error.help {
                Some(help) => stage.help(help),
                None => stage,
            }
        })
    }

    /// Locates a model: `NAME`, `NAME@ALIAS`, `NAME@VERSION`, `registry:…`, or a URI of a base model.
    pub fn locate(&self, reference: &str) -> Result<Found, StageError> {
        match reference.split_once(':') {
            Some(("registry", name)) => self.registered(name),
            // Pins made by hand are shared by all folders, so a relative path would mean another file in each.
            Some(("file", path)) => self.bare(reference, &format!("file:{}", self.site.base.join(path).display())),
            Some(_) => self.bare(reference, reference),
            None => self.registered(reference),
        }
    }

    fn bare(&self, name: &str, uri: &str) -> Result<Found, StageError> {
        Ok(Found { name: name.to_owned(), base: self.base(uri, None)?, adapter: None })
    }

    fn registered(&self, text: &str) -> Result<Found, StageError> {
        let reference: Reference = text.parse().map_err(StageError::from)?;
        let registered = ModelRegistry::open(&self.site.registry)?.resolve(&reference)?;
        let Base { uri, blake3 } = &registered.version.base;
        let base = self.base(uri, Some(*blake3))?;
        let name = format!("{}@{}", registered.version.name, registered.version.version);
        Ok(Found { name, base, adapter: Some(registered.directory.join("adapter")) })
    }

    /// Fetches or finds a base model. One that a version records must still have the content of its training; one that was
    /// named by hand is pinned on first use.
    fn base(&self, uri: &str, pinned: Option<Digest>) -> Result<PathBuf, StageError> {
        let store = Store::open(&self.site.store)?;
        let locks = store.root().join("locks");
        std::fs::create_dir_all(&locks)?;
        let lock_file = locks.join(pinned.map_or_else(|| "by-hand.lock".to_owned(), |digest| format!("{digest}.lock")));
        if let Some(blake3) = pinned {
            let pin = Pin { blake3, bytes: 0, files: 0 };
            let lock = LockFile { sources: std::iter::once((uri.to_owned(), pin)).collect(), ..LockFile::default() };
            lock.write(&lock_file).map_err(|error| StageError::resource("cannot note the pin").because(&error))?;
        }
        let project = Project {
            root: self.site.base.clone(),
            base: self.site.base.clone(),
            workflow_file: self.site.base.join("workflow.yaml"),
            lock_file,
            state: self.site.base.join(".flow"),
            site: self.site.clone(),
            governance: Governance::default(),
            settings: Settings::default(),
        };
        let index = StatIndex::open(&locks)?;
        let request = SourceRequest::unwatched(&project, self.registry, &index);
        let resolved = store.sources().resolve(&SourceRef::Pinned(uri.to_owned()), &request)?;
        index.save()?;
        base_path(&resolved.files)
    }
}

/// The path a loader takes for a resolved source: the lone file, else the folder that holds `config.json`.
pub(crate) fn base_path(files: &[SourceFile]) -> Result<PathBuf, StageError> {
    if let [file] = files {
        return Ok(file.path.clone());
    }
    let config = files.iter().find(|file| Path::new(&file.name) == Path::new("config.json"));
    let folder = config.and_then(|file| file.path.parent()).map(Path::to_path_buf);
    folder.ok_or_else(|| {
        StageError::input("the model source holds no config.json").help("name a GGUF file or a folder in the Hugging Face format")
    })
}

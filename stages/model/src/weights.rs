//! Weights on disk, under Hugging Face names: one checked view of a GGUF file or of a folder of safetensors. Files are
//! mapped, so opening a model costs no memory; whoever needs numbers decodes the rows it needs.

pub(crate) mod config;
mod folder;
mod format;
mod gguf_names;
mod header;
pub(crate) mod names;
mod precision;
mod random;
mod save;
mod shards;
mod stored;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use memmap2::Mmap;

pub use config::{Family, Llama3Scaling, ModelConfig, RopeScaling, Wiring, YarnScaling};
pub(crate) use folder::read_file;
pub use format::Format;
pub(crate) use names::Spec;
pub use precision::Precision;
pub use save::save_folder;
pub(crate) use save::{Named, write_atomic, write_tensors};
pub(crate) use shards::{Layout, write_shards};
pub use stored::{Bytes, Stored};

use crate::{ModelError, gguf::Gguf};

/// An opened model: its shape and every weight, checked against each other.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    config: ModelConfig,
    tensors: BTreeMap<String, Stored>,
    /// The file of each tensor, where there may be several.
    files: BTreeMap<String, PathBuf>,
    source: Source,
}

/// What kind of file the model came from; the tokenizer is built from the same place.
#[derive(Clone, Debug)]
pub enum Source {
    /// One GGUF file with its metadata.
    Gguf(Box<Gguf>),
    /// A Hugging Face folder.
    Folder,
}

impl Checkpoint {
    /// Opens a GGUF file or a Hugging Face folder and checks names and shapes of all tensors.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        refuse_pickle(path)?;
        let opened = if path.is_dir() { Self::open_folder(path)? } else { Self::open_gguf(path)? };
        opened.checked()
    }

    fn open_gguf(path: &Path) -> Result<Self, ModelError> {
        let gguf = Gguf::open(path)?;
        let config = ModelConfig::from_gguf(&gguf)?;
        let tensors = gguf_names::rename(&gguf, &config)?;
        let (path, source) = (path.to_owned(), Source::Gguf(Box::new(gguf)));
        Ok(Self { path, config, tensors, files: BTreeMap::new(), source })
    }

    fn open_folder(path: &Path) -> Result<Self, ModelError> {
        let config = ModelConfig::from_hf(&path.join("config.json"))?;
        let folder::Tensors { stored: tensors, files } = folder::read(path)?;
        Ok(Self { path: path.to_owned(), config, tensors, files, source: Source::Folder })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What it was opened from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// One tensor by its Hugging Face name.
    pub fn tensor(&self, name: &str) -> Result<&Stored, ModelError> {
        let missing = || ModelError::MissingTensor { path: self.path.clone(), name: name.to_owned() };
        self.tensors.get(name).ok_or_else(missing)
    }

    /// The file that a tensor lies in.
    pub fn file(&self, name: &str) -> &Path {
        self.files.get(name).unwrap_or(&self.path)
    }

    /// Decodes a tensor and refuses numbers that are none.
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        finite(self.tensor(name)?.to_f32(), name, self.file(name))
    }

    /// The head's tensor: its own, or the embedding's when they are tied.
    pub fn head(&self) -> Result<&Stored, ModelError> {
        self.tensor(if self.config.tied_head { self.config.family.embedding() } else { names::HEAD })
    }

    /// Fails on the first missing, misshapen, or unknown tensor.
    fn checked(mut self) -> Result<Self, ModelError> {
        // A tied head may be stored all the same, and old exports carry tables that every reader computes by itself.
        let tied = self.config.tied_head;
        self.tensors.retain(|name, _| !(name.ends_with("rotary_emb.inv_freq") || tied && name == names::HEAD));
        let mut known = BTreeSet::new();
        for names::Spec { name, shape: expected, .. } in names::all(&self.config) {
            let found = self.tensor(&name)?.shape();
            if found != expected {
                let (found, expected) = (found.to_vec(), expected.to_vec());
                return Err(ModelError::Shape { path: self.file(&name).to_owned(), name, found, expected });
            }
            known.insert(name);
        }
        match self.tensors.keys().find(|name| !known.contains(*name)) {
            Some(name) => Err(ModelError::ExtraTensor { path: self.file(name).to_owned(), name: name.clone() }),
            None => Ok(self),
        }
    }
}

/// Refuses a weight that would make everything after it no number.
pub(crate) fn finite(values: Vec<f32>, name: &str, file: &Path) -> Result<Vec<f32>, ModelError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(ModelError::NotFinite { path: file.to_owned(), name: name.to_owned(), value: values[at], at }),
        None => Ok(values),
    }
}

/// Pickles are refused by name: opening one may run code.
fn refuse_pickle(path: &Path) -> Result<(), ModelError> {
    let pickle = |path: &Path| matches!(path.extension().and_then(|end| end.to_str()), Some("bin" | "pt" | "pth" | "pkl"));
    if path.is_dir() {
        let only = path.join("pytorch_model.bin");
        let sharded = path.join("pytorch_model.bin.index.json");
        let safe = path.join("model.safetensors").exists() || path.join("model.safetensors.index.json").exists();
        match [only, sharded].into_iter().find(|file| file.exists() && !safe) {
            Some(path) => Err(ModelError::Pickle { path }),
            None => Ok(()),
        }
    } else if pickle(path) {
        Err(ModelError::Pickle { path: path.to_owned() })
    } else {
        Ok(())
    }
}

/// Maps a file for reading.
pub(crate) fn map_file(path: &Path) -> Result<Arc<Mmap>, ModelError> {
    let read = |source| ModelError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    #[expect(unsafe_code, reason = "a map is the only way to share weights of many gigabytes")]
    // SAFETY: model files are immutable where they lie (content store, caches); nobody truncates one that is in use.
    let map = unsafe { Mmap::map(&file) }.map_err(read)?;
    Ok(Arc::new(map))
}

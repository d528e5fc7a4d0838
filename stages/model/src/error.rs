//! What can go wrong between a model on disk and a model that runs.

use std::{
    io,
    path::{Path, PathBuf},
};

use flow_engine::StageError;
use flow_text::generate::GenerateError;

use crate::weights::Family;

/// A model, an adapter, or a device that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The bytes are not what their name promises.
    #[error("cannot use {}: {reason}", path.display())]
    Format {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and where.
        reason: String,
    },
    /// A pickle would run code when opened.
    #[error("refused to open {}: a pickle can run any code", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// A network this crate does not know.
    #[error("cannot run model type {found:?} of {}", path.display())]
    Architecture {
        /// The file that names it.
        path: PathBuf,
        /// What it names.
        found: String,
    },
    /// A network this crate does not read from GGUF files.
    #[error("cannot run {found:?} of {}", path.display())]
    GgufArchitecture {
        /// The file.
        path: PathBuf,
        /// The architecture that its metadata names.
        found: String,
    },
    /// A file of a model that is spread over several is not there.
    #[error("cannot find {}, which holds tensor {first} and {more} more according to {}", path.display(), index.display())]
    MissingShard {
        /// The file.
        path: PathBuf,
        /// The index that names it.
        index: PathBuf,
        /// The first tensor in it.
        first: String,
        /// How many others it holds.
        more: usize,
    },
    /// A weight is not a number.
    #[error("cannot use tensor {name} of {}: value {at} is {value}", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// NaN or an infinity.
        value: f32,
        /// Its place in the tensor.
        at: usize,
    },
    /// An adapter that was made for another network.
    #[error("cannot lay the adapter {} over a {family} of this shape: {reason}", path.display())]
    ForeignAdapter {
        /// The adapter's file that does not fit.
        path: PathBuf,
        /// The model type it was to be laid over.
        family: &'static str,
        /// The base that it names as its own.
        base: String,
        /// What does not fit.
        reason: String,
    },
    /// Weights are missing.
    #[error("cannot find tensor {name} in {}", path.display())]
    MissingTensor {
        /// The model.
        path: PathBuf,
        /// The tensor's Hugging Face name.
        name: String,
    },
    /// There are weights that nothing would use.
    #[error("cannot place tensor {name} of {}", path.display())]
    ExtraTensor {
        /// The model.
        path: PathBuf,
        /// The first such tensor.
        name: String,
    },
    /// A tensor does not fit the configuration.
    #[error("cannot use tensor {name} of {}: shape {found:?}, expected {expected:?}", path.display())]
    Shape {
        /// The model.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// A device that is not there.
    #[error("cannot use device {spec:?}: {reason}")]
    Device {
        /// What was asked for.
        spec: String,
        /// Why not.
        reason: String,
    },
    /// The tokenizer cannot be built.
    #[error("cannot use the tokenizer of {}: {reason}", path.display())]
    Tokenizer {
        /// The model.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl ModelError {
    /// Makes a [`ModelError::Format`].
    pub fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), reason: reason.into() }
    }

    /// Says what the reader can do next.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::Pickle { .. } => "use the repository's .safetensors files, or convert the checkpoint with `save_pretrained`",
            Self::Architecture { .. } => return Some(format!("these model types run: {}", Family::names())),
            Self::GgufArchitecture { .. } => {
                return Some(format!("GGUF files of \"llama\" run; folders with safetensors of {}", Family::names()));
            }
            Self::MissingTensor { .. } | Self::ExtraTensor { .. } | Self::Shape { .. } => {
                "the weights and config.json must come from the same model"
            }
            Self::MissingShard { .. } => "fetch the model again: its download is not complete",
            Self::NotFinite { .. } => "fetch the model again, or take a checkpoint from before its training diverged",
            Self::ForeignAdapter { base, .. } => return Some(format!("it was trained for {base}: give that as the base")),
            Self::Tokenizer { .. } => "use the tokenizer that came with the weights: vocabularies do not grow here",
            Self::Device { .. } => "use `device: cpu`, or `device: auto` to take a GPU only where there is one",
            Self::Read { .. } | Self::Write { .. } | Self::Format { .. } => return None,
        };
        Some(text.to_owned())
    }
}

impl From<ModelError> for StageError {
    fn from(error: ModelError) -> Self {
        let made = match &error {
            ModelError::Read { source, .. } | ModelError::Write { source, .. } => {
                Self::resource(error.to_string()).because(source)
            }
            ModelError::Device { .. } => Self::resource(error.to_string()),
            _ => Self::input(error.to_string()),
        };
        match error.help() {
            Some(help) => made.help(help),
            None => made,
        }
    }
}

impl From<ModelError> for GenerateError {
    fn from(error: ModelError) -> Self {
        let cause = match &error {
            ModelError::Read { source, .. } | ModelError::Write { source, .. } => format!(": {source}"),
            _ => String::new(),
        };
        Self { message: format!("{error}{cause}"), help: error.help() }
    }
}

//! What can go wrong with the store, told so that the reader knows which file and what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{Digest, StageError};

/// An operation of the store that failed. Nothing half-written is ever visible.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {operation} {}", path.display())]
    #[diagnostic(code(flow::store::io), help("check that {} exists and may be read and written", path.display()))]
    Io {
        /// What was tried: a verb.
        operation: &'static str,
        /// The object.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// No space is left.
    #[error("cannot {operation} {}: the disk is full", path.display())]
    #[diagnostic(code(flow::store::full), help("free space with `flow gc`, or move the store with FLOW_STORE=FOLDER"))]
    Full {
        /// What was tried: a verb.
        operation: &'static str,
        /// The object.
        path: PathBuf,
    },
    /// An object of the store is not what its name says.
    #[error("object {digest} of the store is damaged: {reason}")]
    #[diagnostic(code(flow::store::damaged), help("run the workflow again: damaged objects were set aside and are made anew"))]
    Damaged {
        /// The object.
        digest: Digest,
        /// What was found.
        reason: String,
    },
    /// Something that cannot be an artifact.
    #[error("cannot keep {}: {reason}", path.display())]
    #[diagnostic(
        code(flow::store::unsupported),
        help("an output holds only files, folders, and symbolic links that stay inside it")
    )]
    Unsupported {
        /// The object.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// The store was made by another version.
    #[error("cannot use the store {}: its format is {found:?}, this flow knows {known:?}", path.display())]
    #[diagnostic(code(flow::store::format), help("update flow, or use another folder with FLOW_STORE=FOLDER"))]
    Format {
        /// The store.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What we know.
        known: String,
    },
    /// Something else than a store lies where the store should be.
    #[error("cannot use {} as a store: {reason}", path.display())]
    #[diagnostic(
        code(flow::store::foreign),
        help("nothing was changed there; name an empty or new folder with FLOW_STORE=FOLDER, or `[store] path` in flow.toml")
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What speaks against it.
        reason: &'static str,
    },
    /// The store may only be read.
    #[error("cannot {operation} {}: the store may only be read", path.display())]
    #[diagnostic(
        code(flow::store::read_only),
        help("make the folder writable, or use another one with FLOW_STORE=FOLDER; looking, as `flow plan` does, still works")
    )]
    ReadOnly {
        /// What was tried: a verb.
        operation: &'static str,
        /// The object.
        path: PathBuf,
    },
    /// A record of the store does not parse.
    #[error("cannot parse {}", path.display())]
    #[diagnostic(code(flow::store::record), help("remove the file: it holds nothing that cannot be made again"))]
    Record {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Turns an error of the file system into ours; a full disk gets its own variant.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { operation, path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { operation, path },
            _ => Self::Io { operation, path, source },
        }
    }

    /// Whether the store may only be read.
    pub(crate) fn is_read_only(&self) -> bool {
        match self {
            Self::ReadOnly { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::Full { .. }
            | Self::Damaged { .. }
            | Self::Unsupported { .. }
            | Self::Format { .. }
            | Self::Foreign { .. }
            | Self::Record { .. } => false,
        }
    }

    /// What the reader can do next.
    pub fn help_text(&self) -> Option<String> {
        miette::Diagnostic::help(self).map(|help| help.to_string())
    }
}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> Self {
        let stage = match &error {
            StoreError::Unsupported { .. } => Self::input(error.to_string()),
            StoreError::Io { .. }
            | StoreError::Full { .. }
            | StoreError::Damaged { .. }
            | StoreError::Format { .. }
            | StoreError::Foreign { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Record { .. } => Self::resource(error.to_string()),
        };
        let stage = match std::error::Error::source(&error) {
            Some(cause) => stage.because(cause),
            None => stage,
        };
        match error.help_text() {
            Some(help) => stage.help(help),
            None => stage,
        }
    }
}

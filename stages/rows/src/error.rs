//! Why a `rows` or `tokens` artifact could not be read or written, and what a person can do about it.

use std::{error::Error, io, path::PathBuf};

use flow_engine::{StageError, StageErrorKind};

/// The live cause behind an Arrow error.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// A `rows` or `tokens` artifact that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// The file system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried: `open`, `read`, `write`, `create`, `list`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A folder without a single part.
    #[error("no part-*.arrow file in {}", path.display())]
    NoParts {
        /// The folder.
        path: PathBuf,
    },
    /// A file that ends early, or was never an Arrow IPC file.
    #[error("{} is torn or not an Arrow IPC file", path.display())]
    Torn {
        /// The file.
        path: PathBuf,
        /// What the reader stumbled over.
        #[source]
        source: Cause,
    },
    /// A sound Arrow file with other columns.
    #[error("{} does not hold {expected}: {found}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// `rows` or `tokens`.
        expected: &'static str,
        /// What is different.
        found: String,
    },
    /// A `meta` cell that is not a JSON object.
    #[error("row {row_id} of {} has a meta that is not a JSON object", path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// The row.
        row_id: String,
        /// Where the JSON broke.
        #[source]
        source: serde_json::Error,
    },
    /// Arrow refused to write a batch.
    #[error("cannot write a batch to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// A row past the end.
    #[error("no row {index} among {rows}")]
    NoRow {
        /// What was asked for.
        index: usize,
        /// How many rows there are.
        rows: usize,
    },
    /// Ids and labels of different lengths.
    #[error("row {row_id} has {ids} token ids and {labels} labels")]
    Uneven {
        /// The row.
        row_id: String,
        /// Number of ids.
        ids: usize,
        /// Number of labels.
        labels: usize,
    },
}

impl RowsError {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn torn<E: Into<Cause>>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Torn { path, source: source.into() }
    }

    pub(crate) fn write<E: Into<Cause>>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source: source.into() }
    }

    fn help(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::Write { .. } => "check the disk's free space and permissions, then `flow resume`",
            Self::NoParts { .. } | Self::Torn { .. } => "run the stage that made it again: `flow run`",
            Self::Foreign { .. } | Self::Meta { .. } => {
                "bring foreign data in through `data/ingest`, which accepts JSONL, CSV, and Parquet"
            }
            Self::NoRow { .. } | Self::Uneven { .. } => "this is a fault of flow, please report it",
        }
    }
}

impl From<RowsError> for StageError {
    fn from(error: RowsError) -> Self {
        let kind = match &error {
            RowsError::Io { .. } | RowsError::Write { .. } => StageErrorKind::Resource,
            RowsError::NoParts { .. } | RowsError::Torn { .. } | RowsError::Foreign { .. } | RowsError::Meta { .. } => {
                StageErrorKind::Input
            }
            RowsError::NoRow { .. } | RowsError::Uneven { .. } => StageErrorKind::Internal,
        };
        let stage_error = Self::new(kind, error.to_string()).help(error.help());
        match Error::source(&error) {
            Some(cause) => stage_error.because(cause),
            None => stage_error,
        }
    }
}

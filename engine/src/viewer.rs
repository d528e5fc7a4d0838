//! A look into artifacts whose rows only their own crate can read.
//!
//! The engine compares rows by name and digest; what a row holds stays the business of the [`ArtifactViewer`] that is
//! registered for its kind.

use std::{ops::ControlFlow, path::Path};

use crate::{ArtifactKind, Digest, StageError};

/// One row of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name, which stays when its content changes.
    pub id: String,
    /// Its content, its name left out.
    pub digest: Digest,
    /// Its content as a person reads it, on one line and short.
    pub text: String,
}

/// What is done with each row; breaking off ends the look.
pub type Visit<'a> = &'a mut dyn FnMut(Row) -> ControlFlow<()>;

/// Reads the rows of one kind of artifact.
pub trait ArtifactViewer: Send + Sync {
    /// The kind it reads.
    fn kind(&self) -> ArtifactKind;

    /// Shows every row in order, never all at once in memory.
    fn rows(&self, path: &Path, visit: Visit<'_>) -> Result<(), StageError>;
}

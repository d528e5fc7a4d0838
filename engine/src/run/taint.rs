//! Sources that change while a stage reads them. The result is kept for the run that made it and never under its key, which
//! stands for the content that was hashed before.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::spec::{AttemptSpec, Guarded};
use crate::{
    StageError,
    store::{ActionResult, Stamp, StoreError, hash_file, write_atomic},
};

/// A result that belongs to no key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tainted {
    /// What the stage gave.
    pub(crate) result: ActionResult,
    /// Source files that are not as they were.
    pub(crate) changed: Vec<PathBuf>,
}

/// Source files that changed since they were hashed, by their metadata or, if that could not show it, by their content.
pub(crate) fn changed(guarded: &[Guarded]) -> Result<Vec<PathBuf>, StoreError> {
    let mut changed = Vec::new();
    for file in guarded {
        let same = match Stamp::of(&file.path) {
            // Stores through a memory map may not have moved the times of a file that was young when it was hashed.
            Ok(stamp) if stamp == file.stamp => match &file.recheck {
                Some(digest) => hash_file(&file.path)?.0 == *digest,
                None => true,
            },
            Ok(_) | Err(_) => false,
        };
        if !same {
            // For people to read, and for journals that hold text.
            changed.push(PathBuf::from(file.path.to_string_lossy().into_owned()));
        }
    }
    Ok(changed)
}

impl Tainted {
    /// Leaves the result where only this attempt's engine looks.
    pub(crate) fn leave(&self, spec: &AttemptSpec) -> Result<(), StageError> {
        let bytes =
            serde_json::to_vec(self).map_err(|error| StageError::internal("cannot describe the result").because(&error))?;
        Ok(write_atomic(&bytes, &place(&spec.owner.directory))?)
    }

    /// The result that an attempt left, if it left one.
    pub(crate) fn left_by(spec: &AttemptSpec) -> Option<Self> {
        let bytes = fs::read(place(&spec.owner.directory)).ok()?;
        serde_json::from_slice::<Self>(&bytes).ok().filter(|tainted| tainted.result.key == spec.key)
    }
}

fn place(attempt: &Path) -> PathBuf {
    attempt.join("tainted.json")
}

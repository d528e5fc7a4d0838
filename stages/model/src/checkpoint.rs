//! The files of a checkpoint: what must survive so that a training run goes on as if nothing had happened.
//!
//! A folder of three safetensors files (parameters, the optimizer's memory of them, and the numbers of every step) and one JSON file that says
//! where in the data the run is. Where the folder is kept, and whether its bytes are still those that were written, is the
//! engine's concern. Every random draw follows from the seed and the number of the step and needs no state of its own.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

const PARAMETERS: &str = "parameters.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const HISTORY: &str = "history.safetensors";
const CURSOR: &str = "cursor.json";
const HISTORY_COLUMNS: usize = 3;
/// Begins the names of parameters; other tensors belong to the optimizer.
pub(crate) const PARAMETER: &str = "parameter/";
/// Written into every file, so that no output of a stage ever has the bytes of a checkpoint.
const MARK: (&str, &str) = ("flow", "checkpoint 1");

/// A tensor in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Its extent along each axis.
    pub shape: Vec<usize>,
    /// Its values, last axis fastest.
    pub values: Values,
}

/// The numbers of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// 32-bit numbers.
    Floats(Vec<f32>),
    /// 8-bit codes.
    Bytes(Vec<u8>),
}

/// What one optimizer step did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Mean negative log-likelihood over the step's supervised tokens, before its update.
    pub loss: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Supervised tokens of the step.
    pub supervised: u64,
}

/// The state of a run between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Parameters and what the optimizer remembers of them, by name.
    pub tensors: BTreeMap<String, HostTensor>,
    /// One record for each step taken.
    pub history: Vec<StepRecord>,
}

/// Where in its data and its draws a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Steps taken.
    pub step: u64,
    /// The epoch of the next step.
    pub epoch: u64,
    /// The place of the next row in the shuffled epoch.
    pub row: u64,
    /// Rows of an epoch.
    pub rows: u64,
    /// The seed of the order, of dropout, and of the first weights.
    pub seed: u64,
}

/// A folder that is not a whole checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file could not be read or written.
    #[error("cannot access checkpoint file {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its content is not what was written.
    #[error("checkpoint file {path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl CheckpointError {
    fn damaged(path: &Path, reason: &dyn ToString) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.to_string() }
    }
}

impl Checkpoint {
    /// Writes the files into a folder, which is made anew.
    pub fn write(&self, folder: &Path, cursor: &Cursor) -> Result<(), CheckpointError> {
        let io = |path: &Path, source| CheckpointError::Io { path: path.to_owned(), source };
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(folder, error)),
            _ => {}
        }
        fs::create_dir_all(folder).map_err(|error| io(folder, error))?;
        let (parameters, moments): (Vec<_>, Vec<_>) = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), Stored::tensor(tensor)))
            .partition(|(name, _)| name.starts_with(PARAMETER));
        let history = vec![("history", Stored::history(&self.history))];
        for (name, tensors) in [(PARAMETERS, parameters), (OPTIMIZER, moments), (HISTORY, history)] {
            let path = folder.join(name);
            let mark = HashMap::from([(MARK.0.to_owned(), MARK.1.to_owned())]);
            let bytes = safetensors::serialize(tensors, Some(mark)).map_err(|error| CheckpointError::damaged(&path, &error))?;
            fs::write(&path, bytes).map_err(|error| io(&path, error))?;
        }
        let path = folder.join(CURSOR);
        let text = serde_json::to_vec(cursor).map_err(|error| CheckpointError::damaged(&path, &error))?;
        fs::write(&path, text).map_err(|error| io(&path, error))
    }

    /// Reads a folder that [`Checkpoint::write`] wrote.
    pub fn read(folder: &Path) -> Result<(Self, Cursor), CheckpointError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map(|bytes| (path.clone(), bytes)).map_err(|source| CheckpointError::Io { path, source })
        };
        let (path, bytes) = read(CURSOR)?;
        let cursor: Cursor = serde_json::from_slice(&bytes).map_err(|error| CheckpointError::damaged(&path, &error))?;
        let (path, bytes) = read(HISTORY)?;
        let stored = SafeTensors::deserialize(&bytes).map_err(|error| CheckpointError::damaged(&path, &error))?;
        let history: Vec<_> = stored.iter().flat_map(|(_, view)| read_history(view.data())).collect();
        if history.len() as u64 != cursor.step {
            return Err(CheckpointError::damaged(&path, &format!("it tells of {} steps, not of {}", history.len(), cursor.step)));
        }
        let mut tensors = BTreeMap::new();
        for name in [PARAMETERS, OPTIMIZER] {
            let (path, bytes) = read(name)?;
            let stored = SafeTensors::deserialize(&bytes).map_err(|error| CheckpointError::damaged(&path, &error))?;
            tensors.extend(stored.iter().map(|(name, view)| {
                let values = match view.dtype() {
                    Dtype::U8 => Values::Bytes(view.data().to_vec()),
                    _ => Values::Floats(view.data().as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect()),
                };
                (name.to_owned(), HostTensor { shape: view.shape().to_vec(), values })
            }));
        }
        Ok((Self { tensors, history }, cursor))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts were written from integers below 2^53")]
fn read_history(bytes: &[u8]) -> Vec<StepRecord> {
    let numbers: Vec<f64> = bytes.as_chunks().0.iter().map(|word| f64::from_le_bytes(*word)).collect();
    let (rows, _) = numbers.as_chunks::<HISTORY_COLUMNS>();
    rows.iter().map(|&[loss, grad_norm, supervised]| StepRecord { loss, grad_norm, supervised: supervised as u64 }).collect()
}

/// Bytes on their way into a safetensors file.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn tensor(tensor: &HostTensor) -> Self {
        let (dtype, bytes) = match &tensor.values {
            Values::Floats(values) => (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Values::Bytes(bytes) => (Dtype::U8, bytes.clone()),
        };
        Self { dtype, shape: tensor.shape.clone(), bytes }
    }

    #[expect(clippy::cast_precision_loss, reason = "token counts of one step stay far below 2^53")]
    fn history(history: &[StepRecord]) -> Self {
        let numbers = history.iter().flat_map(|record| [record.loss, record.grad_norm, record.supervised as f64]);
        let bytes = numbers.flat_map(f64::to_le_bytes).collect();
        Self { dtype: Dtype::F64, shape: vec![history.len(), HISTORY_COLUMNS], bytes }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Checkpoint, Cursor) {
        let values = Values::Floats(vec![0.1, -2.5, f32::MIN_POSITIVE, 1e30, 0.0, 3.0]);
        let tensor = HostTensor { shape: vec![2, 3], values };
        let record = StepRecord { loss: 1.0 / 3.0, grad_norm: 0.7, supervised: 41 };
        let codes = HostTensor { shape: vec![2, 3], values: Values::Bytes(vec![0, 1, 127, 128, 254, 255]) };
        let tensors = [("parameter/a", &tensor), ("first/a", &tensor), ("second/a", &codes)];
        let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor.clone()));
        let cursor = Cursor { step: 3, epoch: 1, row: 4, rows: 8, seed: u64::MAX };
        (Checkpoint { tensors: BTreeMap::from(tensors), history: vec![record; 3] }, cursor)
    }

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let (checkpoint, cursor) = sample();
        checkpoint.write(folder.path(), &cursor).unwrap();
        assert_eq!(Checkpoint::read(folder.path()).unwrap(), (checkpoint, cursor));
    }

    #[test]
    fn what_was_in_the_folder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("left-over"), "").unwrap();
        let (checkpoint, cursor) = sample();
        checkpoint.write(folder.path(), &cursor).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (checkpoint, cursor) = sample();
        for cut in [PARAMETERS, OPTIMIZER, HISTORY, CURSOR] {
            checkpoint.write(folder.path(), &cursor).unwrap();
            let path = folder.path().join(cut);
            let whole = fs::read(&path).unwrap();
            fs::write(&path, &whole[..whole.len() / 2]).unwrap();
            assert!(matches!(Checkpoint::read(folder.path()), Err(CheckpointError::Damaged { .. })), "{cut}");
        }
        checkpoint.write(folder.path(), &Cursor { step: 4, ..cursor }).unwrap();
        assert!(Checkpoint::read(folder.path()).unwrap_err().to_string().contains("3 steps, not of 4"));
    }
}

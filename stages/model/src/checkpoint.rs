//! Checkpoints of a training run: what must survive a crash so that the run goes on as if nothing had happened.
//!
//! One file a checkpoint: a header line with the BLAKE3 digest of what follows, then safetensors. A file is written beside its
//! final name, flushed, and renamed, so a torn write is never found; a damaged one is passed over for the one before.
//! The step, the data cursor, and every random draw follow from the number of recorded steps and need no state of their own.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use flow_engine::Digest;
use safetensors::{Dtype, SafeTensors, View};
use serde::Serialize;

const HEADER: &str = "flow-checkpoint 1 ";
const HISTORY: &str = "history";
const HISTORY_COLUMNS: usize = 3;

/// A tensor in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Its extent along each axis.
    pub shape: Vec<usize>,
    /// Its values, last axis fastest.
    pub values: Vec<f32>,
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
    /// Parameters and optimizer moments by name.
    pub tensors: BTreeMap<String, HostTensor>,
    /// One record for each step taken.
    pub history: Vec<StepRecord>,
}

/// A file that is not a whole checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It could not be read or written.
    #[error("cannot access checkpoint {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its content is not what was written.
    #[error("checkpoint {path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The checkpoints of one run in one folder.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    directory: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// Checkpoints in `directory`, of which the newest `keep` (at least one) are kept.
    pub fn new(directory: impl Into<PathBuf>, keep: usize) -> Self {
        Self { directory: directory.into(), keep: keep.max(1) }
    }

    /// Writes a checkpoint durably, then removes the oldest beyond the number kept.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let path = self.directory.join(format!("step-{:010}.ckpt", checkpoint.history.len()));
        let payload = encode(checkpoint).map_err(|reason| CheckpointError::Damaged { path: path.clone(), reason })?;
        write_durably(&path, &payload).map_err(|source| CheckpointError::Io { path: path.clone(), source })?;
        let mut paths = self.paths()?;
        paths.truncate(paths.len().saturating_sub(self.keep));
        for old in paths {
            fs::remove_file(&old).map_err(|source| CheckpointError::Io { path: old, source })?;
        }
        Ok(())
    }

    /// Reads the newest whole checkpoint, if there is one.
    pub fn latest(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        for path in self.paths()?.iter().rev() {
            match read(path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error @ CheckpointError::Damaged { .. }) => tracing::warn!(%error, "Passed over a checkpoint."),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Returns the files of all checkpoints, oldest first.
    fn paths(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let fail = |source| CheckpointError::Io { path: self.directory.clone(), source };
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(fail)?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "ckpt"));
        paths.sort();
        Ok(paths)
    }
}

/// Writes header and payload to a temporary file, flushes it to the disk, and renames it.
fn write_durably(path: &Path, payload: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let staged = path.with_extension("partial");
    let placed = write_synced(&staged, payload).and_then(|()| fs::rename(&staged, path));
    if placed.is_err() {
        // A full disk must not get fuller; the write's own error is the one to report.
        fs::remove_file(&staged).ok();
    }
    placed?;
    File::open(directory)?.sync_all()
}

fn write_synced(path: &Path, payload: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    writeln!(file, "{HEADER}{}", Digest::of(payload))?;
    file.write_all(payload)?;
    file.sync_all()
}

fn read(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let bytes = fs::read(path).map_err(|source| CheckpointError::Io { path: path.to_owned(), source })?;
    decode(&bytes).map_err(|reason| CheckpointError::Damaged { path: path.to_owned(), reason })
}

fn encode(checkpoint: &Checkpoint) -> Result<Vec<u8>, String> {
    let tensors = checkpoint.tensors.iter().map(|(name, tensor)| (name.as_str(), Stored::floats(tensor)));
    let all = tensors.chain([(HISTORY, Stored::history(&checkpoint.history))]);
    safetensors::serialize(all, None).map_err(|error| error.to_string())
}

fn decode(bytes: &[u8]) -> Result<Checkpoint, String> {
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or("it has no header")?;
    let (header, payload) = (bytes.get(..end).unwrap_or_default(), bytes.get(end + 1..).unwrap_or_default());
    let digest = std::str::from_utf8(header).ok().and_then(|line| line.strip_prefix(HEADER)).ok_or("its header is unknown")?;
    if digest != Digest::of(payload).to_string() {
        return Err("its digest does not fit its content".to_owned());
    }
    let stored = SafeTensors::deserialize(payload).map_err(|error| error.to_string())?;
    let mut checkpoint = Checkpoint { tensors: BTreeMap::new(), history: Vec::new() };
    for (name, view) in stored.iter() {
        if name == HISTORY {
            checkpoint.history = read_history(view.data());
        } else {
            let values = view.data().as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
            checkpoint.tensors.insert(name.to_owned(), HostTensor { shape: view.shape().to_vec(), values });
        }
    }
    Ok(checkpoint)
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
    fn floats(tensor: &HostTensor) -> Self {
        let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: tensor.shape.clone(), bytes }
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

    fn sample(steps: usize) -> Checkpoint {
        let tensor = HostTensor { shape: vec![2, 3], values: vec![0.1, -2.5, f32::MIN_POSITIVE, 1e30, 0.0, 3.0] };
        let record = StepRecord { loss: 1.0 / 3.0, grad_norm: 0.7, supervised: 41 };
        Checkpoint { tensors: BTreeMap::from([("a".to_owned(), tensor)]), history: vec![record; steps] }
    }

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().join("checkpoints"), 2);
        assert_eq!(checkpoints.latest().unwrap(), None);
        checkpoints.save(&sample(3)).unwrap();
        assert_eq!(checkpoints.latest().unwrap(), Some(sample(3)));
    }

    #[test]
    fn only_the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path(), 2);
        for steps in [1, 2, 10] {
            checkpoints.save(&sample(steps)).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(checkpoints.latest().unwrap().unwrap().history.len(), 10);
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path(), 3);
        checkpoints.save(&sample(1)).unwrap();
        checkpoints.save(&sample(2)).unwrap();
        let newest = folder.path().join("step-0000000002.ckpt");
        let whole = fs::read(&newest).unwrap();
        for cut in [0, 5, 80, whole.len() - 1] {
            fs::write(&newest, &whole[..cut]).unwrap();
            assert_eq!(checkpoints.latest().unwrap().unwrap().history.len(), 1);
        }
        let mut flipped = whole;
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(&newest, flipped).unwrap();
        assert_eq!(checkpoints.latest().unwrap().unwrap().history.len(), 1);
    }
}

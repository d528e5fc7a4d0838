//! How far a stage goes along a way that runs of other lengths share, and the checkpoints on it.
//!
//! A stage that works in steps, such as training, says which of its options only decide where it stops. Without them its
//! action key becomes a trajectory key, under which the engine files checkpoints: a repeated attempt, or the same work with a
//! farther end, goes on from the best of them. What a checkpoint holds is the stage's concern, where it lies the store's.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::StageError;

/// Where a configuration ends, and what else may start from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizon {
    /// Options that decide only where the work ends, such as `duration.epochs`.
    pub length: Vec<String>,
    /// Options that change neither the way nor its end: how often something is saved or looked at.
    pub cadence: Vec<String>,
    /// The end in the units of [`Milestone::position`], as far as the configuration names one.
    pub limits: BTreeMap<String, u64>,
    /// What it takes over from runs of another length.
    pub reuse: Reuse,
}

/// What is taken over from runs of another length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from-other-lengths")]
pub enum Reuse {
    /// What they did before their length began to show.
    Shared,
    /// Nothing: every step depends on the length.
    Apart {
        /// Why.
        because: String,
        /// What to change.
        help: String,
    },
    /// Everything: the workflow asks for it.
    Any,
}

/// A point on the way from which the work can go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Milestone {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run that got here.
    pub total: u64,
    /// Units done, rounded up: `epochs`, `steps`.
    pub position: BTreeMap<String, u64>,
    /// Whether a run of any other length that gets here would be in the same state.
    pub shared: bool,
}

/// How far an attempt goes, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// All its steps.
    pub total: u64,
    /// Those at the beginning that do not depend on how many there are.
    pub shared: u64,
}

/// Opens a checkpoint that is offered; what it returns as an error is why the next one is tried.
pub type OpenCheckpoint<'a> = &'a mut dyn FnMut(&Milestone, &Path) -> Result<(), String>;

/// Keeps the checkpoints of one attempt.
pub trait Keeper: Send + Sync {
    /// Offers whole checkpoints within reach, best first, until `open` takes one, and returns that one.
    fn resume(&self, reach: Reach, open: OpenCheckpoint<'_>) -> Result<Option<Milestone>, StageError>;

    /// Keeps a folder as the checkpoint at `milestone`, durably, and lets go of older ones beyond the newest `keep`.
    /// The folder is gone afterwards; one that a killed attempt left must not be written into.
    fn save(&self, milestone: &Milestone, folder: &Path, keep: usize) -> Result<(), StageError>;
}

impl Milestone {
    /// Whether a run within these limits passes here.
    pub fn lies_within(&self, limits: &BTreeMap<String, u64>) -> bool {
        limits.iter().all(|(unit, most)| self.position.get(unit).is_none_or(|done| done <= most))
    }
}

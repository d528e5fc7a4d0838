//! The checkpoints of a run's stages: which an attempt may go on from, which it keeps, and what a plan can say beforehand.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use serde::{Deserialize, Serialize};

use super::spec::AttemptSpec;
use crate::{
    Digest, StageError,
    context::Reporter,
    horizon::{Horizon, Keeper, Milestone, OpenCheckpoint, Reach, Reuse},
    store::{CheckpointRecord, Store, StoreError, Trajectory, remove_all},
};

/// The metric that says at which step an attempt went on; it is not a reading of the work.
pub const RESUMED_FROM_STEP: &str = "volatile.resumed_from_step";

/// The way of a stage with a horizon, and how far it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Course {
    /// The trajectory key.
    pub(crate) key: Digest,
    /// How far.
    pub(crate) horizon: Horizon,
}

/// Where a stage that would run would begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "begins")]
pub enum Outlook {
    /// At a checkpoint.
    FromStep {
        /// The steps that are done.
        step: u64,
    },
    /// At the start, although a run of another length has checkpoints.
    Anew {
        /// The farthest of them.
        step: u64,
        /// Why it is not used.
        because: String,
        /// What would have to change.
        help: String,
    },
}

/// The checkpoints of one attempt, for the stage that runs.
pub(super) struct Checkpoints<'a> {
    trajectory: Trajectory,
    horizon: &'a Horizon,
    action: Digest,
    place: PathBuf,
    reporter: &'a dyn Reporter,
    /// Whether the attempt went on from a state that a run of its own length would not be in.
    grafted: AtomicBool,
}

impl<'a> Checkpoints<'a> {
    /// Those of the attempt that `spec` describes, if its stage has a horizon.
    pub(super) fn of(spec: &'a AttemptSpec, store: &Store, reporter: &'a dyn Reporter) -> Option<Self> {
        let course = spec.course.as_ref()?;
        Some(Self {
            trajectory: store.trajectory(&course.key),
            horizon: &course.horizon,
            action: spec.key,
            place: store.temporary(&spec.owner.token).join("checkpoint"),
            reporter,
            grafted: AtomicBool::new(false),
        })
    }

    /// Lets go of all but the end of a finished attempt and the last point that other lengths share.
    pub(super) fn finish(&self) {
        if let Err(error) = self.keep_newest(1) {
            tracing::warn!(%error, "Could not remove the checkpoints of a finished stage.");
        }
    }

    fn keep_newest(&self, count: usize) -> Result<(), StoreError> {
        let records = self.trajectory.records()?;
        let own = || records.iter().filter(|record| record.action == self.action).map(|record| &record.milestone);
        let shared = own().find(|milestone| milestone.shared);
        let kept: Vec<u64> = own().take(count.max(1)).chain(shared).map(|milestone| milestone.step).collect();
        self.trajectory.prune(&self.action, &|record| kept.contains(&record.milestone.step))
    }

    /// Whether a state fits a run that reaches this far.
    fn fits(&self, record: &CheckpointRecord, reach: Reach) -> bool {
        let step = record.milestone.step;
        let other_length = record.milestone.shared && step <= reach.shared && self.horizon.reuse == Reuse::Shared;
        let own_length = record.milestone.total == reach.total;
        step <= reach.total && (self.horizon.reuse == Reuse::Any || !record.grafted && (own_length || other_length))
    }

    fn offer(&self, record: &CheckpointRecord, open: OpenCheckpoint<'_>) -> Result<bool, StageError> {
        remove_all(&self.place)?;
        let refused = match self.trajectory.lay_out(record, &self.place) {
            Ok(true) => open(&record.milestone, &self.place).err(),
            Ok(false) => Some("it is damaged".to_owned()),
            // Whoever wrote it may have let go of it meanwhile.
            Err(error) => Some(error.to_string()),
        };
        // The objects must not look used once the record is gone.
        remove_all(&self.place)?;
        let Some(reason) = refused else { return Ok(true) };
        tracing::warn!(step = record.milestone.step, reason, "Passed over a checkpoint.");
        if record.action == self.action {
            // Left there, it would count as the newest and push out those that this attempt writes.
            let step = record.milestone.step;
            self.trajectory.prune(&self.action, &|own| own.milestone.step != step)?;
        }
        Ok(false)
    }
}

impl Keeper for Checkpoints<'_> {
    fn resume(&self, reach: Reach, open: OpenCheckpoint<'_>) -> Result<Option<Milestone>, StageError> {
        for record in self.trajectory.records()?.into_iter().filter(|record| self.fits(record, reach)) {
            if !self.offer(&record, open)? {
                continue;
            }
            let shared = record.milestone.shared && record.milestone.step <= reach.shared;
            let natural = record.milestone.total == reach.total || shared;
            self.grafted.store(record.grafted || !natural, Ordering::Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^52")]
            self.reporter.metric(RESUMED_FROM_STEP, record.milestone.step as f64);
            return Ok(Some(record.milestone));
        }
        Ok(None)
    }

    fn save(&self, milestone: &Milestone, folder: &Path, keep: usize) -> Result<(), StageError> {
        let by = (self.action, self.grafted.load(Ordering::Relaxed));
        self.trajectory.save(by, (milestone, &self.horizon.limits), folder)?;
        self.keep_newest(keep).map_err(StageError::from)
    }
}

/// What can be said of the beginning without running: the stage alone knows how many steps its limits make.
pub(crate) fn outlook(store: &Store, course: &Course) -> Result<Option<Outlook>, StoreError> {
    let horizon = &course.horizon;
    let records = store.trajectory(&course.key).records()?;
    let mut within = records.iter().filter(|record| record.milestone.lies_within(&horizon.limits));
    let fits = |record: &&CheckpointRecord| match &horizon.reuse {
        Reuse::Any => true,
        Reuse::Shared if record.milestone.shared => true,
        Reuse::Shared | Reuse::Apart { .. } => record.limits == horizon.limits && !record.grafted,
    };
    if let Some(found) = within.clone().find(fits) {
        return Ok(Some(Outlook::FromStep { step: found.milestone.step }));
    }
    Ok(match (&horizon.reuse, within.next()) {
        (Reuse::Apart { because, help }, Some(other)) => {
            Some(Outlook::Anew { step: other.milestone.step, because: because.clone(), help: help.clone() })
        }
        (Reuse::Apart { .. } | Reuse::Shared | Reuse::Any, _) => None,
    })
}

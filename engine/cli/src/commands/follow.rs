//! `flow status --follow`: a run that goes on elsewhere, shown as if it went on here.

use std::{collections::BTreeMap, time::Duration};

use flow_engine::run::{Outcome, RunState, Segment, SegmentReader, StageProgress, StageStatus};

use super::find::Found;
use crate::{
    CliError, ExitStatus, Shell,
    progress::{self, Detail},
};

/// Between two looks at the journal.
const EVERY: Duration = Duration::from_millis(250);

/// Shows what happens until the run ends. The exit code is that of the run.
pub(super) fn follow(found: &mut Found, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (mut observer, _board) = progress::observer(shell.ui, Detail::Normal);
    let mut state: Option<RunState> = None;
    let mut readers: BTreeMap<(String, u32), SegmentReader> = BTreeMap::new();
    loop {
        // Asked before reading, so that what was written last is not missed.
        let live = found.history.is_live(found.run);
        for entry in found.history.entries(found.run)? {
            match &mut state {
                None => state = RunState::begin(&entry).ok(),
                Some(state) if entry.seq < state.next_seq => continue,
                Some(state) => {
                    if state.apply(&entry).is_err() {
                        continue;
                    }
                }
            }
            if let Some(state) = &state {
                observer.event(&entry, state);
            }
        }
        let Some(state) = &state else { return Ok(ExitStatus::Ok) };
        for update in updates(found, state, &mut readers) {
            observer.progress(&update);
        }
        if !live {
            found.state = state.clone();
            return Ok(state.outcome.map_or(ExitStatus::StageFailed, <ExitStatus as From<Outcome>>::from));
        }
        std::thread::sleep(EVERY);
    }
}

/// How far the working stages are, as far as it is new.
fn updates(found: &Found, state: &RunState, readers: &mut BTreeMap<(String, u32), SegmentReader>) -> Vec<StageProgress> {
    let mut updates = Vec::new();
    for stage in state.stages.iter().filter(|stage| stage.status == StageStatus::Running) {
        let attempt = found.paths().attempt(&stage.name, stage.attempts);
        let reader = readers.entry((stage.name.clone(), stage.attempts)).or_insert_with(|| SegmentReader::new(&attempt));
        let last = reader.poll().into_iter().rev().find_map(|segment| match segment {
            Segment::Progress(progress) => Some(progress),
            Segment::Metric { .. } | Segment::Failed { .. } | Segment::Lost { .. } | Segment::Committed | Segment::Unknown => {
                None
            }
        });
        updates.extend(last.map(|progress| StageProgress { stage: stage.name.clone(), source: None, progress }));
    }
    updates
}

//! Events as JSON lines on standard output: the entries of the journal as they are written, and between them how far
//! stages are.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use flow_engine::run::{Entry, Observer, RunState, StageProgress};
use serde_json::json;

/// Between two lines about the progress of one stage.
const EVERY: Duration = Duration::from_secs(1);

/// Writes every event as one line.
#[derive(Default)]
pub(super) struct Json {
    told: BTreeMap<String, Instant>,
}

impl Json {
    /// Whether the progress of a stage is worth a line: its first, its last, and one a second between them.
    fn due(&mut self, update: &StageProgress) -> bool {
        let complete = update.progress.total == Some(update.progress.done);
        let due = complete || self.told.get(&update.stage).is_none_or(|last| last.elapsed() >= EVERY);
        if due {
            self.told.insert(update.stage.clone(), Instant::now());
        }
        due
    }
}

impl Observer for Json {
    fn event(&mut self, entry: &Entry, _: &RunState) {
        crate::ui::document(entry);
    }

    fn progress(&mut self, progress: &StageProgress) {
        if self.due(progress) {
            crate::ui::document(&json!({ "progress": progress }));
        }
    }
}

#[cfg(test)]
mod tests {
    use flow_engine::context::Progress;

    use super::*;

    #[test]
    fn progress_comes_once_a_second_and_at_the_end() {
        let update = |done: u64| StageProgress {
            stage: "train".into(),
            source: None,
            progress: Progress { done, total: Some(9), unit: "steps".into(), note: None },
        };
        let mut json = Json::default();
        assert_eq!([1, 2, 3, 9].map(|done| json.due(&update(done))), [true, false, false, true]);
    }
}

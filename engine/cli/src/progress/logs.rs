//! What stages printed, shown when each of them ends; on a hit, what was printed when the work was done.

use std::{path::PathBuf, sync::Arc};

use flow_engine::{
    project::Project,
    run::{Entry, Event, Observer, RunPaths, RunState},
    store::{KeptLog, Store},
};
use serde_json::json;

use super::Board;
use crate::ui::Ui;

/// Shows the logs of every stage that ends.
pub(super) struct Logs {
    ui: Ui,
    board: Arc<Board>,
    state: PathBuf,
    /// None when it cannot be opened; the run itself says so.
    store: Option<Store>,
}

impl Logs {
    pub(super) fn new(ui: Ui, board: Arc<Board>, project: &Project) -> Self {
        Self { ui, board, state: project.state.clone(), store: Store::open(&project.site.store).ok() }
    }

    fn show(&self, stage: &str, (mark, stream): (Option<&str>, &str), text: &str) {
        for line in text.lines() {
            if self.ui.json() {
                crate::ui::document(&json!({ "stage": stage, "stream": stream, "line": line, "replayed_from": mark }));
            } else {
                self.board.line(rendered(self.ui, stage, mark, line));
            }
        }
    }

    fn attempt(&self, (stage, attempt): (&str, u32), run: &RunState) {
        let folder = RunPaths::new(&self.state, run.run).attempt(stage, attempt);
        for stream in ["stdout", "stderr"] {
            // A stream that was never opened printed nothing.
            let bytes = std::fs::read(folder.join(stream)).unwrap_or_default();
            self.show(stage, (None, stream), &String::from_utf8_lossy(&bytes));
        }
    }
}

/// One line of a log behind its stage; a replayed one says so.
fn rendered(ui: Ui, stage: &str, replayed: Option<&str>, line: &str) -> String {
    let mark = if replayed.is_some() { " (replayed)" } else { "" };
    format!("{} {line}", ui.err.quiet(&format!("{stage}{mark} │")))
}

/// Both streams of a kept log.
pub(crate) fn streams(log: &KeptLog) -> [(&'static str, &str); 2] {
    [("stdout", log.stdout.as_str()), ("stderr", log.stderr.as_str())]
}

impl Observer for Logs {
    fn event(&mut self, entry: &Entry, state: &RunState) {
        if let Event::StageCached { stage, key, .. } = &entry.event {
            let Some(log) = self.store.as_ref().and_then(|store| store.log(key)) else { return };
            for (stream, text) in streams(&log) {
                self.show(stage, (Some(&log.run), stream), text);
            }
        } else if let Event::StageSucceeded { stage, attempt, .. }
        | Event::StageRetried { stage, attempt, .. }
        | Event::StageFailed { stage, attempt, .. } = &entry.event
        {
            self.attempt((stage, *attempt), state);
        }
    }
}

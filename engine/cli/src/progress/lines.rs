//! Plain lines, for logs and pipes: one line an event, and now and then how far a stage is.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use flow_engine::run::{Entry, Event, Observer, RunState, StageProgress};

use super::{
    Board, Detail,
    say::{Saying, Teller, progress_text},
};
use crate::ui::{Paint, Tone, Ui};

/// Between two lines about the progress of one stage.
const EVERY: Duration = Duration::from_secs(10);

/// Writes lines.
pub(super) struct Lines {
    board: Arc<Board>,
    paint: Paint,
    detail: Detail,
    width: usize,
    told: BTreeMap<String, Instant>,
    teller: Teller,
}

impl Lines {
    pub(super) fn new(ui: Ui, board: Arc<Board>, detail: Detail) -> Self {
        Self { board, paint: ui.err, detail, width: 0, told: BTreeMap::new(), teller: Teller::default() }
    }

    fn wanted(&self, saying: &Saying) -> bool {
        self.detail != Detail::Quiet || matches!(saying.tone, Tone::Bad | Tone::Watch)
    }
}

impl Observer for Lines {
    fn event(&mut self, entry: &Entry, state: &RunState) {
        if self.width == 0 {
            // Once: the stages of a run stay the same, and there may be many.
            self.width = super::say::name_width(state);
        }
        if let Event::StageStarted { stage, attempt, .. } = &entry.event {
            self.told.insert(stage.clone(), Instant::now());
            let again = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
            let started = Saying::about(stage, Tone::Quiet, "▶", format!("started{again}"));
            if self.wanted(&started) {
                self.board.line(started.render(self.paint, self.width));
            }
        }
        for saying in self.teller.say(&entry.event, state).iter().filter(|saying| self.wanted(saying)) {
            self.board.line(saying.render(self.paint, self.width));
        }
    }

    fn progress(&mut self, progress: &StageProgress) {
        let due = self.told.get(&progress.stage).is_none_or(|last| last.elapsed() >= EVERY);
        if due && self.detail != Detail::Quiet {
            self.told.insert(progress.stage.clone(), Instant::now());
            let saying = Saying::about(&progress.stage, Tone::Quiet, "…", progress_text(progress));
            self.board.line(saying.render(self.paint, self.width));
        }
    }
}

//! Standard error while a run goes on: lines above, bars below, and pauses for questions.

use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

use crate::ui::Ui;

/// Lines and bars on standard error. While it is paused, lines are kept and bars hidden.
pub(crate) struct Board {
    ui: Ui,
    bars: MultiProgress,
    /// Lines kept during a pause; none while there is no pause.
    held: Mutex<Option<Vec<String>>>,
}

impl Board {
    pub(crate) fn new(ui: Ui) -> Self {
        let target = if ui.live { ProgressDrawTarget::stderr_with_hz(12) } else { ProgressDrawTarget::hidden() };
        Self { ui, bars: MultiProgress::with_draw_target(target), held: Mutex::new(None) }
    }

    /// Writes a line above the bars.
    pub(crate) fn line(&self, line: String) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(lines) => lines.push(line),
            None => self.write(&line),
        }
    }

    /// Adds a bar below the others.
    pub(crate) fn add(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.add(bar)
    }

    /// Takes a bar away.
    pub(crate) fn remove(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.bars.remove(bar);
    }

    /// Hides the bars and keeps lines back while `question` uses the terminal.
    pub(crate) fn pause<T>(&self, question: impl FnOnce() -> T) -> T {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        if self.ui.live {
            // Clearing fails only where nothing was drawn.
            let _drawn = self.bars.clear();
            self.bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        let answer = question();
        if self.ui.live {
            self.bars.set_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        }
        let lines = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        lines.into_iter().flatten().for_each(|line| self.write(&line));
        answer
    }

    fn write(&self, line: &str) {
        if !self.ui.live || self.bars.println(line).is_err() {
            crate::ui::note(line);
        }
    }
}

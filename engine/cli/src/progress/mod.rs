//! What a person or a program sees while a run goes on: one observer for terminals, one for logs, one for JSON.

mod board;
mod json;
mod lines;
mod live;
mod logs;
mod say;

use std::sync::Arc;

use flow_engine::{project::Project, run::Observer};

pub(crate) use board::Board;
pub(crate) use logs::streams;
pub(crate) use say::{cached, progress_words, skipped, tainted, waiting};

use crate::ui::{Output, Ui};

/// How much of a run is told while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything, and what stages print.
    Logs,
    /// Everything.
    Normal,
    /// Only what went wrong or waits.
    Quiet,
}

/// The observer that fits the terminal, and the board that questions at the terminal pause.
pub(crate) fn observer(ui: Ui, detail: Detail) -> (Box<dyn Observer>, Arc<Board>) {
    let board = Arc::new(Board::new(ui));
    let observer: Box<dyn Observer> = match (ui.output, ui.live, detail) {
        (Output::Json, _, _) => Box::new(json::Json::default()),
        (Output::Text, true, Detail::Normal | Detail::Logs) => Box::new(live::Live::new(ui, Arc::clone(&board))),
        (Output::Text, _, _) => Box::new(lines::Lines::new(ui, Arc::clone(&board), detail)),
    };
    (observer, board)
}

/// The observer that shows what stages printed, when that is wanted.
pub(crate) fn logs(ui: Ui, detail: Detail, board: &Arc<Board>, project: &Project) -> Option<Box<dyn Observer>> {
    (detail == Detail::Logs).then(|| Box::new(logs::Logs::new(ui, Arc::clone(board), project)) as Box<dyn Observer>)
}

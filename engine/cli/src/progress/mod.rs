//! What a person or a program sees while a run goes on: one observer for terminals, one for logs, one for JSON.

mod board;
mod json;
mod lines;
mod live;
mod say;

use std::sync::Arc;

use flow_engine::run::Observer;

pub(crate) use board::Board;
pub(crate) use say::{cached, progress_words, skipped, waiting};

use crate::ui::{Output, Ui};

/// How much of a run is told while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything.
    Normal,
    /// Only what went wrong or waits.
    Quiet,
}

/// The observer that fits the terminal, and the board that questions at the terminal pause.
pub(crate) fn observer(ui: Ui, detail: Detail) -> (Box<dyn Observer>, Arc<Board>) {
    let board = Arc::new(Board::new(ui));
    let observer: Box<dyn Observer> = match (ui.output, ui.live, detail) {
        (Output::Json, _, _) => Box::new(json::Json),
        (Output::Text, true, Detail::Normal) => Box::new(live::Live::new(ui, Arc::clone(&board))),
        (Output::Text, _, _) => Box::new(lines::Lines::new(ui, Arc::clone(&board), detail)),
    };
    (observer, board)
}

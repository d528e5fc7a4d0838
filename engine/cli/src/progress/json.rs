//! Events as JSON lines on standard output: the entries of the journal as they are written.

use flow_engine::run::{Entry, Observer, RunState};

/// Writes every event as one line.
pub(super) struct Json;

impl Observer for Json {
    fn event(&mut self, entry: &Entry, _: &RunState) {
        crate::ui::document(entry);
    }
}

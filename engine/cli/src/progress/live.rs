//! A terminal that is redrawn: finished stages as lines, working stages as bars.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flow_engine::run::{Entry, Event, Observer, RunState, StageProgress, StageStatus};
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Board,
    say::{Teller, name_width},
};
use crate::ui::{Paint, Ui};

const SPIN: &str = "  {spinner} {prefix}  {wide_msg} {elapsed}";
const BAR: &str = "  {spinner} {prefix}  {bar:22} {human_pos}/{human_len} {wide_msg} {elapsed}, {eta} left";
const BYTES: &str = "  {spinner} {prefix}  {bar:22} {bytes}/{total_bytes} {wide_msg} {eta} left";

/// Draws bars.
pub(super) struct Live {
    board: Arc<Board>,
    paint: Paint,
    width: usize,
    bars: BTreeMap<String, (ProgressBar, Shape)>,
    teller: Teller,
}

/// How a bar is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// The end is not known.
    Spin,
    /// Counts.
    Bar,
    /// Sizes.
    Bytes,
}

impl Shape {
    fn style(self) -> ProgressStyle {
        let template = match self {
            Self::Spin => SPIN,
            Self::Bar => BAR,
            Self::Bytes => BYTES,
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are valid, a test builds them");
        style.progress_chars("━━╌").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
    }
}

impl Live {
    pub(super) fn new(ui: Ui, board: Arc<Board>) -> Self {
        Self { board, paint: ui.err, width: 0, bars: BTreeMap::new(), teller: Teller::default() }
    }

    fn bar(&mut self, stage: &str) -> &mut (ProgressBar, Shape) {
        let (board, paint, width) = (&self.board, self.paint, self.width);
        self.bars.entry(stage.to_owned()).or_insert_with(|| {
            let bar = board.add(ProgressBar::new_spinner().with_style(Shape::Spin.style()));
            bar.set_prefix(paint.strong(&format!("{stage:<width$}")));
            bar.enable_steady_tick(Duration::from_millis(120));
            (bar, Shape::Spin)
        })
    }

    fn take(&mut self, stage: &str) {
        if let Some((bar, _)) = self.bars.remove(stage) {
            self.board.remove(&bar);
        }
    }
}

impl Observer for Live {
    fn event(&mut self, entry: &Entry, state: &RunState) {
        if self.width == 0 {
            // Once: the stages of a run stay the same, and there may be many.
            self.width = name_width(state);
        }
        if let Some(stage) = entry.event.stage() {
            let working = state.stage(stage).is_some_and(|stage| {
                matches!(stage.status, StageStatus::Running | StageStatus::Waiting { .. } | StageStatus::Retrying)
            });
            // A finished fetch or a new attempt starts a bar of its own.
            if !working || matches!(entry.event, Event::SourceReady { .. } | Event::StageStarted { .. }) {
                self.take(stage);
            }
            if working {
                self.bar(stage);
            }
        }
        if matches!(entry.event, Event::RunFinished { .. }) {
            let names: Vec<String> = self.bars.keys().cloned().collect();
            for name in &names {
                self.take(name);
            }
        }
        for saying in self.teller.say(&entry.event, state) {
            self.board.line(saying.render(self.paint, self.width));
        }
    }

    fn progress(&mut self, update: &StageProgress) {
        let progress = &update.progress;
        let wanted = match progress.total {
            None => Shape::Spin,
            Some(_) if progress.unit == "bytes" => Shape::Bytes,
            Some(_) => Shape::Bar,
        };
        let (bar, shape) = self.bar(&update.stage);
        if *shape != wanted {
            bar.set_style(wanted.style());
            *shape = wanted;
        }
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        bar.set_position(progress.done);
        bar.set_message(message(update, wanted));
    }
}

fn message(update: &StageProgress, shape: Shape) -> String {
    let progress = &update.progress;
    let unit = match (shape, &update.source) {
        (_, Some(uri)) => format!("fetching {uri}"),
        (Shape::Spin, None) => format!("{} {}", progress.done, progress.unit),
        (Shape::Bar | Shape::Bytes, None) => progress.unit.clone(),
    };
    progress.note.as_ref().map_or_else(|| unit.clone(), |note| format!("{unit} · {note}"))
}

#[cfg(test)]
mod tests {
    use flow_engine::context::Progress;

    use super::*;

    #[test]
    fn every_shape_has_a_valid_template() {
        for shape in [Shape::Spin, Shape::Bar, Shape::Bytes] {
            shape.style();
        }
    }

    #[test]
    fn messages_name_unit_and_reading() {
        let progress = Progress { done: 3, total: Some(9), unit: "steps".into(), note: Some("loss 0.4".into()) };
        let mut update = StageProgress { stage: "train".into(), source: None, progress };
        assert_eq!(message(&update, Shape::Bar), "steps · loss 0.4");
        update.source = Some("pip:x==1/y".into());
        update.progress.note = None;
        assert_eq!(message(&update, Shape::Bytes), "fetching pip:x==1/y");
    }
}

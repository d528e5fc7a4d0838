//! Several runs side by side, at the terminal.

use flow_engine::{
    history::{Line, RunTable},
    report::number::number,
};

use super::{short, signed};
use crate::{
    summary::outcome,
    text::{Cell, Grid},
    ui::{Tone, Ui},
};

/// One column a run; numbers with their distance to those of the first.
pub(crate) fn table(table: &RunTable, ui: Ui) -> String {
    let names: Vec<&str> = std::iter::once("").chain(table.runs.iter().map(|run| run.short.as_str())).collect();
    let mut grid = Grid::headed(&names);
    let ends = table.runs.iter().map(|run| {
        let (tone, word) = run.outcome.map_or((Tone::Watch, "did not end"), outcome);
        Cell::toned(tone, word)
    });
    grid.row(std::iter::once(Cell::toned(Tone::Quiet, "outcome")).chain(ends));
    for line in &table.params {
        let cells = line.values.iter().map(|value| Cell::plain(value.as_ref().map_or_else(|| "–".to_owned(), short)));
        grid.row(std::iter::once(Cell::toned(Tone::Strong, line.name.clone())).chain(cells));
    }
    for line in &table.metrics {
        grid.row(std::iter::once(Cell::toned(Tone::Strong, line.name.clone())).chain(numbers(line)));
    }
    format!("\n{}", grid.render(ui.out, ui.width))
}

fn numbers(line: &Line<f64>) -> Vec<Cell> {
    let first = line.values.first().copied().flatten();
    let cell = |(index, value): (usize, &Option<f64>)| {
        let Some(value) = value else { return Cell::toned(Tone::Quiet, "–") };
        let change = first
            .filter(|first| index > 0 && first.total_cmp(value).is_ne())
            .map(|first| format!(" ({})", signed(value - first)));
        let tone = if change.is_some() { Tone::Calm } else { Tone::Quiet };
        Cell::toned(tone, format!("{}{}", number(*value), change.unwrap_or_default()))
    };
    line.values.iter().enumerate().map(cell).collect()
}

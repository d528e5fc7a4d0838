//! How two runs differ, at the terminal.

use flow_engine::{
    Digest,
    history::{FileDifference, KeyDifference, MetricDifference, RunDifference, RunHead, SourceDifference, SourceRole},
    plan::Change,
    report::number::number,
    store::Store,
};

use super::{cells, percent, signed};
use crate::{
    reason,
    summary::outcome,
    text::{Cell, Grid, bytes, push},
    ui::{Tone, Ui},
};

/// Changed fields of a key that are told; the rest is counted.
const FIELDS: usize = 6;

/// Every difference, what was asked for first.
pub(crate) fn difference(found: &RunDifference, store: &Store, ui: Ui) -> String {
    let mut out = heads(found, ui);
    let mut parts = Parts { out: &mut out, ui };
    parts.changes("parameters", &found.params);
    parts.stages(found);
    for file in &found.workflow {
        parts.file(file);
    }
    for role in [SourceRole::Code, SourceRole::Tool, SourceRole::Data] {
        parts.sources(role.word(), found.sources.iter().filter(|source| source.role == role));
    }
    parts.keys(&found.keys, store);
    parts.metrics(&found.metrics);
    for report in &found.reports {
        parts.changes(&format!("report {}", report.at), &report.changes);
    }
    parts.outputs(found);
    if is_empty(found) {
        out.push_str("\n  nothing that is recorded differs\n");
    }
    out
}

fn is_empty(found: &RunDifference) -> bool {
    let RunDifference {
        params,
        workflow,
        sources,
        stages_removed,
        stages_added,
        keys,
        metrics,
        outputs,
        reports,
        from: _,
        to: _,
    } = found;
    let asked = params.is_empty() && workflow.is_empty() && sources.is_empty();
    let made = keys.is_empty() && metrics.is_empty() && outputs.is_empty() && reports.is_empty();
    asked && made && stages_removed.is_empty() && stages_added.is_empty()
}

fn heads(found: &RunDifference, ui: Ui) -> String {
    let mut grid = Grid::new();
    for (sign, head) in [("−", &found.from), ("+", &found.to)] {
        grid.row(line(sign, head));
    }
    format!("\n{}", grid.render(ui.out, ui.width))
}

fn line(sign: &str, head: &RunHead) -> [Cell; 5] {
    let (tone, word) = head.outcome.map_or((Tone::Watch, "did not end"), outcome);
    [
        Cell::toned(Tone::Quiet, sign),
        Cell::plain(head.run.to_string()),
        Cell::toned(Tone::Strong, head.workflow.clone()),
        Cell::plain(head.started_at.strftime("%Y-%m-%d %H:%M UTC").to_string()),
        Cell::toned(tone, word),
    ]
}

/// Sections below each other; one without content is left out.
struct Parts<'a> {
    out: &'a mut String,
    ui: Ui,
}

impl Parts<'_> {
    fn title(&mut self, title: &str) {
        push(self.out, format_args!("\n  {}\n", self.ui.out.quiet(title)));
    }

    fn grid(&mut self, title: &str, grid: &Grid) {
        self.title(title);
        self.out.push_str(&grid.render(self.ui.out, self.ui.width));
    }

    fn changes(&mut self, title: &str, changes: &[Change]) {
        let mut grid = Grid::new();
        for change in changes {
            let [place, old, new] = cells(change);
            grid.row([Cell::toned(Tone::Strong, place), Cell::plain(old), Cell::plain("->"), Cell::plain(new)]);
        }
        if !changes.is_empty() {
            self.grid(title, &grid);
        }
    }

    fn stages(&mut self, found: &RunDifference) {
        let mut grid = Grid::new();
        for (names, tone, sign) in [(&found.stages_removed, Tone::Bad, "−"), (&found.stages_added, Tone::Good, "+")] {
            for name in names {
                grid.row([Cell::toned(tone, sign), Cell::toned(Tone::Strong, name.clone())]);
            }
        }
        if !(found.stages_removed.is_empty() && found.stages_added.is_empty()) {
            self.grid("stages", &grid);
        }
    }

    fn file(&mut self, file: &FileDifference) {
        let title = format!("workflow {}", file.path);
        match (file.old, file.new, file.changes.is_empty()) {
            (Some(_), Some(_), false) => self.changes(&title, &file.changes),
            (Some(_), Some(_), true) => self.title(&format!("{title}: only comments or layout")),
            (None, _, _) => self.title(&format!("{title}: new")),
            (_, None, _) => self.title(&format!("{title}: no longer used")),
        }
    }

    fn sources<'a>(&mut self, title: &str, sources: impl Iterator<Item = &'a SourceDifference>) {
        let sources: Vec<&SourceDifference> = sources.collect();
        let mut grid = Grid::new();
        for source in &sources {
            grid.row([
                Cell::toned(Tone::Strong, source.stage.clone()),
                Cell::plain(source.path.clone()),
                Cell::plain(turned(source.old, source.new)),
            ]);
        }
        if sources.is_empty() {
            return;
        }
        self.grid(title, &grid);
        for text in sources.iter().filter_map(|source| source.unified.as_deref()) {
            self.out.push('\n');
            self.out.push_str(&unified(text, self.ui));
        }
    }

    fn keys(&mut self, keys: &[KeyDifference], store: &Store) {
        let mut grid = Grid::new();
        for key in keys {
            let told = reason::changes(&key.than, store);
            let more = told.len().saturating_sub(FIELDS);
            let rest = (more > 0).then(|| format!("and {more} more"));
            let fields = told.into_iter().take(FIELDS).chain(rest);
            for (index, field) in fields.enumerate() {
                let first = index == 0;
                let keys = format!("{} -> {}", key.than.key.short(), key.key.short());
                grid.row([
                    Cell::toned(Tone::Strong, if first { key.stage.clone() } else { String::new() }),
                    Cell::toned(Tone::Quiet, if first { keys } else { String::new() }),
                    Cell::plain(field),
                ]);
            }
        }
        if !keys.is_empty() {
            self.grid("keys", &grid);
        }
    }

    fn metrics(&mut self, metrics: &[MetricDifference]) {
        let mut grid = Grid::new();
        let steady: Vec<&MetricDifference> = metrics.iter().filter(|metric| !metric.name.contains(".volatile.")).collect();
        for metric in &steady {
            let text = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
            grid.row([
                Cell::toned(Tone::Strong, metric.name.clone()),
                Cell::plain(text(metric.old)),
                Cell::plain("->"),
                Cell::plain(text(metric.new)),
                Cell::toned(Tone::Calm, metric.change.map(signed).unwrap_or_default()),
                Cell::toned(Tone::Quiet, metric.relative.map(percent).unwrap_or_default()),
            ]);
        }
        if !steady.is_empty() {
            self.grid("numbers", &grid);
        }
    }

    fn outputs(&mut self, found: &RunDifference) {
        let mut grid = Grid::new();
        for output in &found.outputs {
            grid.row([
                Cell::toned(Tone::Strong, output.at.clone()),
                Cell::plain(turned(Some(output.old.digest), Some(output.new.digest))),
                Cell::toned(Tone::Quiet, format!("{} -> {}", bytes(output.old.bytes), bytes(output.new.bytes))),
            ]);
        }
        if !found.outputs.is_empty() {
            self.grid("outputs", &grid);
            let name = found.outputs.first().map(|output| output.at.as_str()).unwrap_or_default();
            let command = format!("flow diff {} {} {name}", found.from.run, found.to.run);
            push(self.out, format_args!("\n  {}  {}\n", self.ui.out.quiet("next"), self.ui.out.strong(&command)));
        }
    }
}

/// Two contents by their first digits.
fn turned(old: Option<Digest>, new: Option<Digest>) -> String {
    match (old, new) {
        (Some(old), Some(new)) => format!("{} -> {}", old.short(), new.short()),
        (None, Some(new)) => format!("new, {}", new.short()),
        (Some(old), None) => format!("gone, it was {}", old.short()),
        (None, None) => String::new(),
    }
}

/// A unified difference with the colours it is known by.
pub(super) fn unified(text: &str, ui: Ui) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Some(Tone::Good),
            Some(b'-') => Some(Tone::Bad),
            Some(b'@') => Some(Tone::Calm),
            _ => None,
        };
        let line = tone.map_or_else(|| line.to_owned(), |tone| ui.out.tone(tone, line));
        push(&mut out, format_args!("    {line}\n"));
    }
    out
}

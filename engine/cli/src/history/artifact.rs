//! How two artifacts differ, at the terminal.

use flow_engine::history::{ArtifactDifference, ArtifactFile, FileState, RowChange, RowSample, RowsDifference};

use super::difference::unified;
use crate::{
    text::{Cell, Grid, bytes, push},
    ui::{Tone, Ui},
};

/// Files told one by one; the rest is counted.
const FILES: usize = 40;

/// Files, rows, and changed lines.
pub(crate) fn artifact(name: &str, found: &ArtifactDifference, ui: Ui) -> String {
    let name = ui.out.strong(name);
    if found.from.digest == found.to.digest {
        return format!("{name} is the same in both runs ({}, {})\n", found.to.digest.short(), bytes(found.to.bytes));
    }
    let sizes = format!("{} -> {}", bytes(found.from.bytes), bytes(found.to.bytes));
    let digests = format!("{} -> {}", found.from.digest.short(), found.to.digest.short());
    let mut out = format!("{name} differs  {}\n", ui.out.quiet(&format!("{digests}, {sizes}")));
    if let Some(rows) = &found.rows {
        out.push_str(&told_rows(rows, ui));
    }
    out.push_str(&files(found, ui));
    for text in found.files.iter().filter_map(|file| file.unified.as_deref()) {
        out.push('\n');
        out.push_str(&unified(text, ui));
    }
    out
}

fn told_rows(rows: &RowsDifference, ui: Ui) -> String {
    let counts = format!("{} added, {} removed, {} changed", rows.added, rows.removed, rows.changed);
    let mut out = format!("\n  rows {} -> {}: {counts}\n", rows.old_rows, rows.new_rows);
    let mut grid = Grid::new();
    for sample in &rows.samples {
        for (tone, sign, text) in lines(sample) {
            grid.row([Cell::toned(tone, sign), Cell::toned(Tone::Quiet, sample.id.clone()), Cell::plain(text)]);
        }
    }
    out.push_str(&grid.render(ui.out, ui.width));
    let told = u64::try_from(rows.samples.len()).unwrap_or(u64::MAX);
    let all = rows.added + rows.removed + rows.changed;
    if all > told {
        push(&mut out, format_args!("  {}\n", ui.out.quiet(&format!("and {} more", all - told))));
    }
    out
}

fn lines(sample: &RowSample) -> Vec<(Tone, &'static str, String)> {
    let old = || (Tone::Bad, "−", sample.old.clone().unwrap_or_default());
    let new = || (Tone::Good, "+", sample.new.clone().unwrap_or_default());
    match sample.change {
        RowChange::Added => vec![new()],
        RowChange::Removed => vec![old()],
        RowChange::Changed => vec![old(), new()],
    }
}

fn files(found: &ArtifactDifference, ui: Ui) -> String {
    let mut grid = Grid::new();
    for file in found.files.iter().take(FILES) {
        grid.row(row(file));
    }
    let same = found.same_files;
    let plural = if same == 1 { " is" } else { "s are" };
    let mut out = format!("\n  {}\n", ui.out.quiet("files"));
    out.push_str(&grid.render(ui.out, ui.width));
    let more = found.files.len().saturating_sub(FILES);
    if more > 0 {
        push(&mut out, format_args!("  {}\n", ui.out.quiet(&format!("and {more} more"))));
    }
    push(&mut out, format_args!("  {}\n", ui.out.quiet(&format!("{same} other file{plural} the same"))));
    out
}

fn row(file: &ArtifactFile) -> [Cell; 3] {
    let (tone, sign) = match (&file.old, &file.new) {
        (None, _) => (Tone::Good, "+"),
        (_, None) => (Tone::Bad, "−"),
        (Some(_), Some(_)) => (Tone::Watch, "~"),
    };
    let path = if file.path.is_empty() { "the file itself".to_owned() } else { file.path.clone() };
    let states = [&file.old, &file.new].map(|state| state.as_ref().map(state_text));
    let states: Vec<String> = states.into_iter().flatten().collect();
    [Cell::toned(tone, sign), Cell::toned(Tone::Strong, path), Cell::plain(states.join(" -> "))]
}

fn state_text(state: &FileState) -> String {
    match state {
        FileState::File { digest, bytes: size, executable } => {
            let mark = if *executable { ", executable" } else { "" };
            format!("{} ({}{mark})", digest.short(), bytes(*size))
        }
        FileState::Link { target } => format!("link to {target}"),
    }
}

//! Values as people read them, and tables of fixed-width text.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

use flow_engine::report::{number::number, svg::fit};

use crate::ui::{Paint, Tone};

/// Appends formatted text.
pub(crate) fn push(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes every write");
}

/// A duration in at most two units.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".to_owned();
    }
    if seconds < 0.0995 {
        return format!("{:.0}ms", seconds * 1000.0);
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = std::time::Duration::from_secs_f64(seconds.round().min(1e15)).as_secs();
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// A size in decimal units.
pub(crate) fn bytes(count: u64) -> String {
    let mut divisor = 1_u64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if count / divisor < 1000 {
            break;
        }
        divisor *= 1000;
        unit = next;
    }
    if divisor == 1 {
        return format!("{count} B");
    }
    let tenths = count / (divisor / 10);
    if tenths >= 1000 { format!("{} {unit}", tenths / 10) } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

/// Up to `limit` numbers as `name value`, those of `first` before the others, and of these the most telling ones first.
pub(crate) fn metrics(metrics: &BTreeMap<String, f64>, first: &[&str], limit: usize) -> String {
    let chosen = first.iter().filter_map(|name| metrics.get_key_value(*name));
    let mut others: Vec<(&String, &f64)> =
        metrics.iter().filter(|(name, _)| !first.contains(&name.as_str()) && !name.starts_with("volatile")).collect();
    others.sort_by_key(|&(name, value)| telling(name, *value));
    let texts: Vec<String> = chosen.chain(others).take(limit).map(|(name, value)| format!("{name} {}", number(*value))).collect();
    texts.join(" · ")
}

/// Where a number stands among those of its stage: what went in and out, and base beside tuned; then what is not zero.
fn telling(name: &str, value: f64) -> (usize, &str) {
    let arm = ["base_", "tuned_"].iter().find_map(|arm| name.strip_prefix(arm));
    match arm {
        Some(metric) => (0, metric),
        None if matches!(name, "rows_in" | "rows_out") => (0, name),
        None if value == 0.0 => (3, name),
        None if name.starts_with("bytes_") => (2, name),
        None => (1, name),
    }
}

/// A path as short as it can be typed from `here`.
pub(crate) fn near(path: &Path, here: &Path) -> PathBuf {
    match path.strip_prefix(here) {
        Ok(rest) if rest.as_os_str().is_empty() => PathBuf::from("."),
        Ok(rest) => rest.to_owned(),
        Err(_) => path.to_owned(),
    }
}

/// The same for the folder this process works in.
pub(crate) fn near_here(path: &Path) -> PathBuf {
    std::env::current_dir().map_or_else(|_| path.to_owned(), |here| near(path, &here))
}

/// Breaks paragraphs into lines of at most `width` columns; a longer word gets a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && columns_of(&line) + 1 + columns_of(word) > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// One cell: its text and its colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Option<Tone>,
}

impl Cell {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: None }
    }

    pub(crate) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Some(tone) }
    }
}

/// Lines of cells under each other. The last column is cut where the terminal ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts with quiet column names.
    pub(crate) fn headed(names: &[&str]) -> Self {
        Self { rows: vec![names.iter().map(|name| Cell::toned(Tone::Quiet, *name)).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The text, indented by two columns.
    pub(crate) fn render(&self, paint: Paint, width: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| columns_of(&cell.text)).max();
        let widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::from("  ");
            let mut used = 2;
            for (index, (cell, wide)) in row.iter().zip(&widths).enumerate() {
                let last = index + 1 == row.len();
                let text = if last { fit(&cell.text, width.saturating_sub(used).max(12)) } else { cell.text.clone() };
                line.push_str(&cell.tone.map_or_else(|| text.clone(), |tone| paint.tone(tone, &text)));
                if !last {
                    line.push_str(&" ".repeat(wide.saturating_sub(columns_of(&text)) + 2));
                    used += wide + 2;
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Columns a text takes on a terminal, wide characters counted twice.
fn columns_of(text: &str) -> usize {
    text.chars().map(|c| if (c as u32) >= 0x1100 && !('\u{2000}'..='\u{2BFF}').contains(&c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let cases = [
            (0.004, "4ms"),
            (0.8, "0.8s"),
            (41.4, "41s"),
            (59.7, "1m 00s"),
            (192.0, "3m 12s"),
            (7_512.0, "2h 05m"),
            (f64::NAN, "?"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn sizes_read_well() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1_500, "1.5 kB"),
            (12_345_678, "12.3 MB"),
            (u64::MAX, "18446 PB"),
            (250_000_000, "250 MB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn asked_metrics_come_first_and_volatile_ones_stay_out() {
        let all = BTreeMap::from([("a".to_owned(), 1.0), ("f1".to_owned(), 0.5), ("volatile.mb_s".to_owned(), 9.0)]);
        assert_eq!(metrics(&all, &["f1"], 3), "f1 0.5 · a 1");
    }

    #[test]
    fn what_went_in_and_out_is_told_before_zeros() {
        let all = ["blank_lines", "bytes_in", "quarantined", "rows_in", "rows_out"].into_iter().zip([0.0, 90.0, 4.0, 9.0, 5.0]);
        let all = all.map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(metrics(&all, &[], 5), "rows_in 9 · rows_out 5 · quarantined 4 · bytes_in 90 · blank_lines 0");
        let all = ["base_f1", "base_shots_f1", "delta_f1", "tuned_f1"].into_iter().zip([0.0, 0.25, 0.5, 0.5]);
        let all = all.map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(metrics(&all, &[], 2), "base_f1 0 · tuned_f1 0.5");
    }

    #[test]
    fn grids_align_and_stay_within_the_terminal() {
        let mut grid = Grid::headed(&["stage", "result"]);
        grid.row([Cell::plain("ingest"), Cell::toned(Tone::Good, "a very long result that does not fit")]);
        assert_eq!(grid.render(Paint::Plain, 30), "  stage   result\n  ingest  a very long result…\n");
    }

    #[test]
    fn paragraphs_are_wrapped_at_words() {
        assert_eq!(wrap("one two three\n\nfour", 8), ["one two", "three", "", "four"]);
        assert_eq!(wrap("incomprehensible x", 5), ["incomprehensible", "x"]);
    }

    #[test]
    fn paths_below_the_folder_are_shortened() {
        assert_eq!(near(Path::new("/a/b/c"), Path::new("/a")), Path::new("b/c"));
        assert_eq!(near(Path::new("/x"), Path::new("/a")), Path::new("/x"));
    }
}

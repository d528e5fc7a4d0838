//! The look of every page `flow` writes: one self-contained HTML file, light and dark, no script, nothing fetched.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Fact, Report, Section, Table, Verdict, number::cell, svg};

/// The one style sheet, inlined into every page.
pub const STYLE: &str = include_str!("page.css");

/// Wraps a body into a whole HTML document.
pub fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

/// The page of one report.
pub(super) fn report(report: &Report) -> String {
    let body = html! {
        (header(&report.kind, &report.title, report.verdict))
        @if let Some(summary) = &report.summary { p.lead { (summary) } }
        (cards(report.facts.iter().map(|Fact { name, value }| (name.as_str(), cell(value)))))
        @for part in &report.sections { (section(part)) }
    };
    document(&report.title, &body)
}

/// A heading with the word above it and the verdict beside it.
pub fn header(above: &str, title: &str, verdict: Verdict) -> Markup {
    html! {
        header {
            p.kind { (above) }
            h1 { (title) }
            (badge(verdict))
        }
    }
}

/// The verdict as a coloured word. A sign goes with the colour, for those who do not see it.
pub fn badge(verdict: Verdict) -> Markup {
    let (class, text) = match verdict {
        Verdict::Pass => ("pass", "✓ pass"),
        Verdict::Fail => ("fail", "✗ fail"),
        Verdict::Info => return html! {},
    };
    html! { span class={ "badge " (class) } { (text) } }
}

/// Headline numbers side by side.
pub fn cards<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> Markup {
    let mut facts = facts.into_iter().peekable();
    html! {
        @if facts.peek().is_some() {
            dl.cards {
                @for (name, value) in facts {
                    @let size = size(&value);
                    div class=[size.filter(|size| *size == "path").map(|_| "two")] { dt { (name) } dd class=[size] { (value) } }
                }
            }
        }
    }
}

/// How a headline is set: a number is never broken, words are broken between words, and a path anywhere in a wider tile.
fn size(value: &str) -> Option<&'static str> {
    match (value.chars().count(), value.contains(char::is_whitespace)) {
        (0..=7, _) => None,
        (8..=11, _) => Some("wide"),
        (_, true) => Some("long"),
        (_, false) => Some("path"),
    }
}

fn section(section: &Section) -> Markup {
    match section {
        Section::Note(text) => html! { @for part in text.split("\n\n") { p.note { (part) } } },
        Section::Table(Table { title, columns, rows }) => {
            table(title, columns, rows.iter().map(|row| row.iter().map(|cell| html! { (cell) }).collect()))
        }
        Section::Plot(plot) => svg::plot(plot),
    }
}

/// A table with its caption; columns of numbers are set flush right.
pub fn table(title: &str, columns: &[String], rows: impl IntoIterator<Item = Vec<Markup>>) -> Markup {
    let rows: Vec<Vec<Markup>> = rows.into_iter().collect();
    let classes: Vec<Option<&str>> = (0..columns.len()).map(|index| numeric(&rows, index)).collect();
    html! {
        figure.table {
            @if !title.is_empty() { figcaption { (title) } }
            div.scroll {
                table {
                    thead { tr { @for (name, class) in columns.iter().zip(&classes) { th class=[*class] { (name) } } } }
                    tbody {
                        @for row in &rows { tr { @for (cell, class) in row.iter().zip(&classes) { td class=[*class] { (cell) } } } }
                        @if rows.is_empty() { tr { td.muted colspan=(columns.len()) { "none" } } }
                    }
                }
            }
        }
    }
}

/// `num` when every filled cell of a column starts like a number.
fn numeric(rows: &[Vec<Markup>], column: usize) -> Option<&'static str> {
    let mut cells =
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.0.as_str()).filter(|text| !text.is_empty()).peekable();
    cells.peek()?;
    let number =
        |text: &str| text == "n/a" || text.trim_start_matches(['-', '−', '+', '±']).starts_with(|c: char| c.is_ascii_digit());
    cells.all(number).then_some("num")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Plot;

    fn sample() -> Report {
        let mut report = Report::new("PII <found>", "guard/pii");
        report.verdict(Verdict::Fail, "3 of 10 rows hold an \"address\"").fact("rows", 10).fact("share", 0.3).note("one\n\ntwo");
        let mut table = Table::new("By kind", ["kind", "found"]);
        table.row(["email", "1,204"]).row(["iban", "−3"]);
        report.table(table);
        report.plot(Plot::Bars { title: "Found".into(), bars: vec![("email".into(), 3.0)] });
        report
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        assert_eq!(super::report(&sample()), super::report(&sample()));
    }

    #[test]
    fn a_page_is_self_contained_and_escaped() {
        let page = super::report(&sample());
        for refused in ["<script", "http://", "https://", "src=", "@import", "url(", "<found>"] {
            assert!(!page.contains(refused), "{refused}");
        }
        assert!(page.contains("PII &lt;found&gt;") && page.contains("✗ fail"));
    }

    #[test]
    fn numbers_are_not_broken_and_paths_get_room() {
        let sizes = ["60", "4,884,480", "7 of 12 rows hold an address", "file:../models/SmolLM2-135M-Instruct"].map(size);
        assert_eq!(sizes, [None, Some("wide"), Some("long"), Some("path")]);
    }

    #[test]
    fn columns_of_numbers_are_found() {
        let page = super::report(&sample());
        assert!(page.contains("<th>kind</th><th class=\"num\">found</th>"), "{page}");
    }

    #[test]
    fn both_files_are_written() {
        let folder = std::env::temp_dir().join(format!("flow-report-{}", std::process::id()));
        sample().write(&folder).unwrap();
        let html = std::fs::read_to_string(folder.join("report.html")).unwrap();
        let read = crate::report::ReportSummary::read(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(html.starts_with("<!DOCTYPE html>"));
        assert_eq!(read.title, "PII <found>");
    }
}

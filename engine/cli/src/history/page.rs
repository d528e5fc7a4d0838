//! Several runs side by side on a page of its own: parameters, numbers, bars, and courses.

use flow_engine::{
    history::{Line, RunTable},
    report::{Plot, number::number, page, svg},
};
use maud::{Markup, html};

use super::{short, signed};
use crate::summary::outcome;

/// Bars of more numbers would hide the ones that matter; the table holds all of them.
const BARS: usize = 12;

/// Draws the page: one file, nothing fetched.
pub(crate) fn page(table: &RunTable) -> String {
    let workflow = table.runs.first().map(|run| run.workflow.clone()).unwrap_or_default();
    let title = format!("{workflow}: {} runs", table.runs.len());
    let (losses, others): (Vec<&Plot>, Vec<&Plot>) = table.courses.iter().partition(|plot| is_loss(plot));
    let body = html! {
        header {
            p.kind { "comparison" }
            h1 { (title) }
        }
        h2 { "Runs" }
        (runs(table))
        @if !table.params.is_empty() { h2 { "Parameters that differ" } (params(table)) }
        h2 { "Numbers" }
        (numbers(table))
        (bars(table))
        @if !losses.is_empty() { h2 { "Losses" } @for plot in &losses { (svg::plot(plot)) } }
        @if !others.is_empty() { h2 { "Other courses" } @for plot in &others { (svg::plot(plot)) } }
    };
    page::document(&title, &body)
}

fn is_loss(plot: &Plot) -> bool {
    matches!(plot, Plot::Lines { title, .. } if title.to_lowercase().contains("loss"))
}

fn names(table: &RunTable, first: &str) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(table.runs.iter().map(|run| run.short.clone())).collect()
}

fn runs(table: &RunTable) -> Markup {
    let rows = table.runs.iter().map(|run| {
        let word = run.outcome.map_or("did not end", |ended| outcome(ended).1);
        vec![html! { (run.label) }, html! { code { (run.run) } }, html! { (run.workflow) }, html! { (word) }]
    });
    let columns = ["name here", "run", "workflow", "outcome"].map(str::to_owned);
    page::table("", &columns, rows)
}

fn params(table: &RunTable) -> Markup {
    let rows = table.params.iter().map(|line| {
        let values = line.values.iter().map(|value| value.as_ref().map_or_else(String::new, short));
        std::iter::once(line.name.clone()).chain(values).map(|cell| html! { (cell) }).collect()
    });
    page::table("", &names(table, "parameter"), rows)
}

fn numbers(table: &RunTable) -> Markup {
    let rows = table.metrics.iter().map(|line| {
        let first = line.values.first().copied().flatten();
        let cell = |(index, value): (usize, &Option<f64>)| {
            let change = first.zip(*value).filter(|(first, value)| index > 0 && first.total_cmp(value).is_ne());
            html! {
                @if let Some(value) = value { (number(*value)) }
                @if let Some((first, value)) = change { " " span.muted { "(" (signed(value - first)) ")" } }
            }
        };
        std::iter::once(html! { (line.name) }).chain(line.values.iter().enumerate().map(cell)).collect()
    });
    page::table("", &names(table, "number"), rows)
}

/// One figure for each number that differs.
fn bars(table: &RunTable) -> Markup {
    let several = |line: &&Line<f64>| line.values.iter().flatten().count() > 1;
    let differing: Vec<&Line<f64>> = table.metrics.iter().filter(several).filter(|line| line.differs()).collect();
    let plot = |line: &Line<f64>| {
        let bars = table.runs.iter().zip(&line.values).filter_map(|(run, value)| Some((run.label.clone(), (*value)?)));
        svg::plot(&Plot::Bars { title: line.name.clone(), bars: bars.collect() })
    };
    html! {
        @for line in differing.iter().take(BARS) { (plot(line)) }
        @if differing.len() > BARS { p.muted { "The table above holds " (differing.len() - BARS) " more numbers that differ." } }
    }
}

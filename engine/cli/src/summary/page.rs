//! The page of a run: graph, gates, metrics, losses, times, and what came out of every stage.
//!
//! Links are relative, so the run's folder can be moved or packed. The look is that of every report.

use std::{collections::BTreeMap, path::Path};

use flow_engine::{
    report::{Plot, ReportSummary, Verdict, number::number, page, svg},
    run::{Clause, Outcome, RunSummary, StageState, StageStatus, StageSummary},
};
use maud::{Markup, html};

use super::{outcome, result, saved, status, told};
use crate::{
    dag::{self, Dag, Mark},
    text::{bytes, duration},
};

/// Stages on a page, at most.
const MOST: usize = 1000;
/// Stages in a drawn graph, at most.
const DRAWN: usize = 300;

/// Draws the page.
pub(super) fn render(summary: &RunSummary) -> String {
    let states: Vec<&StageState> = super::worth_telling(&summary.stages).map(|stage| &stage.state).take(MOST).collect();
    let reports = reports(summary);
    let body = html! {
        (header(summary))
        (page::cards(facts(summary).iter().map(|(name, value)| (*name, value.clone()))))
        (problems(&states))
        @if states.len() < summary.stages.len() {
            p.note.muted { "The " (summary.stages.len()) " stages are too many to show: these did something." }
        }
        @if states.len() <= DRAWN {
            h2 { "Graph" }
            figure { (dag::embedded(&Dag::of_run(&states))) (legend(&states)) }
        }
        (gates(&states))
        (comparison(&states))
        (plots(&reports))
        (times(&states))
        h2 { "Stages" }
        (stages(summary, &reports))
    };
    page::document(&format!("{}: {}", summary.workflow, outcome(summary.outcome).1), &body)
}

fn header(summary: &RunSummary) -> Markup {
    let class = match summary.outcome {
        Outcome::Succeeded => "pass",
        Outcome::Parked | Outcome::Interrupted => "wait",
        Outcome::GateFailed | Outcome::Failed => "fail",
    };
    html! {
        header {
            p.kind { "run " (summary.run) }
            h1 { (summary.workflow) }
            span class={ "badge " (class) } { (outcome(summary.outcome).1) }
        }
    }
}

fn facts(summary: &RunSummary) -> Vec<(&'static str, String)> {
    let verdicts = || summary.stages.iter().flat_map(|stage| &stage.state.verdicts);
    let ran = summary.stages.iter().filter(|stage| stage.state.status == StageStatus::Succeeded).count();
    let mut facts = vec![
        ("time", duration(summary.seconds)),
        ("stages", summary.stages.len().to_string()),
        ("ran", ran.to_string()),
        ("cached", summary.cached().to_string()),
    ];
    if saved(summary) >= 1.0 {
        facts.push(("saved by the cache", duration(saved(summary))));
    }
    if verdicts().next().is_some() {
        let held = verdicts().filter(|verdict| verdict.passed).count();
        let asked = verdicts().count();
        facts.push((if asked == 1 { "gate held" } else { "gates held" }, format!("{held} of {asked}")));
    }
    facts
}

fn problems(states: &[&StageState]) -> Markup {
    html! {
        @for state in states {
            @if let (StageStatus::Failed, Some(error)) = (&state.status, &state.error) {
                figure {
                    figcaption.fail { "✗ " (state.name) " failed" }
                    p.note { (error) }
                    @if let Some(help) = &error.help { p.note.muted { "help: " (help) } }
                }
            }
        }
    }
}

fn legend(states: &[&StageState]) -> Markup {
    let marks = [Mark::Ran, Mark::Cached, Mark::Running, Mark::Parked, Mark::Failed, Mark::Skipped, Mark::Plain];
    let seen = |mark: &Mark| states.iter().any(|state| Mark::from(&state.status) == *mark);
    html! {
        p.legend style="justify-content:center;margin:10px 0 0" {
            @for mark in marks.iter().filter(|mark| seen(mark)) { span { (mark.drawn()) " " (mark.word()) } }
        }
    }
}

fn gates(states: &[&StageState]) -> Markup {
    let rows: Vec<Vec<Markup>> = states
        .iter()
        .flat_map(|state| state.verdicts.iter().map(move |verdict| (state, verdict)))
        .map(|(state, verdict)| {
            let clause = match verdict.clause {
                Clause::Gate => "gate",
                Clause::Expect => "expect",
            };
            let word = page::badge(if verdict.passed { Verdict::Pass } else { Verdict::Fail });
            vec![
                html! { (state.name) },
                html! { (clause) },
                html! { code { (verdict.expression) } },
                html! { (verdict.detail) },
                word,
            ]
        })
        .collect();
    html! { @if !rows.is_empty() { h2 { "Gates" } (page::table("", &names(&["stage", "clause", "condition", "reading", ""]), rows)) } }
}

fn comparison(states: &[&StageState]) -> Markup {
    let compared: Vec<told::Comparison> = states.iter().flat_map(|state| told::comparisons(&state.metrics)).collect();
    if compared.is_empty() {
        return html! {};
    }
    let arms = told::arms(&compared);
    let bases = arms.iter().map(|arm| told::arm_title(arm));
    let columns: Vec<String> =
        std::iter::once("metric".to_owned()).chain(bases).chain(names(&["tuned", "tuned - base"])).collect();
    let rows = compared.iter().map(|one| {
        let bases = arms.iter().map(|arm| one.bases.get(*arm).copied().map(number).unwrap_or_default());
        let gain = one.bases.get("base").map(|base| one.tuned - base);
        let sign = if gain.is_some_and(|gain| gain > 0.0) { "+" } else { "" };
        let gain = gain.map(|gain| format!("{sign}{}", number(gain))).unwrap_or_default();
        let cells = std::iter::once(one.metric.clone()).chain(bases).chain([number(one.tuned), gain]);
        cells.map(|cell| html! { (cell) }).collect()
    });
    html! { h2 { "Base against tuned" } (page::table("", &columns, rows)) }
}

/// Reports by stage, in the order of the run.
type Reports<'a> = Vec<(&'a StageSummary, ReportSummary)>;

fn reports(summary: &RunSummary) -> Reports<'_> {
    let folders = summary.stages.iter().flat_map(|stage| stage.reports.values().map(move |folder| (stage, folder)));
    // A report that cannot be read is left out here; its stage and its link stay.
    folders.filter_map(|(stage, folder)| Some((stage, ReportSummary::read(folder).ok()?))).collect()
}

/// Losses and intervals: the plots that tell whether training helped.
fn plots(reports: &Reports<'_>) -> Markup {
    let losses = |plot: &Plot| matches!(plot, Plot::Lines { title, .. } if title.to_lowercase().contains("loss"));
    let chosen = |wanted: &dyn Fn(&Plot) -> bool| {
        let plots = reports.iter().flat_map(|(stage, report)| report.plots.iter().map(move |plot| (stage, plot)));
        plots.filter(|(_, plot)| wanted(plot)).map(|(_, plot)| svg::plot(plot)).collect::<Vec<_>>()
    };
    let (losses, intervals) = (chosen(&losses), chosen(&|plot| matches!(plot, Plot::Intervals { .. })));
    html! {
        @if !losses.is_empty() { h2 { "Training" } @for plot in &losses { (plot) } }
        @if !intervals.is_empty() { h2 { "Differences" } @for plot in &intervals { (plot) } }
    }
}

fn times(states: &[&StageState]) -> Markup {
    let ran = states.iter().filter(|state| !matches!(state.status, StageStatus::Cached { .. }));
    let bars: Vec<(String, f64)> = ran.filter_map(|state| Some((state.name.clone(), state.seconds?))).collect();
    html! { @if !bars.is_empty() { h2 { "Times" } (svg::plot(&Plot::Bars { title: "Seconds of the stages that ran".to_owned(), bars })) } }
}

fn stages(summary: &RunSummary, reports: &Reports<'_>) -> Markup {
    let sentences: BTreeMap<&str, &ReportSummary> =
        reports.iter().map(|(stage, report)| (stage.state.name.as_str(), report)).collect();
    let rows = super::worth_telling(&summary.stages).take(MOST).map(|stage| {
        let state = &stage.state;
        let sentence = sentences.get(state.name.as_str()).and_then(|report| report.summary.clone());
        vec![
            html! { b id={ "stage-" (state.name) } { (state.name) } br; span.muted { (state.kind) } },
            html! { span style="white-space:nowrap" { (Mark::from(&state.status).drawn()) " " (status(&state.status)) } },
            html! { (state.seconds.map(duration).unwrap_or_default()) },
            html! { (result(stage)) @if let Some(sentence) = sentence { br; span.muted { (sentence) } } },
            outputs(state),
            links(stage, &summary.directory),
        ]
    });
    page::table("", &names(&["stage", "status", "time", "result", "outputs", "report"]), rows)
}

fn outputs(state: &StageState) -> Markup {
    html! {
        @for (port, artifact) in &state.outputs {
            div style="white-space:nowrap" { (port) " " span.muted { (bytes(artifact.bytes)) " " code title=(artifact.digest) { (artifact.digest.short()) } } }
        }
    }
}

fn links(stage: &StageSummary, directory: &Path) -> Markup {
    html! {
        @for (port, folder) in &stage.reports {
            @let page = folder.join("report.html");
            a href=(page.strip_prefix(directory).unwrap_or(&page).display()) { (port) }
        }
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

//! Several runs side by side: parameters and numbers that differ, and the courses their reports drew.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{RunRecord, metrics};
use crate::{
    ArtifactKind,
    report::{Plot, ReportSummary},
    run::{History, Outcome, RunError, RunId, RunState},
};

/// Several runs side by side.
#[derive(Clone, Debug, Serialize)]
pub struct RunTable {
    /// The runs, in the order asked for.
    pub runs: Vec<RunColumn>,
    /// Parameters that are not the same in all of them, one value a run.
    pub params: Vec<Line<Value>>,
    /// Numbers of any of them, one value a run.
    pub metrics: Vec<Line<f64>>,
    /// Courses such as losses, the lines of all runs in one plot.
    #[serde(skip)]
    pub courses: Vec<Plot>,
}

/// One run of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunColumn {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The end of its identifier, by which it is found.
    pub short: String,
    /// A name that tells it from the others: the end of its identifier, and the parameters that differ.
    pub label: String,
}

/// One parameter or number over all runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line<T> {
    /// Its name.
    pub name: String,
    /// Its value in each run; none where it is not known.
    pub values: Vec<Option<T>>,
}

impl<T: PartialEq> Line<T> {
    /// Whether it is not the same everywhere.
    pub fn differs(&self) -> bool {
        self.values.windows(2).any(|pair| matches!(pair, [one, other] if one != other))
    }
}

/// Puts runs side by side. `wanted` names the numbers, `stage.metric` or `metric`; all when it is empty.
pub fn run_table(history: &History, runs: &[RunId], wanted: &[String]) -> Result<RunTable, RunError> {
    let states: Vec<RunState> = runs.iter().map(|run| history.load(*run)).collect::<Result<_, _>>()?;
    let params = params(history, &states);
    let metrics = if wanted.is_empty() { every_metric(&states) } else { chosen(&states, wanted) };
    let columns: Vec<RunColumn> = states.iter().enumerate().map(|(index, state)| column(state, index, &params)).collect();
    let courses = courses(history, &states, &columns);
    Ok(RunTable { runs: columns, params, metrics, courses })
}

fn params(history: &History, states: &[RunState]) -> Vec<Line<Value>> {
    let of = |state: &RunState| -> BTreeMap<String, Value> {
        let given = || state.request.params.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
        RunRecord::read(&history.paths(state.run)).map_or_else(given, |record| record.params)
    };
    lines(&states.iter().map(of).collect::<Vec<_>>()).into_iter().filter(Line::differs).collect()
}

fn every_metric(states: &[RunState]) -> Vec<Line<f64>> {
    let all = lines(&states.iter().map(metrics).collect::<Vec<_>>());
    // Speeds of the machine say nothing about what was made.
    all.into_iter().filter(|line| !line.name.contains(".volatile.")).collect()
}

fn chosen(states: &[RunState], wanted: &[String]) -> Vec<Line<f64>> {
    let line =
        |name: &String| Line { name: name.clone(), values: states.iter().map(|state| super::metric(state, name)).collect() };
    wanted.iter().map(line).collect()
}

fn lines<T: Clone>(columns: &[BTreeMap<String, T>]) -> Vec<Line<T>> {
    let names: BTreeSet<&String> = columns.iter().flat_map(BTreeMap::keys).collect();
    let line =
        |name: &String| Line { name: name.clone(), values: columns.iter().map(|column| column.get(name).cloned()).collect() };
    names.into_iter().map(line).collect()
}

fn column(state: &RunState, index: usize, params: &[Line<Value>]) -> RunColumn {
    let told = params.iter().take(2).filter_map(|line| {
        let value = line.values.get(index)?.as_ref()?;
        Some(format!("{}={}", line.name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    });
    let short: String = state.run.to_string().chars().skip(20).collect();
    let label = std::iter::once(short.clone()).chain(told).collect::<Vec<_>>().join(" ");
    RunColumn { run: state.run, workflow: state.workflow.clone(), outcome: state.outcome, short, label }
}

/// Plots of lines that the reports of a stage share by title, each line named by its run.
fn courses(history: &History, states: &[RunState], columns: &[RunColumn]) -> Vec<Plot> {
    let mut plots: BTreeMap<(String, String), Course> = BTreeMap::new();
    for (state, column) in states.iter().zip(columns) {
        for (stage, plot) in drawn(history, state) {
            let Plot::Lines { title, x, y, series } = plot else { continue };
            let course = plots.entry((stage.clone(), title)).or_insert_with(|| Course { x, y, series: Vec::new() });
            let several = series.len() > 1;
            for (name, points) in series {
                let name = if several { format!("{} {name}", column.label) } else { column.label.clone() };
                course.series.push((name, points));
            }
        }
    }
    let plot = |((stage, title), course): ((String, String), Course)| Plot::Lines {
        title: format!("{stage}: {title}"),
        x: course.x,
        y: course.y,
        series: course.series,
    };
    plots.into_iter().map(plot).collect()
}

struct Course {
    x: String,
    y: String,
    series: Vec<(String, Vec<(f64, f64)>)>,
}

/// Every plot of the reports that a run laid out, with its stage.
fn drawn(history: &History, state: &RunState) -> Vec<(String, Plot)> {
    let paths = history.paths(state.run);
    let ports =
        state.stages.iter().flat_map(|stage| stage.outputs.iter().map(move |(port, artifact)| (stage, port, artifact.kind)));
    let reports = ports.filter(|(_, _, kind)| *kind == ArtifactKind::Report);
    // A report that is gone or cannot be read draws nothing.
    let read = reports.filter_map(|(stage, port, _)| {
        ReportSummary::read(&paths.report(&stage.name, port)).ok().map(|report| (stage.name.clone(), report.plots))
    });
    read.flat_map(|(stage, plots)| plots.into_iter().map(move |plot| (stage.clone(), plot))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        Artifact, Digest,
        artifact::ArtifactForm,
        report::Report,
        run::{Entry, Event, RunRequest, StageOutline},
    };

    /// A run of one stage whose report holds a loss curve.
    fn trained(history: &History, lr: &str, losses: &[f64]) -> RunState {
        let run = RunId::generate();
        let outline = StageOutline { name: "train".into(), kind: "train/sft".into(), after: Vec::new() };
        let request = RunRequest { params: vec![("lr".into(), lr.into())], ..RunRequest::default() };
        let artifact =
            Artifact { kind: ArtifactKind::Report, digest: Digest::of(lr.as_bytes()), form: ArtifactForm::Tree, bytes: 1 };
        let events = [
            Event::RunStarted { run, workflow: "w".into(), request, stages: vec![outline] },
            Event::StageStarted { stage: "train".into(), key: artifact.digest, attempt: 1, pid: 1 },
            Event::StageSucceeded {
                stage: "train".into(),
                key: artifact.digest,
                attempt: 1,
                outputs: crate::Named::from([("report".into(), artifact)]),
                metrics: BTreeMap::new(),
                seconds: 1.0,
            },
        ];
        let points = (1..).map(f64::from).zip(losses.iter().copied()).collect();
        let mut report = Report::new("Training", "train/sft");
        report.plot(Plot::Lines {
            title: "Training loss".into(),
            x: "step".into(),
            y: "nats".into(),
            series: vec![("train".into(), points)],
        });
        report.write(&history.paths(run).report("train", "report")).unwrap();
        let entries: Vec<Entry> =
            events.into_iter().zip(0..).map(|(event, seq)| Entry { seq, at: Timestamp::UNIX_EPOCH, event }).collect();
        RunState::replay(&entries).unwrap()
    }

    fn history(folder: &Path) -> History {
        std::fs::write(folder.join("workflow.yaml"), "flow: 1\n").unwrap();
        let home = |name: &str| (name == "HOME").then(|| "/home/ada".to_owned());
        History::of(&crate::project::Project::locate(&folder.join("workflow.yaml"), &home).unwrap())
    }

    #[test]
    fn loss_curves_of_all_runs_share_one_plot() {
        let folder = tempfile::tempdir().unwrap();
        let history = history(folder.path());
        let states = [trained(&history, "1e-4", &[3.0, 2.0]), trained(&history, "2e-4", &[3.0, 1.0])];
        let params = params(&history, &states);
        let columns: Vec<RunColumn> = states.iter().enumerate().map(|(index, state)| column(state, index, &params)).collect();
        assert!(columns[0].label.ends_with(" lr=1e-4"), "{:?}", columns[0]);
        let plots = courses(&history, &states, &columns);
        let [Plot::Lines { title, series, .. }] = plots.as_slice() else { panic!("{plots:?}") };
        assert_eq!(title, "train: Training loss");
        assert_eq!(series[1], (columns[1].label.clone(), vec![(1.0, 3.0), (2.0, 1.0)]));
    }

    #[test]
    fn a_name_that_only_one_run_has_leaves_a_gap() {
        let one = BTreeMap::from([("a".to_owned(), 1.0), ("b".to_owned(), 2.0)]);
        let other = BTreeMap::from([("a".to_owned(), 1.0)]);
        let table = lines(&[one, other]);
        assert!(!table[0].differs() && table[1].differs());
        assert_eq!(table[1].values, [Some(2.0), None]);
    }
}

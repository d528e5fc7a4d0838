//! Differences and costs of runs, with toy stages and a viewer of lines.

mod support;

use std::{ops::ControlFlow, path::Path, sync::Arc};

use flow_engine::{
    ArtifactKind, ArtifactViewer, Digest, StageError,
    history::{RowChange, RunFilter, artifact_difference, find_output, run_difference, run_rows},
    run::{Forecast, History, Preimages, Reason, preview},
    store::Store,
    viewer::{Row, Visit},
};
use serde_json::{Value, json};
use support::Lab;

#[test]
fn role() {
    support::play_role();
}

/// Lines whose first word is their name.
struct Lines;

impl ArtifactViewer for Lines {
    fn kind(&self) -> ArtifactKind {
        ArtifactKind::File
    }

    fn rows(&self, path: &Path, visit: Visit<'_>) -> Result<(), StageError> {
        for line in std::fs::read_to_string(path)?.lines() {
            let (id, rest) = line.split_once(' ').unwrap_or((line, ""));
            let row = Row { id: id.to_owned(), digest: Digest::of(rest.as_bytes()), text: rest.to_owned() };
            if let ControlFlow::Break(()) = visit(row) {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn emit(text: &str) -> Value {
    json!({"rows": {"uses": "toy/emit@1", "with": {"text": text}}})
}

#[test]
fn rows_of_two_runs_are_compared_by_name_through_the_viewer_of_their_kind() {
    let lab = Lab::new();
    let first = lab.run(&emit("a one\nb two\nc three\n"));
    let second = lab.run(&emit("c three\nb TWO\nd four\n"));
    let history = History::of(&lab.project());
    let (first, second) = (history.load(first.run).unwrap(), history.load(second.run).unwrap());
    let artifacts = (find_output(&first, "rows.out").unwrap(), find_output(&second, "rows.out").unwrap());
    let store = Store::open(&lab.store).unwrap();
    let registry = support::registry().with_viewer(Arc::new(Lines));
    let found = artifact_difference(&store, &registry, artifacts).unwrap();
    let rows = found.rows.unwrap();
    assert_eq!((rows.added, rows.removed, rows.changed), (1, 1, 1));
    let changed = rows.samples.iter().find(|row| row.change == RowChange::Changed).unwrap();
    assert_eq!((changed.id.as_str(), changed.old.as_deref(), changed.new.as_deref()), ("b", Some("two"), Some("TWO")));
    assert!(found.files[0].unified.as_ref().unwrap().contains("-b two"));
    let without = artifact_difference(&store, &support::registry(), artifacts).unwrap();
    assert!(without.rows.is_none() && without.files.len() == 1);
}

#[test]
fn a_renamed_stage_is_told_as_one_that_went_and_one_that_came() {
    let lab = Lab::new();
    let first = lab.run(&emit("a\n"));
    let second = lab.run(&json!({"lines": {"uses": "toy/emit@1", "with": {"text": "a\n"}}}));
    let found = run_difference(&lab.project(), (first.run, second.run)).unwrap();
    assert_eq!((found.stages_removed, found.stages_added), (vec!["rows".to_owned()], vec!["lines".to_owned()]));
    assert!(found.keys.is_empty() && found.outputs.is_empty());
}

#[test]
fn the_nearest_earlier_key_is_the_one_with_the_fewest_changes_not_the_latest() {
    let lab = Lab::new();
    let work = |text: &str, times: u32| json!({"rows": {"uses": "toy/emit@1", "with": {"text": text, "times": times}}});
    let near = lab.run(&work("a", 1));
    lab.run(&work("z", 9));
    lab.write(&work("a", 2));
    let previews = preview(&lab.plan(), &lab.project(), &Arc::new(support::registry()), Preimages::Left).unwrap();
    let Forecast::Run { reason: Reason::Changed { than } } = &previews[0].forecast else { panic!("{:?}", previews[0]) };
    assert_eq!((than.run, than.recorded), (near.run, true));
    let told: Vec<String> = than.changes.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["params.times 1 -> 2"]);
    let cost = previews[0].cost.unwrap();
    assert!(cost.samples == 2 && cost.seconds.low <= cost.seconds.median && cost.seconds.median <= cost.seconds.high);
}

#[test]
fn a_run_without_a_record_or_with_a_torn_one_is_told_without_it() {
    let lab = Lab::new();
    let first = lab.run(&emit("a\n"));
    let second = lab.run(&emit("b\n"));
    let history = History::of(&lab.project());
    std::fs::remove_file(history.paths(first.run).record()).unwrap();
    std::fs::write(history.paths(second.run).record(), "{\"format\": 1, \"par").unwrap();
    let found = run_difference(&lab.project(), (first.run, second.run)).unwrap();
    assert!(found.workflow.is_empty() && found.keys.len() == 1);
    assert_eq!(run_rows(&history, &RunFilter::default()).len(), 2);
}

//! What a person types next.

use std::path::Path;

use flow_engine::{
    ArtifactKind,
    project::Project,
    run::{History, Outcome, RunPaths, RunSummary, StageState, StageStatus},
    store::Store,
};
use serde_json::Value;

use crate::{environment, text::near_here};

/// A model version that a run registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    /// The stage that did.
    pub(crate) stage: String,
    /// `NAME@VERSION`.
    pub(crate) reference: String,
}

/// Every version that the stages of a run registered or found registered.
pub(crate) fn published(summary: &RunSummary, project: &Project) -> Vec<Published> {
    let Ok(store) = Store::open(&project.site.store) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for stage in &summary.stages {
        for artifact in stage.state.outputs.values().filter(|artifact| artifact.kind == ArtifactKind::Ref) {
            if let Some(reference) = reference(&store.cas().path(&artifact.digest)) {
                found.push(Published { stage: stage.state.name.clone(), reference });
            }
        }
    }
    found
}

fn reference(path: &Path) -> Option<String> {
    let value: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some(format!("{}@{}", value["name"].as_str()?, value["version"]))
}

/// Commands that make sense after this run, best first.
pub(crate) fn advice(summary: &RunSummary, project: &Project) -> Vec<String> {
    let place = elsewhere(project);
    let stages = |wanted: fn(&StageStatus) -> bool| {
        summary.stages.iter().filter(move |stage| wanted(&stage.state.status)).map(|stage| stage.state.name.as_str())
    };
    match summary.outcome {
        Outcome::Succeeded => published(summary, project)
            .iter()
            .flat_map(|model| [format!("flow chat {}{place}", model.reference), format!("flow serve {}{place}", model.reference)])
            .collect(),
        Outcome::Parked | Outcome::Failed => {
            let paths = History::of(project).paths(summary.run);
            let failed = summary.stages.iter().filter(|stage| matches!(stage.state.status, StageStatus::Failed));
            let logs = failed
                .filter(|stage| spoke(&paths, &stage.state))
                .map(|stage| format!("flow logs --stage {}{place}", stage.state.name));
            let approvals =
                stages(|status| matches!(status, StageStatus::Parked)).map(|stage| format!("flow approve {stage}{place}"));
            logs.chain(approvals).chain([format!("flow resume{place}")]).collect()
        }
        Outcome::GateFailed => gate_reports(summary),
        Outcome::Interrupted => vec![format!("flow resume{place}")],
    }
}

/// Whether `flow logs` has anything to print of a stage.
fn spoke(paths: &RunPaths, stage: &StageState) -> bool {
    let files = (1..=stage.attempts).flat_map(|attempt| {
        let folder = paths.attempt(&stage.name, attempt);
        ["stdout", "stderr"].map(|stream| folder.join(stream))
    });
    files.into_iter().any(|file| file.metadata().is_ok_and(|file| file.len() > 0))
}

/// The pages that explain a gate that was not met.
fn gate_reports(summary: &RunSummary) -> Vec<String> {
    let failed = summary.stages.iter().filter(|stage| stage.state.status == StageStatus::GateFailed);
    let pages = failed.flat_map(|stage| stage.reports.values()).map(|folder| near_here(&folder.join("report.html")));
    pages.map(|page| format!("xdg-open {}", page.display())).collect()
}

/// ` --project DIR` when commands typed here would look elsewhere.
fn elsewhere(project: &Project) -> String {
    let here = Project::around(Path::new("."), &environment).map(|here| here.root);
    match here {
        Ok(root) if root == project.root => String::new(),
        _ => format!(" --project {}", near_here(&project.root).display()),
    }
}

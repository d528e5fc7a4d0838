//! The process that drives a run: it signs in beside the journal, so that others can ask it to stop.

use std::{fs, path::Path};

use serde::Serialize;

use super::{History, RunError, RunId, RunPaths, session};
use crate::{
    project::Project,
    store::{Process, Store},
};

/// How soon a cancelled run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// When its stages have reached a safe point, and after a grace period at once.
    Gently,
    /// At once.
    Now,
}

/// Who was asked to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cancelled {
    /// The run.
    pub run: RunId,
    /// The engine, if it lives; it stops its stages.
    pub engine: Option<u32>,
    /// Stages that outlived their engine and were asked themselves.
    pub stages: Vec<String>,
}

/// Signs this process in as the engine of a run. Only those who want to stop the run miss the file, so it may fail.
pub(crate) fn sign_in(paths: &RunPaths) {
    let place = place(paths);
    let bytes = serde_json::to_vec(&Process::current()).unwrap_or_default();
    if let Err(error) = fs::write(&place, bytes) {
        tracing::warn!(%error, place = %place.display(), "Could not sign in.");
    }
}

/// Asks a run to stop: its engine, or the stages that outlived it. It can be resumed afterwards.
pub fn cancel(project: &Project, run: RunId, urgency: Urgency) -> Result<Cancelled, RunError> {
    let history = History::of(project);
    let engine = engine(&history.paths(run)).filter(|_| history.is_live(run));
    let mut cancelled = Cancelled { run, engine, stages: Vec::new() };
    match (engine, urgency) {
        (Some(engine), Urgency::Gently) => session::ask_engine(engine),
        (Some(engine), Urgency::Now) => session::stop_engine(engine),
        (None, _) => cancelled.stages = stop_orphans(project, run, urgency)?,
    }
    if cancelled.engine.is_none() && cancelled.stages.is_empty() {
        return Err(RunError::NotRunning { run });
    }
    Ok(cancelled)
}

fn stop_orphans(project: &Project, run: RunId, urgency: Urgency) -> Result<Vec<String>, RunError> {
    let store = Store::open(&project.site.store)?;
    let state = History::of(project).load(run)?;
    let mut stopped = Vec::new();
    for stage in state.stages.iter().filter(|stage| !stage.status.is_terminal()) {
        let Some(key) = stage.key else { continue };
        let holder = store.reservations().holder(&key)?;
        let Some(owner) = holder.filter(|owner| owner.run == run.to_string() && owner.process.is_near()) else { continue };
        match urgency {
            Urgency::Gently => session::ask_to_stop(owner.process.pid),
            Urgency::Now => session::kill(owner.process.pid),
        }
        stopped.push(stage.name.clone());
    }
    Ok(stopped)
}

/// The living engine of a run.
fn engine(paths: &RunPaths) -> Option<u32> {
    let process: Process = serde_json::from_slice(&fs::read(place(paths)).ok()?).ok()?;
    (process.is_near() && process.runs()).then_some(process.pid)
}

fn place(paths: &RunPaths) -> std::path::PathBuf {
    Path::new(paths.directory()).join("engine.json")
}

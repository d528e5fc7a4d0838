//! The runs of a project, as their journals tell them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{RunError, RunId, RunState, event::Entry};
use crate::{
    Digest,
    govern::approvals,
    journal,
    project::Project,
    store::{StoreError, remove_all},
};

/// Results of this many latest runs of every project are kept by the collector.
const KEPT_RUNS: usize = 20;

/// The files of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPaths {
    directory: PathBuf,
}

impl RunPaths {
    /// The files of a run below a project's state folder.
    pub fn new(state: &Path, run: RunId) -> Self {
        Self { directory: state.join("runs").join(run.to_string()) }
    }

    /// The run's folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its journal.
    pub fn journal(&self) -> PathBuf {
        self.directory.join("journal.jsonl")
    }

    /// What the run was asked to do, in full.
    pub fn record(&self) -> PathBuf {
        self.directory.join("record.json")
    }

    /// The folder of all attempts of a stage.
    pub fn attempts(&self, stage: &str) -> PathBuf {
        self.directory.join("att").join(folder_name(stage))
    }

    /// The folder of one attempt: `stdout`, `stderr`, `seg.jsonl`, `hb`.
    pub fn attempt(&self, stage: &str, attempt: u32) -> PathBuf {
        self.attempts(stage).join(attempt.to_string())
    }

    /// Makes the folder of a new attempt, numbered after `last` and after every folder there is, and returns its number.
    pub(crate) fn begin_attempt(&self, stage: &str, last: u32) -> std::io::Result<u32> {
        fs::create_dir_all(self.attempts(stage))?;
        let mut number = last + 1;
        loop {
            match fs::create_dir(self.attempt(stage, number)) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                made => return made.map(|()| number),
            }
        }
    }

    /// The folder of a stage's report.
    pub fn report(&self, stage: &str, port: &str) -> PathBuf {
        let folder = self.directory.join("reports").join(folder_name(stage));
        if port == "report" { folder } else { folder.join(port) }
    }
}

/// A component's stage as one folder. A dot occurs in no stage name but in the key of an instance, where a plus occurs in none.
fn folder_name(stage: &str) -> String {
    stage.replace('/', if stage.contains('@') { "+" } else { "." })
}

/// The runs of one project.
#[derive(Clone, Debug)]
pub struct History {
    state: PathBuf,
}

impl History {
    /// The runs of a project.
    pub fn of(project: &Project) -> Self {
        Self { state: project.state.clone() }
    }

    /// All runs, oldest first.
    pub fn runs(&self) -> Vec<RunId> {
        let Ok(entries) = fs::read_dir(self.state.join("runs")) else { return Vec::new() };
        let mut runs: Vec<RunId> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        runs.sort_unstable();
        runs
    }

    /// A name for a run that begins now: the latest of all.
    pub fn new_name(&self) -> RunId {
        RunId::after(self.runs().last().copied())
    }

    /// The run named so: a whole name, an unambiguous end or beginning of one, `latest`, or `NAME~N` for the Nth before it.
    pub fn find(&self, name: &str) -> Result<RunId, RunError> {
        let runs = self.runs();
        let (start, back) = name.split_once('~').unwrap_or((name, "0"));
        let found = self.named(&runs, start)?;
        let place = runs.iter().position(|run| *run == found).unwrap_or_default();
        let steps: Option<usize> = back.parse().ok();
        let earlier = steps.and_then(|steps| place.checked_sub(steps)).and_then(|place| runs.get(place)).copied();
        earlier.ok_or_else(|| self.unknown(name))
    }

    fn named(&self, runs: &[RunId], name: &str) -> Result<RunId, RunError> {
        let upper = name.to_uppercase();
        let is_meant = |run: &RunId| {
            let run = run.to_string();
            !upper.is_empty() && (run.starts_with(&upper) || run.ends_with(&upper))
        };
        let matching: Vec<RunId> = runs.iter().copied().filter(is_meant).collect();
        match (name, matching.as_slice()) {
            ("latest", _) => runs.last().copied().ok_or_else(|| self.unknown(name)),
            (_, [only]) => Ok(*only),
            (_, []) => Err(self.unknown(name)),
            (_, [first, .., last]) => {
                Err(RunError::AmbiguousRun { name: name.to_owned(), count: matching.len(), first: *first, last: *last })
            }
        }
    }

    fn unknown(&self, name: &str) -> RunError {
        RunError::UnknownRun { name: name.to_owned(), folder: self.state.join("runs") }
    }

    /// Removes everything that is kept of a run. One that an engine works on stays.
    pub fn remove(&self, run: RunId) -> Result<(), RunError> {
        if self.is_live(run) {
            return Err(RunError::Live { run });
        }
        let directory = self.paths(run).directory().to_owned();
        // Renamed first: a half-removed run would be listed as a broken one.
        let aside = self.state.join(format!("removed-{run}"));
        let removed = fs::rename(&directory, &aside).and_then(|()| remove_all(&aside));
        removed.map_err(|error| StoreError::io("remove", &directory)(error).into())
    }

    /// The files of a run.
    pub fn paths(&self, run: RunId) -> RunPaths {
        RunPaths::new(&self.state, run)
    }

    /// The entries of a run's journal.
    pub fn entries(&self, run: RunId) -> Result<Vec<Entry>, RunError> {
        Ok(journal::read(&self.paths(run).journal())?)
    }

    /// What is known of a run.
    pub fn load(&self, run: RunId) -> Result<RunState, RunError> {
        RunState::replay(&self.entries(run)?).map_err(|source| RunError::History { run, source })
    }

    /// Whether an engine works on the run now.
    pub fn is_live(&self, run: RunId) -> bool {
        journal::is_live(&self.paths(run).journal())
    }

    /// Keys that the latest runs and every decision of this project refer to.
    pub(crate) fn referenced(&self) -> BTreeSet<Digest> {
        let latest = self.runs().into_iter().rev().take(KEPT_RUNS);
        // A journal that cannot be read refers to nothing.
        let states = latest.filter_map(|run| self.load(run).ok());
        let mut keys: BTreeSet<Digest> =
            states.flat_map(|state| state.stages.into_iter().filter_map(|stage| stage.key)).collect();
        keys.extend(approvals::keys(&self.state));
        keys
    }

    /// The runs below a project's state folder.
    pub(crate) fn below(state: PathBuf) -> Self {
        Self { state }
    }
}

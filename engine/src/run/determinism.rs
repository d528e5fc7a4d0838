//! Does a stage repeat itself? It is run twice, away from the cache, in surroundings that must not matter.
//!
//! Both attempts work in a store of their own whose objects are those of the real one: nothing is recorded for a later run, and
//! blobs that nobody refers to are collected like any others.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, Read},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use serde::Serialize;

use super::{
    RunError, RunnerProgram,
    preview::{Found, find},
    segment::{Segment, SegmentReader},
    spec::AttemptSpec,
};
use crate::{
    Artifact, Determinism, Digest, Effect, StageError, StageRegistry,
    history::{FileState, flat},
    plan::{Plan, mixed_seed},
    project::Project,
    store::{ActionResult, Cas, Claim, Company, Owner, Process, Store, StoreError, remove_all},
};

/// Whether a stage repeats itself.
#[derive(Clone, Debug, Serialize)]
pub struct Repeatability {
    /// The stage.
    pub stage: String,
    /// Its kind.
    pub kind: String,
    /// What the kind promises.
    pub promised: Determinism,
    /// What differed between the two rounds, as variables and folders.
    pub surroundings: [BTreeMap<String, String>; 2],
    /// Wall time of both rounds.
    pub seconds: [f64; 2],
    /// The first place of every output that is not the same; empty when the stage repeats itself.
    pub differences: Vec<Divergence>,
    /// Numbers that are not the same, those of speed left out.
    pub metrics: Vec<String>,
    /// Whether the result that a run would use agrees with the first round; none when there is no such result.
    pub agrees_with_recorded: Option<bool>,
}

impl Repeatability {
    /// Whether both rounds gave the same bytes.
    pub fn holds(&self) -> bool {
        self.differences.is_empty() && self.metrics.is_empty() && self.agrees_with_recorded != Some(false)
    }
}

/// The first place in which an output differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Divergence {
    /// The port.
    pub port: String,
    /// The first differing file; empty when the output is one file.
    pub path: String,
    /// The first differing byte of it; none when one of the rounds did not write it as a file.
    pub offset: Option<u64>,
    /// How many files differ.
    pub files: usize,
}

/// Runs a stage of a plan twice and compares what it writes. Its inputs must be in the store.
pub fn check_repeatability(
    (plan, project): (&Plan, &Project),
    registry: &Arc<StageRegistry>,
    stage: &str,
    runner: &RunnerProgram,
) -> Result<Repeatability, StageError> {
    let found = find(plan, project, registry, stage).map_err(|error| in_stage_terms(&error))??;
    let planned = &plan.graph[found.node];
    if planned.stage.effect() != Effect::Pure {
        let message = format!("stage {stage:?} asks a person or publishes, and is not run for a check");
        return Err(StageError::input(message).help("name a stage that only computes"));
    }
    let store = Store::open(&project.site.store)?;
    let recorded = store.actions().peek(&found.prepared.key)?;
    let surroundings = [surroundings("1", "UTC", "C.UTF-8"), surroundings("7", "Asia/Kathmandu", "tr_TR.UTF-8")];
    let [first, second] = &surroundings;
    let round = |environment| Round { plan, project, found: &found, runner, environment }.go(&store);
    let (one, other) = (round(first)?, round(second)?);
    let cas = store.cas();
    let agrees = recorded.map(|recorded| digests(&recorded) == digests(&one));
    Ok(Repeatability {
        stage: stage.to_owned(),
        kind: planned.stage.kind().to_owned(),
        promised: planned.stage.determinism(),
        seconds: [one.seconds, other.seconds],
        differences: divergences(&cas, &one, &other)?,
        metrics: unequal(&one, &other),
        agrees_with_recorded: agrees,
        surroundings,
    })
}

fn in_stage_terms(error: &RunError) -> StageError {
    StageError::resource("cannot look at the plan").because(error)
}

fn digests(result: &ActionResult) -> BTreeMap<&str, Digest> {
    result.outputs.iter().map(|(port, artifact)| (port.as_str(), artifact.digest)).collect()
}

/// What must not matter: threads, time zone, and language.
fn surroundings(threads: &str, zone: &str, locale: &str) -> BTreeMap<String, String> {
    let counts = ["RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "TOKIO_WORKER_THREADS", "OMP_NUM_THREADS"];
    let counts = counts.into_iter().map(|name| (name, threads));
    counts
        .chain([("TZ", zone), ("LANG", locale), ("LC_ALL", locale)])
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// One of the two attempts.
struct Round<'a> {
    plan: &'a Plan,
    project: &'a Project,
    found: &'a Found,
    runner: &'a RunnerProgram,
    environment: &'a BTreeMap<String, String>,
}

/// A folder that goes away with its owner.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = remove_all(&self.0) {
            tracing::warn!(%error, "Could not remove a temporary folder.");
        }
    }
}

impl Round<'_> {
    fn go(&self, store: &Store) -> Result<ActionResult, StageError> {
        let token = ulid::Ulid::new().to_string();
        let folder = Folder(store.temporary(&format!("check-{token}")));
        let twin = twin(store, &folder.0.join("store"))?;
        let attempt = folder.0.join("attempt");
        fs::create_dir_all(&attempt)?;
        let mut spec = self.spec((&twin, token), &attempt);
        match twin.reservations().claim(&spec.key, spec.owner.clone(), Company::Wait)? {
            Claim::Won { owner, .. } => spec.owner = owner,
            Claim::Held(_) => return Err(StageError::internal("somebody else works in a new store")),
        }
        self.run(&spec, &attempt)?;
        match twin.actions().peek(&spec.key)? {
            Some(result) => Ok(result),
            None => Err(told_failure(&attempt, &spec.owner.stage)),
        }
    }

    fn spec(&self, (twin, token): (&Store, String), attempt: &Path) -> AttemptSpec {
        let planned = &self.plan.graph[self.found.node];
        let prepared = &self.found.prepared;
        let mut site = self.project.site.clone();
        twin.root().clone_into(&mut site.store);
        let owner = Owner {
            lease: token.clone(),
            token,
            epoch: 0,
            run: "check".to_owned(),
            directory: attempt.to_owned(),
            stage: planned.name.clone(),
            process: Process::current(),
        };
        AttemptSpec {
            kind: planned.stage.kind().to_owned(),
            config: planned.stage.config().into_owned(),
            key: prepared.key,
            owner,
            inputs: self.found.inputs.clone(),
            outputs: planned.stage.ports().outputs.into_iter().map(|port| (port.name, port.kind)).collect(),
            sources: prepared.action.sources().clone(),
            // Both rounds do the whole work.
            course: None,
            guarded: Vec::new(),
            seed: mixed_seed(planned.seed, planned.stage.kind()),
            limit: self.plan.limit,
            site,
            decision: None,
            ancestors: Vec::new(),
            workflow: self.plan.workflow.clone(),
            slots: Vec::new(),
            cap: None,
        }
    }

    fn run(&self, spec: &AttemptSpec, attempt: &Path) -> Result<(), StageError> {
        let place = spec.place();
        let bytes =
            serde_json::to_vec(spec).map_err(|error| StageError::internal("cannot describe the attempt").because(&error))?;
        fs::write(&place, bytes)?;
        let log = |name: &str| File::create(attempt.join(name)).map(Stdio::from);
        let status = Command::new(&self.runner.program)
            .args(&self.runner.arguments)
            .arg("--spec")
            .arg(&place)
            .envs(self.runner.environment.iter().map(|(name, value)| (name, value)))
            .envs(self.environment)
            // The folder of the store differs from round to round, and so does everything below it.
            .current_dir(attempt)
            .stdin(Stdio::null())
            .stdout(log("stdout")?)
            .stderr(log("stderr")?)
            .status();
        let started = status
            .map_err(|error| StageError::resource(format!("cannot start {}", self.runner.program.display())).because(&error));
        // What was recorded counts, however the process ended.
        started.map(drop)
    }
}

/// A store without results whose blobs and trees are those of another.
fn twin(store: &Store, root: &Path) -> Result<Store, StageError> {
    fs::create_dir_all(root)?;
    let twin = Store::open(root)?;
    for objects in ["cas", "tree"] {
        let place = root.join(objects);
        remove_all(&place).map_err(StoreError::io("remove", &place))?;
        symlink(store.root().join(objects), &place)?;
    }
    Ok(twin)
}

fn told_failure(attempt: &Path, stage: &str) -> StageError {
    let told = SegmentReader::new(attempt).poll().into_iter().find_map(|segment| match segment {
        Segment::Failed { error } => Some(error),
        Segment::Progress(_) | Segment::Metric { .. } | Segment::Lost { .. } | Segment::Committed | Segment::Unknown => None,
    });
    told.unwrap_or_else(|| {
        let log = fs::read_to_string(attempt.join("stderr")).unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it printed nothing");
        StageError::resource(format!("stage {stage:?} gave no result: {}", last.trim()))
    })
}

fn unequal(one: &ActionResult, other: &ActionResult) -> Vec<String> {
    let names = one.metrics.keys().chain(other.metrics.keys());
    let differs = |name: &&String| {
        one.metrics.get(*name).map(|value| value.to_bits()) != other.metrics.get(*name).map(|value| value.to_bits())
    };
    let names: std::collections::BTreeSet<&String> = names.filter(|name| !name.starts_with("volatile")).filter(differs).collect();
    names.into_iter().cloned().collect()
}

fn divergences(cas: &Cas, one: &ActionResult, other: &ActionResult) -> Result<Vec<Divergence>, StageError> {
    let mut found = Vec::new();
    for (port, artifact) in &one.outputs {
        let Some(twin) = other.outputs.get(port) else { continue };
        found.extend(divergence(cas, port, (artifact, twin))?);
    }
    Ok(found)
}

fn divergence(cas: &Cas, port: &str, (one, other): (&Artifact, &Artifact)) -> Result<Option<Divergence>, StageError> {
    if one.digest == other.digest {
        return Ok(None);
    }
    let (old, new) = (flat(cas, one)?, flat(cas, other)?);
    let paths: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing: Vec<&String> = paths.into_iter().filter(|path| old.get(*path) != new.get(*path)).collect();
    let Some(path) = differing.first() else { return Ok(None) };
    let offset = match (old.get(*path), new.get(*path)) {
        (Some(FileState::File { digest: one, .. }), Some(FileState::File { digest: other, .. })) => {
            first_difference(&cas.path(one), &cas.path(other))?
        }
        _ => None,
    };
    Ok(Some(Divergence { port: port.to_owned(), path: (*path).clone(), offset, files: differing.len() }))
}

/// The first byte in which two files differ, or the end of the shorter one.
fn first_difference(one: &Path, other: &Path) -> std::io::Result<Option<u64>> {
    let mut left = BufReader::new(File::open(one)?).bytes();
    let mut right = BufReader::new(File::open(other)?).bytes();
    for offset in 0.. {
        match (left.next().transpose()?, right.next().transpose()?) {
            (None, None) => return Ok(None),
            (one, other) if one != other => return Ok(Some(offset)),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_different_byte_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name)
        };
        let whole = file("a", "abcdef");
        assert_eq!(first_difference(&whole, &file("b", "abcXef")).unwrap(), Some(3));
        assert_eq!(first_difference(&whole, &file("c", "abc")).unwrap(), Some(3));
        assert_eq!(first_difference(&whole, &file("d", "abcdef")).unwrap(), None);
    }
}

//! A laboratory for runs: a project and a store in a temporary folder, toy stages, and this test binary as the runner.

#![expect(dead_code, reason = "each test binary uses its own part of the laboratory")]
#![expect(clippy::unwrap_used, reason = "a laboratory that cannot be set up fails its test")]

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use flow_engine::{
    Digest, Locate, Located, SourceError, SourceResolver, StageRegistry,
    context::Site,
    govern::Governance,
    plan::{Plan, PlanRequest},
    project::Project,
    run::{
        Entry, Event, Hangup, History, Interrupts, Observer, Outcome, Run, RunId, RunOptions, RunRequest, RunState, RunSummary,
        RunnerProgram, StageProgress, StageState, StageStatus, Start, exec_stage,
    },
    settings::Settings,
    store::{GcOptions, Store},
    testing::toys,
};
use serde_json::Value;
use tempfile::TempDir;

/// What the re-executed test binary is asked to do.
const RUNNER: &str = "exec-stage";
const ENGINE: &str = "engine";
const COLLECTOR: &str = "collector";

/// The body of the test named `role`: the runner or the engine when re-executed, nothing otherwise.
pub(crate) fn play_role() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |word: &str| arguments.iter().position(|argument| argument == word).map(|at| &arguments[at + 1..]);
    if let Some([_, spec, ..]) = after(RUNNER) {
        std::process::exit(i32::from(exec_stage(Path::new(spec), &registry())));
    }
    if let Some([store, ..]) = after(COLLECTOR) {
        let store = Store::open(Path::new(store)).unwrap();
        let eager = GcOptions { older_than: Duration::ZERO, grace: Duration::ZERO, ..GcOptions::default() };
        store.collect(&eager).unwrap();
        std::process::exit(0);
    }
    if let Some([root, store, run, ..]) = after(ENGINE) {
        let lab = Lab { folder: None, root: PathBuf::from(root), store: PathBuf::from(store), governance: Governance::default() };
        let heed = |options: &mut RunOptions| options.interrupts = Interrupts::from_signals(Hangup::Stops).unwrap();
        let summary = lab.execute(&lab.start(run.parse().ok()), heed).unwrap();
        std::process::exit(i32::from(summary.outcome != Outcome::Succeeded));
    }
}

fn role(arguments: &[&str]) -> RunnerProgram {
    let fixed = ["--exact", "role", "--nocapture", "--"];
    RunnerProgram {
        program: std::env::current_exe().unwrap(),
        arguments: fixed.iter().chain(arguments).map(OsString::from).collect(),
        environment: Vec::new(),
    }
}

/// This test binary in another role, in a process of its own.
fn play(arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    play_in(Path::new("."), arguments, environment)
}

/// The same, with another working folder.
fn play_in(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    let program = role(arguments);
    Command::new(program.program)
        .args(program.arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Toy stages and a resolver that copies `toy:PATH`.
pub(crate) fn registry() -> StageRegistry {
    toys().with_resolver(Arc::new(Copier))
}

struct Copier;

impl SourceResolver for Copier {
    fn scheme(&self) -> &'static str {
        "toy"
    }

    fn locate(&self, request: &Locate<'_>) -> Result<Located, SourceError> {
        let fail = |error: std::io::Error| SourceError { uri: request.uri.to_owned(), reason: error.to_string(), help: None };
        let name = request.uri.trim_start_matches("toy:");
        let copy = request.into.join(name);
        std::fs::copy(request.base.join(name), &copy).map_err(fail)?;
        (request.progress)(1, Some(1));
        Ok(Located::Fetched(copy))
    }
}

/// A project with a store.
pub(crate) struct Lab {
    folder: Option<TempDir>,
    pub(crate) root: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) governance: Governance,
}

/// What a run showed.
#[derive(Clone, Default)]
pub(crate) struct Witness {
    pub(crate) entries: Arc<Mutex<Vec<Entry>>>,
    pub(crate) progress: Arc<Mutex<Vec<StageProgress>>>,
}

impl Observer for Witness {
    fn event(&mut self, entry: &Entry, _: &RunState) {
        self.entries.lock().unwrap().push(entry.clone());
    }

    fn progress(&mut self, progress: &StageProgress) {
        self.progress.lock().unwrap().push(progress.clone());
    }
}

impl Witness {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.entries.lock().unwrap().iter().map(|entry| entry.event.clone()).collect()
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        std::fs::create_dir(&root).unwrap();
        Self { root, store: folder.path().join("store"), folder: Some(folder), governance: Governance::default() }
    }

    /// Another project on the same store.
    pub(crate) fn beside(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        std::fs::create_dir(&root).unwrap();
        Self { root, store: self.store.clone(), folder: Some(folder), governance: self.governance.clone() }
    }

    pub(crate) fn project(&self) -> Arc<Project> {
        let mut settings = Settings::read(&self.root.join("flow.toml")).unwrap();
        settings.machine.cpus.get_or_insert(2);
        Arc::new(Project {
            root: self.root.clone(),
            base: self.root.clone(),
            workflow_file: self.root.join("workflow.yaml"),
            lock_file: self.root.join("flow.lock"),
            state: self.root.join(".flow"),
            site: Site { registry: self.root.join("registry"), store: self.store.clone(), base: self.root.clone() },
            governance: self.governance.clone(),
            settings,
        })
    }

    /// Writes the workflow; JSON is YAML.
    pub(crate) fn write(&self, stages: &Value) {
        let document = serde_json::json!({"flow": 1, "name": "toys", "stages": stages});
        std::fs::write(self.root.join("workflow.yaml"), serde_json::to_string_pretty(&document).unwrap()).unwrap();
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        let (project, registry) = (self.project(), registry());
        let request = PlanRequest { project: &project, registry: &registry, params: &[], only: &[], limit: None, profile: None };
        Arc::new(Plan::load(&request).unwrap_or_else(|problems| panic!("{problems:?}")))
    }

    pub(crate) fn start(&self, resume: Option<RunId>) -> Start {
        match resume {
            Some(run) => Start::Resume(run),
            None => Start::New(RunRequest { workflow_file: self.root.join("workflow.yaml"), ..RunRequest::default() }),
        }
    }

    pub(crate) fn execute(
        &self,
        start: &Start,
        change: impl FnOnce(&mut RunOptions),
    ) -> Result<RunSummary, flow_engine::run::RunError> {
        self.show(start, change, Vec::new())
    }

    pub(crate) fn watch(
        &self,
        start: &Start,
        change: impl FnOnce(&mut RunOptions),
        witness: &Witness,
    ) -> Result<RunSummary, flow_engine::run::RunError> {
        self.show(start, change, vec![Box::new(witness.clone())])
    }

    fn show(
        &self,
        start: &Start,
        change: impl FnOnce(&mut RunOptions),
        observers: Vec<Box<dyn Observer>>,
    ) -> Result<RunSummary, flow_engine::run::RunError> {
        let mut options = RunOptions::new(start.clone()).unwrap();
        options.runner = role(&[RUNNER]);
        options.grace = Duration::from_millis(200);
        options.longest_backoff = Duration::from_millis(5);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let inside = runtime.enter();
        change(&mut options);
        drop(inside);
        let place = (self.project(), Arc::new(registry()));
        runtime.block_on(Run::execute(self.plan(), place, options, observers))
    }

    /// Writes and runs a workflow.
    pub(crate) fn run(&self, stages: &Value) -> RunSummary {
        self.write(stages);
        self.execute(&self.start(None), |_| {}).unwrap()
    }

    /// Goes on with the latest run.
    pub(crate) fn resume(&self) -> RunSummary {
        let start = self.start(Some(self.latest()));
        self.execute(&start, |_| {}).unwrap()
    }

    pub(crate) fn latest(&self) -> RunId {
        History::of(&self.project()).find("latest").unwrap()
    }

    /// A new run, or the resumption of one, in a process of its own.
    pub(crate) fn engine(&self, resume: Option<RunId>, environment: &[(&str, &str)]) -> Child {
        self.engine_in(Path::new("."), resume, environment)
    }

    /// The same, with another working folder.
    pub(crate) fn engine_in(&self, folder: &Path, resume: Option<RunId>, environment: &[(&str, &str)]) -> Child {
        let run = resume.map_or_else(|| "new".to_owned(), |run| run.to_string());
        play_in(folder, &[ENGINE, self.root.to_str().unwrap(), self.store.to_str().unwrap(), &run], environment)
    }

    /// A collection that keeps nothing, in a process of its own.
    pub(crate) fn collector(&self, environment: &[(&str, &str)]) -> Child {
        play(&[COLLECTOR, self.store.to_str().unwrap()], environment)
    }

    /// Waits until a stage of the latest run is as wanted.
    pub(crate) fn wait_for(&self, stage: &str, wanted: impl Fn(&StageState) -> bool) -> StageState {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_mins(1) {
            let history = History::of(&self.project());
            let latest = history.find("latest").and_then(|run| history.load(run)).ok();
            if let Some(found) = latest.as_ref().and_then(|latest| latest.stage(stage))
                && wanted(found)
            {
                return found.clone();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("stage {stage} never came to the wanted state");
    }
}

impl Lab {
    pub(crate) fn open_store(&self) -> Store {
        Store::open(&self.store).unwrap()
    }

    /// The text of an object.
    pub(crate) fn output(&self, digest: Digest) -> String {
        std::fs::read_to_string(self.open_store().cas().path(&digest)).unwrap()
    }

    /// Waits until an attempt beats: before that, a signal would simply end its process.
    pub(crate) fn wait_for_heartbeat(&self, stage: &str, attempt: u32) {
        let beat = History::of(&self.project()).paths(self.latest()).attempt(stage, attempt).join("hb");
        let begun = Instant::now();
        while !beat.exists() {
            assert!(begun.elapsed() < Duration::from_mins(1), "stage {stage} never beat");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) fn stage<'a>(summary: &'a RunSummary, name: &str) -> &'a StageState {
    &summary.stages.iter().find(|stage| stage.state.name == name).unwrap().state
}

pub(crate) fn ran(summary: &RunSummary, name: &str) -> bool {
    stage(summary, name).status == StageStatus::Succeeded
}

pub(crate) fn cached(summary: &RunSummary, name: &str) -> bool {
    matches!(stage(summary, name).status, StageStatus::Cached { .. })
}

/// Output digests of one stage.
pub(crate) fn stage_digests(stage: &StageState) -> Vec<Digest> {
    stage.outputs.values().map(|artifact| artifact.digest).collect()
}

/// Output digests of every stage.
pub(crate) fn digests(summary: &RunSummary) -> BTreeMap<String, Vec<Digest>> {
    summary.stages.iter().map(|stage| (stage.state.name.clone(), stage_digests(&stage.state))).collect()
}

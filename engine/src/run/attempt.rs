//! One attempt of a stage: a process is started, watched, and stopped when asked; what it recorded decides.

use std::{
    fs::{self, File},
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use std::os::unix::process::ExitStatusExt;

use tokio::{
    process::{Child, Command},
    sync::watch,
};

use super::{
    admission::Grant,
    event::Event,
    executor::{Shared, Stop},
    inputs::LostInput,
    memory::MemoryWatch,
    retries::{Advance, Blame},
    runner::exit,
    segment::{Segment, SegmentReader},
    session,
    spec::AttemptSpec,
    stall::{self, Pulse},
    taint::Tainted,
};
use crate::{
    StageError, StageErrorKind,
    plan::Operations,
    store::{ActionResult, remove_all},
};

pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Folders below the checkpoints that are looked into.
const DEPTH: u32 = 4;

/// How an attempt ended.
pub(crate) enum AttemptEnd {
    /// Its result is recorded.
    Committed(Box<ActionResult>),
    /// It failed.
    Failed(StageError, Blame),
    /// It stopped at a safe point, or was killed, because the run is to end.
    Interrupted,
    /// Its result belongs to this run only: sources changed meanwhile.
    Tainted(Box<Tainted>),
    /// Inputs are missing or damaged.
    Lost(Vec<LostInput>),
    /// Somebody else took the work over.
    Fenced,
}

/// What the engine asked of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// To stop, as urgently as the run is to end.
    ToStop(Stop),
    /// To end, because it took too long or hangs; since when.
    ToEnd(Why, Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Timeout,
    Stall,
}

pub(crate) struct Attempt<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) spec: &'a AttemptSpec,
    pub(crate) number: u32,
    pub(crate) operations: &'a Operations,
    pub(crate) grant: &'a Grant,
    pub(crate) memory: MemoryWatch,
}

/// What is kept while a process is watched.
struct Watched {
    pid: u32,
    begun: Instant,
    asked: Asked,
    pulse: Pulse,
    reader: SegmentReader,
    failure: Option<StageError>,
    lost: Vec<LostInput>,
}

impl Attempt<'_> {
    /// Runs the attempt to its end. The reservation is given back in every case.
    pub(crate) async fn run(mut self, stop: watch::Receiver<Stop>) -> AttemptEnd {
        let before = self.checkpoint();
        let end = match self.spawn() {
            Ok(child) => self.watch(child, (stop, before)).await,
            Err(error) => AttemptEnd::Failed(error, Blame::Infra),
        };
        let spec = self.spec;
        // The runner does both itself, unless it was killed.
        if let Err(error) = self.shared.store.reservations().release(&spec.key, &spec.owner) {
            tracing::warn!(%error, "Could not give a reservation back.");
        }
        self.shared.store.forget(&spec.owner.token);
        if let Err(error) = remove_all(&self.shared.store.temporary(&spec.owner.token)) {
            tracing::warn!(%error, "Could not remove a temporary folder.");
        }
        end
    }

    fn spawn(&self) -> Result<Child, StageError> {
        let directory = &self.spec.owner.directory;
        let bytes = serde_json::to_vec_pretty(self.spec)
            .map_err(|error| StageError::internal("cannot describe the attempt").because(&error))?;
        let place = self.spec.place();
        fs::write(&place, bytes)?;
        let runner = &self.shared.runner;
        Command::new(&runner.program)
            .args(&runner.arguments)
            .arg("--spec")
            .arg(&place)
            .env_remove(GPUS)
            .envs(runner.environment.iter().map(|(name, value)| (name, value)))
            .envs(self.granted())
            .stdin(Stdio::null())
            .stdout(log(directory, "stdout")?)
            .stderr(log(directory, "stderr")?)
            .spawn()
            .map_err(|error| StageError::resource(format!("cannot start {}", runner.program.display())).because(&error))
    }

    /// What the process is told of its share of the machine.
    fn granted(&self) -> Vec<(&'static str, String)> {
        let mut told = Vec::new();
        if self.operations.resources.cards() > 0 {
            told.push((GPUS, self.grant.cards().join(",")));
            told.push(("CUDA_VISIBLE_DEVICES", self.grant.cards().join(",")));
        }
        if let Some(threads) = self.operations.threads {
            told.extend(["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "POLARS_MAX_THREADS"].map(|name| (name, threads.to_string())));
        }
        told
    }

    async fn watch(&mut self, mut child: Child, (mut stop, before): (watch::Receiver<Stop>, u128)) -> AttemptEnd {
        let directory = self.spec.owner.directory.clone();
        let pid = child.id().unwrap_or_default();
        let (stage, key) = (self.spec.owner.stage.clone(), self.spec.key);
        self.shared.send(Event::StageStarted { stage, key, attempt: self.number, pid });
        let mut watched = Watched {
            pid,
            begun: Instant::now(),
            asked: Asked::Nothing,
            pulse: Pulse::new(self.operations.stall, &directory),
            reader: SegmentReader::new(&directory),
            failure: None,
            lost: Vec::new(),
        };
        let mut tick = tokio::time::interval(TICK);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                _ = tick.tick() => {
                    self.relay(&mut watched);
                    self.memory.look(pid);
                }
                changed = stop.changed() => if changed.is_err() { stop = self.shared.stop.clone() },
            }
            let urgency = *stop.borrow();
            self.press(&mut watched, urgency);
        };
        let clean = status.as_ref().is_ok_and(|status| status.code() == Some(i32::from(exit::COMMITTED)));
        // A runner that committed left nobody behind.
        if !clean {
            session::sweep(pid);
        }
        self.relay(&mut watched);
        match status {
            Ok(status) => self.conclude(status, watched, before),
            Err(error) => AttemptEnd::Failed(StageError::resource("cannot wait for the process").because(&error), Blame::Infra),
        }
    }

    /// Stops the process as far as the run's state and the clock ask for it.
    fn press(&self, watched: &mut Watched, urgency: Stop) {
        let pid = watched.pid;
        if urgency == Stop::Now {
            session::kill(pid);
            watched.asked = Asked::ToStop(urgency);
            return;
        }
        match watched.asked {
            Asked::ToEnd(_, since) => {
                if since.elapsed() >= self.shared.grace {
                    session::kill(pid);
                }
                return;
            }
            Asked::ToStop(before) if before >= urgency => return,
            Asked::ToStop(_) | Asked::Nothing => {}
        }
        let late = self.operations.timeout.is_some_and(|timeout| watched.begun.elapsed() >= timeout);
        match urgency {
            Stop::Gently => session::ask_to_stop(pid),
            Stop::Firmly => session::terminate(pid),
            Stop::No | Stop::Now if late => return self.give_up(watched, Why::Timeout),
            Stop::No | Stop::Now if watched.pulse.is_gone(pid) => return self.give_up(watched, Why::Stall),
            Stop::No | Stop::Now => return,
        }
        watched.asked = Asked::ToStop(urgency);
    }

    fn give_up(&self, watched: &mut Watched, why: Why) {
        if why == Why::Stall {
            stall::dump(watched.pid, &self.spec.owner.directory);
        }
        session::ask_to_stop(watched.pid);
        watched.asked = Asked::ToEnd(why, Instant::now());
    }

    fn relay(&self, watched: &mut Watched) {
        for segment in watched.reader.poll() {
            match segment {
                Segment::Progress(progress) => self.shared.send_progress(&self.spec.owner.stage, None, progress),
                Segment::Failed { error } => watched.failure = Some(error),
                Segment::Lost { inputs } => watched.lost = inputs,
                Segment::Metric { .. } | Segment::Committed | Segment::Unknown => {}
            }
        }
    }

    fn conclude(&self, status: ExitStatus, watched: Watched, before: u128) -> AttemptEnd {
        match self.shared.store.actions().peek(&self.spec.key) {
            // What was recorded counts, however the process ended.
            Ok(Some(result)) => return AttemptEnd::Committed(Box::new(result)),
            Ok(None) => {
                if let Some(tainted) = Tainted::left_by(self.spec) {
                    return AttemptEnd::Tainted(Box::new(tainted));
                }
            }
            Err(error) => return AttemptEnd::Failed(error.into(), Blame::Infra),
        }
        match watched.asked {
            Asked::ToStop(_) => return AttemptEnd::Interrupted,
            Asked::ToEnd(Why::Timeout, _) => return AttemptEnd::Failed(self.timeout_error(), Blame::Final),
            Asked::ToEnd(Why::Stall, _) => return AttemptEnd::Failed(self.stall_error(), Blame::Infra),
            Asked::Nothing => {}
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        if code == Some(exit::FENCED) {
            return AttemptEnd::Fenced;
        }
        if code == Some(exit::LOST) {
            return AttemptEnd::Lost(watched.lost);
        }
        if code == Some(exit::STOPPED) || status.signal() == Some(15) {
            return self.preempted(before);
        }
        let log = self.spec.owner.directory.join("stderr");
        if let Some(found) = self.memory.verdict(status, watched.failure.as_ref(), &log) {
            return AttemptEnd::Failed(found.error, Blame::Memory(found.peak));
        }
        match watched.failure {
            Some(error) if error.kind == StageErrorKind::Resource => AttemptEnd::Failed(error, Blame::Infra),
            Some(error) => AttemptEnd::Failed(error, Blame::Stage),
            None => self.unexplained(status, &log),
        }
    }

    /// Somebody else asked it to stop; it can go on from its last safe point.
    fn preempted(&self, before: u128) -> AttemptEnd {
        let advance = if self.checkpoint() > before { Advance::Made } else { Advance::None };
        let error = StageError::new(StageErrorKind::Cancelled, "the machine asked the process to stop");
        AttemptEnd::Failed(error, Blame::Preempted(advance))
    }

    /// When the checkpoints of the action last changed, in nanoseconds; 0 without any.
    fn checkpoint(&self) -> u128 {
        newest(&self.shared.store.scratch(&self.spec.key), DEPTH)
    }

    fn unexplained(&self, status: ExitStatus, log: &Path) -> AttemptEnd {
        let help = format!("read {}, or `flow logs --stage {}`", log.display(), self.spec.owner.stage);
        if let Some(signal) = status.signal() {
            let message = format!("the process was killed by signal {signal}");
            return AttemptEnd::Failed(StageError::resource(message).help(help), Blame::Infra);
        }
        let code = status.code().unwrap_or_default();
        let last = last_line(log).map(|line| format!(": {line}")).unwrap_or_default();
        AttemptEnd::Failed(
            StageError::internal(format!("the process ended with code {code} and no result{last}")).help(help),
            Blame::Final,
        )
    }

    fn timeout_error(&self) -> StageError {
        let limit = self.operations.timeout.unwrap_or_default().as_secs_f64();
        StageError::resource(format!("stopped after its timeout of {limit} s"))
            .help("raise `timeout:` of the stage; `flow resume` goes on from its last checkpoint")
    }

    fn stall_error(&self) -> StageError {
        let silence = self.operations.stall.unwrap_or_default().as_secs_f64();
        StageError::resource(format!("stopped after {silence} s without output, progress, or work")).help(format!(
            "`flow logs --stage {}` shows where it hung; raise `stall:` if it may be quiet for longer",
            self.spec.owner.stage
        ))
    }
}

/// The variable that names the leased graphics cards to the stage's process.
pub(crate) const GPUS: &str = "FLOW_GPUS";

fn log(directory: &Path, name: &str) -> std::io::Result<Stdio> {
    File::options().create(true).append(true).open(directory.join(name)).map(Stdio::from)
}

fn last_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
}

fn newest(folder: &Path, depth: u32) -> u128 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let times = entries.flatten().filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        let own = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos();
        let below = if metadata.is_dir() && depth > 0 { newest(&entry.path(), depth - 1) } else { 0 };
        Some(own.max(below))
    });
    times.max().unwrap_or(0)
}

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
    event::Event,
    executor::{Shared, Stop},
    inputs::LostInput,
    runner::exit,
    segment::{Segment, SegmentReader},
    session,
    spec::AttemptSpec,
    taint::Tainted,
};
use crate::{
    StageError, StageErrorKind,
    store::{ActionResult, remove_all},
};

pub(crate) const TICK: Duration = Duration::from_millis(100);

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

/// Which of the retry limits counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The machine.
    Machine,
    /// The stage.
    Stage,
    /// Nobody tries again.
    Final,
}

/// What the engine asked of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    ToStop,
    TimedOut,
}

/// The last words of a runner.
#[derive(Default)]
struct Told {
    failure: Option<StageError>,
    lost: Vec<LostInput>,
}

pub(crate) struct Attempt<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) spec: &'a AttemptSpec,
    pub(crate) number: u32,
    pub(crate) timeout: Option<Duration>,
}

impl Attempt<'_> {
    /// Runs the attempt to its end. The reservation is given back in every case.
    pub(crate) async fn run(&self, stop: watch::Receiver<Stop>) -> AttemptEnd {
        let end = match self.spawn() {
            Ok(child) => self.watch(child, stop).await,
            Err(error) => AttemptEnd::Failed(error, Blame::Machine),
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
            .envs(runner.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log(directory, "stdout")?)
            .stderr(log(directory, "stderr")?)
            .spawn()
            .map_err(|error| StageError::resource(format!("cannot start {}", runner.program.display())).because(&error))
    }

    async fn watch(&self, mut child: Child, mut stop: watch::Receiver<Stop>) -> AttemptEnd {
        let pid = child.id().unwrap_or_default();
        self.shared.send(Event::StageStarted {
            stage: self.spec.owner.stage.clone(),
            key: self.spec.key,
            attempt: self.number,
            pid,
        });
        let begun = Instant::now();
        let mut asked = Asked::Nothing;
        let mut reader = SegmentReader::new(&self.spec.owner.directory);
        let mut told = Told::default();
        let mut tick = tokio::time::interval(TICK);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                _ = tick.tick() => self.relay(&mut reader, &mut told),
                changed = stop.changed() => if changed.is_err() { stop = self.shared.stop.clone() },
            }
            asked = self.press(pid, begun, (asked, *stop.borrow()));
        };
        session::sweep(pid);
        self.relay(&mut reader, &mut told);
        match status {
            Ok(status) => self.conclude(status, asked, told),
            Err(error) => AttemptEnd::Failed(StageError::resource("cannot wait for the process").because(&error), Blame::Machine),
        }
    }

    /// Stops the process as far as the run's state and the clock ask for it.
    fn press(&self, pid: u32, begun: Instant, (asked, stop): (Asked, Stop)) -> Asked {
        if stop == Stop::Now {
            session::kill(pid);
            return Asked::ToStop;
        }
        if let Some(timeout) = self.timeout
            && begun.elapsed() >= timeout
        {
            if begun.elapsed() >= timeout + self.shared.grace {
                session::kill(pid);
            } else if asked == Asked::Nothing {
                session::ask_to_stop(pid);
            }
            return Asked::TimedOut;
        }
        if stop == Stop::Gently && asked == Asked::Nothing {
            session::ask_to_stop(pid);
            return Asked::ToStop;
        }
        asked
    }

    fn relay(&self, reader: &mut SegmentReader, told: &mut Told) {
        for segment in reader.poll() {
            match segment {
                Segment::Progress(progress) => self.shared.send_progress(&self.spec.owner.stage, None, progress),
                Segment::Failed { error } => told.failure = Some(error),
                Segment::Lost { inputs } => told.lost = inputs,
                Segment::Metric { .. } | Segment::Committed | Segment::Unknown => {}
            }
        }
    }

    fn conclude(&self, status: ExitStatus, asked: Asked, told: Told) -> AttemptEnd {
        match self.shared.store.actions().peek(&self.spec.key) {
            // What was recorded counts, however the process ended.
            Ok(Some(result)) => return AttemptEnd::Committed(Box::new(result)),
            Ok(None) => {
                if let Some(tainted) = Tainted::left_by(self.spec) {
                    return AttemptEnd::Tainted(Box::new(tainted));
                }
            }
            Err(error) => return AttemptEnd::Failed(error.into(), Blame::Machine),
        }
        match asked {
            Asked::ToStop => return AttemptEnd::Interrupted,
            Asked::TimedOut => return AttemptEnd::Failed(self.timeout_error(), Blame::Final),
            Asked::Nothing => {}
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        match (code, told.failure) {
            (Some(exit::FENCED), _) => AttemptEnd::Fenced,
            (Some(exit::LOST), _) => AttemptEnd::Lost(told.lost),
            // Somebody else asked it to stop; it can go on from its last safe point.
            (Some(exit::STOPPED), _) => AttemptEnd::Failed(StageError::cancelled(), Blame::Machine),
            (_, Some(error)) if error.kind == StageErrorKind::Resource => AttemptEnd::Failed(error, Blame::Machine),
            (_, Some(error)) => AttemptEnd::Failed(error, Blame::Stage),
            (_, None) => self.unexplained(status),
        }
    }

    fn unexplained(&self, status: ExitStatus) -> AttemptEnd {
        let log = self.spec.owner.directory.join("stderr");
        let help = format!("read {}, or `flow logs --stage {}`", log.display(), self.spec.owner.stage);
        if let Some(signal) = status.signal() {
            let hint = if signal == 9 { ", as the kernel does when memory runs out" } else { "" };
            let message = format!("the process was killed by signal {signal}{hint}");
            return AttemptEnd::Failed(StageError::resource(message).help(help), Blame::Machine);
        }
        let code = status.code().unwrap_or_default();
        let last = last_line(&log).map(|line| format!(": {line}")).unwrap_or_default();
        AttemptEnd::Failed(
            StageError::internal(format!("the process ended with code {code} and no result{last}")).help(help),
            Blame::Final,
        )
    }

    fn timeout_error(&self) -> StageError {
        let limit = self.timeout.unwrap_or_default().as_secs_f64();
        StageError::resource(format!("stopped after its timeout of {limit} s"))
            .help("raise `timeout:` of the stage; `flow resume` goes on from its last checkpoint")
    }
}

fn log(directory: &Path, name: &str) -> std::io::Result<Stdio> {
    File::options().create(true).append(true).open(directory.join(name)).map(Stdio::from)
}

fn last_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
}

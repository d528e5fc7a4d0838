//! The process that runs one stage. It commits by itself: killing the engine loses no finished work.
//!
//! Order of a commit: the stage has returned and no process of its session writes any more; outputs are ingested and on
//! disk; the reservation is still ours and no source changed; then the result is recorded.

use std::{
    any::Any,
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    checkpoints::Checkpoints,
    inputs::{self, Halt, Inputs},
    memory::Cap,
    room,
    segment::{Segment, SegmentWriter},
    session,
    spec::AttemptSpec,
    taint::{self, Tainted},
};
use crate::{
    DynStage, StageContext, StageError, StageErrorKind, StageRegistry,
    context::{Invocation, Progress, Reporter},
    horizon::Keeper,
    plan::restore_stage,
    store::{ActionResult, Cas, Lease, Owner, Pin, Process, Staged, Store, failpoint, remove_all},
};

/// Exit codes of a runner.
pub(crate) mod exit {
    /// The result is recorded.
    pub(crate) const COMMITTED: u8 = 0;
    /// The stage failed.
    pub(crate) const FAILED: u8 = 10;
    /// The stage stopped at a safe point on request.
    pub(crate) const STOPPED: u8 = 75;
    /// Somebody else does the work now.
    pub(crate) const FENCED: u8 = 76;
    /// An input is missing or damaged; its producer has to run again.
    pub(crate) const LOST: u8 = 77;
    /// The description cannot be used.
    pub(crate) const BAD_SPEC: u8 = 78;
}

const HEARTBEAT: Duration = Duration::from_secs(10);
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Runs the stage that `spec` describes and returns the process's exit code.
pub fn exec_stage(spec: &Path, registry: &StageRegistry) -> u8 {
    session::lead();
    let read = fs::read(spec).ok().and_then(|bytes| serde_json::from_slice::<AttemptSpec>(&bytes).ok());
    let Some(spec) = read else {
        tracing::error!(spec = %spec.display(), "Cannot read the description of the attempt.");
        return exit::BAD_SPEC;
    };
    let Ok(segments) = SegmentWriter::open(&spec.owner.directory) else { return exit::BAD_SPEC };
    let sink = Arc::new(Sink::new(segments));
    match Runner::new(&spec, sink.clone()).and_then(|runner| runner.run(registry)) {
        Ok(code) => code,
        Err(Halt::Lost(inputs)) => {
            sink.write(&Segment::Lost { inputs });
            exit::LOST
        }
        Err(Halt::Failed(error)) if error.kind == StageErrorKind::Cancelled => exit::STOPPED,
        Err(Halt::Failed(error)) => {
            sink.write(&Segment::Failed { error });
            exit::FAILED
        }
    }
}

/// Reports of the running stage.
struct Sink {
    segments: Mutex<SegmentWriter>,
    metrics: Mutex<BTreeMap<String, f64>>,
    last_progress: Mutex<Option<Instant>>,
    cancelled: AtomicBool,
}

impl Sink {
    fn new(segments: SegmentWriter) -> Self {
        Self {
            segments: Mutex::new(segments),
            metrics: Mutex::default(),
            last_progress: Mutex::default(),
            cancelled: AtomicBool::new(false),
        }
    }

    fn write(&self, segment: &Segment) {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner).write(segment);
    }
}

impl Reporter for Sink {
    fn progress(&self, progress: &Progress) {
        let mut last = self.last_progress.lock().unwrap_or_else(PoisonError::into_inner);
        let complete = progress.total == Some(progress.done);
        if complete || last.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
            *last = Some(Instant::now());
            self.write(&Segment::Progress(progress.clone()));
        }
    }

    fn metric(&self, name: &str, value: f64) {
        if !value.is_finite() {
            tracing::warn!(name, value, "Dropped a reading that is not a number.");
            return;
        }
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
        self.write(&Segment::Metric { name: name.to_owned(), value });
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// The reports of a stage, and its checkpoints if it has any.
struct Reports<'a> {
    sink: &'a Sink,
    kept: Option<Checkpoints<'a>>,
}

impl Reporter for Reports<'_> {
    fn progress(&self, progress: &Progress) {
        self.sink.progress(progress);
    }

    fn metric(&self, name: &str, value: f64) {
        self.sink.metric(name, value);
    }

    fn cancelled(&self) -> bool {
        self.sink.cancelled()
    }

    fn keeper(&self) -> Option<&dyn Keeper> {
        self.kept.as_ref().map(|kept| kept as &dyn Keeper)
    }
}

struct Runner<'a> {
    spec: &'a AttemptSpec,
    store: Store,
    lease: Arc<Lease>,
    temporary: PathBuf,
    sink: Arc<Sink>,
    begun: Instant,
}

impl<'a> Runner<'a> {
    fn new(spec: &'a AttemptSpec, sink: Arc<Sink>) -> Result<Self, Halt> {
        let store = Store::open(&spec.site.store)?;
        let temporary = store.temporary(&spec.owner.token);
        let lease = store.lease(&spec.owner.token)?;
        let inputs = spec.inputs.values().flatten().map(|input| Pin::of(&input.artifact));
        lease.pin(inputs.chain([Pin::Result(spec.key)]))?;
        Ok(Self { spec, store, lease, temporary, sink, begun: Instant::now() })
    }

    fn cas(&self) -> Cas {
        self.store.cas().under(self.lease.clone())
    }

    fn run(&self, registry: &StageRegistry) -> Result<u8, Halt> {
        let spec = self.spec;
        let mut owner = spec.owner.clone();
        owner.process = Process::current();
        self.lease.name().clone_into(&mut owner.lease);
        if !self.store.reservations().take_over(&spec.key, &owner)? || !self.take_over_slots(&owner)? {
            return Ok(exit::FENCED);
        }
        failpoint::reach("commit-1-reserved")?;
        watch_signals(self.sink.clone())?;
        beat(&spec.owner.directory);
        let done = self.work(registry);
        // Whatever came of it, nobody may wait for this attempt, and its folder holds nothing worth keeping.
        self.store.reservations().release(&spec.key, &spec.owner)?;
        self.release_slots()?;
        if let Err(error) = remove_all(&self.temporary) {
            tracing::warn!(%error, "Could not remove the temporary folder.");
        }
        done
    }

    /// The engine leased them; from now on they live and die with this process.
    fn take_over_slots(&self, owner: &Owner) -> Result<bool, Halt> {
        for (slot, epoch) in &self.spec.slots {
            if !self.store.slots().take_over(slot, &Owner { epoch: *epoch, ..owner.clone() })? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn release_slots(&self) -> Result<(), Halt> {
        for (slot, epoch) in &self.spec.slots {
            self.store.slots().release(slot, &Owner { epoch: *epoch, ..self.spec.owner.clone() })?;
        }
        Ok(())
    }

    fn work(&self, registry: &StageRegistry) -> Result<u8, Halt> {
        let spec = self.spec;
        spec.cap.iter().try_for_each(Cap::enter)?;
        let stage = restore_stage(registry, &spec.kind, &spec.config)
            .map_err(|error| StageError::internal(format!("cannot configure {} again", spec.kind)).because(&error))?;
        let inputs = inputs::lay_out(&self.cas(), spec, &self.temporary.join("in"))?;
        let invocation = self.invocation(&inputs)?;
        let reports = Reports { sink: &self.sink, kept: Checkpoints::of(spec, &self.store, self.sink.as_ref()) };
        failpoint::reach("commit-2-laid-out")?;
        let ran = run_caught(stage.as_ref(), &mut StageContext::new(&invocation, &reports));
        failpoint::reach("commit-2-ran")?;
        // Only when nobody is left to write can the inputs be judged and the outputs be hashed.
        session::reap();
        inputs.look_after(&self.cas(), ran)?;
        failpoint::reach("commit-3-reaped")?;
        let code = self.commit(&invocation)?;
        if let Some(kept) = reports.kept.filter(|_| code == exit::COMMITTED) {
            kept.finish();
        }
        Ok(code)
    }

    fn invocation(&self, inputs: &Inputs) -> Result<Invocation, Halt> {
        let spec = self.spec;
        let outputs = self.temporary.join("out");
        fs::create_dir_all(&outputs)?;
        let scratch = self.store.scratch(&spec.key);
        fs::create_dir_all(&scratch)?;
        Ok(Invocation {
            inputs: inputs.bound.clone(),
            outputs: spec.outputs.keys().map(|port| (port.clone(), outputs.join(port))).collect(),
            sources: spec.sources.clone(),
            seed: spec.seed,
            limit: spec.limit,
            scratch,
            site: spec.site.clone(),
            decision: spec.decision.clone(),
            ancestors: spec.ancestors.clone(),
            workflow: spec.workflow.clone(),
        })
    }

    fn commit(&self, invocation: &Invocation) -> Result<u8, Halt> {
        let spec = self.spec;
        let mut staged = Vec::with_capacity(spec.outputs.len());
        for (port, kind) in &spec.outputs {
            let path = invocation.outputs.get(port).cloned().unwrap_or_default();
            if path.symlink_metadata().is_err() {
                return Err(StageError::internal(format!("stage kind {} did not write its output {port:?}", spec.kind)).into());
            }
            staged.push(Staged { path, kind: *kind });
        }
        let artifacts = room::ingest(&self.store, &self.cas(), &staged)?;
        let changed = taint::changed(&spec.guarded)?;
        if !self.store.reservations().is_held_by(&spec.key, &spec.owner)? {
            return Ok(exit::FENCED);
        }
        failpoint::reach("commit-7-guarded")?;
        let mut result = ActionResult::new(spec.key, &spec.kind);
        result.outputs = spec.outputs.keys().cloned().zip(artifacts).collect();
        result.metrics = self.sink.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone();
        result.seconds = self.begun.elapsed().as_secs_f64();
        result.run.clone_from(&spec.owner.run);
        if changed.is_empty() {
            if let Err(error) = self.store.keep_log(&spec.key, (&spec.owner.run, &spec.owner.directory)) {
                tracing::warn!(%error, "Could not keep what the stage printed.");
            }
            self.store.actions().put(&result)?;
        } else {
            Tainted { result, changed }.leave(spec)?;
        }
        failpoint::reach("commit-7-recorded")?;
        self.sink.write(&Segment::Committed);
        if let Err(error) = remove_all(&invocation.scratch) {
            tracing::warn!(%error, "Could not remove the checkpoints of a finished stage.");
        }
        Ok(exit::COMMITTED)
    }
}

/// Runs a stage; a panic becomes an error.
fn run_caught(stage: &dyn DynStage, cx: &mut StageContext<'_>) -> Result<(), StageError> {
    let place = Arc::new(Mutex::new(String::new()));
    let noted = place.clone();
    std::panic::set_hook(Box::new(move |info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "The stage panicked.");
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = location;
    }));
    let outcome = catch_unwind(AssertUnwindSafe(|| stage.run(cx)));
    drop(std::panic::take_hook());
    outcome.unwrap_or_else(|panic| {
        let place = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let message = format!("stage kind {} panicked at {place}: {}", stage.kind(), panic_text(panic.as_ref()));
        Err(StageError::internal(message).help("this is a fault of the stage; please report it with the attempt's log"))
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}

/// Turns SIGUSR1 and SIGTERM into the wish to stop at the next safe point, from the moment it returns. A SIGTERM that finds
/// the wish unfulfilled ends the process as it stands: its checkpoints are whole at any time.
fn watch_signals(sink: Arc<Sink>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let (mut terminate, mut usr1) = (signal(SignalKind::terminate())?, signal(SignalKind::user_defined1())?);
    drop(entered);
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {
                        if sink.cancelled.load(Ordering::Relaxed) {
                            session::reap();
                            std::process::exit(i32::from(exit::STOPPED));
                        }
                    }
                    _ = usr1.recv() => {}
                }
                sink.cancelled.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(())
}

/// Renews the attempt's heartbeat file for as long as the process lives.
fn beat(attempt: &Path) {
    let file = attempt.join("hb");
    std::thread::spawn(move || {
        loop {
            if let Err(error) = fs::write(&file, std::process::id().to_string()) {
                tracing::warn!(%error, "Could not write the heartbeat.");
            }
            std::thread::sleep(HEARTBEAT);
        }
    });
}

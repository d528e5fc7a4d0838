//! Whether the work on a stage was done before: its sources are hashed, its key is computed, and the store is asked.
//!
//! A few threads look stages up, in the order in which they became ready: one for every core, which is best where all is known
//! already, and more while those wait for a disk or the network. A stage that was done before ends here, without a task or a
//! process; the others go on to the executor.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use super::{
    admission::Looking,
    approval::{self, Parked},
    event::{Event, Hit},
    executor::{Done, Executor, Message, Shared, StageEnd},
    prepare::{self, Prepared, Recorded, StageWork},
};
use crate::{
    ArtifactKind, Digest, Effect, SourceRef, StageError,
    context::Progress,
    plan::PlannedStage,
    store::{ActionResult, Materialise, Pin, SourceRequest, Supply, failpoint, remove_all},
};

/// Threads that look stages up, at most: hashing waits for disks, fetching for the network.
const MOST: usize = 16;
/// When no stage was taken up for so long, the threads wait for something, and one more is worth its while.
const PATIENCE: Duration = Duration::from_millis(5);

/// Stages to look up, and the threads that do.
#[derive(Default)]
pub(crate) struct Desk {
    state: Mutex<State>,
    bell: Condvar,
    /// Rung when nobody has to watch any more.
    closing: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(StageWork, Looking)>,
    threads: Vec<JoinHandle<()>>,
    idle: usize,
    /// Stages taken up so far.
    taken: u64,
    /// Whether a thread watches that stages are taken up.
    watched: bool,
    /// Threads that are worth their while when none of them waits.
    cores: usize,
    closed: bool,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a stage looked up.
    pub(crate) fn hand_in(shared: &Arc<Shared>, work: StageWork) {
        let looking = shared.admission.looking();
        let mut state = shared.desk.state();
        state.queue.push_back((work, looking));
        if state.idle >= state.queue.len() {
            drop(state);
            shared.desk.bell.notify_one();
        } else {
            state.reinforce(shared);
        }
    }

    /// Waits until the stages on the desk stay where they are. False when none is left.
    fn is_stuck(&self, shared: &Arc<Shared>) -> bool {
        let mut state = self.state();
        loop {
            let before = state.taken;
            state = self.closing.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
            let waiting = !state.closed && !state.queue.is_empty();
            if waiting && state.taken != before {
                continue;
            }
            state.watched = false;
            if waiting {
                state.reinforce(shared);
            }
            return waiting;
        }
    }

    /// Lets the threads go, and waits for them: they hold what the run holds.
    pub(crate) fn close(&self) {
        let threads = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.threads)
        };
        self.bell.notify_all();
        self.closing.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("A thread that looks stages up died.");
            }
        }
    }

    fn next(&self) -> Option<(StageWork, Looking)> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.taken += 1;
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

impl State {
    /// Sees to it that stages are taken up: by another thread, or by one that watches whether the others wait.
    fn reinforce(&mut self, shared: &Arc<Shared>) {
        self.threads.retain(|thread| !thread.is_finished());
        if self.cores == 0 {
            self.cores = std::thread::available_parallelism().map_or(1, usize::from);
        }
        let shared = shared.clone();
        if self.threads.len() < self.cores.min(MOST) {
            self.threads.push(std::thread::spawn(move || serve(&shared)));
        } else if !self.watched && self.threads.len() < MOST {
            self.watched = true;
            self.threads.push(std::thread::spawn(move || {
                if shared.desk.is_stuck(&shared) {
                    serve(&shared);
                }
            }));
        }
    }
}

fn serve(shared: &Arc<Shared>) {
    while let Some((work, looking)) = shared.desk.next() {
        let stage = shared.plan.graph[work.node].name.clone();
        if catch_unwind(AssertUnwindSafe(|| look(shared, work, looking))).is_err() {
            shared.post(Message::Lost(stage));
        }
    }
}

fn look(shared: &Arc<Shared>, work: StageWork, looking: Looking) {
    let prepared = match identify(shared, &work) {
        Ok(prepared) => Arc::new(prepared),
        Err(error) => return give_up(shared, work, (None, error)),
    };
    match recorded(shared, &work, &prepared.key) {
        Ok(None) => {
            // What runs may write to a source.
            shared.index.looks.end();
            Executor::start(shared, work, (prepared, looking));
        }
        Ok(Some(result)) => {
            let hit = first_hit(&work);
            match cached(shared, &work, (&prepared, result), hit) {
                Ok(end) => shared.post(Message::Ended(work, end)),
                Err(error) => give_up(shared, work, (Some(prepared.key), error)),
            }
        }
        Err(error) => give_up(shared, work, (Some(prepared.key), error)),
    }
}

fn give_up(shared: &Shared, work: StageWork, (key, error): (Option<Digest>, StageError)) {
    let stage = shared.plan.graph[work.node].name.clone();
    shared.send(Event::StageFailed { stage, key, attempt: work.attempts, error });
    shared.post(Message::Ended(work, StageEnd::Failed));
}

/// What a recorded result means that is there at the first look.
pub(crate) fn first_hit(work: &StageWork) -> Hit {
    if work.unseen {
        Hit::Recovered
    } else if work.ran.is_empty() {
        Hit::Cached
    } else {
        Hit::CutOff { ran: work.ran.clone() }
    }
}

/// The recorded result of a stage, if it is whole and still holds.
pub(crate) fn recorded(shared: &Shared, work: &StageWork, key: &Digest) -> Result<Option<ActionResult>, StageError> {
    let planned = &shared.plan.graph[work.node];
    // Before the look: from now on the collector keeps what is found.
    shared.lease.pin([Pin::Result(*key)])?;
    let found = prepare::recorded(&shared.store, &shared.project.site, planned, key)?;
    if let Recorded::Lost(flaw) = &found {
        shared.send(Event::lost(&planned.name, *key, flaw));
    }
    let Some(result) = found.result() else { return Ok(None) };
    if planned.stage.effect() != Effect::Decides {
        return Ok(Some(result));
    }
    // A decision counts each time it is used: people, content, and time may have changed.
    let asked = parked(planned, work, *key);
    let counts = approval::honours(&asked.asking(shared, &planned.name), &result, &shared.store.cas())?;
    Ok(counts.then_some(result))
}

/// What a person is asked about a stage that decides.
pub(crate) fn parked(planned: &PlannedStage, work: &StageWork, key: Digest) -> Parked {
    let reviewed = approval::reviewed(planned, &work.inputs);
    Parked { key, reviewed, terms: planned.stage.asks().unwrap_or_default() }
}

/// Ends a stage with a result that was recorded before.
pub(crate) fn cached(
    shared: &Shared,
    work: &StageWork,
    (prepared, result): (&Prepared, ActionResult),
    hit: Hit,
) -> Result<StageEnd, StageError> {
    let done = done(shared, work, (prepared, result), false)?;
    shared.send(Event::StageCached {
        stage: shared.plan.graph[work.node].name.clone(),
        key: prepared.key,
        hit,
        outputs: done.outputs.clone(),
        metrics: done.metrics.clone(),
        seconds: done.seconds,
    });
    Ok(StageEnd::Done(Box::new(done)))
}

/// Lays out what people open of a result.
pub(crate) fn done(
    shared: &Shared,
    work: &StageWork,
    (prepared, result): (&Prepared, ActionResult),
    ran: bool,
) -> Result<Done, StageError> {
    let reports = lay_out_reports(shared, &shared.plan.graph[work.node].name, &result)?;
    let ActionResult { outputs, metrics, seconds, .. } = result;
    let source_digests = prepared.source_digests.clone();
    Ok(Done { key: prepared.key, outputs, metrics, seconds, source_digests, reports, ran })
}

fn identify(shared: &Shared, work: &StageWork) -> Result<Prepared, StageError> {
    let planned = &shared.plan.graph[work.node];
    let progress = |uri: &str, done: u64, total: Option<u64>| {
        let progress = Progress { done, total, unit: "bytes".to_owned(), note: None };
        shared.send_progress(&planned.name, Some(uri), progress);
    };
    let request =
        SourceRequest { project: &shared.project, registry: &shared.registry, index: &shared.index, progress: &progress };
    let mut sources = Vec::new();
    for source in planned.stage.sources() {
        let resolved = shared.store.sources().resolve(&source, &request)?;
        if let (SourceRef::Pinned(uri), Some(supply @ (Supply::Fetched | Supply::Found))) = (&source, resolved.supply) {
            shared.send(Event::SourceReady {
                stage: planned.name.clone(),
                uri: uri.clone(),
                digest: resolved.digest,
                bytes: resolved.files.iter().map(|file| file.bytes).sum(),
                supply,
            });
        }
        sources.push(resolved);
    }
    let inputs = prepare::action_inputs(planned, &work.inputs);
    prepare::identify(&shared.plan, planned, inputs, sources)
}

/// Copies of the stage's reports in the run's folder, where people open them.
fn lay_out_reports(shared: &Shared, stage: &str, result: &ActionResult) -> Result<BTreeMap<String, PathBuf>, StageError> {
    failpoint::reach("commit-8-shown")?;
    let mut reports = BTreeMap::new();
    for (port, artifact) in result.outputs.iter().filter(|(_, artifact)| artifact.kind == ArtifactKind::Report) {
        let place = shared.paths.report(stage, port);
        remove_all(&place)?;
        shared.store.cas().materialise(artifact, &place, Materialise::Copied)?;
        reports.insert(port.clone(), place);
    }
    Ok(reports)
}

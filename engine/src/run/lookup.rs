//! Whether the work on a stage was done before: its sources are hashed, its key is computed, and the store is asked.
//!
//! A few threads look stages up, in the order in which they became ready: one for every core, which is best where all is known
//! already, and more while those wait for a disk or the network. A thread takes up a bunch of stages, so that one write keeps
//! what they may find and one message tells of all that were done before. Those end here, without a task or a process; the
//! others go on to the executor.

mod desk;

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
};

pub(crate) use desk::Desk;
use desk::Job;
use petgraph::graph::NodeIndex;

use super::{
    approval::{self, Parked},
    event::{Event, Hit},
    executor::{Done, Executor, Message, Shared, StageEnd},
    prepare::{self, Prepared, Recorded, StageWork},
};
use crate::{
    ArtifactKind, Digest, Effect, Named, SourceRef, StageError,
    context::Progress,
    plan::PlannedStage,
    store::{ActionResult, Materialise, Pin, SourceRequest, Supply, failpoint, remove_all},
};

fn serve(shared: &Arc<Shared>) {
    while let Some(jobs) = shared.desk.next() {
        Bunch { shared, jobs: RefCell::new(jobs), known: RefCell::default() }.look_up();
    }
}

/// Stages that one thread looks up together.
struct Bunch<'a> {
    shared: &'a Arc<Shared>,
    /// Those that are not begun.
    jobs: RefCell<VecDeque<Job>>,
    /// Those whose keys are known.
    known: RefCell<Vec<(Job, Prepared)>>,
}

impl Bunch<'_> {
    fn look_up(&self) {
        while let Some(job) = self.next() {
            let node = job.0.node;
            let identified = catch_unwind(AssertUnwindSafe(|| identify(self.shared, &job.0, &|| self.disband())));
            match identified {
                Ok(Ok(prepared)) => self.known.borrow_mut().push((job, prepared)),
                Ok(Err(error)) => self.shared.post(give_up(self.shared, job.0, (None, error))),
                Err(_) => self.shared.post(lost(self.shared, node)),
            }
            self.shared.desk.looked();
        }
        self.settle();
    }

    fn next(&self) -> Option<Job> {
        self.jobs.borrow_mut().pop_front()
    }

    /// Files have to be read or fetched for a stage: no other one waits for what that takes.
    fn disband(&self) {
        Desk::give_back(self.shared, self.jobs.take());
        self.settle();
    }

    /// Asks the store for those that are known so far.
    fn settle(&self) {
        let known = self.known.take();
        // Before the look: from now on the collector keeps what is found.
        let pinned = self.shared.lease.pin(known.iter().map(|(_, prepared)| Pin::Result(prepared.key)));
        let pinned = pinned.map_err(StageError::from);
        let mut told = Vec::with_capacity(known.len());
        for (job, prepared) in known {
            let (node, key) = (job.0.node, prepared.key);
            if let Err(error) = &pinned {
                told.push(give_up(self.shared, job.0, (Some(key), error.clone())));
                continue;
            }
            let looked = catch_unwind(AssertUnwindSafe(|| look(self.shared, job, prepared)));
            told.extend(looked.unwrap_or_else(|_| Some(lost(self.shared, node))));
        }
        if !told.is_empty() {
            self.shared.post(Message::Many(told));
        }
    }
}

/// Asks the store for a stage. Gives what is to be told of it, unless the executor takes it on.
fn look(shared: &Arc<Shared>, (work, looking): Job, prepared: Prepared) -> Option<Message> {
    let key = prepared.key;
    match recorded(shared, &work, &key) {
        Ok(None) => {
            // What runs may write to a source.
            shared.index.looks.end();
            Executor::start(shared, work, (Arc::new(prepared), looking));
            None
        }
        Ok(Some(result)) => {
            let hit = first_hit(&work);
            Some(match cached(shared, &work, (&prepared, result), hit) {
                Ok((event, end)) => Message::Many(vec![Message::Event(event), Message::Ended(work, end)]),
                Err(error) => give_up(shared, work, (Some(key), error)),
            })
        }
        Err(error) => Some(give_up(shared, work, (Some(key), error))),
    }
}

fn lost(shared: &Shared, node: NodeIndex) -> Message {
    Message::Lost(shared.plan.graph[node].name.clone())
}

fn give_up(shared: &Shared, work: StageWork, (key, error): (Option<Digest>, StageError)) -> Message {
    let stage = shared.plan.graph[work.node].name.clone();
    let failed = Event::StageFailed { stage, key, attempt: work.attempts, error };
    Message::Many(vec![Message::Event(failed), Message::Ended(work, StageEnd::Failed)])
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

/// The recorded result of a stage, if it is whole and still holds. Its key is pinned before.
pub(crate) fn recorded(shared: &Shared, work: &StageWork, key: &Digest) -> Result<Option<ActionResult>, StageError> {
    let planned = &shared.plan.graph[work.node];
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

/// How a stage ends with a result that was recorded before, and what is told of it.
pub(crate) fn cached(
    shared: &Shared,
    work: &StageWork,
    (prepared, result): (&Prepared, ActionResult),
    hit: Hit,
) -> Result<(Event, StageEnd), StageError> {
    let done = done(shared, work, (prepared, result), false)?;
    let event = Event::StageCached {
        stage: shared.plan.graph[work.node].name.clone(),
        key: prepared.key,
        hit,
        outputs: done.outputs.clone(),
        metrics: done.metrics.clone(),
        seconds: done.seconds,
    };
    Ok((event, StageEnd::Done(Box::new(done))))
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
    let source_digests = if shared.lineage.read { prepared.source_digests.clone() } else { Named::default() };
    Ok(Done { key: prepared.key, outputs, metrics, seconds, source_digests, reports, ran })
}

fn identify(shared: &Shared, work: &StageWork, waits: &dyn Fn()) -> Result<Prepared, StageError> {
    let planned = &shared.plan.graph[work.node];
    let progress = |uri: &str, done: u64, total: Option<u64>| {
        let progress = Progress { done, total, unit: "bytes".to_owned(), note: None };
        shared.send_progress(&planned.name, Some(uri), progress);
    };
    let request =
        SourceRequest { project: &shared.project, registry: &shared.registry, index: &shared.index, progress: &progress, waits };
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

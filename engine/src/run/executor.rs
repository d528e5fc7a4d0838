//! The life of one stage in a run: identified, looked up, admitted, reserved, attempted, repeated.
//!
//! The executor never talks to the world: everything goes to the dispatcher as a message.

mod waiting;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{
    RunId, RunPaths, RunnerProgram,
    approval::{self, Parked},
    attempt::{Attempt, AttemptEnd},
    event::{Event, Hit, StageProgress},
    inputs::LostInput,
    lineage::Lineage,
    prepare::{self, Prepared, Recorded, StageWork},
    retries::Retries,
    session,
    spec::{AttemptSpec, Guarded},
};
use crate::{
    ArtifactKind, Digest, Effect, SourceRef, StageError, StageRegistry,
    context::{Decision, Progress},
    govern::Starter,
    history::keep_code,
    plan::{Plan, PlannedStage, mixed_seed},
    project::Project,
    store::{
        ActionResult, Claim, Company, Lease, Materialise, Owner, Pin, Process, SourceRequest, StatIndex, Store, Supply,
        failpoint, remove_all,
    },
};

/// How urgently the run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// It goes on.
    No,
    /// Running stages stop at their next safe point.
    Gently,
    /// Running stages are killed.
    Now,
}

/// What the tasks of a run share.
pub(crate) struct Shared {
    pub(crate) run: RunId,
    /// Who started the run.
    pub(crate) starter: Option<Starter>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) project: Arc<Project>,
    pub(crate) registry: Arc<StageRegistry>,
    pub(crate) store: Store,
    pub(crate) index: StatIndex,
    pub(crate) lineage: Lineage,
    pub(crate) lease: Arc<Lease>,
    pub(crate) company: Company,
    pub(crate) paths: RunPaths,
    pub(crate) runner: RunnerProgram,
    pub(crate) grace: Duration,
    pub(crate) cpus: u32,
    pub(crate) cores: Arc<Semaphore>,
    pub(crate) whole: Arc<Semaphore>,
    pub(crate) stop: watch::Receiver<Stop>,
    pub(crate) messages: mpsc::UnboundedSender<Message>,
}

/// What tasks tell the dispatcher.
pub(crate) enum Message {
    /// Something that must arrive.
    Event(Event),
    /// Something that may be dropped.
    Progress(StageProgress),
    /// A task is over.
    Ended(StageWork, StageEnd),
    /// A task died and will tell nothing more.
    Lost(String),
}

/// How the work on a stage ended.
pub(crate) enum StageEnd {
    /// Its result is recorded.
    Done(Box<Done>),
    /// It gave up; the event was sent.
    Failed,
    /// A person has to decide; the event was sent.
    Parked(Parked),
    /// Inputs are missing or damaged; their producers have to run again.
    Lost(Vec<LostInput>),
    /// The run is to end.
    Interrupted,
}

/// A stage with outputs.
pub(crate) struct Done {
    pub(crate) key: Digest,
    pub(crate) result: ActionResult,
    pub(crate) source_digests: BTreeMap<String, Digest>,
    pub(crate) reports: BTreeMap<String, PathBuf>,
    pub(crate) ran: bool,
}

impl Shared {
    pub(crate) fn send(&self, event: Event) {
        self.post(Message::Event(event));
    }

    pub(crate) fn send_progress(&self, stage: &str, source: Option<&str>, progress: Progress) {
        self.post(Message::Progress(StageProgress { stage: stage.to_owned(), source: source.map(str::to_owned), progress }));
    }

    fn post(&self, message: Message) {
        if self.messages.send(message).is_err() {
            tracing::debug!("The dispatcher is gone.");
        }
    }
}

/// One stage on its way.
pub(crate) struct Executor {
    shared: Arc<Shared>,
    work: StageWork,
}

/// What one look at the store and one try came to.
enum Step {
    End(StageEnd),
    Again,
}

impl Executor {
    /// Starts working on a stage. The dispatcher hears of its end, even if the task dies.
    pub(crate) fn start(shared: &Arc<Shared>, work: StageWork) {
        let (shared, stage) = (shared.clone(), shared.plan.graph[work.node].name.clone());
        let task = tokio::spawn(Self::run(shared.clone(), work));
        tokio::spawn(async move {
            if let Err(error) = task.await {
                tracing::error!(%error, stage, "A task died.");
                shared.post(Message::Lost(stage));
            }
        });
    }

    /// Works on a stage until it ends and tells the dispatcher.
    async fn run(shared: Arc<Shared>, work: StageWork) {
        let mut executor = Self { shared, work };
        let end = match executor.drive().await {
            Ok(end) => end,
            Err((key, error)) => executor.give_up(key, error),
        };
        executor.shared.post(Message::Ended(executor.work, end));
    }

    fn planned(&self) -> &PlannedStage {
        &self.shared.plan.graph[self.work.node]
    }

    fn name(&self) -> String {
        self.planned().name.clone()
    }

    fn give_up(&self, key: Option<Digest>, error: StageError) -> StageEnd {
        self.shared.send(Event::StageFailed { stage: self.name(), key, attempt: self.work.attempts, error });
        StageEnd::Failed
    }

    async fn drive(&mut self) -> Result<StageEnd, (Option<Digest>, StageError)> {
        let prepared = self.blocking(identify).await.map_err(|error| (None, error))?;
        let prepared = Arc::new(prepared);
        let with_key = |error| (Some(prepared.key), error);
        let mut retries = Retries::default();
        let mut hit = if self.work.ran.is_empty() { Hit::Cached } else { Hit::CutOff { ran: self.work.ran.clone() } };
        if self.work.unseen {
            hit = Hit::Recovered;
        }
        loop {
            if let Some(result) = self.look_up(&prepared).await.map_err(with_key)? {
                return self.cached(&prepared, result, hit).await.map_err(with_key);
            }
            if self.stopped() {
                return Ok(StageEnd::Interrupted);
            }
            let decision = match self.decision(&prepared).map_err(with_key)? {
                Ok(decision) => decision,
                Err(parked) => return Ok(StageEnd::Parked(parked)),
            };
            match self.try_once(&prepared, decision, (&mut retries, &mut hit)).await.map_err(with_key)? {
                Step::End(end) => return Ok(end),
                Step::Again => {}
            }
        }
    }

    /// Runs `work` on a thread that may wait for files.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &StageWork) -> Result<R, StageError> + Send + 'static,
    ) -> Result<R, StageError> {
        let (shared, stage) = (self.shared.clone(), self.work.clone());
        let task = tokio::task::spawn_blocking(move || work(&shared, &stage));
        task.await.unwrap_or_else(|error| Err(StageError::internal("a task of the engine died").because(&error)))
    }

    async fn look_up(&self, prepared: &Arc<Prepared>) -> Result<Option<ActionResult>, StageError> {
        let key = prepared.key;
        let asked = (self.planned().stage.effect() == Effect::Decides).then(|| self.parked(key));
        self.blocking(move |shared, work| {
            let planned = &shared.plan.graph[work.node];
            // Before the look: from now on the collector keeps what is found.
            shared.lease.pin([Pin::Result(key)])?;
            let found = prepare::recorded(&shared.store, &shared.project.site, planned, &key)?;
            if let Recorded::Lost(flaw) = &found {
                shared.send(Event::lost(&planned.name, key, flaw));
            }
            let result = found.result();
            match (&result, &asked) {
                // A decision counts each time it is used: people, content, and time may have changed.
                (Some(found), Some(asked))
                    if !approval::honours(&asked.asking(shared, &planned.name), found, &shared.store.cas())? =>
                {
                    Ok(None)
                }
                _ => Ok(result),
            }
        })
        .await
    }

    async fn cached(&self, prepared: &Arc<Prepared>, result: ActionResult, hit: Hit) -> Result<StageEnd, StageError> {
        let done = self.done(prepared, result, false).await?;
        self.shared.send(Event::StageCached {
            stage: self.name(),
            key: prepared.key,
            hit,
            outputs: done.result.outputs.clone(),
            metrics: done.result.metrics.clone(),
            seconds: done.result.seconds,
        });
        Ok(StageEnd::Done(Box::new(done)))
    }

    async fn done(&self, prepared: &Arc<Prepared>, result: ActionResult, ran: bool) -> Result<Done, StageError> {
        let source_digests = prepared.source_digests.clone();
        let key = prepared.key;
        self.blocking(move |shared, work| {
            let reports = lay_out_reports(shared, &shared.plan.graph[work.node].name, &result)?;
            Ok(Done { key, result, source_digests, reports, ran })
        })
        .await
    }

    fn stopped(&self) -> bool {
        *self.shared.stop.borrow() != Stop::No
    }

    /// The decision a stage needs, if it needs one; otherwise what has to be reviewed.
    fn decision(&self, prepared: &Prepared) -> Result<Result<Option<Decision>, Parked>, StageError> {
        if self.planned().stage.effect() != Effect::Decides {
            return Ok(Ok(None));
        }
        let (key, stage) = (prepared.key, self.name());
        let parked = self.parked(key);
        let asking = Some(Box::new(parked.terms.clone()));
        self.shared.send(Event::StageParked { stage: stage.clone(), key, reviewed: parked.reviewed.clone(), asking });
        let tally = parked.asking(&self.shared, &stage).tally(Vec::new())?;
        let Some(decision) = tally.decision() else { return Ok(Err(parked)) };
        // What was recorded under an answer that does not stand makes room for what this one gives.
        self.shared.store.actions().set_aside(&key)?;
        self.shared.send(Event::StageDecided { stage, key, decision: Decision { signed: Vec::new(), ..decision.clone() } });
        Ok(Ok(Some(decision)))
    }

    fn parked(&self, key: Digest) -> Parked {
        Parked {
            key,
            reviewed: approval::reviewed(self.planned(), &self.work.inputs),
            terms: self.planned().stage.asks().unwrap_or_default(),
        }
    }

    /// Reserves the key and runs one attempt, or waits for whoever has it.
    async fn try_once(
        &mut self,
        prepared: &Arc<Prepared>,
        decision: Option<Decision>,
        (retries, hit): (&mut Retries, &mut Hit),
    ) -> Result<Step, StageError> {
        let Some(permit) = self.admit().await else { return Ok(Step::End(StageEnd::Interrupted)) };
        let number = self.work.attempts + 1;
        let reservations = self.shared.store.reservations();
        let owner = match reservations.claim(&prepared.key, self.owner(number), self.shared.company)? {
            Claim::Won { owner, dead } => {
                if let Some(dead) = &dead {
                    self.clear_up(dead);
                }
                owner
            }
            Claim::Held(holder) => {
                // Another process has the machine's resources already.
                drop(permit);
                *hit = if holder.run == self.shared.run.to_string() { Hit::Recovered } else { Hit::Shared };
                return self.wait_for(&prepared.key, holder).await;
            }
        };
        let guarded = match self.confirm(prepared) {
            Ok(Some(guarded)) => guarded,
            unneeded => {
                // Nobody may wait for work that is not done.
                reservations.release(&prepared.key, &owner)?;
                return unneeded.map(|_| Step::Again);
            }
        };
        let (number, owner) = self.number(owner)?;
        self.work.attempts = number;
        let spec = AttemptSpec { guarded, ..self.spec(prepared, owner, decision) };
        let attempt = Attempt { shared: &self.shared, spec: &spec, number, timeout: self.planned().timeout };
        let end = attempt.run(self.shared.stop.clone()).await;
        drop(permit);
        self.settle(prepared, end, retries).await
    }

    /// Whether a claimed key is still to be worked on: whoever had it may have finished between the look-up and the claim.
    /// If it is, the files that must stay as they are; a stage whose result is there already need not look at them.
    fn confirm(&self, prepared: &Prepared) -> Result<Option<Vec<Guarded>>, StageError> {
        let actions = self.shared.store.actions();
        if actions.peek(&prepared.key)?.is_some() {
            return Ok(None);
        }
        actions.put_preimage(&prepared.key, (&prepared.preimage.0, &prepared.preimage.1))?;
        keep_code(&self.shared.project.state, self.planned(), &prepared.sources);
        prepare::guard((&self.shared.store, &self.shared.index), &prepared.sources).map(Some)
    }

    /// Ends and removes what a killed attempt left behind; nobody else will.
    fn clear_up(&self, dead: &Owner) {
        if dead.process.is_near() {
            session::sweep(dead.process.pid);
        }
        if let Err(error) = remove_all(&self.shared.store.temporary(&dead.token)) {
            tracing::warn!(%error, "Could not remove what a killed attempt left.");
        }
        self.shared.store.forget(&dead.token);
    }

    /// Gives the attempt a folder that no other attempt ever had: after a power loss the journal may have forgotten some.
    fn number(&self, owner: Owner) -> Result<(u32, Owner), StageError> {
        let number = self.shared.paths.begin_attempt(&owner.stage, self.work.attempts)?;
        let directory = self.shared.paths.attempt(&owner.stage, number);
        Ok((number, Owner { directory, ..owner }))
    }

    async fn settle(&mut self, prepared: &Arc<Prepared>, end: AttemptEnd, retries: &mut Retries) -> Result<Step, StageError> {
        match end {
            AttemptEnd::Committed(result) => self.succeed(prepared, *result).await,
            AttemptEnd::Tainted(tainted) => {
                self.shared.lease.pin(tainted.result.outputs.values().map(Pin::of))?;
                self.shared.send(Event::StageTainted { stage: self.name(), changed: tainted.changed });
                self.succeed(prepared, tainted.result).await
            }
            AttemptEnd::Lost(inputs) => Ok(Step::End(StageEnd::Lost(inputs))),
            AttemptEnd::Interrupted => {
                self.shared.send(Event::StageInterrupted { stage: self.name(), attempt: self.work.attempts });
                Ok(Step::End(StageEnd::Interrupted))
            }
            AttemptEnd::Fenced => Ok(Step::Again),
            AttemptEnd::Failed(error, blame) => match retries.next(self.planned(), blame) {
                Some(wait) if !self.stopped() => self.pause(error, wait).await,
                _ => Err(error),
            },
        }
    }

    async fn succeed(&self, prepared: &Arc<Prepared>, result: ActionResult) -> Result<Step, StageError> {
        let done = self.done(prepared, result, true).await?;
        self.shared.send(Event::StageSucceeded {
            stage: self.name(),
            key: prepared.key,
            attempt: self.work.attempts,
            outputs: done.result.outputs.clone(),
            metrics: done.result.metrics.clone(),
            seconds: done.result.seconds,
        });
        Ok(Step::End(StageEnd::Done(Box::new(done))))
    }

    async fn pause(&self, error: StageError, wait: Duration) -> Result<Step, StageError> {
        self.shared.send(Event::StageRetried {
            stage: self.name(),
            attempt: self.work.attempts,
            error,
            wait_seconds: wait.as_secs_f64(),
        });
        let mut stop = self.shared.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(Step::Again),
            _ = stop.wait_for(|stop| *stop != Stop::No) => Ok(Step::End(StageEnd::Interrupted)),
        }
    }

    /// Waits until the machine has room for the stage; none when the run is to end first.
    async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        let wanted = self.planned().stage.resources().cpus.max(1);
        // Two stages that use every core would only slow each other down; small ones fit beside a big one.
        let acquire = if wanted >= self.shared.cpus && self.shared.cpus > 1 {
            self.shared.whole.clone().acquire_many_owned(1)
        } else {
            self.shared.cores.clone().acquire_many_owned(wanted.min(self.shared.cpus))
        };
        let mut stop = self.shared.stop.clone();
        tokio::select! {
            permit = acquire => permit.ok(),
            _ = stop.wait_for(|stop| *stop != Stop::No) => None,
        }
    }

    fn owner(&self, number: u32) -> Owner {
        let stage = self.name();
        Owner {
            token: ulid::Ulid::new().to_string(),
            epoch: 0,
            lease: self.shared.lease.name().to_owned(),
            run: self.shared.run.to_string(),
            directory: self.shared.paths.attempt(&stage, number),
            stage,
            process: Process::current(),
        }
    }

    fn spec(&self, prepared: &Prepared, owner: Owner, decision: Option<Decision>) -> AttemptSpec {
        let planned = self.planned();
        let outputs: BTreeMap<String, ArtifactKind> =
            planned.stage.ports().outputs.into_iter().map(|port| (port.name, port.kind)).collect();
        AttemptSpec {
            kind: planned.stage.kind().to_owned(),
            config: planned.stage.config().clone(),
            key: prepared.key,
            owner,
            inputs: self.work.inputs.clone(),
            outputs,
            sources: prepared.sources.clone(),
            course: prepared.course.clone(),
            guarded: Vec::new(),
            seed: mixed_seed(planned.seed, planned.stage.kind()),
            limit: self.shared.plan.limit,
            site: self.shared.project.site.clone(),
            decision,
            ancestors: self.shared.lineage.of(&self.shared.plan, self.work.node),
            workflow: self.shared.plan.workflow.clone(),
        }
    }
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
    prepare::identify(&shared.plan, planned, &inputs, sources)
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

//! The life of a stage whose work was not done before: admitted, reserved, attempted, repeated.
//!
//! The executor never talks to the world: everything goes to the dispatcher as a message.

mod waiting;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{
    RunId, RunPaths, RunnerProgram,
    admission::{Admission, Grant, Looking, Turns},
    approval::Parked,
    attempt::{Attempt, AttemptEnd},
    event::{Event, Hit, StageProgress},
    inputs::LostInput,
    lineage::Lineage,
    lookup::{self, Desk},
    memory::MemoryWatch,
    prepare::{self, Prepared, StageWork},
    retries::{Blame, Retries},
    session,
    spec::{AttemptSpec, Guarded},
};
use crate::{
    Artifact, ArtifactKind, Digest, Effect, Named, StageError, StageRegistry,
    context::{Ancestor, Decision, Progress},
    govern::Starter,
    history::keep_code,
    plan::{Operations, Plan, PlannedStage, mixed_seed},
    project::Project,
    resources::{MemoryCap, Resources},
    store::{ActionResult, Claim, Company, Lease, Owner, Pin, Process, StatIndex, Store, remove_all},
    units::Size,
};

/// How urgently the run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// It goes on.
    No,
    /// Running stages stop at their next safe point.
    Gently,
    /// Running stages end as they stand.
    Firmly,
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
    pub(crate) longest_backoff: Duration,
    pub(crate) admission: Arc<Admission>,
    pub(crate) turns: Turns,
    pub(crate) desk: Desk,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) stop: watch::Receiver<Stop>,
    pub(crate) messages: mpsc::UnboundedSender<Message>,
}

/// What tasks tell the dispatcher.
pub(crate) enum Message {
    /// Things that happened one after the other.
    Many(Vec<Self>),
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
    pub(crate) outputs: Named<Artifact>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) seconds: f64,
    /// One digest for each source, where a lineage is read.
    pub(crate) source_digests: Named<Digest>,
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

    pub(crate) fn post(&self, message: Message) {
        if self.messages.send(message).is_err() {
            tracing::debug!("The dispatcher is gone.");
        }
    }
}

/// One stage on its way.
pub(crate) struct Executor {
    shared: Arc<Shared>,
    work: StageWork,
    prepared: Arc<Prepared>,
    /// Until it asks for room, less urgent stages wait a moment.
    looking: Option<Looking>,
    /// What it asks for; more memory than planned after it ran out of it.
    operations: Operations,
}

/// What one try came to.
enum Step {
    End(StageEnd),
    Again,
}

impl Executor {
    /// Starts working on a stage that was looked up. The dispatcher hears of its end, even if the task dies.
    pub(crate) fn start(shared: &Arc<Shared>, work: StageWork, (prepared, looking): (Arc<Prepared>, Looking)) {
        let planned = &shared.plan.graph[work.node];
        let (stage, operations) = (planned.name.clone(), planned.operations.as_ref().clone());
        let executor = Self { shared: shared.clone(), work, prepared, looking: Some(looking), operations };
        let task = shared.runtime.spawn(executor.run());
        let shared = shared.clone();
        shared.clone().runtime.spawn(async move {
            if let Err(error) = task.await {
                tracing::error!(%error, stage, "A task died.");
                shared.post(Message::Lost(stage));
            }
        });
    }

    /// Works on the stage until it ends and tells the dispatcher.
    async fn run(mut self) {
        let end = match self.drive().await {
            Ok(end) => end,
            Err(error) => self.give_up(error),
        };
        drop(self.looking.take());
        self.shared.post(Message::Ended(self.work, end));
    }

    fn planned(&self) -> &PlannedStage {
        &self.shared.plan.graph[self.work.node]
    }

    fn name(&self) -> String {
        self.planned().name.clone()
    }

    fn give_up(&self, error: StageError) -> StageEnd {
        let key = Some(self.prepared.key);
        self.shared.send(Event::StageFailed { stage: self.name(), key, attempt: self.work.attempts, error });
        StageEnd::Failed
    }

    async fn drive(&mut self) -> Result<StageEnd, StageError> {
        let mut retries = Retries::new(self.prepared.key, self.shared.longest_backoff);
        let mut hit = lookup::first_hit(&self.work);
        loop {
            if self.stopped() {
                return Ok(StageEnd::Interrupted);
            }
            let decision = match self.decision(&self.prepared)? {
                Ok(decision) => decision,
                Err(parked) => return Ok(StageEnd::Parked(parked)),
            };
            match self.try_once(decision, (&mut retries, &mut hit)).await? {
                Step::End(end) => return Ok(end),
                Step::Again => {}
            }
            if let Some(end) = self.look_again(hit.clone()).await? {
                return Ok(end);
            }
        }
    }

    /// Runs `work` on a thread that may wait for files.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &StageWork, &Prepared) -> Result<R, StageError> + Send + 'static,
    ) -> Result<R, StageError> {
        let (shared, stage, prepared) = (self.shared.clone(), self.work.clone(), self.prepared.clone());
        let task = tokio::task::spawn_blocking(move || work(&shared, &stage, &prepared));
        task.await.unwrap_or_else(|error| Err(StageError::internal("a task of the engine died").because(&error)))
    }

    /// Whether somebody recorded a result meanwhile.
    async fn look_again(&self, hit: Hit) -> Result<Option<StageEnd>, StageError> {
        let look = move |shared: &Shared, work: &StageWork, prepared: &Prepared| {
            shared.lease.pin([Pin::Result(prepared.key)])?;
            let found = lookup::recorded(shared, work, &prepared.key)?;
            found.map(|result| lookup::cached(shared, work, (prepared, result), hit)).transpose()
        };
        let Some((event, end)) = self.blocking(look).await? else { return Ok(None) };
        self.shared.send(event);
        Ok(Some(end))
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
        let parked = lookup::parked(self.planned(), &self.work, key);
        let tally = parked.asking(&self.shared, &stage).tally(Vec::new())?;
        let Some(decision) = tally.decision() else {
            // What is approved in advance waits for nobody.
            if !self.work.approved {
                let asking = Some(Box::new(parked.terms.clone()));
                self.shared.send(Event::StageParked { stage, key, reviewed: parked.reviewed.clone(), asking });
            }
            return Ok(Err(parked));
        };
        // What was recorded under an answer that does not stand makes room for what this one gives.
        self.shared.store.actions().set_aside(&key)?;
        let told = Decision { signed: Vec::new(), ..decision.clone() };
        self.shared.send(Event::StageDecided { stage, key, decision: told, reviewed: parked.reviewed });
        Ok(Ok(Some(decision)))
    }

    /// Reserves the key and runs one attempt, or waits for whoever has it.
    async fn try_once(
        &mut self,
        decision: Option<Decision>,
        (retries, hit): (&mut Retries, &mut Hit),
    ) -> Result<Step, StageError> {
        let prepared = self.prepared.clone();
        let number = self.work.attempts + 1;
        let owner = self.owner(number);
        let Some(grant) = self.admit(&owner).await? else { return Ok(Step::End(StageEnd::Interrupted)) };
        let reservations = self.shared.store.reservations();
        let owner = match self.claim(owner)? {
            Ok(owner) => owner,
            Err(holder) => {
                // Another process has the machine's resources already.
                drop(grant);
                *hit = if holder.run == self.shared.run.to_string() { Hit::Recovered } else { Hit::Shared };
                return self.wait_for(&prepared.key, holder).await;
            }
        };
        // Whoever had the key may have finished between the look-up and the claim.
        if !matches!(self.shared.store.actions().peek(&prepared.key), Ok(None)) {
            // Nobody may wait for work that is not done.
            reservations.release(&prepared.key, &owner)?;
            return Ok(Step::Again);
        }
        // A stage whose result is there already need not look at the files that must stay as they are.
        let guarded = prepare::guard((&self.shared.store, &self.shared.index), prepared.action.sources());
        let ready = guarded.and_then(|guarded| Ok((guarded, self.number(&owner)?)));
        let (guarded, (number, directory)) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                // The run may go on for long, and others must not wait for it.
                reservations.release(&prepared.key, &owner)?;
                return Err(error);
            }
        };
        let owner = Owner { directory, ..owner };
        self.work.attempts = number;
        let end = self.attempt((owner, guarded), decision, &grant).await;
        drop(grant);
        self.settle(end, retries).await
    }

    /// Reserves the key, and clears up after whoever died over it. Otherwise says who has it.
    fn claim(&self, owner: Owner) -> Result<Result<Owner, Owner>, StageError> {
        match self.shared.store.reservations().claim(&self.prepared.key, owner, self.shared.company)? {
            Claim::Won { owner, dead } => {
                if let Some(dead) = &dead {
                    self.clear_up(dead);
                }
                Ok(Ok(owner))
            }
            Claim::Held(holder) => Ok(Err(holder)),
        }
    }

    /// Runs one attempt. The key's pre-image is written meanwhile: no process waits for it.
    async fn attempt(&self, (owner, guarded): (Owner, Vec<Guarded>), decision: Option<Decision>, grant: &Grant) -> AttemptEnd {
        let kept = self.blocking(|shared, work, prepared| {
            keep_code(&shared.project.state, &shared.plan.graph[work.node], prepared.action.sources());
            let preimage = (prepared.preimage.as_slice(), &prepared.action.to_json());
            shared.store.actions().put_preimage(&prepared.key, preimage).map_err(StageError::from)
        });
        let memory = MemoryWatch::begin(&self.operations.resources, &owner.token);
        let mut spec = AttemptSpec { guarded, ..self.spec(owner, decision) };
        spec.slots = grant.slots();
        spec.cap = memory.cap();
        let (shared, operations, number) = (self.shared.as_ref(), &self.operations, self.work.attempts);
        let attempt = Attempt { shared, spec: &spec, number, operations, grant, memory };
        let (kept, end) = tokio::join!(kept, attempt.run(self.shared.stop.clone()));
        match (kept, end) {
            (Err(error), AttemptEnd::Committed(result)) => {
                tracing::warn!(%error, "Could not keep the pre-image of a key.");
                AttemptEnd::Committed(result)
            }
            (Err(error), AttemptEnd::Failed(_, Blame::Infra)) => AttemptEnd::Failed(error, Blame::Infra),
            (Ok(()) | Err(_), end) => end,
        }
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
    fn number(&self, owner: &Owner) -> Result<(u32, PathBuf), StageError> {
        let number = self.shared.paths.begin_attempt(&owner.stage, self.work.attempts)?;
        Ok((number, self.shared.paths.attempt(&owner.stage, number)))
    }

    async fn settle(&mut self, end: AttemptEnd, retries: &mut Retries) -> Result<Step, StageError> {
        match end {
            AttemptEnd::Committed(result) => self.succeed(*result).await,
            AttemptEnd::Tainted(tainted) => {
                self.shared.lease.pin(tainted.result.outputs.values().map(Pin::of))?;
                self.shared.send(Event::StageTainted { stage: self.name(), changed: tainted.changed });
                self.succeed(tainted.result).await
            }
            AttemptEnd::Lost(inputs) => Ok(Step::End(StageEnd::Lost(inputs))),
            AttemptEnd::Interrupted => {
                self.shared.send(Event::StageInterrupted { stage: self.name(), attempt: self.work.attempts });
                Ok(Step::End(StageEnd::Interrupted))
            }
            AttemptEnd::Fenced => Ok(Step::Again),
            AttemptEnd::Failed(error, blame) => {
                let more = self.more_memory(blame);
                match retries.next(&self.operations.retry, blame) {
                    Some(wait) if !self.stopped() && more => self.pause(error, wait).await,
                    _ => Err(error),
                }
            }
        }
    }

    async fn succeed(&self, result: ActionResult) -> Result<Step, StageError> {
        let laid_out =
            move |shared: &Shared, work: &StageWork, prepared: &Prepared| lookup::done(shared, work, (prepared, result), true);
        let done = self.blocking(laid_out).await?;
        self.shared.send(Event::StageSucceeded {
            stage: self.name(),
            key: self.prepared.key,
            attempt: self.work.attempts,
            outputs: done.outputs.clone(),
            metrics: done.metrics.clone(),
            seconds: done.seconds,
        });
        Ok(Step::End(StageEnd::Done(Box::new(done))))
    }

    /// Asks for half as much memory again if it ran out; false when the machine has no more than it had.
    fn more_memory(&mut self, blame: Blame) -> bool {
        let Blame::Memory(peak) = blame else { return true };
        let had = &mut self.operations.resources.mem;
        let base = if self.operations.resources.cap == MemoryCap::Enforced { *had } else { peak.max(*had) };
        let wanted = Size::bytes(base.get() / 2 * 3).min(self.shared.admission.machine().mem);
        let more = wanted > *had;
        *had = wanted;
        more
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
    async fn admit(&mut self, owner: &Owner) -> Result<Option<Grant>, StageError> {
        let turn = self.shared.turns.of(&self.shared.plan, self.work.node);
        let demand = self.operations.resources.clone();
        let asked = self.shared.admission.ask(turn, (demand.clone(), owner.clone()), self.looking.take());
        let mut stop = self.shared.stop.clone();
        tokio::select! {
            grant = asked => grant.map(Some),
            _ = stop.wait_for(|stop| *stop != Stop::No) => Ok(None),
            () = patience(self.operations.queue_timeout) => Err(self.waited_too_long(&demand)),
        }
    }

    fn waited_too_long(&self, demand: &Resources) -> StageError {
        let limit = self.operations.queue_timeout.unwrap_or_default().as_secs_f64();
        let lacks = self.shared.admission.lacks(demand);
        StageError::resource(format!("not started within {limit} s: it needs {demand} and waits for {lacks}"))
            .help("raise `queue_timeout:` of the stage, lower its `resources:`, or run it when the machine is free")
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

    /// The lineage of the stage, if it reads it: to describe ten thousand others costs more than most attempts.
    fn ancestors(&self) -> Vec<Ancestor> {
        let asked = self.planned().stage.reads_ancestors();
        if asked { self.shared.lineage.of(&self.shared.plan, self.work.node) } else { Vec::new() }
    }

    fn spec(&self, owner: Owner, decision: Option<Decision>) -> AttemptSpec {
        let (planned, prepared) = (self.planned(), &self.prepared);
        let outputs: BTreeMap<String, ArtifactKind> =
            planned.stage.ports().outputs.into_iter().map(|port| (port.name, port.kind)).collect();
        AttemptSpec {
            kind: planned.stage.kind().to_owned(),
            config: planned.stage.config().into_owned(),
            key: prepared.key,
            owner,
            inputs: self.work.inputs.clone(),
            outputs,
            sources: prepared.action.sources().clone(),
            course: prepared.course.clone(),
            guarded: Vec::new(),
            seed: mixed_seed(planned.seed, planned.stage.kind()),
            limit: self.shared.plan.limit,
            site: self.shared.project.site.clone(),
            decision,
            ancestors: self.ancestors(),
            workflow: self.shared.plan.workflow.clone(),
            slots: Vec::new(),
            cap: None,
        }
    }
}

/// Ends after a while, if there is an end.
async fn patience(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

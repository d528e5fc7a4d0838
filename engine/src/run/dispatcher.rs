//! The select loop: the only owner of the run's state. Tasks report to it by messages; observers watch it.

mod beginning;
mod ending;
mod rewind;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;
use petgraph::{Direction, graph::NodeIndex, visit::EdgeRef};
use tokio::{
    sync::{mpsc, watch},
    time::Instant as Deadline,
};

use rewind::Rewinds;

use super::{
    AskRequest, Interrupt, Interrupts, Observer, RunError, RunOptions, RunPaths, RunState, RunSummary,
    admission::{Admission, Turns},
    approval::{self, Parked, check_flags},
    auditing::Auditor,
    engine,
    event::{Entry, Event, SkipReason},
    executor::{Done, Message, Shared, StageEnd, Stop},
    judge,
    lineage::Lineage,
    lookup::Desk,
    opening::{check_approvals, open_journal, predecessors, ranks},
    options::Ask,
    policing::PolicyWatch,
    prepare::StageWork,
    spec::SpecInput,
};
use crate::{
    StageRegistry,
    context::Decision,
    expression::Reading,
    govern::{GovernError, KeyRing, Signatory},
    journal::Journal,
    machine::Machine,
    plan::{Edge, Plan, PlannedStage},
    project::Project,
    store::{StatIndex, Store, StoreError, failpoint},
};

/// Messages that are taken together at most, so that one write and one flush serve them all.
const BATCH: usize = 256;

/// What consumers of a stage may count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Not known yet.
    Open,
    /// It has outputs.
    Outputs,
    /// It was skipped.
    Skipped,
    /// It has no outputs, and nothing after it can run.
    Blocked,
}

pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    state: RunState,
    journal: Journal,
    observers: Vec<Box<dyn Observer>>,
    messages: mpsc::UnboundedReceiver<Message>,
    stop: watch::Sender<Stop>,
    interrupts: Interrupts,
    /// When stages that were asked to stop are killed.
    deadline: Option<Deadline>,
    /// Entries that are folded, but neither on disk nor shown yet.
    fresh: Vec<Entry>,
    ask: Option<Ask>,
    policy: PolicyWatch,
    approve: BTreeSet<String>,
    person: String,
    signatory: Signatory,
    rank: Vec<usize>,
    missing: Vec<usize>,
    standing: Vec<Standing>,
    ready: BTreeSet<(usize, NodeIndex)>,
    running: usize,
    finished: BTreeMap<NodeIndex, Arc<Done>>,
    readings: BTreeMap<String, Reading>,
    /// Whether any expression may read of other stages.
    reads: bool,
    parked: BTreeMap<NodeIndex, (StageWork, Parked)>,
    unseen: BTreeSet<String>,
    rewinds: Rewinds,
    reports: BTreeMap<String, BTreeMap<String, PathBuf>>,
    begun: Instant,
}

impl Dispatcher {
    /// Opens store and journal; nothing runs yet.
    pub(crate) fn open(
        plan: Arc<Plan>,
        (project, registry): (Arc<Project>, Arc<StageRegistry>),
        options: RunOptions,
        mut observers: Vec<Box<dyn Observer>>,
    ) -> Result<Self, RunError> {
        check_approvals(&plan, &options.approve)?;
        let store = Store::open_writable(&project.site.store)?;
        let lease = store.lease(&format!("run-{}", ulid::Ulid::new()))?;
        std::fs::create_dir_all(&project.state).map_err(StoreError::io("create", &project.state))?;
        store.register(&project.state, &project.site.registry)?;
        let signatory = options.signatory.unwrap_or_else(|| Signatory::new(KeyRing::new(project.state.join("keys"))));
        check_flags(&plan, &project, (&options.approve, &signatory), &options.start)?;
        observers.push(Box::new(Auditor::open(&project, &plan, (&options.person, store.cas()))?));
        let policy = PolicyWatch::open((&plan, &project), &options.person, &options.approve);
        let index = StatIndex::open(&project.state.join("state"))?;
        let (rank, missing) = (ranks(&plan), predecessors(&plan));
        let standing = vec![Standing::Open; plan.graph.node_count()];
        let opened = open_journal(&plan, &project, (&options.start, options.run))?;
        let (sender, messages) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(Stop::No);
        let machine = Machine::this(&project.settings.machine);
        let shared = Arc::new(Shared {
            run: opened.state.run,
            starter: opened.state.request.started_by.clone(),
            admission: Arc::new(Admission::new(machine, store.slots(), store.root().to_owned())),
            turns: Turns::new(&project.state),
            desk: Desk::default(),
            runtime: tokio::runtime::Handle::current(),
            paths: RunPaths::new(&project.state, opened.state.run),
            plan,
            project,
            registry,
            store,
            index,
            lineage: Lineage::default(),
            lease,
            company: options.company,
            runner: options.runner,
            grace: options.grace,
            longest_backoff: options.longest_backoff,
            stop: stopped,
            messages: sender,
        });
        let mut dispatcher = Self {
            state: opened.state,
            journal: opened.journal,
            observers,
            messages,
            stop,
            interrupts: options.interrupts,
            deadline: None,
            fresh: Vec::new(),
            ask: options.ask,
            policy,
            approve: options.approve.into_iter().collect(),
            person: options.person,
            signatory,
            rank,
            missing,
            standing,
            ready: BTreeSet::new(),
            running: 0,
            finished: BTreeMap::new(),
            readings: BTreeMap::new(),
            reads: shared.plan.graph.node_weights().any(PlannedStage::has_expressions),
            parked: BTreeMap::new(),
            unseen: opened.unseen,
            rewinds: Rewinds::default(),
            reports: BTreeMap::new(),
            begun: Instant::now(),
            shared,
        };
        engine::sign_in(&dispatcher.shared.paths);
        dispatcher.announce(opened.first)?;
        Ok(dispatcher)
    }

    /// Runs until nothing more can be done.
    pub(crate) async fn run(mut self) -> Result<RunSummary, RunError> {
        let roots: Vec<NodeIndex> =
            self.shared.plan.order.iter().copied().filter(|node| self.missing.get(node.index()) == Some(&0)).collect();
        for node in roots {
            self.queue(node);
        }
        loop {
            // What can start starts before the disk is waited for.
            self.launch_ready()?;
            self.settle()?;
            if self.running == 0 && (self.stopped() || !self.ask_parked().await?) {
                break;
            }
            if self.running > 0 {
                self.step().await?;
            }
        }
        self.finish().await
    }

    async fn step(&mut self) -> Result<(), RunError> {
        let mut messages = Vec::new();
        tokio::select! {
            // The dispatcher holds a sender itself, through `shared`: there is always another message to wait for.
            _ = self.messages.recv_many(&mut messages, BATCH) => {}
            request = self.interrupts.next() => self.press(request),
            () = ending::at(self.deadline) => self.press(Interrupt::Kill),
        }
        messages.into_iter().try_for_each(|message| self.take(message))
    }

    fn take(&mut self, message: Message) -> Result<(), RunError> {
        match message {
            Message::Event(event) => self.record(event)?,
            Message::Progress(progress) => self.observers.iter_mut().for_each(|observer| observer.progress(&progress)),
            Message::Ended(work, end) => {
                self.running -= 1;
                self.ended(work, end)?;
            }
            Message::Lost(stage) => return Err(RunError::Lost { stage }),
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }

    /// Folds an event. [`Self::settle`] journals and shows it.
    fn record(&mut self, event: Event) -> Result<(), RunError> {
        let entry = Entry { seq: self.state.next_seq, at: Timestamp::now(), event };
        self.state.apply(&entry).map_err(|source| RunError::History { run: self.state.run, source })?;
        self.publish(entry)
    }

    fn publish(&mut self, entry: Entry) -> Result<(), RunError> {
        self.journal.append(&entry)?;
        self.fresh.push(entry);
        Ok(())
    }

    /// Journals what was folded, and shows it then.
    fn settle(&mut self) -> Result<(), RunError> {
        self.journal.commit()?;
        for entry in std::mem::take(&mut self.fresh) {
            if matches!(entry.event, Event::StageSucceeded { .. }) {
                failpoint::reach("commit-8-journaled").map_err(StoreError::io("go on after", self.shared.paths.directory()))?;
            }
            for observer in &mut self.observers {
                observer.event(&entry, &self.state);
            }
        }
        Ok(())
    }

    fn queue(&mut self, node: NodeIndex) {
        let rank = self.rank.get(node.index()).copied().unwrap_or(usize::MAX);
        self.ready.insert((rank, node));
    }

    fn launch_ready(&mut self) -> Result<(), RunError> {
        while !self.stopped()
            && let Some((_, node)) = self.ready.pop_first()
        {
            if let Some(reason) = self.reason_to_skip(node) {
                let standing = if matches!(reason, SkipReason::Blocked { .. }) { Standing::Blocked } else { Standing::Skipped };
                self.record(Event::StageSkipped { stage: self.name(node), reason })?;
                self.close(node, standing, "skipped");
                continue;
            }
            let plan = self.shared.plan.clone();
            let allowed = self.policy.allows(&plan.graph[node].name);
            match allowed.and_then(|()| judge::condition(&plan.graph[node], &self.readings)) {
                Ok(true) => self.launch(self.work(node)),
                Ok(false) => {
                    let expression = self.shared.plan.graph[node].condition.as_ref().map(|asked| asked.text.clone());
                    let reason = SkipReason::Condition { expression: expression.unwrap_or_default() };
                    self.record(Event::StageSkipped { stage: self.name(node), reason })?;
                    self.close(node, Standing::Skipped, "skipped");
                }
                Err(error) => {
                    self.record(Event::StageFailed { stage: self.name(node), key: None, attempt: 0, error })?;
                    self.close(node, Standing::Blocked, "failed");
                }
            }
        }
        Ok(())
    }

    fn launch(&mut self, work: StageWork) {
        self.running += 1;
        Desk::hand_in(&self.shared, work);
    }

    fn name(&self, node: NodeIndex) -> String {
        self.shared.plan.graph[node].name.clone()
    }

    /// A blocked producer blocks; a skipped one skips only those that read from it.
    fn reason_to_skip(&self, node: NodeIndex) -> Option<SkipReason> {
        let graph = &self.shared.plan.graph;
        let before = |wanted: Standing, data_only: bool| {
            let edges = graph.edges_directed(node, Direction::Incoming);
            let mut sources = edges.filter(|edge| !data_only || *edge.weight() == Edge::Data).map(|edge| edge.source());
            sources.find(|source| self.standing.get(source.index()) == Some(&wanted)).map(|source| self.name(source))
        };
        if let Some(stage) = before(Standing::Blocked, false) {
            return Some(SkipReason::Blocked { stage });
        }
        before(Standing::Skipped, true).map(|stage| SkipReason::Upstream { stage })
    }

    fn work(&self, node: NodeIndex) -> StageWork {
        let planned = &self.shared.plan.graph[node];
        let mut inputs = BTreeMap::new();
        let mut ran = BTreeSet::new();
        for binding in &planned.inputs {
            let mut bound = Vec::new();
            for (producer, port) in &binding.from {
                let Some(finished) = self.finished.get(producer) else { continue };
                let Some(artifact) = finished.outputs.get(port) else { continue };
                let name = self.name(*producer);
                bound.push(SpecInput { artifact: artifact.clone(), from: format!("{name}.{port}") });
                if finished.ran {
                    ran.insert(name);
                }
            }
            inputs.insert(binding.port.clone(), bound);
        }
        StageWork {
            node,
            inputs,
            attempts: self.state.stage(&planned.name).map_or(0, |stage| stage.attempts),
            unseen: self.unseen.contains(&planned.name),
            ran: ran.into_iter().collect(),
            approved: self.approve.contains(&planned.name),
        }
    }

    fn ended(&mut self, work: StageWork, end: StageEnd) -> Result<(), RunError> {
        let node = work.node;
        match end {
            StageEnd::Done(done) => self.done(node, *done)?,
            StageEnd::Failed => self.close(node, Standing::Blocked, "failed"),
            StageEnd::Lost(inputs) => self.rewind(node, &inputs)?,
            StageEnd::Parked(parked) => {
                if self.approve.remove(&self.name(node)) {
                    let decision = Decision {
                        approved: true,
                        by: self.person.clone(),
                        at: Timestamp::now().to_string(),
                        comment: None,
                        via: "flag".to_owned(),
                        signed: Vec::new(),
                    };
                    self.decide(work, &parked, decision)?;
                } else {
                    self.parked.insert(node, (work, parked));
                }
            }
            StageEnd::Interrupted => {}
        }
        Ok(())
    }

    fn done(&mut self, node: NodeIndex, done: Done) -> Result<(), RunError> {
        let plan = self.shared.plan.clone();
        let planned = &plan.graph[node];
        let verdicts = judge::verdicts(planned, &done.metrics, &self.readings);
        if !verdicts.is_empty() {
            self.record(Event::StageJudged { stage: planned.name.clone(), verdicts })?;
        }
        if !done.reports.is_empty() {
            self.reports.insert(planned.name.clone(), done.reports.clone());
        }
        let stands = self.state.stage(&planned.name).is_some_and(|stage| stage.status.has_outputs());
        let done = Arc::new(done);
        self.shared.lineage.record(node, done.clone());
        self.finished.insert(node, done);
        if stands {
            self.close(node, Standing::Outputs, "succeeded");
        } else {
            self.close(node, Standing::Blocked, "failed");
        }
        Ok(())
    }

    /// Settles a stage for those after it, and queues the ones that waited only for it.
    fn close(&mut self, node: NodeIndex, standing: Standing, status: &str) {
        let again = self.rewinds.made(node);
        if let Some(slot) = self.standing.get_mut(node.index()) {
            *slot = standing;
        }
        if self.reads {
            let metrics = self.finished.get(&node).map(|finished| finished.metrics.clone()).unwrap_or_default();
            self.readings.insert(self.name(node), Reading { status: status.to_owned(), metrics });
        }
        if let Some(consumers) = again {
            // Everybody after it has counted it already.
            for consumer in consumers {
                self.queue(consumer);
            }
            return;
        }
        let plan = self.shared.plan.clone();
        for edge in plan.graph.edges_directed(node, Direction::Outgoing) {
            let Some(missing) = self.missing.get_mut(edge.target().index()) else { continue };
            *missing = missing.saturating_sub(1);
            if *missing == 0 {
                self.queue(edge.target());
            }
        }
    }

    /// Files a decision and looks at the stage again: others may have to approve too. False when it was refused.
    fn decide(&mut self, work: StageWork, parked: &Parked, decision: Decision) -> Result<bool, RunError> {
        let stage = self.name(work.node);
        match parked.asking(&self.shared, &stage).decide(decision, &self.signatory) {
            Ok(_) => {
                self.launch(StageWork { approved: false, ..work });
                Ok(true)
            }
            Err(refused @ GovernError::Refused { .. }) => {
                tracing::warn!("{refused}");
                if work.approved {
                    // It waits after all.
                    let (reviewed, asking) = (parked.reviewed.clone(), Some(Box::new(parked.terms.clone())));
                    self.record(Event::StageParked { stage, key: parked.key, reviewed, asking })?;
                }
                self.parked.insert(work.node, (work, parked.clone()));
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the person at the terminal about parked stages, one after the other. False when nothing was decided.
    async fn ask_parked(&mut self) -> Result<bool, RunError> {
        let parked: Vec<NodeIndex> = self.parked.keys().copied().collect();
        let mut decided = false;
        for node in parked {
            let Some(request) = self.question(node)? else { continue };
            match self.answer(request).await {
                Some(decision) => {
                    if let Some((work, parked)) = self.parked.remove(&node) {
                        decided |= self.decide(work, &parked, decision)?;
                    }
                }
                None if self.stopped() => break,
                None => {}
            }
        }
        if !decided {
            // Nobody is asked twice about the same thing in one run.
            self.ask = None;
        }
        Ok(decided)
    }

    /// What the person at the terminal is asked; nothing when they answered before and others have to.
    fn question(&self, node: NodeIndex) -> Result<Option<AskRequest>, RunError> {
        let Some((work, parked)) = self.parked.get(&node).filter(|_| self.ask.is_some()) else { return Ok(None) };
        let plan = &self.shared.plan;
        let producers = plan.graph[work.node].inputs.iter().flat_map(|binding| &binding.from);
        let reports = producers.filter_map(|(producer, port)| self.reports.get(&plan.graph[*producer].name)?.get(port).cloned());
        let stage = self.name(node);
        let told = approval::for_person(&parked.asking(&self.shared, &stage), &self.signatory)?;
        let Some((question, objection)) = told else { return Ok(None) };
        let (key, reviewed) = (parked.key, parked.reviewed.clone());
        Ok(Some(AskRequest { stage, key, reviewed, reports: reports.collect(), question, objection }))
    }

    async fn answer(&mut self, request: AskRequest) -> Option<Decision> {
        let mut ask = self.ask.take()?;
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // A thread of its own: an interrupt must not wait for somebody to press Enter.
        std::thread::spawn(move || {
            let decision = ask(&request);
            if sender.send((ask, decision)).is_err() {
                tracing::debug!("The answer came too late.");
            }
        });
        tokio::select! {
            answer = receiver => {
                let (ask, decision) = answer.ok()?;
                self.ask = Some(ask);
                decision
            }
            request = self.interrupts.next() => {
                self.press(request);
                None
            }
        }
    }
}

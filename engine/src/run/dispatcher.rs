//! The select loop: the only owner of the run's state. Tasks report to it by messages; observers watch it.

mod beginning;
mod ending;
mod front;
mod people;
mod rewind;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use front::{Front, Standing};
use jiff::Timestamp;
use people::People;
use petgraph::graph::NodeIndex;
use rewind::Rewinds;
use tokio::{
    sync::{mpsc, watch},
    time::Instant as Deadline,
};

use super::{
    Interrupt, Interrupts, Observer, RunError, RunState, RunSummary,
    event::{Entry, Event, SkipReason},
    executor::{Done, Message, Shared, StageEnd, Stop},
    judge,
    lookup::Desk,
    policing::PolicyWatch,
    prepare::StageWork,
    spec::SpecInput,
};
use crate::{
    expression::Reading,
    journal::Journal,
    store::{StoreError, failpoint},
};

/// Messages that are taken together at most, so that one write and one flush serve them all.
const BATCH: usize = 256;

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
    policy: PolicyWatch,
    people: People,
    front: Front,
    running: usize,
    /// Results by node.
    finished: Vec<Option<Arc<Done>>>,
    readings: BTreeMap<String, Reading>,
    /// Whether any expression may read of other stages.
    reads: bool,
    unseen: BTreeSet<String>,
    rewinds: Rewinds,
    reports: BTreeMap<String, BTreeMap<String, PathBuf>>,
    begun: Instant,
}

impl Dispatcher {
    /// Runs until nothing more can be done.
    pub(crate) async fn run(mut self) -> Result<RunSummary, RunError> {
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
            Message::Many(messages) => messages.into_iter().try_for_each(|message| self.take(message))?,
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

    fn launch_ready(&mut self) -> Result<(), RunError> {
        while !self.stopped()
            && let Some(node) = self.front.next()
        {
            if let Some(reason) = self.front.reason_to_skip(&self.shared.plan, node) {
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

    fn finished(&self, node: NodeIndex) -> Option<&Arc<Done>> {
        self.finished.get(node.index())?.as_ref()
    }

    fn work(&self, node: NodeIndex) -> StageWork {
        let planned = &self.shared.plan.graph[node];
        let mut inputs = BTreeMap::new();
        let mut ran = BTreeSet::new();
        for binding in &planned.inputs {
            let mut bound = Vec::new();
            for (producer, port) in &binding.from {
                let Some(finished) = self.finished(*producer) else { continue };
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
            approved: self.people.approve.contains(&planned.name),
        }
    }

    fn ended(&mut self, work: StageWork, end: StageEnd) -> Result<(), RunError> {
        let node = work.node;
        match end {
            StageEnd::Done(done) => self.done(node, *done)?,
            StageEnd::Failed => self.close(node, Standing::Blocked, "failed"),
            StageEnd::Lost(inputs) => self.rewind(node, &inputs)?,
            StageEnd::Parked(parked) => self.park(work, parked)?,
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
        self.shared.lineage.record(node, &done);
        if let Some(slot) = self.finished.get_mut(node.index()) {
            *slot = Some(done);
        }
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
        self.front.stand(node, standing);
        if self.reads {
            let metrics = self.finished(node).map(|finished| finished.metrics.clone()).unwrap_or_default();
            self.readings.insert(self.name(node), Reading { status: status.to_owned(), metrics });
        }
        if let Some(consumers) = again {
            // Everybody after it has counted it already.
            for consumer in consumers {
                self.front.queue(consumer);
            }
            return;
        }
        self.front.release(&self.shared.plan, node);
    }
}

//! How a run begins: what it opens, what its tasks share, and what its journal says first.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tokio::sync::{mpsc, watch};

use super::{Dispatcher, front::Front, people::People, rewind::Rewinds};
use crate::{
    StageRegistry,
    govern::{KeyRing, Signatory},
    machine::Machine,
    plan::{Plan, PlannedStage},
    project::Project,
    run::{
        Observer, RunError, RunOptions, RunPaths, RunState,
        admission::{Admission, Turns},
        approval::check_flags,
        auditing::Auditor,
        engine,
        event::Event,
        executor::{Message, Shared, Stop},
        lineage::Lineage,
        lookup::Desk,
        opening::{First, check_approvals, edited, open_journal},
        policing::PolicyWatch,
    },
    store::{Lease, StatIndex, Store, StoreError},
};

impl Dispatcher {
    /// Opens store and journal; nothing runs yet.
    pub(crate) fn open(
        plan: Arc<Plan>,
        (project, registry): (Arc<Project>, Arc<StageRegistry>),
        mut options: RunOptions,
        mut observers: Vec<Box<dyn Observer>>,
    ) -> Result<Self, RunError> {
        check_approvals(&plan, &options.approve)?;
        let (store, lease) = enter(&project)?;
        let people = people((&plan, &project), &mut options)?;
        observers.push(Box::new(Auditor::open(&project, &plan, (&people.person, store.cas()))?));
        let policy = PolicyWatch::open((&plan, &project), &people.person, &options.approve);
        let index = StatIndex::open(&project.state.join("state"))?;
        let opened = open_journal(&plan, &project, (&options.start, options.run))?;
        let (sender, messages) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(Stop::No);
        let place = (plan, project, registry);
        let shared = share(place, (store, lease, index), (&options, &opened.state), (sender, stopped));
        let mut dispatcher = Self {
            state: opened.state,
            journal: opened.journal,
            observers,
            messages,
            stop,
            interrupts: options.interrupts,
            deadline: None,
            fresh: Vec::new(),
            policy,
            people,
            front: Front::of(&shared.plan),
            running: 0,
            finished: vec![None; shared.plan.graph.node_count()],
            readings: BTreeMap::new(),
            reads: shared.plan.graph.node_weights().any(PlannedStage::has_expressions),
            unseen: opened.unseen,
            rewinds: Rewinds::default(),
            reports: BTreeMap::new(),
            begun: Instant::now(),
            shared: Arc::new(shared),
        };
        engine::sign_in(&dispatcher.shared.paths);
        dispatcher.announce(opened.first)?;
        Ok(dispatcher)
    }

    /// The first entry of a new journal, or the resumption of an old one.
    fn announce(&mut self, first: First) -> Result<(), RunError> {
        match first {
            First::Started(entry) => self.publish(*entry),
            First::Resumed => self.record(Event::RunResumed { edited: edited(&self.shared, &self.state) }),
        }
    }
}

/// Opens the store and tells it who refers to it from now on.
fn enter(project: &Project) -> Result<(Store, Arc<Lease>), StoreError> {
    let store = Store::open_writable(&project.site.store)?;
    let lease = store.lease(&format!("run-{}", ulid::Ulid::new()))?;
    std::fs::create_dir_all(&project.state).map_err(StoreError::io("create", &project.state))?;
    store.register(&project.state, &project.site.registry)?;
    Ok((store, lease))
}

/// Who is asked, once it is sure that what was approved in advance is theirs to approve.
fn people((plan, project): (&Plan, &Project), options: &mut RunOptions) -> Result<People, RunError> {
    let signatory = options.signatory.take();
    let signatory = signatory.unwrap_or_else(|| Signatory::new(KeyRing::new(project.state.join("keys"))));
    check_flags(plan, project, (&options.approve, &signatory), &options.start)?;
    Ok(People {
        ask: options.ask.take(),
        approve: options.approve.iter().cloned().collect(),
        person: std::mem::take(&mut options.person),
        signatory,
        parked: BTreeMap::new(),
    })
}

/// What the tasks of the run share.
fn share(
    (plan, project, registry): (Arc<Plan>, Arc<Project>, Arc<StageRegistry>),
    (store, lease, index): (Store, Arc<Lease>, StatIndex),
    (options, state): (&RunOptions, &RunState),
    (messages, stop): (mpsc::UnboundedSender<Message>, watch::Receiver<Stop>),
) -> Shared {
    let machine = Machine::this(&project.settings.machine);
    Shared {
        run: state.run,
        starter: state.request.started_by.clone(),
        admission: Arc::new(Admission::new(machine, store.slots(), store.root().to_owned())),
        turns: Turns::new(&project.state),
        desk: Desk::default(),
        runtime: tokio::runtime::Handle::current(),
        paths: RunPaths::new(&project.state, state.run),
        lineage: Lineage::begin(&plan),
        plan,
        project,
        registry,
        store,
        index,
        lease,
        company: options.company,
        runner: options.runner.clone(),
        grace: options.grace,
        longest_backoff: options.longest_backoff,
        stop,
        messages,
    }
}

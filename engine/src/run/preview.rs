//! What a run would do, without doing anything: the keys that can be known now, and why each would hit or miss.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use petgraph::{Direction, graph::NodeIndex, visit::EdgeRef};
use serde::Serialize;
use serde_json::Value;

use super::{
    History, Outlook, RunError, RunId,
    approval::{self, Asking},
    checkpoints,
    prepare::{self, Prepared},
    spec::SpecInput,
    why::{self, Reason},
};
use crate::{
    Digest, Effect, StageError, StageRegistry,
    expression::Reading,
    history::{Estimate, Past, rows_read},
    plan::{Plan, PlannedStage},
    project::Project,
    resources::Resources,
    run::judge,
    store::{ActionResult, SourceRequest, StatIndex, Store},
};

/// One stage of a preview.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The stage.
    pub stage: String,
    /// Its kind.
    pub kind: String,
    /// Its action key, if it can be known now.
    pub key: Option<Digest>,
    /// What would happen.
    pub forecast: Forecast,
    /// What the work costs, by what such work cost before.
    pub cost: Option<Estimate>,
    /// Everything that decides its outputs, when that was asked for and can be known now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preimage: Option<Value>,
    /// Where it would begin, for a stage with checkpoints that would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlook: Option<Outlook>,
    /// What it needs of the machine.
    pub needs: Resources,
}

/// Whether a preview shows what its keys are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preimages {
    /// It does.
    Shown,
    /// Keys are enough.
    Left,
}

/// What would happen to a stage.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "will")]
pub enum Forecast {
    /// A recorded result would be used.
    Cached,
    /// It would run.
    Run {
        /// Why.
        reason: Reason,
    },
    /// People would be asked for a decision.
    Ask {
        /// Whom.
        of: String,
    },
    /// It depends on what stages before it give.
    Wait {
        /// Those stages.
        on: Vec<String>,
    },
    /// Its `if:` is false, or a producer of an input is skipped.
    Skip,
    /// A source would have to be fetched first.
    Fetch {
        /// Its URI or pattern.
        source: String,
    },
    /// It could not run.
    Fail {
        /// Why.
        error: StageError,
    },
}

struct Previewer<'a> {
    plan: &'a Plan,
    project: &'a Project,
    registry: &'a StageRegistry,
    store: Store,
    index: StatIndex,
    results: BTreeMap<NodeIndex, ActionResult>,
    skipped: BTreeSet<NodeIndex>,
    readings: BTreeMap<String, Reading>,
    past: Past,
    preimages: Preimages,
}

/// What a stage would do, and what is known of its key.
struct Look {
    prepared: Option<Prepared>,
    forecast: Forecast,
}

/// Looks at every stage of a plan in order. Fetches nothing and starts nothing.
pub fn preview(
    plan: &Plan,
    project: &Project,
    registry: &Arc<StageRegistry>,
    preimages: Preimages,
) -> Result<Vec<Preview>, RunError> {
    let past = Past::load(&History::of(project), None);
    let mut previewer = Previewer::open((plan, project), registry, past, preimages)?;
    let mut previews = Vec::with_capacity(plan.order.len());
    for node in &plan.order {
        let look = previewer.stage(*node)?;
        previews.push(previewer.told(*node, look));
    }
    previewer.index.save()?;
    Ok(previews)
}

/// A stage that could run now: its inputs are in the store.
pub(super) struct Found {
    pub(super) node: NodeIndex,
    pub(super) prepared: Prepared,
    pub(super) inputs: BTreeMap<String, Vec<SpecInput>>,
}

/// Identifies one stage whose inputs are in the store; else says what has to run first.
pub(super) fn find(
    plan: &Plan,
    project: &Project,
    registry: &Arc<StageRegistry>,
    stage: &str,
) -> Result<Result<Found, StageError>, RunError> {
    let Some(wanted) = plan.find(stage) else {
        let known: Vec<&str> = plan.order.iter().map(|node| plan.graph[*node].name.as_str()).collect();
        return Ok(Err(
            StageError::input(format!("there is no stage {stage:?}")).help(format!("its stages are {}", known.join(", ")))
        ));
    };
    let mut previewer = Previewer::open((plan, project), registry, Past::default(), Preimages::Left)?;
    let mut look = Look { prepared: None, forecast: Forecast::Skip };
    for node in &plan.order {
        look = previewer.stage(*node)?;
        if *node == wanted {
            break;
        }
    }
    previewer.index.save()?;
    let unready = |message: String, help: String| Ok(Err(StageError::input(message).help(help)));
    match (look.prepared, look.forecast) {
        (Some(prepared), _) => {
            let inputs = previewer.inputs(&plan.graph[wanted]);
            Ok(Ok(Found { node: wanted, prepared, inputs }))
        }
        (None, Forecast::Wait { on }) => {
            let list = on.join(", ");
            unready(
                format!("stage {stage:?} reads what {list} has not given yet"),
                format!("run that first: `flow run --only {list}`"),
            )
        }
        (None, Forecast::Fetch { source }) => unready(
            format!("stage {stage:?} reads {source}, which is not here yet"),
            format!("run it once: `flow run --only {stage}`"),
        ),
        (None, Forecast::Fail { error }) => Ok(Err(error)),
        (None, Forecast::Cached | Forecast::Run { .. } | Forecast::Ask { .. } | Forecast::Skip) => {
            unready(format!("stage {stage:?} is skipped"), "its `if:` is false, or what it reads is skipped".to_owned())
        }
    }
}

impl<'a> Previewer<'a> {
    fn open(
        (plan, project): (&'a Plan, &'a Project),
        registry: &'a StageRegistry,
        past: Past,
        preimages: Preimages,
    ) -> Result<Self, RunError> {
        Ok(Self {
            plan,
            project,
            registry,
            store: Store::open(&project.site.store)?,
            index: StatIndex::open(&project.state.join("state"))?,
            results: BTreeMap::new(),
            skipped: BTreeSet::new(),
            readings: BTreeMap::new(),
            past,
            preimages,
        })
    }

    fn told(&self, node: NodeIndex, look: Look) -> Preview {
        let planned = &self.plan.graph[node];
        let (name, kind) = (planned.name.as_str(), planned.stage.kind());
        let Look { prepared, forecast } = look;
        let key = prepared.as_ref().map(|prepared| prepared.key);
        let course = prepared.as_ref().and_then(|prepared| prepared.course.as_ref());
        // Records that cannot be read will not be used either.
        let outlook = course
            .filter(|_| matches!(forecast, Forecast::Run { .. }))
            .and_then(|course| checkpoints::outlook(&self.store, course).unwrap_or_default());
        let preimage = prepared.filter(|_| self.preimages == Preimages::Shown).map(|prepared| prepared.action.to_json());
        let cost = self.past.estimate((name, kind), self.rows(node));
        let needs = planned.operations.resources.clone();
        Preview { stage: name.to_owned(), kind: kind.to_owned(), key, forecast, cost, preimage, outlook, needs }
    }

    /// Rows that the stages before it give, as far as that is known.
    fn rows(&self, node: NodeIndex) -> Option<f64> {
        let before = self.plan.graph.edges_directed(node, Direction::Incoming);
        rows_read(None, before.filter_map(|edge| self.results.get(&edge.source())).map(|result| &result.metrics))
    }

    fn stage(&mut self, node: NodeIndex) -> Result<Look, RunError> {
        let plan = self.plan;
        let planned = &plan.graph[node];
        let unknown = |forecast| Ok(Look { prepared: None, forecast });
        let before = plan.graph.edges_directed(node, Direction::Incoming).map(|edge| edge.source());
        let open: BTreeSet<&str> = before
            .filter(|source| !self.results.contains_key(source) && !self.skipped.contains(source))
            .map(|source| plan.graph[source].name.as_str())
            .collect();
        if !open.is_empty() {
            return unknown(Forecast::Wait { on: open.into_iter().map(str::to_owned).collect() });
        }
        let unfed = planned.inputs.iter().flat_map(|binding| &binding.from).any(|(source, _)| self.skipped.contains(source));
        match judge::condition(planned, &self.readings) {
            Ok(true) if !unfed => {}
            Ok(_) => {
                self.skipped.insert(node);
                self.readings.insert(planned.name.clone(), Reading { status: "skipped".to_owned(), metrics: BTreeMap::new() });
                return unknown(Forecast::Skip);
            }
            Err(error) => return unknown(Forecast::Fail { error }),
        }
        match self.identify(planned) {
            Ok(Ok(prepared)) => self.look_up(node, prepared),
            Ok(Err(source)) => unknown(Forecast::Fetch { source }),
            Err(error) => unknown(Forecast::Fail { error }),
        }
    }

    /// The identity of the work, or the source that is missing for it.
    fn identify(&self, planned: &PlannedStage) -> Result<Result<Prepared, String>, StageError> {
        let request = SourceRequest::unwatched(self.project, self.registry, &self.index);
        let mut sources = Vec::new();
        for source in planned.stage.sources() {
            let Some(resolved) = self.store.sources().look(&source, &request)? else {
                return Ok(Err(source.name()));
            };
            sources.push(resolved);
        }
        let inputs = prepare::action_inputs(planned, &self.inputs(planned));
        prepare::identify(self.plan, planned, inputs, sources).map(Ok)
    }

    fn inputs(&self, planned: &PlannedStage) -> BTreeMap<String, Vec<SpecInput>> {
        let mut inputs = BTreeMap::new();
        for binding in &planned.inputs {
            let bound = binding.from.iter().filter_map(|(producer, port)| {
                let artifact = self.results.get(producer)?.outputs.get(port)?.clone();
                Some(SpecInput { artifact, from: String::new() })
            });
            inputs.insert(binding.port.clone(), bound.collect());
        }
        inputs
    }

    /// Of whom a decision is still missing, if the stage needs one.
    fn asks(&self, planned: &PlannedStage, key: Digest, recorded: Option<&ActionResult>) -> Result<Option<String>, RunError> {
        if planned.stage.effect() != Effect::Decides {
            return Ok(None);
        }
        let terms = planned.stage.asks().unwrap_or_default();
        let reviewed = approval::reviewed(planned, &self.inputs(planned));
        let (workflow, stage) = (&self.plan.workflow, &planned.name);
        let (project, run) = (self.project, RunId::generate());
        let asking = Asking { project, run, workflow, stage, key, reviewed: &reviewed, terms: &terms, starter: None };
        let decided = asking.decided(recorded, &self.store.cas())?;
        Ok((!decided).then(|| terms.asked()))
    }

    fn look_up(&mut self, node: NodeIndex, prepared: Prepared) -> Result<Look, RunError> {
        let plan = self.plan;
        let planned = &plan.graph[node];
        let recorded = self.store.actions().get(&prepared.key, &self.store.cas())?;
        if let Some(of) = self.asks(planned, prepared.key, recorded.as_ref())? {
            return Ok(Look { prepared: Some(prepared), forecast: Forecast::Ask { of } });
        }
        if let Some(result) = recorded {
            self.readings
                .insert(planned.name.clone(), Reading { status: "succeeded".to_owned(), metrics: result.metrics.clone() });
            self.results.insert(node, result);
            return Ok(Look { prepared: Some(prepared), forecast: Forecast::Cached });
        }
        let stage = (planned.name.as_str(), planned.stage.kind());
        let reason = why::forecast(&self.past, &self.store, stage, (prepared.key, &prepared.action.to_json()))?;
        Ok(Look { prepared: Some(prepared), forecast: Forecast::Run { reason } })
    }
}

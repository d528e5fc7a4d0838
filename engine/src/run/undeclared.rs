//! Watching the commands of a plan: what each reads, runs, or tries to reach without declaring it.
//!
//! Inputs come from recorded results; nothing is recorded, and what the commands write is thrown away.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;

use super::{
    RunError,
    preview::{self, Found},
};
use crate::{
    StageContext, StageError, StageRegistry,
    context::{BoundInput, Invocation, Progress, Reporter},
    plan::{
        Plan, Undeclared,
        command::{self, Observed},
        mixed_seed,
    },
    project::Project,
    store::{Materialise, Store, remove_all},
};

/// What came of watching one command.
#[derive(Clone, Debug, Serialize)]
pub struct Sighting {
    /// The stage.
    pub stage: String,
    /// Everything undeclared, sorted.
    pub undeclared: Vec<Undeclared>,
    /// Why the command failed, or could not be watched.
    pub failure: Option<StageError>,
}

/// Watches the commands of a plan, or one of them, in order. `cancelled` ends the one that runs.
pub fn undeclared(
    plan: &Plan,
    place: (&Project, &Arc<StageRegistry>),
    only: Option<&str>,
    cancelled: &AtomicBool,
) -> Result<Vec<Sighting>, RunError> {
    let watcher = Watcher { plan, project: place.0, store: Store::open(&place.0.site.store)?, cancelled };
    let commands = plan.order.iter().map(|node| &plan.graph[*node]);
    let commands = commands.filter(|stage| stage.stage.kind() == command::KIND && only.is_none_or(|only| only == stage.name));
    let mut sightings = Vec::new();
    for stage in commands.take_while(|_| !cancelled.load(Ordering::Relaxed)) {
        let found = preview::find(plan, place.0, place.1, &stage.name)?;
        let (undeclared, failure) = match found.and_then(|found| watcher.watch(found)) {
            Ok(Observed { undeclared, failure }) => (undeclared.into_iter().collect(), failure),
            Err(error) => (Vec::new(), Some(error)),
        };
        sightings.push(Sighting { stage: stage.name.clone(), undeclared, failure });
    }
    Ok(sightings)
}

struct Watcher<'a> {
    plan: &'a Plan,
    project: &'a Project,
    store: Store,
    cancelled: &'a AtomicBool,
}

impl Watcher<'_> {
    fn watch(&self, found: Found) -> Result<Observed, StageError> {
        let stage = self.plan.graph[found.node].stage.clone();
        let folder = self.store.temporary(&format!("watched-{}", ulid::Ulid::new()));
        let observed = self.invocation(found, &folder).and_then(|invocation| {
            let reporter = Cancelling(self.cancelled);
            command::observe(stage.as_ref(), &StageContext::new(&invocation, &reporter))
        });
        remove_all(&folder)?;
        observed
    }

    fn invocation(&self, found: Found, folder: &Path) -> Result<Invocation, StageError> {
        let planned = &self.plan.graph[found.node];
        let cas = self.store.cas();
        let mut inputs = BTreeMap::new();
        for (port, artifacts) in found.inputs {
            let mut bound = Vec::with_capacity(artifacts.len());
            for (index, input) in artifacts.into_iter().enumerate() {
                let place = folder.join("in").join(&port).join(index.to_string());
                let path = cas.materialise(&input.artifact, &place, Materialise::Copied)?;
                bound.push(BoundInput { path, digest: input.artifact.digest, from: input.from });
            }
            inputs.insert(port, bound);
        }
        let scratch = folder.join("scratch");
        std::fs::create_dir_all(&scratch)?;
        let outputs = planned.stage.ports().outputs;
        Ok(Invocation {
            inputs,
            outputs: outputs.into_iter().map(|port| (port.name.clone(), folder.join("out").join(port.name))).collect(),
            sources: found.prepared.action.into_sources(),
            seed: mixed_seed(planned.seed, planned.stage.kind()),
            limit: self.plan.limit,
            scratch,
            site: self.project.site.clone(),
            decision: None,
            ancestors: Vec::new(),
            workflow: self.plan.workflow.clone(),
        })
    }
}

/// Reports nothing and can be told to stop.
struct Cancelling<'a>(&'a AtomicBool);

impl Reporter for Cancelling<'_> {
    fn progress(&self, _: &Progress) {}

    fn metric(&self, _: &str, _: f64) {}

    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

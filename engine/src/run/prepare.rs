//! What is known of a stage before it runs: its sources, its action key, and whether the work was done before.

use std::collections::BTreeMap;

use petgraph::graph::NodeIndex;

use super::{
    checkpoints::Course,
    spec::{Guarded, SpecInput},
};
use crate::{
    Digest, Effect, Named, StageError,
    canonical::CanonicalError,
    context::Site,
    plan::{Action, ActionInput, KEY_CONTEXT, Plan, PlannedStage},
    source::SourceFile,
    store::{ActionResult, Flaw, Looked, Materialise, Quiet, ResolvedSource, Stamp, StatIndex, Store, remove_all},
};

/// A stage whose inputs are there.
#[derive(Clone)]
pub(crate) struct StageWork {
    /// The stage.
    pub(crate) node: NodeIndex,
    /// Inputs by port, in the order of the file.
    pub(crate) inputs: BTreeMap<String, Vec<SpecInput>>,
    /// Attempts that were started before.
    pub(crate) attempts: u32,
    /// Whether an attempt of this run may have ended unseen.
    pub(crate) unseen: bool,
    /// Producers of inputs that ran in this run.
    pub(crate) ran: Vec<String>,
    /// Whether it is approved in advance.
    pub(crate) approved: bool,
}

/// The identity of the work.
#[derive(Clone)]
pub(crate) struct Prepared {
    /// The action key.
    pub(crate) key: Digest,
    /// What decides the key, with the resolved sources.
    pub(crate) action: Action,
    /// One digest for each source.
    pub(crate) source_digests: Named<Digest>,
    /// What the key was hashed from.
    pub(crate) preimage: Vec<u8>,
    /// The way its checkpoints are filed under.
    pub(crate) course: Option<Course>,
}

/// Joins a stage's inputs and resolved sources to its action key.
pub(crate) fn identify(
    plan: &Plan,
    stage: &PlannedStage,
    inputs: Vec<ActionInput>,
    sources: Vec<ResolvedSource>,
) -> Result<Prepared, StageError> {
    let source_digests = sources.iter().map(|source| (source.name.clone(), source.digest)).collect();
    let sources = sources.into_iter().map(|source| (source.name, source.files)).collect();
    let action = Action::new(stage, plan.limit, inputs, sources);
    let unkeyed = |error: CanonicalError| StageError::input(format!("cannot key stage {:?}", stage.name)).because(&error);
    let preimage = action.preimage().map_err(unkeyed)?;
    let key = Digest::derive(KEY_CONTEXT, &preimage);
    let course = stage.stage.horizon().map(|horizon| action.trajectory(&horizon).map(|key| Course { key, horizon }));
    let course = course.transpose().map_err(unkeyed)?;
    Ok(Prepared { key, action, source_digests, preimage, course })
}

/// The inputs of a stage as its key sees them: by the consumer's port, in the order of its declaration and of the file.
pub(crate) fn action_inputs(stage: &PlannedStage, inputs: &BTreeMap<String, Vec<SpecInput>>) -> Vec<ActionInput> {
    let mut all = Vec::new();
    for binding in &stage.inputs {
        for input in inputs.get(&binding.port).into_iter().flatten() {
            all.push(ActionInput { port: binding.port.clone(), kind: input.artifact.kind, digest: input.artifact.digest });
        }
    }
    // The order of ports in the file says nothing; the order within a port does.
    all.sort_by(|one, other| one.port.cmp(&other.port));
    all
}

/// Marks source files that are used where they lie, each in the state in which it was hashed. One that was written since then,
/// while another source was fetched for one, would be read under the key of its old content.
pub(crate) fn guard(
    (store, index): (&Store, &StatIndex),
    sources: &BTreeMap<String, Vec<SourceFile>>,
) -> Result<Vec<Guarded>, StageError> {
    let outside = sources.values().flatten().filter(|file| !file.path.starts_with(store.root()));
    outside.map(|file| state_when_hashed(index, file)).collect()
}

/// What is recorded for a key.
pub(crate) enum Recorded {
    /// A result that can be used.
    Result(Box<ActionResult>),
    /// Nothing that can be used.
    Nothing,
    /// A result that cannot be used any more: it is set aside.
    Lost(Flaw),
}

impl Recorded {
    /// The result that can be used.
    pub(crate) fn result(self) -> Option<ActionResult> {
        match self {
            Self::Result(result) => Some(*result),
            Self::Nothing | Self::Lost(_) => None,
        }
    }
}

fn state_when_hashed(index: &StatIndex, file: &SourceFile) -> Result<Guarded, StageError> {
    let stamp = Stamp::of(&file.path)?;
    match index.vouch(&stamp, &file.digest) {
        Some(Quiet::Long) => return Ok(Guarded { path: file.path.clone(), stamp, recheck: None }),
        Some(Quiet::NotYet) => return Ok(Guarded { path: file.path.clone(), stamp, recheck: Some(file.digest) }),
        None => {}
    }
    let message = format!("source {} changed after it was hashed", file.path.display());
    Err(StageError::input(message).help("run the workflow again when nobody writes to the file"))
}

/// The recorded result of an action, if it is whole and still holds outside the store.
pub(crate) fn recorded(store: &Store, site: &Site, stage: &PlannedStage, key: &Digest) -> Result<Recorded, StageError> {
    let result = match store.actions().look(key, &store.cas())? {
        Looked::Whole(result) => result,
        Looked::Nothing => return Ok(Recorded::Nothing),
        Looked::Lost(flaw) => return Ok(Recorded::Lost(flaw)),
    };
    if stage.stage.effect() != Effect::Publishes {
        return Ok(Recorded::Result(result));
    }
    let laid_out = store.temporary(&format!("asked-{}", ulid::Ulid::new()));
    let output = |port: &str| {
        let artifact = result.outputs.get(port)?;
        store.cas().materialise(artifact, &laid_out.join(port), Materialise::Linked).ok()
    };
    let holds = stage.stage.still_holds(site, &output);
    if let Err(error) = remove_all(&laid_out) {
        tracing::warn!(%error, "Could not remove a temporary folder.");
    }
    if holds {
        return Ok(Recorded::Result(result));
    }
    store.actions().set_aside(key)?;
    Ok(Recorded::Nothing)
}

//! The inputs of one attempt: laid out before the stage runs, looked at again when it is gone.
//!
//! An input that is missing or damaged is no fault of the stage: its producer has to run again. An input that somebody wrote to
//! while the stage ran makes the result worthless and the stored object too; being root, or a mode, changes nothing about it.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::spec::AttemptSpec;
use crate::{
    Digest, StageError,
    context::BoundInput,
    store::{Cas, Laid, Materialise, Standing, StoreError},
};

/// An input that the store does not hold any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostInput {
    /// `stage.port` it came from.
    pub from: String,
    /// The object that is missing or damaged.
    pub digest: Digest,
    /// What is wrong with it.
    pub reason: String,
}

/// Why an attempt ended without a result.
pub(crate) enum Halt {
    /// The stage failed, or something around it.
    Failed(StageError),
    /// Producers have to run again first.
    Lost(Vec<LostInput>),
}

impl<E: Into<StageError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A file the stage could have written to.
struct Shared {
    port: String,
    from: String,
    laid: Laid,
}

/// Inputs that lie ready.
pub(crate) struct Inputs {
    /// As the stage sees them.
    pub(crate) bound: BTreeMap<String, Vec<BoundInput>>,
    shared: Vec<Shared>,
}

/// Lays out every input below `place`.
pub(crate) fn lay_out(cas: &Cas, spec: &AttemptSpec, place: &Path) -> Result<Inputs, Halt> {
    let how = if spec.kind == "cmd" { Materialise::Copied } else { Materialise::Linked };
    let mut inputs = Inputs { bound: BTreeMap::new(), shared: Vec::new() };
    let mut lost = Vec::new();
    for (port, list) in &spec.inputs {
        let mut bound = Vec::with_capacity(list.len());
        for (index, input) in list.iter().enumerate() {
            let view = match cas.view(&input.artifact, &place.join(port).join(index.to_string()), how) {
                Ok(view) => view,
                Err(StoreError::Damaged { digest, reason }) => {
                    lost.push(LostInput { from: input.from.clone(), digest, reason });
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let shared = view.shared.into_iter().map(|laid| Shared { port: port.clone(), from: input.from.clone(), laid });
            inputs.shared.extend(shared);
            bound.push(BoundInput { path: view.path, digest: input.artifact.digest, from: input.from.clone() });
        }
        inputs.bound.insert(port.clone(), bound);
    }
    if lost.is_empty() { Ok(inputs) } else { Err(Halt::Lost(lost)) }
}

impl Inputs {
    /// Judges what came of the stage by what became of its inputs.
    pub(crate) fn look_after(&self, cas: &Cas, ran: Result<(), StageError>) -> Result<(), Halt> {
        let mut gone = Vec::new();
        let mut written = None;
        for shared in &self.shared {
            match cas.standing(&shared.laid) {
                Standing::Whole => {}
                Standing::Gone => gone.push(LostInput {
                    from: shared.from.clone(),
                    digest: shared.laid.digest,
                    reason: "it went missing while the stage ran".to_owned(),
                }),
                Standing::Written => {
                    cas.quarantine(&shared.laid)?;
                    written = written.or(Some(shared));
                }
            }
        }
        match (written, ran) {
            (Some(shared), _) => Err(written_to(shared).into()),
            // What the stage had read by then was right.
            (None, Ok(())) => Ok(()),
            (None, Err(_)) if !gone.is_empty() => Err(Halt::Lost(gone)),
            (None, Err(error)) => Err(error.into()),
        }
    }
}

fn written_to(shared: &Shared) -> StageError {
    let Shared { port, from, laid } = shared;
    StageError::input(format!("input file {} of port {port:?} was written to while the stage ran", laid.path.display()))
        .help(format!("a stage must leave its inputs alone; the stored file was set aside, and the next run makes {from} again"))
}

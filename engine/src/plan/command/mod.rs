//! `cmd@1`: a stage in any language. It sees its declared inputs, its declared code, and a nearly empty environment.
//!
//! Its `sandbox:` says how much else it may see; [`crate::sandbox`] raises the walls. Its key holds, beside what it declares,
//! the content of the program it starts, see [`crate::program`].

mod check;
mod environment;
mod forms;
mod group;
mod leak;
mod mask;
mod run;
mod sightings;
mod undeclared;
mod work;

use std::{borrow::Cow, collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use check::{CommandSite, build, relative_folder};
pub(crate) use mask::{Carriers, Mask};
pub(super) use sightings::Sightings;
pub(crate) use undeclared::Observed;
pub use undeclared::{Undeclared, What};

use crate::{
    ArtifactKind, Determinism, DynStage, Effect, Named, Ports, ProgramRef, Resources, SourceRef, StageContext, StageError,
    context::Site,
    registry::ConfigError,
    stage::Arity,
    workflow::{EnvironmentValue, OutputDeclaration, SandboxLevel, ToolsDeclaration},
};

/// The word before `@1`.
pub(crate) const KIND: &str = "cmd";
/// Raised when the working folder or the environment of commands changes. The second: TMPDIR, TZ, and LANG are set, HOME and
/// TMPDIR lie beside the working folder, and the program counts by its content.
const REVISION: u32 = 2;

/// What a command is, as it is hashed into the action key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandConfig {
    /// Templates of the command and its arguments, in order.
    pub(super) run: Vec<String>,
    pub(super) env: Named<EnvironmentValue>,
    /// Patterns relative to `folder`.
    pub(super) code: Vec<String>,
    /// Patterns relative to the workflow file.
    pub(super) external: Vec<String>,
    pub(super) inputs: Named<Arity>,
    pub(super) outputs: Named<OutputDeclaration>,
    /// The folder of the component that holds the stage, relative to the workflow file; empty outside components.
    #[serde(default)]
    pub(super) folder: String,
    /// In the key, because each level sees something else: a strict result must not come from a run that could read anything.
    #[serde(default)]
    pub(super) sandbox: SandboxLevel,
    #[serde(default)]
    pub(super) tools: ToolsDeclaration,
}

/// A configured command. Its serialized form is made when it is asked for: a large plan would not fit with one for each.
pub(crate) struct CommandStage {
    config: CommandConfig,
}

impl CommandStage {
    pub(super) fn new(config: CommandConfig) -> Self {
        Self { config }
    }

    /// Makes a command again from its recorded configuration.
    pub(super) fn restore(config: &Value) -> Result<Self, ConfigError> {
        ConfigError::parse(config).map(Self::new)
    }
}

/// Runs a command watched and tells what it uses undeclared; its outputs are thrown away.
pub(crate) fn observe(stage: &dyn DynStage, cx: &StageContext<'_>) -> Result<Observed, StageError> {
    let restored = CommandStage::restore(&stage.config());
    let command = restored.map_err(|error| StageError::internal("cannot configure a command again").because(&error))?;
    undeclared::observe(&command.config, cx)
}

impl CommandConfig {
    /// Texts, and lists and maps of them, which JSON can always say.
    fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The programs that count, as sources.
    fn programs(&self) -> Vec<SourceRef> {
        let ToolsDeclaration::Exact(more) = &self.tools else { return Vec::new() };
        let own = self.run.first().filter(|program| !program.contains("${"));
        let search = environment::search_path(self);
        let mut names: Vec<&str> = own.into_iter().chain(more).map(|name| plain(name)).collect();
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        let program =
            |name: &str| ProgramRef { name: name.to_owned(), folder: PathBuf::from(&self.folder), search: search.to_owned() };
        names.into_iter().map(|name| SourceRef::Program(program(name))).collect()
    }
}

/// A path without `./`; a name as it is.
fn plain(name: &str) -> &str {
    if name.contains('/') { name.trim_start_matches("./") } else { name }
}

impl DynStage for CommandStage {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn revision(&self) -> u32 {
        REVISION
    }

    fn effect(&self) -> Effect {
        Effect::Pure
    }

    /// Tools differ between kinds of machine, so results are not shared across them.
    fn determinism(&self) -> Determinism {
        Determinism::Seeded
    }

    fn reads_limit(&self) -> bool {
        false
    }

    fn ports(&self) -> Ports {
        let inputs = self.config.inputs.iter().fold(Ports::new(), |ports, (name, arity)| match arity {
            Arity::One => ports.reads(name, ArtifactKind::Any),
            Arity::Optional => ports.reads_optional(name, ArtifactKind::Any),
            Arity::Many => ports.reads_many(name, ArtifactKind::Any),
        });
        self.config.outputs.iter().fold(inputs, |ports, (name, output)| ports.writes(name, output.kind))
    }

    fn sources(&self) -> Vec<SourceRef> {
        let folder = || PathBuf::from(&self.config.folder);
        let code = self.config.code.iter().map(|pattern| SourceRef::Below { folder: folder(), pattern: pattern.clone() });
        let external = self.config.external.iter().cloned().map(SourceRef::Files);
        code.chain(external).chain(self.config.programs()).collect()
    }

    fn resources(&self) -> Resources {
        Resources::one_cpu()
    }

    fn config(&self) -> Cow<'_, Value> {
        Cow::Owned(self.config.to_json())
    }

    /// A component gives the same from everywhere, unless its commands start in its own folder.
    fn keyed(&self) -> Value {
        let mut keyed = self.config.to_json();
        if let (false, Some(fields)) = (self.config.sandbox == SandboxLevel::None, keyed.as_object_mut()) {
            fields.shift_remove("folder");
        }
        keyed
    }

    fn still_holds(&self, _: &Site, _: &dyn Fn(&str) -> Option<PathBuf>) -> bool {
        true
    }

    fn run(&self, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        run::run(&self.config, cx)
    }
}

#[cfg(test)]
mod tests;

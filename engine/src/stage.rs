//! What a stage is: a typed configuration, declared ports, and one synchronous function.

use std::{borrow::Cow, marker::PhantomData, path::PathBuf, time::Duration};

use schemars::{JsonSchema, Schema};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use crate::resources::Resources;
use crate::{ArtifactKind, SourceRef, StageContext, StageError, context::Site, govern::ReviewTerms, horizon::Horizon};

/// One kind of work a workflow can ask for by name.
pub trait Stage: Send + Sync + 'static {
    /// What `with:` accepts. Its doc comments are the user's reference, its derive the schema.
    type Config: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static;

    /// The word after `uses:`, such as `data/clean`.
    const KIND: &'static str;
    /// The number after `@`: raised when the configuration changes incompatibly.
    const MAJOR: u32 = 1;
    /// Raised when the same inputs may now give other outputs; part of every action key.
    const REVISION: u32;
    /// What running it does besides writing outputs.
    const EFFECT: Effect = Effect::Pure;
    /// How far two runs of one action agree.
    const DETERMINISM: Determinism = Determinism::Deterministic;
    /// Whether `flow run --limit N` changes what it reads.
    const READS_LIMIT: bool = false;
    /// Whether it reads [`StageContext::ancestors`]. They are gathered for nobody else: a stage may come after ten thousand.
    const READS_ANCESTORS: bool = false;
    /// How long it may show no sign of life before it is taken to hang, where the workflow says nothing; none for ever.
    const STALL: Option<Duration> = None;

    /// The artifacts this configuration reads and writes, by port name.
    fn ports(config: &Self::Config) -> Ports;

    /// What it reads from outside the graph; hashed into the action key.
    fn sources(_: &Self::Config) -> Vec<SourceRef> {
        Vec::new()
    }

    /// What it needs while it runs. The executor admits by these.
    fn resources(_: &Self::Config) -> Resources {
        Resources::one_cpu()
    }

    /// Whether a recorded result still stands outside the store (a registry version may have been deleted).
    /// `output` gives the path of a recorded output by port.
    fn still_holds(_: &Self::Config, _site: &Site, _output: &dyn Fn(&str) -> Option<PathBuf>) -> bool {
        true
    }

    /// How far this configuration goes on a way that other lengths share; its checkpoints are filed by that way. Such a stage
    /// saves and resumes through [`StageContext::keeper`].
    fn horizon(_: &Self::Config) -> Option<Horizon> {
        None
    }

    /// What a stage with [`Effect::Decides`] asks, and of whom.
    fn asks(_: &Self::Config) -> Option<ReviewTerms> {
        None
    }

    /// Reads inputs, writes outputs: a pure function of both and the seed. May be called again after a crash.
    fn run(config: &Self::Config, cx: &mut StageContext<'_>) -> Result<(), StageError>;
}

/// What running a stage does besides writing outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing.
    Pure,
    /// It needs a recorded decision of a person about its inputs, see [`StageContext::decision`].
    Decides,
    /// It publishes outside the store; [`Stage::still_holds`] is asked on every hit.
    Publishes,
}

/// How far two runs of one action agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Determinism {
    /// Same bytes everywhere.
    Deterministic,
    /// Same bytes on the same class of hardware.
    Seeded,
    /// Answers, times, or ports of the outside world.
    Nondeterministic,
}

/// One input or output of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its name in `in:` or after the dot in `stage.port`.
    pub name: String,
    /// What it carries.
    pub kind: ArtifactKind,
    /// How many artifacts it takes.
    pub arity: Arity,
}

/// How many artifacts an input takes. Outputs are always [`Arity::One`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arity {
    /// Exactly one.
    One,
    /// One or none.
    Optional,
    /// A list of at least one.
    Many,
}

/// The artifacts a stage reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// Inputs in declaration order.
    pub inputs: Vec<Port>,
    /// Outputs in declaration order.
    pub outputs: Vec<Port>,
}

impl Ports {
    /// No ports yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input that must be bound.
    #[must_use]
    pub fn reads(self, name: &str, kind: ArtifactKind) -> Self {
        self.input(name, kind, Arity::One)
    }

    /// Adds an input that may be left out.
    #[must_use]
    pub fn reads_optional(self, name: &str, kind: ArtifactKind) -> Self {
        self.input(name, kind, Arity::Optional)
    }

    /// Adds an input that takes a list.
    #[must_use]
    pub fn reads_many(self, name: &str, kind: ArtifactKind) -> Self {
        self.input(name, kind, Arity::Many)
    }

    /// Adds an output.
    #[must_use]
    pub fn writes(mut self, name: &str, kind: ArtifactKind) -> Self {
        self.outputs.push(Port { name: name.to_owned(), kind, arity: Arity::One });
        self
    }

    fn input(mut self, name: &str, kind: ArtifactKind, arity: Arity) -> Self {
        self.inputs.push(Port { name: name.to_owned(), kind, arity });
        self
    }
}

/// A configured stage behind an object-safe face. [`Configured`] is the only implementation for built-in kinds.
pub trait DynStage: Send + Sync {
    /// The word after `uses:`.
    fn kind(&self) -> &str;
    /// Part of the action key.
    fn revision(&self) -> u32;
    /// See [`Effect`].
    fn effect(&self) -> Effect;
    /// See [`Determinism`].
    fn determinism(&self) -> Determinism;
    /// See [`Stage::READS_LIMIT`].
    fn reads_limit(&self) -> bool;
    /// See [`Stage::READS_ANCESTORS`].
    fn reads_ancestors(&self) -> bool {
        false
    }
    /// See [`Stage::ports`].
    fn ports(&self) -> Ports;
    /// See [`Stage::sources`].
    fn sources(&self) -> Vec<SourceRef>;
    /// See [`Stage::resources`].
    fn resources(&self) -> Resources;
    /// See [`Stage::horizon`].
    fn horizon(&self) -> Option<Horizon> {
        None
    }
    /// See [`Stage::STALL`].
    fn stall(&self) -> Option<Duration> {
        None
    }
    /// The configuration with every default filled in; hashed into the action key.
    fn config(&self) -> Cow<'_, Value>;
    /// What of it is hashed: all of it, unless a part says where things lie and not what they are.
    fn keyed(&self) -> Value {
        self.config().into_owned()
    }
    /// See [`Stage::still_holds`].
    fn still_holds(&self, site: &Site, output: &dyn Fn(&str) -> Option<PathBuf>) -> bool;
    /// See [`Stage::asks`].
    fn asks(&self) -> Option<ReviewTerms> {
        None
    }
    /// See [`Stage::run`].
    fn run(&self, cx: &mut StageContext<'_>) -> Result<(), StageError>;
}

/// A stage with its parsed configuration.
pub struct Configured<S: Stage> {
    config: S::Config,
    canonical: Value,
    stage: PhantomData<fn() -> S>,
}

impl<S: Stage> Configured<S> {
    /// Pairs a parsed configuration with its serialized form.
    pub fn new(config: S::Config) -> Result<Self, serde_json::Error> {
        let canonical = serde_json::to_value(&config)?;
        Ok(Self { config, canonical, stage: PhantomData })
    }
}

impl<S: Stage> DynStage for Configured<S> {
    fn kind(&self) -> &str {
        S::KIND
    }
    fn revision(&self) -> u32 {
        S::REVISION
    }
    fn effect(&self) -> Effect {
        S::EFFECT
    }
    fn determinism(&self) -> Determinism {
        S::DETERMINISM
    }
    fn reads_limit(&self) -> bool {
        S::READS_LIMIT
    }
    fn reads_ancestors(&self) -> bool {
        S::READS_ANCESTORS
    }
    fn ports(&self) -> Ports {
        S::ports(&self.config)
    }
    fn sources(&self) -> Vec<SourceRef> {
        S::sources(&self.config)
    }
    fn resources(&self) -> Resources {
        S::resources(&self.config)
    }
    fn horizon(&self) -> Option<Horizon> {
        S::horizon(&self.config)
    }
    fn stall(&self) -> Option<Duration> {
        S::STALL
    }
    fn config(&self) -> Cow<'_, Value> {
        Cow::Borrowed(&self.canonical)
    }
    fn still_holds(&self, site: &Site, output: &dyn Fn(&str) -> Option<PathBuf>) -> bool {
        S::still_holds(&self.config, site, output)
    }
    fn asks(&self) -> Option<ReviewTerms> {
        S::asks(&self.config)
    }
    fn run(&self, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        S::run(&self.config, cx)
    }
}

/// Parses `with:` of one kind; kept by the registry.
pub(crate) type ConfigureFn = fn(&Value) -> Result<std::sync::Arc<dyn DynStage>, crate::registry::ConfigError>;

/// Returns the JSON schema of a stage's configuration.
pub(crate) fn schema_of<S: Stage>(generator: &mut schemars::SchemaGenerator) -> Schema {
    generator.subschema_for::<S::Config>()
}

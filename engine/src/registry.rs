//! The kinds of stage a binary knows, and the resolvers of its sources.

use std::{collections::BTreeMap, sync::Arc};

use schemars::{Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::{
    ArtifactKind, ArtifactViewer, Determinism, DynStage, SourceResolver, Stage,
    stage::{ConfigureFn, Configured, schema_of},
    strict::Strict,
};

/// One registered kind.
pub struct Kind {
    /// The word after `uses:`.
    pub name: &'static str,
    /// The number after `@`.
    pub major: u32,
    /// See [`Stage::REVISION`].
    pub revision: u32,
    /// See [`Stage::DETERMINISM`].
    pub determinism: Determinism,
    /// The schema of `with:`.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    configure: ConfigureFn,
}

/// Every kind of stage by name. Filled once, by explicit calls, at the composition root.
#[derive(Default)]
pub struct StageRegistry {
    kinds: BTreeMap<&'static str, Kind>,
    resolvers: BTreeMap<&'static str, Arc<dyn SourceResolver>>,
    viewers: BTreeMap<ArtifactKind, Arc<dyn ArtifactViewer>>,
}

impl StageRegistry {
    /// No kinds yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind.
    ///
    /// # Panics
    /// On a second kind of the same name: a programmer's error.
    #[must_use]
    pub fn with<S: Stage>(mut self) -> Self {
        let kind = Kind {
            name: S::KIND,
            major: S::MAJOR,
            revision: S::REVISION,
            determinism: S::DETERMINISM,
            schema: schema_of::<S>,
            configure: configure::<S>,
        };
        assert!(self.kinds.insert(S::KIND, kind).is_none(), "stage kind {} is registered twice", S::KIND);
        self
    }

    /// Adds a resolver of pinned sources.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn SourceResolver>) -> Self {
        self.resolvers.insert(resolver.scheme(), resolver);
        self
    }

    /// Adds a viewer of the rows of one kind of artifact.
    #[must_use]
    pub fn with_viewer(mut self, viewer: Arc<dyn ArtifactViewer>) -> Self {
        self.viewers.insert(viewer.kind(), viewer);
        self
    }

    /// The viewer of a kind of artifact.
    pub fn viewer(&self, kind: ArtifactKind) -> Option<&Arc<dyn ArtifactViewer>> {
        self.viewers.get(&kind)
    }

    /// All kinds by name.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.values()
    }

    /// One kind.
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.get(name)
    }

    /// The resolver of a scheme.
    pub fn resolver(&self, scheme: &str) -> Option<&Arc<dyn SourceResolver>> {
        self.resolvers.get(scheme)
    }
}

impl Kind {
    /// Parses a configuration of this kind. The error names the path inside `with:`.
    pub fn configure(&self, with: &Value) -> Result<Arc<dyn DynStage>, ConfigError> {
        (self.configure)(with)
    }
}

/// A configuration that a stage does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// Where, from the root of the configuration.
    pub path: Vec<PathStep>,
    /// What is wrong there: lower case, no period.
    pub message: String,
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// To the value of a key.
    Key(String),
    /// To an item of a list.
    Index(usize),
}

impl ConfigError {
    /// Parses a value and keeps the path of an error.
    pub(crate) fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, Self> {
        // Following the path costs a copy of every key, which a value without an error need not pay.
        if let Ok(parsed) = T::deserialize(Strict(value)) {
            return Ok(parsed);
        }
        serde_path_to_error::deserialize(Strict(value)).map_err(|error| {
            let path = error.path().iter().filter_map(PathStep::of).collect();
            Self { path, message: error.into_inner().to_string() }
        })
    }
}

impl PathStep {
    pub(crate) fn key(name: &str) -> Self {
        Self::Key(name.to_owned())
    }

    fn of(segment: &Segment) -> Option<Self> {
        match segment {
            Segment::Seq { index } => Some(Self::Index(*index)),
            Segment::Map { key } => Some(Self::Key(key.clone())),
            // An externally tagged variant is the one key of its map.
            Segment::Enum { variant } => Some(Self::Key(variant.clone())),
            Segment::Unknown => None,
        }
    }
}

fn configure<S: Stage>(with: &Value) -> Result<Arc<dyn DynStage>, ConfigError> {
    let config: S::Config = ConfigError::parse(with)?;
    let configured =
        Configured::<S>::new(config).map_err(|error| ConfigError { path: Vec::new(), message: error.to_string() })?;
    Ok(Arc::new(configured))
}

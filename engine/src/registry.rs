//! The kinds of stage a binary knows, and the resolvers of its sources.

use std::{collections::BTreeMap, sync::Arc};

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::{
    DynStage, SourceResolver, Stage,
    stage::{Configured, ConfigureFn, schema_of},
};

/// One registered kind.
pub struct Kind {
    /// The word after `uses:`.
    pub name: &'static str,
    /// The number after `@`.
    pub major: u32,
    /// The schema of `with:`.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    configure: ConfigureFn,
}

/// Every kind of stage by name. Filled once, by explicit calls, at the composition root.
#[derive(Default)]
pub struct StageRegistry {
    kinds: BTreeMap<&'static str, Kind>,
    resolvers: BTreeMap<&'static str, Arc<dyn SourceResolver>>,
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
        let kind = Kind { name: S::KIND, major: S::MAJOR, schema: schema_of::<S>, configure: configure::<S> };
        assert!(self.kinds.insert(S::KIND, kind).is_none(), "stage kind {} is registered twice", S::KIND);
        self
    }

    /// Adds a resolver of pinned sources.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn SourceResolver>) -> Self {
        self.resolvers.insert(resolver.scheme(), resolver);
        self
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
    pub fn configure(&self, with: Value) -> Result<Arc<dyn DynStage>, String> {
        (self.configure)(with)
    }
}

fn configure<S: Stage>(with: Value) -> Result<Arc<dyn DynStage>, String> {
    let config: S::Config = serde_json::from_value(with).map_err(|error| error.to_string())?;
    let configured = Configured::<S>::new(config).map_err(|error| error.to_string())?;
    Ok(Arc::new(configured))
}

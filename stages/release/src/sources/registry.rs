//! `registry:NAME@ALIAS` or `registry:NAME@VERSION`: a version of our own registry, used where it lies.

use flow_engine::{Locate, Located, SourceError, SourceResolver};

use super::{body, refused_with};
use crate::models::{ModelRegistry, Reference};

/// Resolves `registry:` URIs.
pub struct RegistryResolver;

impl SourceResolver for RegistryResolver {
    fn scheme(&self) -> &'static str {
        "registry"
    }

    fn locate(&self, request: &Locate<'_>) -> Result<Located, SourceError> {
        let fail = |error: &crate::models::RegistryError| {
            refused_with(request, error.to_string(), "`flow models ls` lists names, versions, and aliases")
        };
        let reference: Reference = body(request).parse().map_err(|error| fail(&error))?;
        let registry = ModelRegistry::open(request.registry).map_err(|error| fail(&error))?;
        let version = registry.resolve(&reference).map_err(|error| fail(&error))?;
        Ok(Located::InPlace(version.directory))
    }
}

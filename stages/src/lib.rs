//! The composition root: names every stage, resolver, and model loader, and holds no logic of its own.

pub mod host;

use flow_engine::StageRegistry;

/// Every stage and source resolver this binary knows.
pub fn registry() -> StageRegistry {
    let registry = StageRegistry::new();
    let registry = flow_data::register(registry);
    let registry = flow_model::register(registry);
    flow_release::register::<flow_model::Loader>(registry)
}

//! `registry/push`: makes an adapter an immutable version of the model registry, with its evidence and lineage.

use std::{collections::BTreeMap, fs, path::Path};

use flow_engine::{ArtifactKind, Effect, Ports, Stage, StageContext, StageError, context::Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::models::{Alias, AliasExpectation, Base, ModelName, ModelRegistry, NewVersion, Registered};

/// Register an adapter as the next immutable version of a model.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushConfig {
    /// The model's name in the registry.
    name: ModelName,
    /// The model the adapter was trained over: the same URI as in `train/sft`.
    base: String,
    /// One sentence for the model card.
    #[serde(default)]
    description: String,
    /// SPDX identifier of the result, or `LicenseRef-…`.
    licence: String,
    /// Aliases to point at the new version.
    #[serde(default = "candidate")]
    aliases: Vec<Alias>,
}

fn candidate() -> Vec<Alias> {
    "candidate".parse().into_iter().collect()
}

/// The stage kind.
pub struct Push;

/// What the `ref` output holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRef {
    /// The model.
    pub name: ModelName,
    /// Its version.
    pub version: u32,
    /// Digest of the version's content.
    pub content: String,
    /// The model the adapter lies over.
    pub base: Base,
}

impl VersionRef {
    /// Reads a `ref` artifact.
    pub fn read(path: &Path) -> Result<Self, StageError> {
        let bytes = fs::read(path)?;
        serde_json::from_slice(&bytes).map_err(|error| StageError::input("cannot read the model reference").because(&error))
    }
}

impl Stage for Push {
    type Config = PushConfig;
    const KIND: &'static str = "registry/push";
    const REVISION: u32 = 1;
    const EFFECT: Effect = Effect::Publishes;
    const READS_ANCESTORS: bool = true;

    fn ports(_: &PushConfig) -> Ports {
        Ports::new()
            .reads("model", ArtifactKind::Adapter)
            .reads_optional("report", ArtifactKind::Report)
            .reads_optional("approval", ArtifactKind::Approval)
            .writes("ref", ArtifactKind::Ref)
    }

    fn still_holds(_: &PushConfig, site: &Site, output: &dyn Fn(&str) -> Option<std::path::PathBuf>) -> bool {
        let Some(reference) = output("ref").and_then(|path| VersionRef::read(&path).ok()) else { return false };
        let standing = ModelRegistry::open(&site.registry).and_then(|registry| registry.read(&reference.name, reference.version));
        standing.is_ok_and(|registered| registered.version.content == reference.content)
    }

    fn run(config: &PushConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let base = base_of(config, cx)?;
        let registry = ModelRegistry::open(&cx.site().registry)?;
        let pushed = registry.push(&config.name, new_version(config, cx, base.clone())?)?;
        for alias in &config.aliases {
            registry.set_alias((&config.name, alias), pushed.version.version, AliasExpectation::Any)?;
        }
        cx.measure("version", f64::from(pushed.version.version));
        write_ref(cx.output("ref")?, (&pushed, base))
    }
}

fn new_version(config: &PushConfig, cx: &StageContext<'_>, base: Base) -> Result<NewVersion, StageError> {
    let mut contents = vec![("adapter".to_owned(), cx.input("model")?.to_path_buf())];
    for (port, place) in [("report", "evidence/report"), ("approval", "evidence/approval.json")] {
        contents.extend(cx.input_optional(port).map(|path| (place.to_owned(), path.to_path_buf())));
    }
    Ok(NewVersion {
        contents,
        base,
        description: config.description.clone(),
        licence: config.licence.clone(),
        workflow: cx.workflow().to_owned(),
        metrics: evidence_metrics(cx),
        lineage: cx.ancestors().to_vec(),
    })
}

/// What the stage that wrote the bound report measured; times and speeds are not evidence.
fn evidence_metrics(cx: &StageContext<'_>) -> BTreeMap<String, f64> {
    let Some(report) = cx.inputs("report").first() else { return BTreeMap::new() };
    let judge = cx.ancestors().iter().find(|ancestor| ancestor.outputs.get("report") == Some(&report.digest));
    let metrics = judge.map(|ancestor| ancestor.metrics.clone()).unwrap_or_default();
    metrics.into_iter().filter(|(name, _)| !name.starts_with("volatile")).collect()
}

/// The base model as an upstream stage read it, which also proves that the adapter was made over it.
fn base_of(config: &PushConfig, cx: &StageContext<'_>) -> Result<Base, StageError> {
    let read = cx.ancestors().iter().find_map(|ancestor| ancestor.sources.get(&config.base));
    let blake3 = read.copied().ok_or_else(|| {
        StageError::input(format!("no stage upstream read {}", config.base))
            .help("give registry/push the same `base` as train/sft")
    })?;
    Ok(Base { uri: config.base.clone(), blake3 })
}

fn write_ref(path: &Path, (pushed, base): (&Registered, Base)) -> Result<(), StageError> {
    let Registered { version, .. } = pushed;
    let reference = VersionRef { name: version.name.clone(), version: version.version, content: version.content.clone(), base };
    let json = serde_json::to_vec_pretty(&reference)
        .map_err(|error| StageError::internal("cannot serialize the model reference").because(&error))?;
    fs::write(path, json)?;
    Ok(())
}

//! Doing the work of a capsule again, offline, and comparing what comes out.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Component, Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;

use super::{CapsuleError, Checked, CheckedStage, Unpacked, blob_name, check::read_node, is_program, source_name};
use crate::{
    Artifact, ArtifactKind, Determinism, Digest, DynStage, Effect, StageContext, StageError, StageRegistry,
    artifact::ArtifactForm,
    context::{BoundInput, Invocation, Progress, Reporter, Site},
    plan::{mixed_seed, restore_stage},
    source::SourceFile,
    store::{NodeEntry, Staged, Store},
};

/// What became of one stage.
#[derive(Clone, Debug, Serialize)]
pub struct Rerun {
    /// The stage.
    pub stage: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: RerunOutcome,
}

/// What came of doing it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum RerunOutcome {
    /// Every output has the same digest.
    Equal,
    /// An output differs.
    Differs {
        /// The port.
        port: String,
        /// Its digest in the capsule.
        expected: Digest,
        /// Its digest now.
        found: Digest,
        /// Whether a difference is allowed: the bytes may depend on the machine.
        allowed: bool,
    },
    /// It failed.
    Failed {
        /// Why.
        error: String,
    },
    /// It was not done again.
    Skipped {
        /// Why.
        why: String,
    },
}

/// Nobody watches.
struct Silent;

impl Reporter for Silent {
    fn progress(&self, _: &Progress) {}

    fn metric(&self, _: &str, _: f64) {}

    fn cancelled(&self) -> bool {
        false
    }
}

/// Does every stage again that can be, in a folder that is used for nothing else.
pub fn rerun(
    unpacked: &Unpacked,
    checked: &Checked,
    registry: &StageRegistry,
    folder: &Path,
) -> Result<Vec<Rerun>, CapsuleError> {
    let store = Store::open(&folder.join("store"))?;
    let again = Again { unpacked, checked, registry, folder, store };
    let ran = |stage: &CheckedStage| Rerun { stage: stage.name.clone(), outcome: again.stage(stage) };
    Ok(checked.stages.iter().filter(|stage| !stage.outputs.is_empty()).map(ran).collect())
}

struct Again<'a> {
    unpacked: &'a Unpacked,
    checked: &'a Checked,
    registry: &'a StageRegistry,
    folder: &'a Path,
    store: Store,
}

impl Again<'_> {
    fn stage(&self, stage: &CheckedStage) -> RerunOutcome {
        let Some(preimage) = &stage.preimage else { return skipped("its pre-image is not inside") };
        let config = preimage.get("params").cloned().unwrap_or_default();
        let restored = match restore_stage(self.registry, &stage.kind, &config) {
            Ok(restored) => restored,
            Err(error) => return skipped(format!("this flow cannot do it: {}", error.message)),
        };
        if let Some(why) = self.reason_to_skip(preimage, restored.as_ref()) {
            return skipped(why);
        }
        match self.outputs(stage, (preimage, restored.as_ref())) {
            Ok(found) => compared(stage, &found, restored.determinism()),
            Err(error) => RerunOutcome::Failed { error: error.to_string() },
        }
    }

    fn reason_to_skip(&self, preimage: &Value, stage: &dyn DynStage) -> Option<String> {
        let made_by = preimage.get("revision").and_then(Value::as_u64).unwrap_or_default();
        if made_by != u64::from(stage.revision()) {
            return Some(format!("it was made by revision {made_by}, this flow has revision {}", stage.revision()));
        }
        match (stage.effect(), stage.determinism()) {
            (Effect::Decides, _) => return Some("a person decided it".to_owned()),
            (Effect::Publishes, _) => return Some("it publishes outside the store".to_owned()),
            (Effect::Pure, Determinism::Nondeterministic) => return Some("its bytes differ each time".to_owned()),
            (Effect::Pure, Determinism::Deterministic | Determinism::Seeded) => {}
        }
        let missing =
            sources(preimage).into_iter().find(|(_, _, digest)| !self.unpacked.folder.join(source_name(digest)).exists());
        missing.map(|(source, name, _)| format!("its source {source} is not inside ({name})"))
    }

    fn outputs(
        &self,
        stage: &CheckedStage,
        (preimage, restored): (&Value, &dyn DynStage),
    ) -> Result<BTreeMap<String, Digest>, StageError> {
        let place = self.folder.join("again").join(stage.key.as_ref().map(Digest::to_string).unwrap_or_default());
        let invocation = self.invocation(&place, (preimage, restored))?;
        let ended = catch_unwind(AssertUnwindSafe(|| restored.run(&mut StageContext::new(&invocation, &Silent))));
        ended.unwrap_or_else(|_| Err(StageError::internal("the stage panicked")))?;
        let mut digests = BTreeMap::new();
        for (port, artifact) in &stage.outputs {
            let path = invocation.outputs.get(port).cloned().unwrap_or_default();
            let ingested = self.store.cas().ingest(&[Staged { path, kind: artifact.kind }])?;
            digests.extend(ingested.first().map(|artifact| (port.clone(), artifact.digest)));
        }
        Ok(digests)
    }

    fn invocation(&self, place: &Path, (preimage, stage): (&Value, &dyn DynStage)) -> Result<Invocation, StageError> {
        let scratch = place.join("scratch");
        fs::create_dir_all(&scratch)?;
        fs::create_dir_all(place.join("out"))?;
        let outputs = stage.ports().outputs.into_iter().map(|port| (port.name.clone(), place.join("out").join(port.name)));
        let seed = preimage.get("seed").and_then(Value::as_u64).unwrap_or_default();
        Ok(Invocation {
            inputs: self.inputs(place, preimage)?,
            outputs: outputs.collect(),
            sources: self.sources(place, preimage)?,
            seed: mixed_seed(seed, stage.kind()),
            limit: preimage.get("limit").and_then(Value::as_u64),
            scratch,
            site: Site {
                registry: self.folder.join("registry"),
                store: self.store.root().to_owned(),
                base: place.join("sources"),
            },
            decision: None,
            ancestors: Vec::new(),
            workflow: self.checked.workflow.clone(),
        })
    }

    fn inputs(&self, place: &Path, preimage: &Value) -> Result<BTreeMap<String, Vec<BoundInput>>, StageError> {
        let mut inputs: BTreeMap<String, Vec<BoundInput>> = BTreeMap::new();
        for input in preimage.get("inputs").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
            let digest: Option<Digest> = text("digest").parse().ok();
            let artifact = digest.and_then(|digest| self.artifact(&digest));
            let artifact = artifact.ok_or_else(|| StageError::input(format!("input {} is not inside", text("port"))))?;
            let bound = inputs.entry(text("port").to_owned()).or_default();
            let path = place.join("in").join(inner(text("port"))).join(bound.len().to_string());
            lay_out(&self.unpacked.folder, &artifact, &path)?;
            bound.push(BoundInput { path, digest: artifact.digest, from: String::new() });
        }
        Ok(inputs)
    }

    fn artifact(&self, digest: &Digest) -> Option<Artifact> {
        let mut all = self.checked.stages.iter().flat_map(|stage| stage.outputs.values());
        all.find(|artifact| artifact.digest == *digest).cloned()
    }

    /// Sources by their names, each in a folder of its own: two of them may hold files of one name.
    fn sources(&self, place: &Path, preimage: &Value) -> Result<BTreeMap<String, Vec<SourceFile>>, StageError> {
        let mut laid: BTreeMap<String, Vec<SourceFile>> = BTreeMap::new();
        for (source, name, digest) in sources(preimage) {
            let folder = Digest::of(source.as_bytes()).short();
            let path = place.join("sources").join(folder).join(inner(&name));
            fs::create_dir_all(path.parent().unwrap_or(place))?;
            let bytes = fs::copy(self.unpacked.folder.join(source_name(&digest)), &path)?;
            laid.entry(source).or_default().push(SourceFile { path, name, digest, bytes });
        }
        // A source without files is still one that the stage may ask for.
        for name in preimage.get("sources").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys) {
            laid.entry(name.clone()).or_default();
        }
        Ok(laid)
    }
}

/// Source, name, and digest of every source file, programs of the machine left out.
fn sources(preimage: &Value) -> Vec<(String, String, Digest)> {
    let sources = preimage.get("sources").and_then(Value::as_object).into_iter().flatten();
    let sources = sources.filter(|(source, _)| !is_program(source));
    let file = |source: &str, file: &Value| {
        let text = |name: &str| file.get(name).and_then(Value::as_str);
        Some((source.to_owned(), text("name")?.to_owned(), text("digest")?.parse().ok()?))
    };
    sources
        .flat_map(|(source, files)| files.as_array().into_iter().flatten().filter_map(move |found| file(source, found)))
        .collect()
}

/// A name that stays below a folder: roots are cut off, and what climbs is spelled out.
fn inner(name: &str) -> PathBuf {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("up")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    Path::new(name).components().filter_map(part).collect()
}

/// Lays an artifact of an unpacked capsule out as a file or folder.
fn lay_out(folder: &Path, artifact: &Artifact, place: &Path) -> io::Result<()> {
    fs::create_dir_all(place.parent().unwrap_or(place))?;
    match artifact.form {
        ArtifactForm::Blob => fs::copy(folder.join(blob_name(&artifact.digest)), place).map(drop),
        ArtifactForm::Tree => lay_out_tree(folder, &artifact.digest, place),
    }
}

fn lay_out_tree(folder: &Path, digest: &Digest, place: &Path) -> io::Result<()> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("folder {digest} is not inside"));
    let node = read_node(folder, digest).ok_or_else(missing)?;
    fs::create_dir_all(place)?;
    for (name, entry) in &node.entries {
        let path = place.join(std::ffi::OsStr::from_bytes(name));
        match entry {
            NodeEntry::File { digest, executable, .. } => {
                fs::copy(folder.join(blob_name(digest)), &path)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(if *executable { 0o755 } else { 0o644 }))?;
            }
            NodeEntry::Folder { digest } => lay_out_tree(folder, digest, &path)?,
            NodeEntry::Link { target } => symlink(std::ffi::OsStr::from_bytes(target), &path)?,
        }
    }
    Ok(())
}

fn skipped(why: impl Into<String>) -> RerunOutcome {
    RerunOutcome::Skipped { why: why.into() }
}

fn compared(stage: &CheckedStage, found: &BTreeMap<String, Digest>, determinism: Determinism) -> RerunOutcome {
    // Reports tell how long the work took.
    let judged = stage.outputs.iter().filter(|(_, artifact)| artifact.kind != ArtifactKind::Report);
    for (port, artifact) in judged {
        match found.get(port) {
            Some(digest) if *digest == artifact.digest => {}
            Some(digest) => {
                let allowed = determinism != Determinism::Deterministic;
                return RerunOutcome::Differs { port: port.clone(), expected: artifact.digest, found: *digest, allowed };
            }
            None => return RerunOutcome::Failed { error: format!("it did not write its output {port}") },
        }
    }
    RerunOutcome::Equal
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{
        export::capsule::{FORMAT, Manifest},
        run::RunId,
        testing::toys,
    };

    /// Whoever makes a capsule names its ports; unpacked, nothing of it may land outside the folder it is laid out in.
    #[test]
    fn a_port_that_climbs_is_laid_out_below_the_stage() {
        let folder = tempfile::tempdir().unwrap();
        let (digest, place) = (Digest::of(b"x"), folder.path().join("rerun/again/key"));
        fs::create_dir_all(folder.path().join("cas")).unwrap();
        fs::write(folder.path().join(blob_name(&digest)), "x").unwrap();
        let artifact = Artifact { kind: ArtifactKind::File, digest, form: ArtifactForm::Blob, bytes: 1 };
        let outputs = crate::Named::from([("out".to_owned(), artifact)]);
        let stage = CheckedStage { name: "a".to_owned(), kind: "cmd".to_owned(), key: None, outputs, preimage: None };
        let (run, workflow) = (RunId::generate(), "w".to_owned());
        let checked = Checked { run: run.to_string(), workflow, stages: vec![stage], files: 0, bytes: 0, left_out: Vec::new() };
        let manifest = Manifest {
            format: FORMAT,
            flow: String::new(),
            run,
            workflow: String::new(),
            outcome: None,
            left_out: Vec::new(),
            files: BTreeMap::new(),
        };
        let unpacked = Unpacked { manifest, folder: folder.path().to_owned(), digest };
        let (registry, store) = (toys(), Store::open(&folder.path().join("rerun/store")).unwrap());
        let again = Again { unpacked: &unpacked, checked: &checked, registry: &registry, folder: folder.path(), store };
        let elsewhere = folder.path().join("elsewhere");
        for port in ["../../../elsewhere", elsewhere.to_str().unwrap()] {
            let inputs = again.inputs(&place, &json!({"inputs": [{"port": port, "digest": digest}]})).unwrap();
            assert!(inputs[port][0].path.starts_with(&place) && inputs[port][0].path.is_file(), "{port}");
            assert!(!elsewhere.exists(), "{port}");
        }
    }
}

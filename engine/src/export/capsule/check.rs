//! Whether a capsule holds: every key follows from its pre-image, every input was somebody's output, every object is what its
//! name says, and every result is the one the journal tells of.

use std::{collections::BTreeSet, fs, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    CapsuleError, Finding, JOURNAL, LeftOut, Unpacked, blob_name, is_program, node_name, preimage_name, result_name, source_name,
};
use crate::{
    Artifact, Digest, Named,
    artifact::ArtifactForm,
    canonical::encode,
    journal,
    plan::KEY_CONTEXT,
    run::{RunError, RunState, StageState},
    store::{ActionResult, Node, NodeEntry},
};

/// A capsule that holds.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The run.
    pub run: String,
    /// The workflow's name.
    pub workflow: String,
    /// Its stages in topological order.
    pub stages: Vec<CheckedStage>,
    /// Files that were checked.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Source files that keys name and that are not inside.
    pub left_out: Vec<LeftOut>,
}

/// One stage of it.
#[derive(Clone, Debug, Serialize)]
pub struct CheckedStage {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its action key, recomputed.
    pub key: Option<Digest>,
    /// Outputs by port.
    pub outputs: Named<Artifact>,
    /// What its key was hashed from.
    #[serde(skip)]
    pub preimage: Option<Value>,
}

/// Checks everything that can be checked without running anything.
pub fn check(unpacked: &Unpacked) -> Result<Checked, CapsuleError> {
    let entries = journal::read(&unpacked.folder.join(JOURNAL)).map_err(RunError::from)?;
    let state = RunState::replay(&entries).map_err(|source| RunError::History { run: unpacked.manifest.run, source })?;
    let left_out = unpacked.manifest.left_out.iter().map(|left| left.digest).collect();
    let mut checker = Checker { unpacked, left_out, findings: Vec::new(), sound: BTreeSet::new(), written: BTreeSet::new() };
    let stages: Vec<CheckedStage> = state.stages.iter().map(|stage| checker.stage(stage)).collect();
    if state.run != unpacked.manifest.run {
        checker.findings.push(Finding::new(JOURNAL, format!("it is that of run {}", state.run)));
    }
    if !checker.findings.is_empty() {
        return Err(CapsuleError::Refuted { findings: checker.findings });
    }
    let files = &unpacked.manifest.files;
    Ok(Checked {
        run: state.run.to_string(),
        workflow: state.workflow.clone(),
        stages,
        files: files.len(),
        bytes: files.values().map(|file| file.bytes).sum(),
        left_out: unpacked.manifest.left_out.clone(),
    })
}

struct Checker<'a> {
    unpacked: &'a Unpacked,
    /// Source files that are said not to be inside.
    left_out: BTreeSet<Digest>,
    findings: Vec<Finding>,
    /// Objects that were looked at.
    sound: BTreeSet<Digest>,
    /// What the stages that were looked at wrote.
    written: BTreeSet<Digest>,
}

impl Checker<'_> {
    fn find(&mut self, what: &str, problem: impl Into<String>) {
        self.findings.push(Finding::new(what, problem));
    }

    fn read<T: DeserializeOwned>(&mut self, what: &str, name: &str) -> Option<T> {
        let read = fs::read(self.unpacked.folder.join(name)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if read.is_none() {
            self.find(what, format!("{name} is missing or cannot be read"));
        }
        read
    }

    fn stage(&mut self, stage: &StageState) -> CheckedStage {
        let preimage = stage.key.as_ref().and_then(|key| self.key(stage, key));
        if let Some(preimage) = &preimage {
            self.inputs(stage, preimage);
            self.sources(stage, preimage);
        }
        if let (Some(key), false) = (&stage.key, stage.outputs.is_empty()) {
            self.result(stage, key);
        }
        for (port, artifact) in &stage.outputs {
            self.artifact(&format!("{}.{port}", stage.name), artifact);
            self.written.insert(artifact.digest);
        }
        CheckedStage {
            name: stage.name.clone(),
            kind: stage.kind.clone(),
            key: stage.key,
            outputs: stage.outputs.clone(),
            preimage,
        }
    }

    /// The key of a stage, computed anew from what it was hashed from.
    fn key(&mut self, stage: &StageState, key: &Digest) -> Option<Value> {
        let name = preimage_name(key);
        // A stage that failed before it began to work has none.
        if stage.outputs.is_empty() && !self.unpacked.manifest.files.contains_key(&name) {
            return None;
        }
        let preimage: Value = self.read(&stage.name, &name)?;
        match encode(&preimage).map(|bytes| Digest::derive(KEY_CONTEXT, &bytes)) {
            Ok(found) if found == *key => {}
            Ok(found) => self.find(&stage.name, format!("its key is {key}, but its pre-image gives {found}")),
            Err(error) => self.find(&stage.name, format!("its pre-image has no key: {error}")),
        }
        if preimage.get("kind").and_then(Value::as_str) != Some(stage.kind.as_str()) {
            self.find(&stage.name, format!("it is a {}, but its pre-image says otherwise", stage.kind));
        }
        Some(preimage)
    }

    /// Every input is an output of a stage before it.
    fn inputs(&mut self, stage: &StageState, preimage: &Value) {
        for input in preimage.get("inputs").and_then(Value::as_array).into_iter().flatten() {
            let digest = input.get("digest").and_then(Value::as_str).and_then(|text| text.parse::<Digest>().ok());
            if digest.is_none_or(|digest| !self.written.contains(&digest)) {
                let port = input.get("port").and_then(Value::as_str).unwrap_or_default();
                self.find(&stage.name, format!("its input {port} was written by no stage before it"));
            }
        }
    }

    /// Every source is inside, or said to be left out.
    fn sources(&mut self, stage: &StageState, preimage: &Value) {
        let sources = preimage.get("sources").and_then(Value::as_object);
        let packed = sources.into_iter().flatten().filter(|(source, _)| !is_program(source));
        let files = packed.flat_map(|(_, files)| files.as_array().into_iter().flatten());
        for file in files {
            let digest = file.get("digest").and_then(Value::as_str).and_then(|text| text.parse::<Digest>().ok());
            let Some(digest) = digest.filter(|digest| !self.left_out.contains(digest)) else { continue };
            self.object(&stage.name, (&source_name(&digest), &digest));
        }
    }

    fn result(&mut self, stage: &StageState, key: &Digest) {
        let Some(result) = self.read::<ActionResult>(&stage.name, &result_name(key)) else { return };
        if result.key != *key || result.outputs != stage.outputs {
            self.find(&stage.name, "its recorded result is not what the journal says");
        }
    }

    fn artifact(&mut self, what: &str, artifact: &Artifact) {
        match artifact.form {
            ArtifactForm::Blob => self.object(what, (&blob_name(&artifact.digest), &artifact.digest)),
            ArtifactForm::Tree => self.tree(what, &artifact.digest),
        }
    }

    /// A file under the name of its content. That its bytes are those of the manifest was seen when it was unpacked.
    fn object(&mut self, what: &str, (name, digest): (&str, &Digest)) {
        match self.unpacked.manifest.files.get(name) {
            Some(file) if file.blake3 == *digest => {}
            Some(file) => self.find(what, format!("{name} holds {}", file.blake3)),
            None => self.find(what, format!("{name} is missing")),
        }
    }

    fn tree(&mut self, what: &str, digest: &Digest) {
        if !self.sound.insert(*digest) {
            return;
        }
        let name = node_name(digest);
        let node = read_node(&self.unpacked.folder, digest);
        let Some(node) = node else { return self.find(what, format!("{name} is missing, or not what its name says")) };
        for (entry, found) in &node.entries {
            let what = format!("{what}/{}", String::from_utf8_lossy(entry));
            match found {
                NodeEntry::File { digest, .. } => self.object(&what, (&blob_name(digest), digest)),
                NodeEntry::Folder { digest } => self.tree(&what, digest),
                NodeEntry::Link { .. } => {}
            }
        }
    }
}

/// A folder of an unpacked capsule, if it is what its name says.
pub(super) fn read_node(folder: &Path, digest: &Digest) -> Option<Node> {
    let bytes = fs::read(folder.join(node_name(digest))).ok()?;
    Node::decode(&bytes).filter(|node| node.digest() == *digest)
}

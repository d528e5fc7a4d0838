//! What moves between stages: a kind and the digest of its content.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;

/// The kinds of artifact a port can carry. The engine compares kinds; only stages know what is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// A directory of Arrow IPC parts that hold records.
    Rows,
    /// A directory of Arrow IPC parts that hold token ids and labels.
    Tokens,
    /// A Hugging Face model folder.
    Model,
    /// A PEFT adapter folder.
    Adapter,
    /// A directory with `report.json` and `report.html`.
    Report,
    /// Scored items of an evaluation, one JSON object a line.
    Items,
    /// A recorded decision about reviewed digests.
    Approval,
    /// A reference to an immutable version in the registry.
    Ref,
    /// One file of any content, from a `cmd` stage.
    File,
    /// One directory of any content, from a `cmd` stage.
    Dir,
    /// Whatever is bound: for ports that review or archive. Never the kind of an output.
    Any,
}

impl ArtifactKind {
    /// How files and keys write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Tokens => "tokens",
            Self::Model => "model",
            Self::Adapter => "adapter",
            Self::Report => "report",
            Self::Items => "items",
            Self::Approval => "approval",
            Self::Ref => "ref",
            Self::File => "file",
            Self::Dir => "dir",
            Self::Any => "any",
        }
    }
}

/// One immutable output of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// What the port says it carries.
    pub kind: ArtifactKind,
    /// The blob's digest for a file, the tree's digest for a directory.
    pub digest: Digest,
    /// Whether `digest` names a blob or a tree.
    pub form: ArtifactForm,
    /// Content bytes, all files of a tree added up.
    pub bytes: u64,
}

/// How an artifact lies in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactForm {
    /// One file.
    Blob,
    /// A directory.
    Tree,
}

//! The engine of `flow`: files, hashes, graphs, and events. It knows no text, table, tensor, or terminal.

pub mod artifact;
pub mod canonical;
pub mod component;
pub mod context;
pub mod digest;
pub mod error;
pub mod export;
pub mod expression;
pub mod govern;
pub mod history;
pub mod horizon;
pub mod journal;
pub mod lock;
pub mod machine;
pub mod migrate;
mod path_bytes;
pub mod plan;
mod program;
pub mod project;
pub mod registry;
pub mod report;
pub mod resources;
pub mod run;
mod sandbox;
pub mod schema;
pub mod settings;
pub mod source;
pub mod stage;
pub mod store;
mod strict;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod units;
pub mod viewer;
pub mod workflow;

pub use artifact::{Artifact, ArtifactKind};
pub use context::StageContext;
pub use digest::Digest;
pub use error::{StageError, StageErrorKind};
pub use registry::StageRegistry;
pub use sandbox::supports_strict;
pub use source::{Locate, Located, ProgramRef, SourceError, SourceRef, SourceResolver};
pub use stage::{Determinism, DynStage, Effect, Ports, Resources, Stage};
pub use units::{Fraction, Secret, Seed};
pub use viewer::ArtifactViewer;

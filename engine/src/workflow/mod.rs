//! `workflow.yaml` as text: a tree with the byte span of every node and key, the typed document, and every problem of a file.
//!
//! Leans on a YAML event parser and serde. It knows neither stages nor the store: [`crate::plan`] checks what the names mean.

mod cache;
mod command;
mod document;
mod duration;
mod file;
mod foreach;
mod hooks;
mod load;
mod operations;
mod params;
mod parse;
mod problem;
mod profiles;
mod scalar;
mod stages;
pub(crate) mod suggest;
mod template;
mod text;
mod tree;
mod typed;

pub use command::{SandboxLevel, ToolsDeclaration};
pub use document::{
    ComponentInput, ComponentOutput, Defaults, EnvironmentValue, ForeachDocument, InputBinding, ItemType, OutputDeclaration,
    ParamDeclaration, ParamType, ProfileDocument, RetryDocument, Scalar, StageDocument, Texts, Version, WorkflowDocument,
};
pub use duration::{InvalidPeriod, Period};
pub use hooks::{Channel, Hook, HookCommand, Hooks, SecretText};
pub use operations::{Repeats, ResourcesDocument, Stall};
pub use problem::Problem;
pub use text::{Position, SourceText, Span};

pub(crate) use cache::TreeCache;
pub(crate) use foreach::Each;
pub(crate) use load::{Loaded, Loading, Opened, load, open};
pub(crate) use params::{Given, GivenValue, ParamValues};
pub(crate) use parse::parse;
pub(crate) use problem::Problems;
pub(crate) use stages::LoadedStage;
pub(crate) use template::{Names, Piece, Substitution, Template};
pub(crate) use tree::{Node, NodeValue};
pub(crate) use typed::{Telling, every_error, every_other_error, unknown_field};

/// The keys and values of a workflow's text; none when it is not one document of YAML.
pub(crate) fn structure(text: &str) -> Option<serde_json::Value> {
    let mut problems = Problems::default();
    parse::parse(&SourceText::new("", text), &mut problems).filter(|_| problems.is_empty()).map(|root| root.to_json())
}

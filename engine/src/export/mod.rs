//! Runs told to others: traces and lineage events while they go on, messages when they end, and files that hold them whole.
//!
//! Leans on what [`crate::run`] journals, [`crate::history`] records, and [`crate::store`] keeps. Nothing here changes a run:
//! a receiver that does not answer is told in the log.

mod account;
pub mod capsule;
pub(crate) mod hooks;
pub(crate) mod http;
mod lineage;
mod outbox;
mod provenance;
mod rocrate;
mod span;
#[cfg(test)]
mod testing;
mod trace;

pub use account::{Account, StageAccount};
pub use lineage::{LineageSettings, lineage_events};
pub use provenance::{signed, statements};
pub use rocrate::{Layout, lay_out, metadata};

use crate::{plan::Plan, project::Project, run::Observer};

/// Gives the value of a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The observers that this project and environment ask for: traces to a collector, lineage to a file or a server.
pub fn observers(plan: &Plan, project: &Project, environment: Environment<'_>) -> Vec<Box<dyn Observer>> {
    let mut observers: Vec<Box<dyn Observer>> = Vec::new();
    if let Some(tracer) = trace::Tracer::start(environment) {
        observers.push(Box::new(tracer));
    }
    if let Some(reporter) = lineage::Reporter::start(plan, (&project.settings.openlineage, &project.root), environment) {
        observers.push(Box::new(reporter));
    }
    observers
}

//! `flow schema`.

use clap::Args;
use flow_engine::schema::workflow_schema;

use crate::{CliError, ExitStatus, Shell};

/// Print the JSON schema of workflow files, for editors and other tools
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow schema > workflow.schema.json

Then, as the first line of a workflow file:
  # yaml-language-server: $schema=./workflow.schema.json")]
pub(crate) struct SchemaArgs {}

pub(super) fn execute(_: &SchemaArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let schema = workflow_schema(&shell.registry);
    let text = serde_json::to_string_pretty(&schema).map_err(|error| CliError::internal("cannot print the schema", &error))?;
    crate::ui::print(&format!("{text}\n"));
    Ok(ExitStatus::Ok)
}

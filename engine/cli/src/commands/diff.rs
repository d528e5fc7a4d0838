//! `flow diff`.

use clap::Args;
use flow_engine::{
    history::{artifact_difference, find_output, run_difference},
    store::Store,
};
use serde_json::json;

use super::find::Found;
use crate::{CliError, ExitStatus, Shell, history};

/// Say how two runs differ: parameters, workflow, code, data, and numbers
///
/// With `STAGE.PORT` the artifacts there are compared: files, and rows by their names.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow diff                          the latest run against the one before it
  flow diff 01JDF3 latest
  flow diff latest~2 latest clean.rows
  flow diff --json")]
pub(crate) struct DiffArgs {
    /// The first run
    #[arg(default_value = "latest~1", value_name = "RUN")]
    from: String,
    /// The second run
    #[arg(default_value = "latest", value_name = "RUN")]
    to: String,
    /// Compare this output
    #[arg(value_name = "STAGE.PORT")]
    output: Option<String>,
}

pub(super) fn execute(args: &DiffArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (from, to) = (Found::run(shell, &args.from)?, Found::run(shell, &args.to)?);
    let store = Store::open(&to.project.site.store)?;
    if let Some(name) = &args.output {
        let artifacts = (find_output(&from.state, name)?, find_output(&to.state, name)?);
        let found = artifact_difference(&store, &shell.registry, artifacts)?;
        if shell.ui.json() {
            crate::ui::document(&json!({ "output": name, "from": from.run, "to": to.run, "difference": found }));
        } else {
            crate::ui::print(&history::artifact(name, &found, shell.ui));
        }
        return Ok(ExitStatus::Ok);
    }
    let found = run_difference(&to.project, (from.run, to.run))?;
    if shell.ui.json() {
        crate::ui::document(&found);
    } else {
        crate::ui::print(&history::difference(&found, &store, shell.ui));
    }
    Ok(ExitStatus::Ok)
}

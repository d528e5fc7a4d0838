//! `flow compare`.

use std::path::PathBuf;

use clap::Args;
use flow_engine::{
    history::run_table,
    run::{History, RunId},
};

use super::find;
use crate::{CliError, ExitStatus, Shell, history, text::near_here};

/// Put several runs side by side: parameters that differ, numbers, and loss curves on a page
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow compare                                the latest run and the one before it
  flow compare latest~3 latest~1 latest --metric eval.f1
  flow compare 01JDF3 01JE2K --html compare.html")]
pub(crate) struct CompareArgs {
    /// The runs, the one to compare with first
    #[arg(value_name = "RUN", default_values = ["latest~1", "latest"])]
    runs: Vec<String>,
    /// Show only this number, `STAGE.METRIC` or `METRIC`; may be repeated
    #[arg(long, value_name = "METRIC")]
    metric: Vec<String>,
    /// Write a page with plots, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn execute(args: &CompareArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let history = History::of(&shell.project()?);
    let runs: Vec<RunId> = args.runs.iter().map(|name| history.find(name)).collect::<Result<_, _>>()?;
    let table = run_table(&history, &runs, &args.metric)?;
    if let Some(unknown) = table.metrics.iter().find(|line| line.values.iter().all(Option::is_none)) {
        let all = run_table(&history, &runs, &[])?;
        return Err(find::unknown_metric(&unknown.name, &all.metrics.iter().map(|line| line.name.as_str()).collect()));
    }
    if let Some(file) = &args.html {
        let failed = |error: std::io::Error| {
            CliError::usage(format!("cannot write {}: {error}", file.display()), "name a file in a folder that exists")
        };
        std::fs::write(file, history::page(&table)).map_err(failed)?;
    }
    if shell.ui.json() {
        crate::ui::document(&table);
    } else {
        crate::ui::print(&history::table(&table, shell.ui));
        if let Some(file) = &args.html {
            crate::ui::note(&format!("  page  {}", near_here(file).display()));
        }
    }
    Ok(ExitStatus::Ok)
}

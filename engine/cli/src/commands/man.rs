//! `flow man`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use clap_mangen::Man;

use crate::{CliError, ExitStatus, Shell, args};

/// Print the manual page, or write one for every command into a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow man | man -l -
  flow man ~/.local/share/man/man1     then `man flow-run`")]
pub(crate) struct ManArgs {
    /// The folder to write into
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) fn execute(args: &ManArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let mut command = args::command(shell.version);
    // Filled-in subcommands carry the global options and their full names.
    command.build();
    match &args.folder {
        None => {
            let page = page(&command).map_err(|error| CliError::internal("cannot make the manual page", &error))?;
            crate::ui::print(&String::from_utf8_lossy(&page));
        }
        Some(folder) => {
            let written = write_all(&command, folder).map_err(|error| {
                let message = format!("cannot write manual pages into {}: {error}", folder.display());
                CliError::usage(message, "name a folder that may be written to")
            })?;
            if shell.ui.json() {
                crate::ui::document(&written);
            } else {
                crate::ui::print(&format!("{} pages in {}\n", written.len(), folder.display()));
            }
        }
    }
    Ok(ExitStatus::Ok)
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    // The grouped list of commands is laid out for a terminal; the page has its own.
    let about = command.get_about().cloned().unwrap_or_default();
    Man::new(command.clone().about(about)).section("1").source("flow").render(&mut page)?;
    Ok(page)
}

/// Writes `flow.1` and a page for every command.
fn write_all(command: &clap::Command, folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let mut written = Vec::new();
    for command in std::iter::once(command).chain(shown) {
        // A built subcommand is called `flow-run` where it stands alone.
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        let place = folder.join(format!("{name}.1"));
        fs::write(&place, page(command)?)?;
        written.push(place);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = args::command("1.0.0");
        command.build();
        let written = write_all(&command, folder.path()).unwrap();
        assert!(written.len() > 10, "{written:?}");
        let run = fs::read_to_string(folder.path().join("flow-run.1")).unwrap();
        for part in [".TH", "flow-run", "SYNOPSIS", "\\-\\-only", "flow run"] {
            assert!(run.contains(part), "{part}: {run}");
        }
        assert!(!folder.path().join("flow-exec-stage.1").exists());
    }
}

//! `flow init`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{CliError, ExitStatus, Shell, ui::Tone};

/// Start a project: a small workflow that runs, and what belongs beside it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow init                          programs of your own as stages, in this folder
  flow init --template quickstart triage   fine-tune a small model, in the folder triage")]
pub(crate) struct InitArgs {
    /// The folder; made if it does not exist
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// What the workflow does
    #[arg(long, value_enum, default_value_t = Template::Command)]
    template: Template,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Template {
    /// Commands of any language: three small stages that count words
    Command,
    /// A fine-tune of a small language model, from tickets to a judged adapter
    Quickstart,
}

const SETTINGS: (&str, &str) = ("flow.toml", include_str!("../../templates/flow.toml"));
const IGNORED: (&str, &str) = (".gitignore", include_str!("../../templates/gitignore"));

impl Template {
    fn files(self) -> Vec<(&'static str, &'static str)> {
        let own: &[(&str, &str)] = match self {
            Self::Command => &[
                ("workflow.yaml", include_str!("../../templates/command/workflow.yaml")),
                ("tools/words.sh", include_str!("../../templates/command/tools/words.sh")),
                ("tools/count.sh", include_str!("../../templates/command/tools/count.sh")),
                ("tools/report.sh", include_str!("../../templates/command/tools/report.sh")),
                ("data/monday.txt", include_str!("../../templates/command/data/monday.txt")),
                ("data/tuesday.txt", include_str!("../../templates/command/data/tuesday.txt")),
            ],
            Self::Quickstart => &[
                ("workflow.yaml", include_str!("../../templates/quickstart/workflow.yaml")),
                ("tickets.jsonl", include_str!("../../../../workflows/quickstart/tickets.jsonl")),
            ],
        };
        own.iter().copied().chain([SETTINGS, IGNORED]).collect()
    }
}

pub(super) fn execute(args: &InitArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let files = args.template.files();
    refuse_existing(&args.folder, &files)?;
    let mut written = Vec::new();
    for (name, text) in files {
        let place = args.folder.join(name);
        // Settings and ignored files of a project that is there already stay as they are.
        if place.exists() && (name == SETTINGS.0 || name == IGNORED.0) {
            continue;
        }
        write_new(&place, text)?;
        written.push(name);
    }
    if shell.ui.json() {
        crate::ui::document(&json!({ "folder": args.folder, "written": written }));
    } else {
        let sign = shell.ui.out.tone(Tone::Good, "✓");
        let lines = written.iter().map(|name| format!("  {sign} {}\n", args.folder.join(name).display()));
        let list = lines.collect::<Vec<_>>().concat();
        crate::ui::print(&format!("{list}\n{}", next(&args.folder)));
    }
    Ok(ExitStatus::Ok)
}

/// What to type now.
fn next(folder: &Path) -> String {
    let enter = if folder == Path::new(".") { String::new() } else { format!("  next  cd {}\n", folder.display()) };
    format!(
        "{enter}  next  flow check     says whether the file is sound\n  next  flow run       runs it; a second time everything is cached\n"
    )
}

fn refuse_existing(folder: &Path, files: &[(&str, &str)]) -> Result<(), CliError> {
    let mine = files.iter().map(|(name, _)| *name).filter(|name| *name != SETTINGS.0 && *name != IGNORED.0);
    let there: Vec<String> = mine
        .map(|name| folder.join(name))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    let message = format!("{} exists already, and nothing is overwritten", there.join(", "));
    Err(CliError::usage(message, "name another folder, such as `flow init my-project`"))
}

/// Writes a file that must not exist yet.
fn write_new(place: &Path, text: &str) -> Result<(), CliError> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::File::create_new(place)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| {
        CliError::usage(format!("cannot write {}: {error}", place.display()), "check that the folder may be written to")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_has_a_workflow_that_says_how_to_run_it() {
        for template in [Template::Command, Template::Quickstart] {
            let files = template.files();
            let (_, workflow) = files.iter().find(|(name, _)| *name == "workflow.yaml").unwrap();
            assert!(workflow.contains("flow: 1\n") && workflow.contains("flow run\n"), "{template:?}");
            for (name, text) in &files {
                assert!(!text.is_empty() && text.ends_with('\n') && !name.starts_with('/'), "{name}");
            }
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("workflow.yaml"), "mine").unwrap();
        let files = Template::Command.files();
        let error = refuse_existing(folder.path(), &files).unwrap_err();
        assert!(error.as_diagnostic().to_string().contains("workflow.yaml exists already"));
        assert!(write_new(&folder.path().join("workflow.yaml"), "x").is_err());
        assert_eq!(fs::read_to_string(folder.path().join("workflow.yaml")).unwrap(), "mine");
    }
}

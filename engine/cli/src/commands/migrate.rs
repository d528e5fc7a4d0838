//! `flow migrate`.

use std::{fs, path::PathBuf};

use clap::Args;
use flow_engine::migrate::{Change, migrate};
use serde_json::json;

use crate::{
    CliError, ExitStatus, Shell,
    text::push,
    ui::{Tone, Ui},
};

/// Rewrite older spellings of a workflow file to `flow: 1`, keeping comments and layout
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow migrate old.yaml            show what would change
  flow migrate old.yaml --write    change it; then `flow check old.yaml`")]
pub(crate) struct MigrateArgs {
    /// The workflow file
    #[arg(default_value = "workflow.yaml")]
    file: PathBuf,
    /// Write the new text into the file
    #[arg(long)]
    write: bool,
}

pub(super) fn execute(args: &MigrateArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let name = args.file.display().to_string();
    let help = "name a workflow file that may be read and written";
    let refused = |what: &str, error: &std::io::Error| CliError::usage(format!("cannot {what} {name}: {error}"), help);
    let text = fs::read_to_string(&args.file).map_err(|error| refused("read", &error))?;
    let migration = migrate(&name, &text)?;
    if args.write && !migration.changes.is_empty() {
        replace(&args.file, &migration.text).map_err(|error| refused("write", &error))?;
    }
    if shell.ui.json() {
        let written = args.write && !migration.changes.is_empty();
        crate::ui::document(&json!({ "file": name, "changes": migration.changes, "written": written }));
    } else {
        crate::ui::print(&told(&name, &migration.changes, (args.write, shell.ui)));
    }
    Ok(ExitStatus::Ok)
}

fn told(name: &str, changes: &[Change], (write, ui): (bool, Ui)) -> String {
    if changes.is_empty() {
        return format!("{name} is up to date\n");
    }
    let mut out = format!("--- {name}\n+++ {name}\n");
    for change in changes {
        out.push_str(&ui.out.tone(Tone::Quiet, &format!("@@ line {} @@", change.line)));
        out.push('\n');
        if let Some(old) = &change.old {
            out.push_str(&ui.out.tone(Tone::Bad, &format!("-{old}")));
            out.push('\n');
        }
        out.push_str(&ui.out.tone(Tone::Good, &format!("+{}", change.new)));
        out.push('\n');
    }
    let next = if write { format!("flow check {name}") } else { format!("flow migrate {name} --write") };
    push(&mut out, format_args!("\n  next  {next}\n"));
    out
}

/// Writes beside the file and renames, so that the old text is never half gone. Its permissions stay.
fn replace(file: &std::path::Path, text: &str) -> std::io::Result<()> {
    // A link is followed: its target is what is meant.
    let file = file.canonicalize()?;
    let temporary = file.with_extension(format!("migrate-{}", std::process::id()));
    let written = fs::write(&temporary, text)
        .and_then(|()| fs::set_permissions(&temporary, file.metadata()?.permissions()))
        .and_then(|()| fs::File::open(&temporary)?.sync_all())
        .and_then(|()| fs::rename(&temporary, &file));
    if written.is_err() {
        // The write's own error is the one to report.
        fs::remove_file(&temporary).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::{Output, Paint};

    #[test]
    fn changes_are_shown_as_lines_with_the_next_command() {
        let ui = Ui { out: Paint::Plain, ..Ui::detect(Output::Text) };
        let changes = [Change { line: 2, old: Some("on: {}".into()), new: "hooks: {}".into() }];
        let text = told("w.yaml", &changes, (false, ui));
        assert!(text.contains("@@ line 2 @@\n-on: {}\n+hooks: {}\n"), "{text}");
        assert!(text.ends_with("next  flow migrate w.yaml --write\n"));
        assert!(told("w.yaml", &[], (true, ui)).contains("up to date"));
    }

    #[test]
    fn writing_replaces_the_text_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w.yaml");
        fs::write(&file, "old").unwrap();
        replace(&file, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

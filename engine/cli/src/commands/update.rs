//! `flow update`.

use std::path::PathBuf;

use clap::Args;
use flow_engine::{
    component::{Moved, Update, update},
    project::Project,
};

use crate::{CliError, ExitStatus, Shell, environment, ui::Tone, ui::Ui};

/// Move the pins of flow.lock to what their tags and branches name now, and say what changed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow update                      every component of a repository
  flow update kit                  the components of the repository kit
  flow update hf:ORG/NAME@main     forget the pin of a source; the next run pins it anew")]
pub(crate) struct UpdateArgs {
    /// A pin by its name in flow.lock, or a repository; all components if left out
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The workflow file whose flow.lock is meant
    #[arg(long, value_name = "FILE", default_value = "workflow.yaml")]
    file: PathBuf,
}

pub(super) fn execute(args: &UpdateArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let project = Project::locate(&args.file, &environment)?;
    let updates = update(&project, &args.names)?;
    if shell.ui.json() {
        crate::ui::document(&updates);
    } else if updates.is_empty() {
        crate::ui::print("flow.lock pins no component; `uses: git:HOST/ORG/REPO//PATH@TAG` would\n");
    } else {
        crate::ui::print(&updates.iter().map(|update| told(update, shell.ui)).collect::<String>());
    }
    Ok(ExitStatus::Ok)
}

fn told(update: &Update, ui: Ui) -> String {
    match update {
        Update::Unchanged { pin, commit } => format!("  ≡ {pin}: still {}\n", short(commit)),
        Update::Released { pin } => format!("  – {pin}: no longer pinned; the next run pins what it finds\n"),
        Update::Moved(moved) => {
            let sign = ui.out.tone(Tone::Watch, "▶");
            format!("  {sign} {}: {} -> {}\n{}", moved.pin, short(&moved.from), short(&moved.to), files(moved))
        }
    }
}

/// What changed, one file a line.
fn files(moved: &Moved) -> String {
    let Some(files) = &moved.files else { return "      the old files are not here, so they cannot be compared\n".to_owned() };
    let line = |sign: &'static str| move |name: &String| format!("      {sign} {name}\n");
    let lines =
        files.added.iter().map(line("+")).chain(files.removed.iter().map(line("-"))).chain(files.changed.iter().map(line("~")));
    lines.collect()
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use flow_engine::component::Replaced;

    use super::*;
    use crate::ui::{Output, Paint};

    #[test]
    fn a_moved_pin_is_told_with_its_files() {
        let files = Replaced { added: vec!["new.yaml".into()], removed: vec![], changed: vec!["a.yaml".into()] };
        let (from, to) = ("0123456789abcdef".to_owned(), "fedcba9876543210".to_owned());
        let moved = Update::Moved(Moved { pin: "git:h/o/kit@v1".into(), from, to, files: Some(files) });
        let ui = Ui { out: Paint::Plain, ..Ui::detect(Output::Text) };
        assert_eq!(told(&moved, ui), "  ▶ git:h/o/kit@v1: 0123456789 -> fedcba9876\n      + new.yaml\n      ~ a.yaml\n");
    }
}

//! `flow keys`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::who::ring;
use crate::{
    CliError, ExitStatus, Shell,
    text::{Cell, Grid, near_here, push},
    ui::Tone,
};

/// Make and list the keys that sign your decisions
///
/// A key lies in your configuration folder, readable by you only. Its public half goes into flow.toml of the projects in
/// which you decide. `FLOW_SIGNING_KEY` may hold a key, or the path of one, where there is no home.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow keys new alice
  flow keys ls")]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print its public half
    New {
        /// What to call it; usually your name
        name: String,
    },
    /// List your keys, and whom this project takes them for
    Ls,
}

pub(super) fn execute(args: &KeysArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    match &args.command {
        KeysCommand::New { name } => new(name, shell),
        KeysCommand::Ls => list(shell),
    }
}

fn new(name: &str, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (key, path) = ring(&shell.project()?).create(name)?;
    if shell.ui.json() {
        crate::ui::document(&json!({ "name": name, "key": key, "file": path }));
        return Ok(ExitStatus::Ok);
    }
    let paint = shell.ui.out;
    let mut text = format!("{} {} made, readable by you only\n\n", paint.tone(Tone::Good, "✓"), near_here(&path).display());
    push(&mut text, format_args!("  For flow.toml of every project in which {name} decides:\n\n"));
    push(&mut text, format_args!("    [trust]\n    {} = {{key = \"{key}\", roles = []}}\n", quoted(name)));
    crate::ui::print(&text);
    Ok(ExitStatus::Ok)
}

/// A name as a key of TOML.
fn quoted(name: &str) -> String {
    let bare = name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
    if bare { name.to_owned() } else { format!("\"{name}\"") }
}

fn list(shell: &Shell) -> Result<ExitStatus, CliError> {
    let project = shell.project()?;
    let held = ring(&project).held();
    let owner = |key| project.governance.trust.owner(key);
    if shell.ui.json() {
        let rows: Vec<_> = held
            .iter()
            .map(|held| {
                let owner = owner(&held.key);
                json!({ "name": held.name, "key": held.key, "trusted_as": owner.map(|(name, _)| name), "roles": owner.map(|(_, person)| &person.roles) })
            })
            .collect();
        crate::ui::document(&rows);
        return Ok(ExitStatus::Ok);
    }
    if held.is_empty() {
        crate::ui::print("you have no key yet: `flow keys new NAME` makes one\n");
        return Ok(ExitStatus::Ok);
    }
    let mut grid = Grid::headed(&["key", "public half", "in this project"]);
    for held in &held {
        let standing = match owner(&held.key) {
            Some((name, person)) if person.roles.is_empty() => Cell::toned(Tone::Good, name),
            Some((name, person)) => Cell::toned(Tone::Good, format!("{name}, {}", person.roles.join(", "))),
            None => Cell::toned(Tone::Quiet, "not trusted by name"),
        };
        grid.row([Cell::toned(Tone::Strong, held.name.clone()), Cell::plain(held.key.to_string()), standing]);
    }
    crate::ui::print(&grid.render(shell.ui.out, usize::MAX));
    Ok(ExitStatus::Ok)
}

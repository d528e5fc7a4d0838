//! `flow completions`.

use clap::Args;
use clap_complete::Shell as Kind;

use crate::{ExitStatus, Shell, args};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow completions bash > ~/.local/share/bash-completion/completions/flow
  flow completions fish > ~/.config/fish/completions/flow.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Kind,
}

pub(super) fn execute(args: &CompletionsArgs, shell: &Shell) -> ExitStatus {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(shell.version), "flow", &mut script);
    crate::ui::print(&String::from_utf8_lossy(&script));
    ExitStatus::Ok
}

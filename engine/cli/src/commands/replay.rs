//! `flow replay`.

use std::path::{Path, PathBuf};

use clap::Args;
use flow_engine::export::capsule::{Checked, Rerun, RerunOutcome, check, rerun, unpack};
use serde_json::json;

use crate::{
    CliError, ExitStatus, Shell,
    text::{Cell, Grid, bytes, push},
    ui::{Tone, Ui},
};

/// Check a capsule offline: every byte, every key, every result; on request, do its work again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow replay run.tar.zst
  flow replay run.tar.zst --rerun      run its stages again and compare what they write

Exit codes: 0 the capsule holds, 1 it does not")]
pub(crate) struct ReplayArgs {
    /// The capsule
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Run every stage again that can be, and compare digests. This runs the programs that the capsule holds
    #[arg(long)]
    rerun: bool,
}

/// A folder of ours among the temporary ones, removed again.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let name = format!("flow-replay-{}-{}", std::process::id(), jiff::Timestamp::now().as_nanosecond());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Temporary files of the machine are swept anyway.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub(super) fn execute(args: &ReplayArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let scratch = Scratch::new().map_err(|error| {
        CliError::usage(format!("cannot make a temporary folder: {error}"), "name one that may be written to with TMPDIR=FOLDER")
    })?;
    let unpacked = unpack(&args.file, &scratch.folder("capsule"))?;
    let checked = check(&unpacked)?;
    let again = if args.rerun { rerun(&unpacked, &checked, &shell.registry, &scratch.folder("rerun"))? } else { Vec::new() };
    if shell.ui.json() {
        crate::ui::document(&json!({ "capsule": checked, "digest": unpacked.digest, "rerun": again }));
    } else {
        crate::ui::print(&text((&args.file, &checked), &again, shell.ui));
    }
    Ok(if again.iter().any(refutes) { ExitStatus::StageFailed } else { ExitStatus::Ok })
}

/// Whether a result that should be the same everywhere is not.
fn refutes(rerun: &Rerun) -> bool {
    match &rerun.outcome {
        RerunOutcome::Differs { allowed, .. } => !allowed,
        RerunOutcome::Failed { .. } => true,
        RerunOutcome::Equal | RerunOutcome::Skipped { .. } => false,
    }
}

fn text((file, checked): (&Path, &Checked), again: &[Rerun], ui: Ui) -> String {
    let sign = ui.out.tone(Tone::Good, "✓");
    let keys = checked.stages.iter().filter(|stage| stage.preimage.is_some()).count();
    let mut out = format!(
        "  {sign} {}: run {} of {} holds\n      {} files, {}; {keys} keys recomputed\n",
        file.display(),
        checked.run,
        checked.workflow,
        checked.files,
        bytes(checked.bytes),
    );
    if !checked.left_out.is_empty() {
        let first = checked.left_out.first().map(|left| left.source.as_str()).unwrap_or_default();
        push(&mut out, format_args!("      {} source files are not inside, such as those of {first}\n", checked.left_out.len()));
    }
    if !again.is_empty() {
        out.push('\n');
        out.push_str(&reruns(again).render(ui.out, ui.width));
    }
    out
}

fn reruns(again: &[Rerun]) -> Grid {
    let mut grid = Grid::new();
    for rerun in again {
        let (tone, sign, word) = match &rerun.outcome {
            RerunOutcome::Equal => (Tone::Good, "✓", "the same bytes".to_owned()),
            RerunOutcome::Differs { port, expected, found, allowed } => {
                let (tone, note) =
                    if *allowed { (Tone::Watch, " (its bytes may depend on the machine)") } else { (Tone::Bad, "") };
                (tone, "≠", format!("{port}: expected {}, got {}{note}", expected.short(), found.short()))
            }
            RerunOutcome::Failed { error } => (Tone::Bad, "✗", error.clone()),
            RerunOutcome::Skipped { why } => (Tone::Quiet, "–", format!("not done again: {why}")),
        };
        grid.row([Cell::toned(tone, sign), Cell::toned(Tone::Strong, rerun.stage.clone()), Cell::plain(word)]);
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_be_equal_refutes() {
        let digest = flow_engine::Digest::of(b"x");
        let differs = |allowed| RerunOutcome::Differs { port: "out".into(), expected: digest, found: digest, allowed };
        let rerun = |outcome| Rerun { stage: "a".into(), outcome };
        assert!(refutes(&rerun(differs(false))) && refutes(&rerun(RerunOutcome::Failed { error: "x".into() })));
        assert!(!refutes(&rerun(differs(true))) && !refutes(&rerun(RerunOutcome::Equal)));
    }
}

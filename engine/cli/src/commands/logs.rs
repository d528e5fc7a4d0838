//! `flow logs`.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use serde_json::json;

use super::find::Found;
use crate::{CliError, ExitStatus, Shell, ui::Ui};

/// Between two looks at files that grow.
const EVERY: Duration = Duration::from_millis(250);

/// Print what stages wrote to standard output and standard error
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow logs --stage train
  flow logs --stage train --follow
  flow logs 01JDF3")]
pub(crate) struct LogsArgs {
    /// The run
    #[arg(default_value = "latest")]
    run: String,
    /// Only this stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Go on printing until the run ends
    #[arg(long, short)]
    follow: bool,
}

pub(super) fn execute(args: &LogsArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let mut found = Found::run(shell, &args.run)?;
    let known = |found: &Found| found.state.stages.iter().map(|stage| stage.name.clone()).collect::<Vec<_>>().join(", ");
    if let Some(stage) = args.stage.as_ref().filter(|stage| found.state.stage(stage).is_none()) {
        let help = format!("its stages are {}", known(&found));
        return Err(CliError::usage(format!("run {} has no stage {stage:?}", found.run), help));
    }
    let mut tails: Vec<Tail> = Vec::new();
    loop {
        // Asked before reading, so that what was written last is not missed.
        let live = found.history.is_live(found.run);
        open(&mut tails, &found, args.stage.as_deref());
        for tail in &mut tails {
            tail.print(shell.ui);
        }
        if !(args.follow && live) {
            // Once more: a last line without an end is printed when nothing was added to it.
            for tail in &mut tails {
                tail.print(shell.ui);
            }
            if !shell.ui.json() && tails.iter().all(|tail| tail.offset == 0) {
                crate::ui::note(&silence(args.stage.as_deref(), &found));
            }
            return Ok(ExitStatus::Ok);
        }
        std::thread::sleep(EVERY);
        found.state = found.history.load(found.run)?;
    }
}

/// Why there is nothing to print.
fn silence(only: Option<&str>, found: &Found) -> String {
    match only.and_then(|name| found.state.stage(name)) {
        Some(stage) if stage.attempts == 0 => format!("{} started no process in run {}", stage.name, found.run),
        Some(stage) => format!("{} printed nothing in run {}", stage.name, found.run),
        None => format!("no stage printed anything in run {}", found.run),
    }
}

/// Adds the files of attempts that were started since the last look.
fn open(tails: &mut Vec<Tail>, found: &Found, only: Option<&str>) {
    for stage in found.state.stages.iter().filter(|stage| only.is_none_or(|name| name == stage.name)) {
        for attempt in 1..=stage.attempts {
            for stream in ["stdout", "stderr"] {
                let path = found.paths().attempt(&stage.name, attempt).join(stream);
                if path.exists() && !tails.iter().any(|tail| tail.path == path) {
                    tails.push(Tail { stage: stage.name.clone(), attempt, stream, path, offset: 0, rest: Vec::new() });
                }
            }
        }
    }
}

/// A file that grows, printed line by line.
struct Tail {
    stage: String,
    attempt: u32,
    stream: &'static str,
    path: PathBuf,
    offset: u64,
    /// A line without its end yet.
    rest: Vec<u8>,
}

impl Tail {
    fn print(&mut self, ui: Ui) {
        let before = self.offset;
        // A file that cannot be read has nothing new.
        if self.read().is_err() {
            return;
        }
        let ended = before == self.offset;
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.line(ui, String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        }
        if ended && !self.rest.is_empty() {
            let line = std::mem::take(&mut self.rest);
            self.line(ui, &String::from_utf8_lossy(&line));
        }
    }

    fn read(&mut self) -> std::io::Result<()> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        self.offset += u64::try_from(file.read_to_end(&mut self.rest)?).unwrap_or(0);
        Ok(())
    }

    fn line(&self, ui: Ui, line: &str) {
        if ui.json() {
            return crate::ui::document(
                &json!({ "stage": self.stage, "attempt": self.attempt, "stream": self.stream, "line": line }),
            );
        }
        let again = if self.attempt > 1 { format!("#{}", self.attempt) } else { String::new() };
        crate::ui::print(&format!("{} {line}\n", ui.out.quiet(&format!("{}{again} │", self.stage))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Output;

    #[test]
    fn a_line_waits_for_its_end() {
        let path = std::env::temp_dir().join(format!("flow-logs-{}", std::process::id()));
        std::fs::write(&path, "one\ntw").unwrap();
        let mut tail = Tail { stage: "s".into(), attempt: 1, stream: "stdout", path: path.clone(), offset: 0, rest: Vec::new() };
        tail.print(Ui::detect(Output::Json));
        assert_eq!((tail.offset, tail.rest.as_slice()), (6, b"tw".as_slice()));
        std::fs::write(&path, "one\ntwo\n").unwrap();
        tail.print(Ui::detect(Output::Json));
        std::fs::remove_file(&path).unwrap();
        assert_eq!((tail.offset, tail.rest.as_slice()), (8, b"".as_slice()));
    }
}

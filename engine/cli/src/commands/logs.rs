//! `flow logs`.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use flow_engine::{
    plan::selects,
    run::{StageState, StageStatus},
    store::Store,
};
use serde_json::json;

use super::find::Found;
use crate::{CliError, ExitStatus, Shell, progress::streams, ui::Ui};

/// Between two looks at files that grow.
const EVERY: Duration = Duration::from_millis(250);

/// Print what stages wrote to standard output and standard error
///
/// Of a stage that was cached, what it printed when the work was done is printed again and marked as replayed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow logs train
  flow logs --stage train --follow
  flow logs 01JDF3")]
pub(crate) struct LogsArgs {
    /// The run, or a stage of the latest run
    #[arg(default_value = "latest", value_name = "RUN|STAGE")]
    run: String,
    /// Only this stage; 'clean@*' means all of its instances
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Go on printing until the run ends
    #[arg(long, short)]
    follow: bool,
}

pub(super) fn execute(args: &LogsArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (mut found, only) = asked(args, shell)?;
    let known = |found: &Found| found.state.stages.iter().map(|stage| stage.name.clone()).collect::<Vec<_>>().join(", ");
    let none = |wanted: &&String| !found.state.stages.iter().any(|stage| selects(wanted, &stage.name));
    if let Some(stage) = only.as_ref().filter(none) {
        let help = format!("its stages are {}", known(&found));
        return Err(CliError::usage(format!("run {} has no stage {stage:?}", found.run), help));
    }
    let mut tails: Vec<Tail> = Vec::new();
    let mut replay = Replay { store: Store::open(&found.project.site.store)?, shown: BTreeSet::new(), lines: 0 };
    loop {
        // Asked before reading, so that what was written last is not missed.
        let live = found.history.is_live(found.run);
        open(&mut tails, &found, only.as_deref());
        replay.show(&found, only.as_deref(), shell.ui);
        for tail in &mut tails {
            tail.print(shell.ui);
        }
        if !(args.follow && live) {
            // Once more: a last line without an end is printed when nothing was added to it.
            for tail in &mut tails {
                tail.print(shell.ui);
            }
            if !shell.ui.json() && replay.lines == 0 && tails.iter().all(|tail| tail.offset == 0) {
                crate::ui::note(&silence(only.as_deref(), &found));
            }
            return Ok(ExitStatus::Ok);
        }
        std::thread::sleep(EVERY);
        found.state = found.history.load(found.run)?;
    }
}

/// The run and the stage that are meant; a word that names no run may be a stage of the latest one.
fn asked(args: &LogsArgs, shell: &Shell) -> Result<(Found, Option<String>), CliError> {
    let error = match Found::run(shell, &args.run) {
        Ok(found) => return Ok((found, args.stage.clone())),
        Err(error) => error,
    };
    match Found::run(shell, "latest") {
        Ok(latest) if args.stage.is_none() && latest.state.stages.iter().any(|stage| selects(&args.run, &stage.name)) => {
            Ok((latest, Some(args.run.clone())))
        }
        _ => Err(error),
    }
}

/// What cached stages printed when their work was done, each shown once.
struct Replay {
    store: Store,
    shown: BTreeSet<String>,
    lines: usize,
}

impl Replay {
    fn show(&mut self, found: &Found, only: Option<&str>, ui: Ui) {
        for stage in found.state.stages.iter().filter(|stage| only.is_none_or(|wanted| selects(wanted, &stage.name))) {
            if matches!(stage.status, StageStatus::Cached { .. }) && self.shown.insert(stage.name.clone()) {
                self.stage(stage, ui);
            }
        }
    }

    fn stage(&mut self, stage: &StageState, ui: Ui) {
        let Some(log) = stage.key.and_then(|key| self.store.log(&key)) else { return };
        for (stream, text) in streams(&log) {
            for line in text.lines() {
                self.lines += 1;
                if ui.json() {
                    crate::ui::document(
                        &json!({ "stage": stage.name, "stream": stream, "line": line, "replayed_from": log.run }),
                    );
                } else {
                    crate::ui::print(&format!("{} {line}\n", ui.out.quiet(&format!("{} (replayed) │", stage.name))));
                }
            }
        }
    }
}

/// Why there is nothing to print.
fn silence(only: Option<&str>, found: &Found) -> String {
    match (only.and_then(|name| found.state.stage(name)), only) {
        (Some(stage), _) if stage.attempts == 0 => format!("{} started no process in run {}", stage.name, found.run),
        (Some(stage), _) => format!("{} printed nothing in run {}", stage.name, found.run),
        (None, Some(wanted)) => format!("no stage of {wanted} printed anything in run {}", found.run),
        (None, None) => format!("no stage printed anything in run {}", found.run),
    }
}

/// Adds the files of attempts that were started since the last look.
fn open(tails: &mut Vec<Tail>, found: &Found, only: Option<&str>) {
    for stage in found.state.stages.iter().filter(|stage| only.is_none_or(|wanted| selects(wanted, &stage.name))) {
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

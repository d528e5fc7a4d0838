//! Running a command: its arguments, its environment, its process group.

use std::{
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{
    CommandConfig,
    mask::{Carriers, Mask},
    work,
};
use crate::{
    StageContext, StageError,
    stage::Arity,
    workflow::{EnvironmentValue, Piece, Template},
};

/// The same on every machine, so that a result does not depend on somebody's shell.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const POLL: Duration = Duration::from_millis(20);
/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);

pub(super) fn run(config: &CommandConfig, cx: &StageContext<'_>) -> Result<(), StageError> {
    let argv = arguments(config, cx)?;
    let folder = work::prepare(config, cx)?;
    let mask = Mask::of(&secrets(config, cx)?);
    let mut group = Group::start(command(config, cx, (&argv, &folder))?, (&argv, &mask))?;
    let carriers = Carriers::start(&mut group.leader, &mask);
    let status = group.wait(cx);
    drop(group);
    carriers.finish();
    let status = status?;
    if !status.success() {
        return Err(failed(&argv, status));
    }
    work::collect(config, cx, &folder)
}

fn arguments(config: &CommandConfig, cx: &StageContext<'_>) -> Result<Vec<String>, StageError> {
    let mut argv = Vec::with_capacity(config.run.len());
    for argument in &config.run {
        let template = Template::parse(argument).map_err(|error| StageError::input(error.message).help(error.help))?;
        match template.pieces.as_slice() {
            [Piece::Name { root, field }] if root == "in" => argv.extend(input_paths(config, cx, field)),
            pieces => argv.push(pieces.iter().map(|piece| text(piece, config)).collect()),
        }
    }
    Ok(argv)
}

fn input_paths(config: &CommandConfig, cx: &StageContext<'_>, port: &str) -> Vec<String> {
    let arity = config.inputs.get(port).copied().unwrap_or(Arity::One);
    (0..cx.inputs(port).len()).map(|index| work::input_path(port, arity, index)).collect()
}

fn text(piece: &Piece, config: &CommandConfig) -> String {
    match piece {
        Piece::Text(text) => text.clone(),
        Piece::Name { root, field } if root == "in" => work::input_path(field, Arity::One, 0),
        Piece::Name { field, .. } => config.outputs.get(field).map(|output| output.path.clone()).unwrap_or_default(),
    }
}

fn command(config: &CommandConfig, cx: &StageContext<'_>, call: (&[String], &Path)) -> Result<Command, StageError> {
    let (argv, folder) = call;
    let (program, rest) = argv.split_first().ok_or_else(|| StageError::input("the command is empty"))?;
    let mut command = Command::new(program);
    command
        .args(rest)
        .current_dir(folder)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", folder)
        .stdin(Stdio::null())
        .process_group(0);
    for (name, value) in &config.env {
        match value {
            EnvironmentValue::Text(text) => command.env(name, text),
            EnvironmentValue::Secret(secret) => command.env(name, cx.secret(secret)?),
        };
    }
    Ok(command)
}

/// The values that the command may see and its log may not.
fn secrets(config: &CommandConfig, cx: &StageContext<'_>) -> Result<Vec<String>, StageError> {
    let named = config.env.values().filter_map(|value| match value {
        EnvironmentValue::Text(_) => None,
        EnvironmentValue::Secret(secret) => Some(cx.secret(secret)),
    });
    named.collect()
}

fn failed(argv: &[String], status: ExitStatus) -> StageError {
    let program = argv.first().map_or("", String::as_str);
    match (status.code(), status.signal()) {
        (Some(code), _) => {
            StageError::input(format!("command {program} ended with status {code}")).help("`flow logs` shows what it wrote")
        }
        (None, Some(signal)) => StageError::resource(format!("command {program} was killed by signal {signal}")),
        (None, None) => StageError::internal(format!("command {program} ended without a status")),
    }
}

/// A command and everything it starts. Whatever is left of it is killed when this goes away.
struct Group {
    leader: Child,
    pid: Option<Pid>,
}

impl Group {
    fn start(mut command: Command, (argv, mask): (&[String], &Mask)) -> Result<Self, StageError> {
        if !mask.is_empty() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let program = argv.first().map_or("", String::as_str);
        let leader = command.spawn().map_err(|error| {
            let help = format!("install it, or declare it under `code:`; commands are looked up in {PATH}");
            StageError::input(format!("cannot start {program}")).because(&error).help(help)
        })?;
        let pid = i32::try_from(leader.id()).ok().and_then(Pid::from_raw);
        Ok(Self { leader, pid })
    }

    fn wait(&mut self, cx: &StageContext<'_>) -> Result<ExitStatus, StageError> {
        let mut asked: Option<Instant> = None;
        loop {
            if let Some(status) = self.leader.try_wait()? {
                return cx.check_cancelled().map(|()| status);
            }
            match (cx.check_cancelled(), asked) {
                (Err(_), None) => {
                    self.signal(Signal::TERM);
                    asked = Some(Instant::now());
                }
                (Err(cancelled), Some(since)) if since.elapsed() > GRACE => return Err(cancelled),
                _ => {}
            }
            thread::sleep(POLL);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            // A group that is gone already is what was wanted.
            kill_process_group(pid, signal).ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // Reaps the leader; an error only says that it was reaped before.
        self.leader.wait().ok();
    }
}

//! Running a command: its arguments, its walls, its end.

use std::{
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Command, ExitStatus},
};

use super::{
    CommandConfig, environment,
    group::{Group, Launch},
    leak,
    mask::Mask,
    work::{self, Room},
};
use crate::{
    StageContext, StageError,
    run::reap_orphans,
    sandbox::{Reads, SandboxError, Walls},
    stage::Arity,
    workflow::{Piece, SandboxLevel, Template},
};

pub(super) fn run(config: &CommandConfig, cx: &StageContext<'_>) -> Result<(), StageError> {
    let room = Room::prepare(config, cx)?;
    let outcome = run_in(&room, config, cx);
    // Nothing of it is worth keeping, and it may hold a secret; why the command failed counts more than a folder that stays.
    let cleared = room.clear();
    outcome.and(cleared.map_err(StageError::from))
}

fn run_in(room: &Room, config: &CommandConfig, cx: &StageContext<'_>) -> Result<(), StageError> {
    let secrets = environment::secrets(config, cx)?;
    let walls = Walls { reads: Reads::Only(declared(config, cx)?), writes: room.own().map(PathBuf::from).into() };
    let how = match config.sandbox {
        SandboxLevel::None | SandboxLevel::Workdir => Launch::Open,
        SandboxLevel::Strict => Launch::Walled(&walls),
    };
    let call = Call::of(config, cx, room)?;
    let mask = Mask::of(secrets.iter().map(|(_, value)| value.as_str()))?;
    let (mut group, company) = Group::start(call.command(room), &how, &mask).map_err(|error| call.not_started(error))?;
    let status = group.wait(cx);
    // Whatever it left behind must not write any more: what is looked through now is what is kept.
    drop(group);
    reap_orphans();
    company.finish();
    call.judge(status?)?;
    room.check(config)?;
    leak::refuse(config, room, &secrets)?;
    room.collect(config, cx)
}

/// Files outside the working folder that the command may read: what it declares, and the parts of its programs.
pub(super) fn declared(config: &CommandConfig, cx: &StageContext<'_>) -> Result<Vec<PathBuf>, StageError> {
    let programs = config.programs().into_iter().map(|program| program.name());
    let mut paths = Vec::new();
    for name in config.external.iter().cloned().chain(programs) {
        paths.extend(cx.source(&name)?.iter().map(|file| file.path.clone()));
    }
    Ok(paths)
}

/// A command with everything filled in.
pub(super) struct Call {
    argv: Vec<String>,
    variables: Vec<(String, String)>,
    search: String,
}

impl Call {
    pub(super) fn of(config: &CommandConfig, cx: &StageContext<'_>, room: &Room) -> Result<Self, StageError> {
        let argv = arguments(config, cx, room)?;
        if argv.is_empty() {
            return Err(StageError::input("the command is empty"));
        }
        let variables = environment::variables(config, cx, room)?;
        Ok(Self { argv, variables, search: environment::search_path(config).to_owned() })
    }

    fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    pub(super) fn command(&self, room: &Room) -> Command {
        let mut command = Command::new(self.program());
        command.args(self.argv.iter().skip(1)).current_dir(&room.starts_in).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(super) fn not_started(&self, error: SandboxError) -> StageError {
        let SandboxError::Start(cause) = error else { return error.into() };
        let help = format!("install it, or declare it under `code:`; commands are looked up in {}", self.search);
        StageError::input(format!("cannot start {}", self.program())).because(&cause).help(help)
    }

    pub(super) fn judge(&self, status: ExitStatus) -> Result<(), StageError> {
        let program = self.program();
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(StageError::input(format!("command {program} ended with status {code}"))
                .help("`flow logs` shows what it wrote; `flow check --undeclared` lists what it tried to read")),
            (None, Some(signal)) => Err(StageError::resource(format!("command {program} was killed by signal {signal}"))),
            (None, None) => Err(StageError::internal(format!("command {program} ended without a status"))),
        }
    }
}

fn arguments(config: &CommandConfig, cx: &StageContext<'_>, room: &Room) -> Result<Vec<String>, StageError> {
    let mut argv = Vec::with_capacity(config.run.len());
    for argument in &config.run {
        let template = Template::parse(argument).map_err(|error| StageError::input(error.message).help(error.help))?;
        match template.pieces.as_slice() {
            [Piece::Name { root, field }] if root == "in" => argv.extend(input_paths(config, cx, (field, room))),
            pieces => argv.push(pieces.iter().map(|piece| text(piece, config, room)).collect()),
        }
    }
    Ok(argv)
}

fn input_paths(config: &CommandConfig, cx: &StageContext<'_>, (port, room): (&str, &Room)) -> Vec<String> {
    let arity = config.inputs.get(port).copied().unwrap_or(Arity::One);
    (0..cx.inputs(port).len()).map(|index| room.told(work::input_path(port, arity, index))).collect()
}

fn text(piece: &Piece, config: &CommandConfig, room: &Room) -> String {
    match piece {
        Piece::Text(text) => text.clone(),
        Piece::Name { root, field } if root == "in" => room.told(work::input_path(field, Arity::One, 0)),
        Piece::Name { field, .. } => config.outputs.get(field).map(|output| room.told(output.path.clone())).unwrap_or_default(),
    }
}

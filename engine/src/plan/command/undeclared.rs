//! What a command reads, runs, or tries to reach without declaring it, with the line that would declare it.
//!
//! The command runs once, watched, in a folder like any other; where a file of the project is missing there it is laid out
//! and the command runs again, so that one call finds everything. Its outputs are thrown away.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    CommandConfig, environment,
    group::{Group, Launch},
    mask::Mask,
    run::{Call, declared},
    work::{Room, copy},
};
use crate::{
    ProgramRef, StageContext, StageError, program,
    sandbox::{Found, How, Reads, Seen, Walls, is_toolchain},
    workflow::ToolsDeclaration,
};

/// A command that asks for one more file each time is run this often at most.
const ROUNDS: usize = 8;
/// Folders that language package managers fill, and that no fingerprint of a program covers.
const PACKAGES: [&str; 2] = ["site-packages", "dist-packages"];

/// One thing that a command used without declaring it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Undeclared {
    /// What was done with it.
    pub what: What,
    /// The path, program, or address.
    pub name: String,
    /// What to write into the stage.
    pub advice: String,
}

/// What was done with something undeclared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A file of the project was looked for in the working folder, where it is not.
    Missing,
    /// A file was read.
    Read,
    /// A folder was listed.
    List,
    /// A file was to be written outside the working folder.
    Write,
    /// A program was run whose version does not count.
    Program,
    /// Packages of a language were loaded, whose versions do not count.
    Packages,
    /// An address was to be reached.
    Network,
}

/// What a watched run came to.
pub(crate) struct Observed {
    /// Everything undeclared, sorted.
    pub(crate) undeclared: BTreeSet<Undeclared>,
    /// Why the command failed, if it did.
    pub(crate) failure: Option<StageError>,
}

/// Runs a command watched until nothing new shows.
pub(super) fn observe(config: &CommandConfig, cx: &StageContext<'_>) -> Result<Observed, StageError> {
    let mut laid = BTreeSet::new();
    let mut undeclared = BTreeSet::new();
    for _ in 0..ROUNDS {
        let room = Room::prepare(config, cx)?;
        let folder = cx.site().base.join(&config.folder);
        for name in &laid {
            copy(&folder.join(name), &room.work.join(name))?;
        }
        let (seen, outcome) = watched(config, cx, &room)?;
        let judge = Judge::of(config, cx, &room)?;
        let found: BTreeSet<Undeclared> = seen.iter().filter_map(|seen| judge.undeclared(seen)).collect();
        let missing: BTreeSet<String> =
            found.iter().filter(|one| one.what == What::Missing).map(|one| one.name.clone()).collect();
        let before = laid.len();
        laid.extend(missing);
        undeclared.extend(found);
        let failure = outcome.and_then(|()| room.check(config)).err();
        room.clear()?;
        if failure.is_none() || laid.len() == before {
            return Ok(Observed { undeclared, failure });
        }
    }
    Ok(Observed { undeclared, failure: Some(StageError::input("the command asked for ever more files")) })
}

/// Everything that one watched run showed, and how it ended.
fn watched(
    config: &CommandConfig,
    cx: &StageContext<'_>,
    room: &Room,
) -> Result<(BTreeSet<Seen>, Result<(), StageError>), StageError> {
    let secrets = environment::secrets(config, cx)?;
    let walls = Walls { reads: Reads::Everywhere, writes: room.own().map(PathBuf::from).into() };
    let mask = Mask::of(secrets.iter().map(|(_, value)| value.as_str()))?;
    let call = Call::of(config, cx, room)?;
    let (mut group, company) =
        Group::start(call.command(room), &Launch::Watched(&walls), &mask).map_err(|error| call.not_started(error))?;
    let status = group.wait(cx);
    drop(group);
    let seen = company.finish().map(crate::sandbox::Watch::finish).unwrap_or_default();
    Ok((seen, call.judge(status?)))
}

/// Tells declared from undeclared.
struct Judge<'a> {
    config: &'a CommandConfig,
    /// The folder of the file that holds the stage.
    folder: PathBuf,
    /// The folder that paths under `external:` start at.
    base: PathBuf,
    work: PathBuf,
    own: Vec<PathBuf>,
    declared: Vec<PathBuf>,
}

impl<'a> Judge<'a> {
    fn of(config: &'a CommandConfig, cx: &StageContext<'_>, room: &Room) -> Result<Self, StageError> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let base = real(&cx.site().base);
        Ok(Self {
            config,
            folder: real(&base.join(&config.folder)),
            base,
            work: real(&room.work),
            own: room.own().map(real).into(),
            declared: declared(config, cx)?.iter().map(|path| real(path)).collect(),
        })
    }

    fn undeclared(&self, seen: &Seen) -> Option<Undeclared> {
        match seen {
            Seen::Network(address) => {
                let advice = "let a stage before it fetch what it needs; strict commands reach no network".to_owned();
                Some(Undeclared { what: What::Network, name: address.clone(), advice })
            }
            Seen::File { path, how, found: Found::Nothing } => self.absent(path, *how),
            Seen::File { path, how, found } => self.present(path, *how, *found),
        }
    }

    /// A path that leads to nothing matters where the project has such a file, or where one was to be made.
    fn absent(&self, path: &Path, how: How) -> Option<Undeclared> {
        if how == How::Write {
            return self.written(path);
        }
        let name = path.strip_prefix(&self.work).ok()?;
        let output = self.config.outputs.values().any(|output| name.starts_with(Path::new(&output.path)));
        if output || name.starts_with("in") || !self.folder.join(name).is_file() {
            return None;
        }
        let name = name.to_string_lossy().into_owned();
        Some(Undeclared { what: What::Missing, advice: format!("code: [{name}]"), name })
    }

    fn present(&self, path: &Path, how: How, found: Found) -> Option<Undeclared> {
        let real = path.canonicalize().ok()?;
        if self.is_declared(&real) || is_channel(path) {
            return None;
        }
        match how {
            How::Look => None,
            How::Write => self.written(&real),
            How::Run => self.program(&real),
            How::Read if is_toolchain(&real) => self.packages(&real),
            How::Read => {
                let what = if found == Found::Folder { What::List } else { What::Read };
                Some(Undeclared { what, name: real.display().to_string(), advice: self.declaration(&real) })
            }
        }
    }

    fn is_declared(&self, real: &Path) -> bool {
        self.own.iter().chain(&self.declared).any(|known| real.starts_with(known))
    }

    fn written(&self, path: &Path) -> Option<Undeclared> {
        let cache = path.components().any(|part| part.as_os_str() == "__pycache__");
        let own = self.own.iter().any(|own| path.starts_with(own));
        if cache || own || is_channel(path) {
            return None;
        }
        let advice = "write to `${out.PORT}`, or below $TMPDIR what need not stay".to_owned();
        Some(Undeclared { what: What::Write, name: path.display().to_string(), advice })
    }

    fn program(&self, real: &Path) -> Option<Undeclared> {
        if self.config.tools == ToolsDeclaration::Loose {
            return None;
        }
        let name = real.file_name()?.to_string_lossy().into_owned();
        let looked_up = ProgramRef {
            name: name.clone(),
            folder: self.folder.clone(),
            search: environment::search_path(self.config).to_owned(),
        };
        let found = program::find(&looked_up, &self.base).and_then(|path| path.canonicalize().ok());
        let name = if found.as_deref() == Some(real) { name } else { real.display().to_string() };
        Some(Undeclared { what: What::Program, advice: format!("tools: [{name}]"), name })
    }

    /// The folder of packages that a loaded file belongs to. Every start of Python looks through `.pth` files there.
    fn packages(&self, real: &Path) -> Option<Undeclared> {
        let is_packages = |folder: &&Path| folder.file_name().is_some_and(|name| PACKAGES.iter().any(|one| name == *one));
        let folder = real.ancestors().skip(1).find(is_packages)?;
        let start_up = real.is_dir() || real.extension().is_some_and(|end| end == "pth");
        if start_up || self.declared.iter().any(|declared| declared.starts_with(folder)) {
            return None;
        }
        let name = folder.display().to_string();
        Some(Undeclared { what: What::Packages, advice: format!("external: [\"{name}/*-info\"]"), name })
    }

    /// The line that would declare a file.
    fn declaration(&self, real: &Path) -> String {
        if let Ok(name) = real.strip_prefix(&self.folder) {
            return format!("code: [{}]", name.display());
        }
        let name = real.strip_prefix(&self.base).unwrap_or(real);
        format!("external: [{}]", name.display())
    }
}

/// Files that are no files: open descriptors, terminals, and what the kernel tells of itself.
fn is_channel(path: &Path) -> bool {
    path.starts_with("/proc") || (path.starts_with("/dev") && !path.starts_with("/dev/shm"))
}

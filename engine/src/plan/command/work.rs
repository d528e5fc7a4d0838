//! The private folders a command works in.

use std::{
    ffi::OsStr,
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, renameat, statat};

use super::CommandConfig;
use crate::{ArtifactKind, StageContext, StageError, stage::Arity, store::remove_all, workflow::SandboxLevel};

/// Where a command works.
#[derive(Debug)]
pub(super) struct Room {
    /// Holds its inputs and its code, and is where its outputs are looked for.
    pub(super) work: PathBuf,
    /// Its `HOME`, empty.
    pub(super) home: PathBuf,
    /// Its `TMPDIR`, empty.
    pub(super) temporary: PathBuf,
    /// The folder it starts in.
    pub(super) starts_in: PathBuf,
    level: SandboxLevel,
}

impl Room {
    /// Makes the folders anew and lays out the code and the inputs.
    pub(super) fn prepare(config: &CommandConfig, cx: &StageContext<'_>) -> Result<Self, StageError> {
        let room = Self::of(config, cx);
        room.clear()
            .and_then(|()| fs::create_dir_all(room.work.join("in")))
            .and_then(|()| fs::create_dir_all(&room.home))
            .and_then(|()| fs::create_dir_all(&room.temporary))
            .map_err(|error| failed("make the working folder", &error))?;
        if room.level != SandboxLevel::None {
            room.lay_code(config, cx)?;
        }
        for (port, arity) in &config.inputs {
            for (index, input) in cx.inputs(port).iter().enumerate() {
                let to = room.work.join(input_path(port, *arity, index));
                // A copy: a command that wrote through a link would change the stored input for everybody.
                copy(&input.path, &to).map_err(|error| failed(&format!("lay out input {port:?}"), &error))?;
            }
        }
        for output in config.outputs.values() {
            if let Some(parent) = room.work.join(&output.path).parent() {
                fs::create_dir_all(parent)?;
            }
        }
        Ok(room)
    }

    fn of(config: &CommandConfig, cx: &StageContext<'_>) -> Self {
        let work = cx.scratch().join("work");
        let starts_in = match config.sandbox {
            SandboxLevel::None => cx.site().base.join(&config.folder),
            SandboxLevel::Workdir | SandboxLevel::Strict => work.clone(),
        };
        Self { home: cx.scratch().join("home"), temporary: cx.scratch().join("tmp"), work, starts_in, level: config.sandbox }
    }

    /// The folders that belong to the command alone.
    pub(super) fn own(&self) -> [&Path; 3] {
        [&self.work, &self.home, &self.temporary]
    }

    /// Removes the folders.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.own().into_iter().try_for_each(remove_all)
    }

    /// How the command is told of a path of its working folder: as it is seen from where it starts.
    pub(super) fn told(&self, path: String) -> String {
        match self.level {
            SandboxLevel::None => self.work.join(path).to_string_lossy().into_owned(),
            SandboxLevel::Workdir | SandboxLevel::Strict => path,
        }
    }

    fn lay_code(&self, config: &CommandConfig, cx: &StageContext<'_>) -> Result<(), StageError> {
        for pattern in &config.code {
            for file in cx.source(pattern)? {
                // What a link leads to is what was hashed; the link itself would lead elsewhere from here.
                let to = self.work.join(&file.name);
                copy_file(&file.path, &to).map_err(|error| failed(&format!("lay out code {pattern:?}"), &error))?;
            }
        }
        Ok(())
    }

    /// Checks that the command wrote every output, each of the form it declares and inside its working folder.
    pub(super) fn check(&self, config: &CommandConfig) -> Result<(), StageError> {
        for (port, output) in &config.outputs {
            let found = self.found(&output.path).map_err(|error| match error {
                rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
                    StageError::input(format!("output {port:?} at {} lies behind a link or a file", output.path))
                        .help("make the folders above it real ones: a link may lead out of the working folder")
                }
                _ => StageError::input(format!("the command wrote no output {port:?} at {}", output.path))
                    .help(format!("write it to `${{out.{port}}}`, or correct the path under `out:`")),
            })?;
            match output.kind {
                ArtifactKind::File if found != FileType::RegularFile => return Err(wrong_form(port, &output.path, "a file")),
                ArtifactKind::Dir if found != FileType::Directory => return Err(wrong_form(port, &output.path, "a folder")),
                _ => {}
            }
        }
        Ok(())
    }

    /// What lies at a path of the working folder.
    fn found(&self, path: &str) -> rustix::io::Result<FileType> {
        let stat = statat(self.folder_of(path)?, last(path), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }

    /// The folder that holds a path of the working folder, reached through no link: the command may have left one that leads
    /// where it may not go, and this process may.
    fn folder_of(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let only_folders = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder = openat(CWD, &self.work, only_folders, Mode::empty())?;
        for part in Path::new(path).parent().into_iter().flat_map(Path::components) {
            folder = openat(&folder, part.as_os_str(), only_folders, Mode::empty())?;
        }
        Ok(folder)
    }

    /// Moves what the command wrote to where the engine expects it.
    pub(super) fn collect(&self, config: &CommandConfig, cx: &StageContext<'_>) -> Result<(), StageError> {
        for (port, output) in &config.outputs {
            let to = cx.output(port)?;
            let collected = self.folder_of(&output.path).map_err(io::Error::from).and_then(|folder| {
                let name = last(&output.path);
                let through = || Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
                renameat(&folder, name, CWD, to).or_else(|_| copy(&through(), to))
            });
            collected.map_err(|error| failed(&format!("collect output {port:?}"), &error))?;
        }
        Ok(())
    }
}

/// The last part of a path.
fn last(path: &str) -> &OsStr {
    Path::new(path).file_name().unwrap_or_default()
}

/// Where an input lies, relative to the working folder.
pub(super) fn input_path(port: &str, arity: Arity, index: usize) -> String {
    match arity {
        Arity::One | Arity::Optional => format!("in/{port}"),
        Arity::Many => format!("in/{port}/{index}"),
    }
}

fn wrong_form(port: &str, path: &str, what: &str) -> StageError {
    StageError::input(format!("output {port:?} at {path} is not {what}")).help("correct its `kind:` under `out:`")
}

fn failed(what: &str, error: &io::Error) -> StageError {
    StageError::resource(format!("cannot {what}")).because(error)
}

/// Copies a file, a folder with all below it, or a link as a link. Execute bits stay.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !kind.is_dir() {
        return copy_file(from, to);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Copies a file, or the file that a link leads to.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).map(drop)
}

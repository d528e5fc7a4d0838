//! The private folders a command works in.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

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
                let to = self.work.join(&file.name);
                copy(&file.path, &to).map_err(|error| failed(&format!("lay out code {pattern:?}"), &error))?;
            }
        }
        Ok(())
    }

    /// Checks that the command wrote every output, each of the form it declares.
    pub(super) fn check(&self, config: &CommandConfig) -> Result<(), StageError> {
        for (port, output) in &config.outputs {
            let found = fs::symlink_metadata(self.work.join(&output.path)).map_err(|_| {
                StageError::input(format!("the command wrote no output {port:?} at {}", output.path))
                    .help(format!("write it to `${{out.{port}}}`, or correct the path under `out:`"))
            })?;
            match output.kind {
                ArtifactKind::File if !found.is_file() => return Err(wrong_form(port, &output.path, "a file")),
                ArtifactKind::Dir if !found.is_dir() => return Err(wrong_form(port, &output.path, "a folder")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Moves what the command wrote to where the engine expects it.
    pub(super) fn collect(&self, config: &CommandConfig, cx: &StageContext<'_>) -> Result<(), StageError> {
        for (port, output) in &config.outputs {
            let (from, to) = (self.work.join(&output.path), cx.output(port)?);
            fs::rename(&from, to)
                .or_else(|_| copy(&from, to))
                .map_err(|error| failed(&format!("collect output {port:?}"), &error))?;
        }
        Ok(())
    }
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
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

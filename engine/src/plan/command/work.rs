//! The private folder a command works in.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::CommandConfig;
use crate::{ArtifactKind, StageContext, StageError, stage::Arity, store::remove_all};

/// Makes the folder anew and lays out the code and the inputs.
pub(super) fn prepare(config: &CommandConfig, cx: &StageContext<'_>) -> Result<PathBuf, StageError> {
    let work = cx.scratch().join("work");
    remove_all(&work)
        .and_then(|()| fs::create_dir_all(work.join("in")))
        .map_err(|error| failed("make the working folder", &error))?;
    lay_code(config, cx, &work)?;
    for (port, arity) in &config.inputs {
        for (index, input) in cx.inputs(port).iter().enumerate() {
            let to = work.join(input_path(port, *arity, index));
            // A copy: a command that wrote through a link would change the stored input for everybody.
            copy(&input.path, &to).map_err(|error| failed(&format!("lay out input {port:?}"), &error))?;
        }
    }
    for output in config.outputs.values() {
        if let Some(parent) = work.join(&output.path).parent() {
            fs::create_dir_all(parent)?;
        }
    }
    Ok(work)
}

/// Where an input lies, relative to the working folder.
pub(super) fn input_path(port: &str, arity: Arity, index: usize) -> String {
    match arity {
        Arity::One | Arity::Optional => format!("in/{port}"),
        Arity::Many => format!("in/{port}/{index}"),
    }
}

fn lay_code(config: &CommandConfig, cx: &StageContext<'_>, work: &Path) -> Result<(), StageError> {
    let folder = cx.site().base.join(&config.folder);
    for pattern in &config.code {
        for file in cx.source(&config.code_source(pattern))? {
            let inside = file.path.strip_prefix(&folder).ok().or_else(|| file.path.strip_prefix(&cx.site().base).ok());
            let to = work.join(inside.unwrap_or(Path::new(&file.name)));
            copy(&file.path, &to).map_err(|error| failed(&format!("lay out code {pattern:?}"), &error))?;
        }
    }
    Ok(())
}

/// Moves what the command wrote to where the engine expects it.
pub(super) fn collect(config: &CommandConfig, cx: &StageContext<'_>, work: &Path) -> Result<(), StageError> {
    for (port, output) in &config.outputs {
        let from = work.join(&output.path);
        let found = fs::symlink_metadata(&from).map_err(|_| {
            StageError::input(format!("the command wrote no output {port:?} at {}", output.path))
                .help(format!("write it to `${{out.{port}}}`, or correct the path under `out:`"))
        })?;
        match output.kind {
            ArtifactKind::File if !found.is_file() => return Err(wrong_form(port, &output.path, "a file")),
            ArtifactKind::Dir if !found.is_dir() => return Err(wrong_form(port, &output.path, "a folder")),
            _ => {}
        }
        let to = cx.output(port)?;
        fs::rename(&from, to)
            .or_else(|_| copy(&from, to))
            .map_err(|error| failed(&format!("collect output {port:?}"), &error))?;
    }
    remove_all(work).map_err(|error| failed("remove the working folder", &error))
}

fn wrong_form(port: &str, path: &str, what: &str) -> StageError {
    StageError::input(format!("output {port:?} at {path} is not {what}")).help("correct its `kind:` under `out:`")
}

fn failed(what: &str, error: &io::Error) -> StageError {
    StageError::resource(format!("cannot {what}")).because(error)
}

/// Copies a file, a folder with all below it, or a link as a link. Execute bits stay.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
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

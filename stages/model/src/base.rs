//! Where the model that a stage's configuration names lies on this machine.

use std::path::{Component, Path, PathBuf};

use flow_engine::{StageContext, StageError};

/// Returns the GGUF file or the Hugging Face folder behind a pinned source.
pub(crate) fn locate(cx: &StageContext<'_>, uri: &str) -> Result<PathBuf, StageError> {
    let files = cx.source(uri)?;
    let nothing = || StageError::input(format!("source {uri} holds no file")).help("name a GGUF file or a Hugging Face folder");
    let first = files.first().ok_or_else(nothing)?;
    if files.len() == 1 && first.path.extension().is_some_and(|extension| extension == "gguf") {
        return Ok(first.path.clone());
    }
    root(&first.path, &first.name).ok_or_else(nothing)
}

/// Takes a file's name within its source off its path.
fn root(path: &Path, name: &str) -> Option<PathBuf> {
    let depth = Path::new(name).components().filter(|part| matches!(part, Component::Normal(_))).count();
    path.ancestors().nth(depth).map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_above_the_name() {
        let root_of = |path: &str, name: &str| root(Path::new(path), name).unwrap().display().to_string();
        assert_eq!(root_of("/models/tiny/config.json", "config.json"), "/models/tiny");
        assert_eq!(root_of("/models/tiny/a/b.json", "a/b.json"), "/models/tiny");
    }
}

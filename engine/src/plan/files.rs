//! The files that stages name: whether they are there, before anything runs.

use std::{path::Path, sync::Arc};

use super::{configure::Configured, expand::Expansion};
use crate::{
    SourceRef,
    registry::PathStep,
    workflow::{Each, Names, Node, NodeValue, ParamValues, Problems, SourceText, Span, Substitution},
};

/// Looks for the files of an expansion's stages.
pub(super) struct Files<'a> {
    pub(super) expansion: &'a Expansion,
    pub(super) configured: &'a [Option<Configured>],
    /// The folder that sources resolve against.
    pub(super) base: &'a Path,
    pub(super) problems: &'a mut Problems,
}

impl Files<'_> {
    /// Tells every pattern that no file matches.
    pub(super) fn look(&mut self) {
        let expansion = self.expansion;
        for (member, configured) in expansion.members.iter().zip(self.configured) {
            let sources = configured.iter().flat_map(|configured| configured.stage.sources());
            for source in sources {
                let (folder, pattern) = match &source {
                    SourceRef::Files(pattern) => (self.base.to_owned(), pattern),
                    SourceRef::Below { folder, pattern } => (self.base.join(folder), pattern),
                    SourceRef::Pinned(_) | SourceRef::Program(_) => continue,
                };
                if let Some(texts) = missing(pattern, &folder) {
                    self.tell((member.scope, member.index), pattern, texts);
                }
            }
        }
    }

    fn tell(&mut self, at: (usize, usize), pattern: &str, (message, help): (String, String)) {
        let mut problem = self.expansion.problem(at, &[PathStep::key("with")], ("flow::plan::missing_file", message, help));
        let written = self.expansion.scopes.get(at.0).and_then(|scope| {
            let search = Search { pattern, params: &scope.loaded.params, file: &scope.loaded.file };
            search.stage(scope.loaded.stage_node(at.1)?)
        });
        if let Some(span) = written {
            problem.span = span;
        }
        self.problems.add(problem);
    }
}

/// Why a pattern matches no file: message and help.
fn missing(pattern: &str, base: &Path) -> Option<(String, String)> {
    // The folder's own name may hold characters that mean something in a pattern.
    let full = Path::new(&glob::Pattern::escape(&base.to_string_lossy())).join(pattern).to_string_lossy().into_owned();
    match glob::glob(&full) {
        Ok(mut found) => {
            let help = format!("paths are relative to the workflow file's folder, {}", base.display());
            let there = found.any(|path| path.is_ok_and(|path| holds_file(&path)));
            (!there).then(|| (format!("no file matches {pattern:?}"), help))
        }
        Err(error) => Some((format!("cannot understand pattern {pattern:?}"), format!("correct it: {}", error.msg))),
    }
}

/// Whether a path is a file or a folder with one below it.
fn holds_file(path: &Path) -> bool {
    let mut open = vec![path.to_owned()];
    while let Some(next) = open.pop() {
        // A linked folder may lead back up, so it is not walked; that it is empty is not said either.
        if !next.is_dir() || (next.is_symlink() && next != path) {
            return true;
        }
        let entries = std::fs::read_dir(&next).into_iter().flatten().flatten();
        open.extend(entries.map(|entry| entry.path()));
    }
    false
}

/// Finds where a pattern is written.
struct Search<'a> {
    pattern: &'a str,
    params: &'a ParamValues,
    file: &'a Arc<SourceText>,
}

impl Search<'_> {
    fn stage(&self, stage: &Node) -> Option<Span> {
        let places = ["code", "external", "with"].iter().filter_map(|key| stage.get(key)).collect::<Vec<_>>();
        let exact = places.iter().find_map(|node| self.text(node, &|text, pattern| text == pattern));
        // A command's code is relative to its own file, and a folder stands for what is below it.
        exact.or_else(|| places.iter().find_map(|node| self.text(node, &ends)))
    }

    fn text(&self, node: &Node, fits: &dyn Fn(&str, &str) -> bool) -> Option<Span> {
        match &node.value {
            NodeValue::Text(_) => {
                let mut unheard = Problems::default();
                let value = Substitution::new((self.file, self.params), Each::Broken, &mut unheard).value(node, Names::Values);
                value.as_str().is_some_and(|text| fits(text, self.pattern)).then_some(node.span)
            }
            NodeValue::List(items) => items.iter().find_map(|item| self.text(item, fits)),
            NodeValue::Map(entries) => entries.iter().find_map(|entry| self.text(&entry.value, fits)),
            NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) | NodeValue::Broken => None,
        }
    }
}

/// Whether a pattern was made of a text: `./tools` became `parts/tools`.
fn ends(text: &str, pattern: &str) -> bool {
    let plain = text.trim_start_matches("./").trim_end_matches('/');
    !plain.is_empty() && pattern.trim_end_matches("/**/*").ends_with(plain)
}

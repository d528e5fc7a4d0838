//! Older spellings of the workflow language, rewritten to `flow: 1`. Comments, order, and layout stay: only the words change.
//!
//! Leans on the tree of [`crate::workflow`] for the place of every key. What the words mean is not checked here; `flow check`
//! does that afterwards.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::{
    plan::PlanErrors,
    workflow::{Node, NodeValue, Problems, SourceText, Span, parse},
};

/// Keys of a file by their older name.
const FILE_KEYS: [(&str, &str); 5] =
    [("on", "hooks"), ("parameters", "params"), ("vars", "params"), ("steps", "stages"), ("default", "defaults")];
/// Keys of a stage by their older name.
const STAGE_KEYS: [(&str, &str); 10] = [
    ("inputs", "in"),
    ("outputs", "out"),
    ("depends_on", "needs"),
    ("after", "needs"),
    ("when", "if"),
    ("command", "run"),
    ("environment", "env"),
    ("gates", "gate"),
    ("matrix", "foreach"),
    ("config", "with"),
];
/// Kinds that were written without a version are of the first.
const FIRST_MAJOR: &str = "@1";

/// A file and what it should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The new text; the old one when nothing is to be changed.
    pub text: String,
    /// What changed, in the order of the file.
    pub changes: Vec<Change>,
}

/// One change, as lines of the old text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The line in the old text, counted from 1.
    pub line: usize,
    /// What it said; none when the line is new.
    pub old: Option<String>,
    /// What it says now.
    pub new: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    span: Span,
    with: String,
}

/// Rewrites older spellings. A text that is no YAML has problems instead.
pub fn migrate(name: &str, text: &str) -> Result<Migration, PlanErrors> {
    let file = SourceText::new(name, text);
    let mut problems = Problems::default();
    let root = parse(&file, &mut problems);
    match root {
        Some(root) if problems.is_empty() => Ok(rewritten(&file, &edits(&root, text))),
        _ => Err(PlanErrors::new(problems.into_sorted())),
    }
}

fn edits(root: &Node, text: &str) -> Vec<Edit> {
    // An anchor that is used twice is one place in the text.
    let mut edits: BTreeMap<usize, Edit> = BTreeMap::new();
    let mut add = |edit: Edit| drop(edits.insert(edit.span.start, edit));
    version(root, text).into_iter().for_each(&mut add);
    renamed(root, &FILE_KEYS).into_iter().for_each(&mut add);
    for defaults in section(root, &["defaults", "default"]) {
        retries(defaults).into_iter().for_each(&mut add);
    }
    for stages in section(root, &["stages", "steps"]) {
        for stage in stages.entries() {
            renamed(&stage.value, &STAGE_KEYS).into_iter().for_each(&mut add);
            retries(&stage.value).into_iter().for_each(&mut add);
            kind(&stage.value, text).into_iter().for_each(&mut add);
        }
    }
    edits.into_values().collect()
}

fn section<'a>(root: &'a Node, names: &'a [&str]) -> impl Iterator<Item = &'a Node> {
    names.iter().filter_map(|name| root.get(name))
}

/// `flow: 1`, whatever stood there or did not.
fn version(root: &Node, text: &str) -> Option<Edit> {
    let with = "flow: 1".to_owned();
    if let Some(entry) = root.entry("flow") {
        let known = matches!(&entry.value.value, NodeValue::Number(number) if number.as_u64() == Some(1));
        return (!known).then(|| Edit { span: Span::new(entry.key_span.start, entry.value.span.end), with });
    }
    if let Some(entry) = root.entry("version") {
        return Some(Edit { span: Span::new(entry.key_span.start, entry.value.span.end), with });
    }
    // Above the first key, below the comments that stand before it.
    let first = root.entries().first()?;
    let line = text.get(..first.key_span.start)?.rfind('\n').map_or(0, |at| at + 1);
    // A mapping in braces has no line of its own to put it on.
    let braces = text.get(line..first.key_span.start)?.contains('{');
    let (at, with) = if braces { (first.key_span.start, "flow: 1, ".to_owned()) } else { (line, "flow: 1\n".to_owned()) };
    Some(Edit { span: Span::new(at, at), with })
}

/// Keys with an older name, unless the new one stands beside them: two would be one too many.
fn renamed(node: &Node, names: &[(&str, &str)]) -> Vec<Edit> {
    let entries = node.entries().iter().filter_map(|entry| {
        let (_, new) = names.iter().find(|(old, _)| *old == entry.key)?;
        node.entry(new).is_none().then(|| Edit { span: entry.key_span, with: (*new).to_owned() })
    });
    entries.collect()
}

/// `retries: 3` was how often a stage's own error is repeated.
fn retries(node: &Node) -> Option<Edit> {
    let entry = node.entry("retries").filter(|_| node.entry("retry").is_none())?;
    let NodeValue::Number(count) = &entry.value.value else { return None };
    Some(Edit { span: Span::new(entry.key_span.start, entry.value.span.end), with: format!("retry: {{error: {count}}}") })
}

fn kind(stage: &Node, text: &str) -> Option<Edit> {
    let uses = stage.get("uses")?;
    let NodeValue::Text(name) = &uses.value else { return None };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '/' | '_' | '-');
    let written = text.get(uses.span.start..uses.span.end)?;
    let is_kind = name.chars().all(plain) && !name.is_empty() && !name.starts_with('/');
    is_kind.then(|| Edit { span: uses.span, with: written.replacen(name.as_str(), &format!("{name}{FIRST_MAJOR}"), 1) })
}

fn rewritten(file: &Arc<SourceText>, edits: &[Edit]) -> Migration {
    let old = file.text();
    let mut text = String::with_capacity(old.len() + 64);
    let mut done = 0;
    for edit in edits {
        text.push_str(old.get(done..edit.span.start).unwrap_or_default());
        text.push_str(&edit.with);
        done = edit.span.end.max(done);
    }
    text.push_str(old.get(done..).unwrap_or_default());
    let changes = changes(file, edits);
    Migration { text, changes }
}

/// The lines that edits touch, old and new. No edit spans lines; one that ends with a line break adds a line.
fn changes(file: &Arc<SourceText>, edits: &[Edit]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let lines: Vec<&str> = file.text().lines().collect();
    let mut shifted = 0_isize;
    for edit in edits {
        let position = file.position(edit.span.start);
        let old = lines.get(position.line - 1).copied().unwrap_or_default();
        if let Some(added) = edit.with.strip_suffix('\n') {
            changes.push(Change { line: position.line, old: None, new: added.to_owned() });
            continue;
        }
        let start = edit.span.start - line_start(file.text(), edit.span.start);
        // A second edit of the line comes after the first one.
        if let Some(change) = changes.last_mut().filter(|change| change.line == position.line && change.old.is_some()) {
            change.new = spliced(&change.new, (start.saturating_add_signed(shifted), edit));
        } else {
            shifted = 0;
            changes.push(Change { line: position.line, old: Some(old.to_owned()), new: spliced(old, (start, edit)) });
        }
        let (added, removed) = (edit.with.len(), edit.span.end - edit.span.start);
        shifted += isize::try_from(added).unwrap_or(0) - isize::try_from(removed).unwrap_or(0);
    }
    changes
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |found| found + 1)
}

fn spliced(line: &str, (start, edit): (usize, &Edit)) -> String {
    let (before, rest) = line.split_at_checked(start).unwrap_or((line, ""));
    let after = rest.get(edit.span.end - edit.span.start..).unwrap_or_default();
    format!("{before}{}{after}", edit.with)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "\
# What it is for.
version: 0   # the first one
parameters: {lr: {type: float, default: 0.1}}
defaults: {retries: 2}
steps:
  one:  # reads
    uses: toy/emit
    retries: 3   # the network
  two:
    uses: \"toy/concat\"
    inputs: {parts: [one.out]}   # in order
    depends_on: [one]
    when: params.lr > 0
  three: {uses: ./parts/x.yaml, inputs: {a: one.out}, retries: 1}
on:
  failure: []
";
    const NEW: &str = "\
# What it is for.
flow: 1   # the first one
params: {lr: {type: float, default: 0.1}}
defaults: {retry: {error: 2}}
stages:
  one:  # reads
    uses: toy/emit@1
    retry: {error: 3}   # the network
  two:
    uses: \"toy/concat@1\"
    in: {parts: [one.out]}   # in order
    needs: [one]
    if: params.lr > 0
  three: {uses: ./parts/x.yaml, in: {a: one.out}, retry: {error: 1}}
hooks:
  failure: []
";

    #[test]
    fn words_change_and_everything_else_stays() {
        let migration = migrate("w.yaml", OLD).unwrap();
        assert_eq!(migration.text, NEW);
        let again = migrate("w.yaml", NEW).unwrap();
        assert_eq!((again.text.as_str(), again.changes.len()), (NEW, 0));
    }

    #[test]
    fn every_changed_line_is_told_with_its_number() {
        let migration = migrate("w.yaml", OLD).unwrap();
        let (old, new): (Vec<&str>, Vec<&str>) = (OLD.lines().collect(), NEW.lines().collect());
        for change in &migration.changes {
            assert_eq!(change.old.as_deref(), Some(old[change.line - 1]));
            assert_eq!(change.new, new[change.line - 1]);
        }
        let differing = old.iter().zip(&new).filter(|(one, other)| one != other).count();
        assert_eq!(migration.changes.len(), differing);
    }

    #[test]
    fn a_missing_version_is_put_above_the_first_key() {
        let migration = migrate("w.yaml", "# Notes.\n\nname: x\nstages: {}\n").unwrap();
        assert_eq!(migration.text, "# Notes.\n\nflow: 1\nname: x\nstages: {}\n");
        assert_eq!(migration.changes, [Change { line: 3, old: None, new: "flow: 1".to_owned() }]);
        assert_eq!(migrate("w.yaml", "{name: x}\n").unwrap().text, "{flow: 1, name: x}\n");
        assert_eq!(migrate("w.yaml", "flow: \"1\"\nname: x\n").unwrap().text, "flow: 1\nname: x\n");
    }

    #[test]
    fn a_key_that_stands_beside_its_old_name_is_left_to_the_reader() {
        let text = "flow: 1\nstages:\n  a: {uses: toy/emit@1, inputs: {}, in: {}, retries: 1, retry: {error: 2}}\n";
        assert_eq!(migrate("w.yaml", text).unwrap().text, text);
    }

    #[test]
    fn a_text_that_is_no_yaml_has_problems() {
        let problems = migrate("w.yaml", "flow: [1\n").unwrap_err();
        assert!(!problems.problems().is_empty());
    }
}

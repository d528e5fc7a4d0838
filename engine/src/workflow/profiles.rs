//! `profiles:`: named sets of parameters and overrides, chosen with `--profile NAME`.
//!
//! An override becomes part of the tree before anything is read from it, so every later check sees it as if it stood at its
//! place, and points at the profile when it does not fit.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Given, GivenValue, Node, NodeValue, Problem, Problems, SourceText, Span, document::ProfileDocument, every_error, suggest,
    tree::Entry, typed::Telling,
};
use crate::registry::ConfigError;

/// The profiles of one file.
pub(super) struct Profiles<'a> {
    pub(super) file: &'a Arc<SourceText>,
    pub(super) problems: &'a mut Problems,
}

impl Profiles<'_> {
    /// Checks the shape of every profile and where its overrides lead.
    pub(super) fn check(&mut self, root: &Node) {
        let Some(section) = root.get("profiles") else { return };
        for profile in section.entries() {
            let read = every_error(&profile.value.to_json(), ConfigError::parse::<ProfileDocument>);
            if let Err(partial) = read {
                let reference = "a profile holds `params:` and `set:`";
                let telling = Telling { file: self.file, node: Some(&profile.value), whole: profile.key_span, reference };
                telling.tell(&partial.errors, self.problems);
            }
            if profile.value.get("set").is_some_and(|set| !set.entries().is_empty())
                && let Some(mut tried) = root.get("stages").cloned()
            {
                self.assign_all(&mut tried, profile);
            }
        }
    }

    /// Puts the overrides of a profile into the tree and gives its parameters. Gives none when there is no such profile.
    pub(super) fn apply(&mut self, root: &mut Node, name: &str) -> Option<BTreeMap<String, Given>> {
        let profile = root.get("profiles").and_then(|profiles| profiles.entry(name)).cloned();
        let Some(profile) = profile else {
            let known = root.get("profiles").into_iter().flat_map(Node::entries);
            let help = suggest::help(name, "profiles", known.map(|entry| entry.key.as_str()));
            let line = format!("--profile {name}");
            let span = Span::new(0, line.len());
            let file = SourceText::new("command line", line);
            let message = format!("unknown profile `{name}`");
            self.problems.add(Problem {
                code: "flow::plan::unknown_profile",
                message,
                file,
                span,
                label: "here".to_owned(),
                help,
            });
            return None;
        };
        if let Some(stages) = root.get_mut("stages") {
            self.assign_all(stages, &profile);
        }
        Some(given(self.file, &profile))
    }

    fn assign_all(&mut self, stages: &mut Node, profile: &Entry) {
        for entry in profile.value.get("set").into_iter().flat_map(Node::entries) {
            if let Err(refusal) = assign_stage(stages, entry) {
                self.add(entry.key_span, refusal);
            }
        }
    }

    fn add(&mut self, span: Span, refusal: Refusal) {
        let (code, message, help) = refusal;
        self.problems.add(Problem { code, message, file: self.file.clone(), span, label: "here".to_owned(), help });
    }
}

/// The parameters of a profile, as if given from outside.
pub(super) fn given(file: &Arc<SourceText>, profile: &Entry) -> BTreeMap<String, Given> {
    let params = profile.value.get("params").into_iter().flat_map(Node::entries);
    let one = |entry: &Entry| {
        let span = if entry.value.is_collection() { entry.key_span } else { entry.value.span };
        (entry.key.clone(), Given { value: GivenValue::Typed(Some(entry.value.to_json())), file: file.clone(), span })
    };
    params.map(one).collect()
}

type Refusal = (&'static str, String, String);

/// Sets one `STAGE.KEY.KEY` of the tree.
fn assign_stage(stages: &mut Node, set: &Entry) -> Result<(), Refusal> {
    let (stage, rest) = set.key.split_once('.').unwrap_or((&set.key, ""));
    let NodeValue::Map(known) = &mut stages.value else { return Ok(()) };
    if !known.iter().any(|entry| entry.key == stage) {
        let help = match stage.split_once('@') {
            Some((base, _)) if known.iter().any(|entry| entry.key == base) => {
                format!("write `{base}.…`: it holds for every instance of `{base}`")
            }
            _ => suggest::help(stage, "stages", known.iter().map(|entry| entry.key.as_str())),
        };
        return Err(("flow::plan::unknown_stage", format!("unknown stage `{stage}` in a profile"), help));
    }
    if rest.is_empty() {
        let help = format!("name what to set, such as `{stage}.with.limit`");
        return Err((PROFILE, format!("`{}` names a stage and nothing in it", set.key), help));
    }
    let found = known.iter_mut().find(|entry| entry.key == stage).map(|entry| &mut entry.value);
    found.map_or(Ok(()), |node| assign(node, rest, (Under::Keys, set)))
}

const PROFILE: &str = "flow::workflow::profile";

/// How the keys of a mapping are spelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Under {
    /// Without dots.
    Keys,
    /// Names of metrics, which may hold dots.
    Metrics,
}

fn assign(node: &mut Node, path: &str, (under, set): (Under, &Entry)) -> Result<(), Refusal> {
    if matches!(node.value, NodeValue::Null) {
        node.value = NodeValue::Map(Vec::new());
    }
    let kind = node.kind();
    match &mut node.value {
        NodeValue::Map(entries) => assign_key(entries, path, (under, set)),
        NodeValue::List(items) => assign_item(items, path, (under, set)),
        _ => {
            let message = format!("`{}` leads below {kind}", set.key);
            Err((PROFILE, message, "shorten the path: it ends at the value to replace".to_owned()))
        }
    }
}

fn assign_key(entries: &mut Vec<Entry>, path: &str, (under, set): (Under, &Entry)) -> Result<(), Refusal> {
    let begins = |key: &str| path == key || path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    let longest = entries.iter_mut().filter(|entry| begins(&entry.key)).max_by_key(|entry| entry.key.len());
    if let Some(found) = longest {
        if let Some(rest) = path.get(found.key.len() + 1..) {
            return assign(&mut found.value, rest, (metrics(&found.key), set));
        }
        (found.key_span, found.value) = (set.key_span, set.value.clone());
        return Ok(());
    }
    let (key, rest) = match path.split_once('.').filter(|_| under == Under::Keys) {
        Some((key, rest)) => (key, Some(rest)),
        None => (path, None),
    };
    let mut value = rest.map_or_else(|| set.value.clone(), |_| Node { span: set.key_span, value: NodeValue::Map(Vec::new()) });
    if let Some(rest) = rest {
        assign(&mut value, rest, (metrics(key), set))?;
    }
    entries.push(Entry { key: key.to_owned(), key_span: set.key_span, value });
    Ok(())
}

fn metrics(key: &str) -> Under {
    if key == "expect" { Under::Metrics } else { Under::Keys }
}

fn assign_item(items: &mut [Node], path: &str, (under, set): (Under, &Entry)) -> Result<(), Refusal> {
    let (index, rest) = path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
    let count = items.len();
    let Some(item) = index.parse::<usize>().ok().and_then(|index| items.get_mut(index)) else {
        let help = match count {
            0 => "the list is empty: set it as a whole".to_owned(),
            count => format!("write a number from 0 to {}, or set the list as a whole", count - 1),
        };
        return Err((PROFILE, format!("`{index}` is no item of the list that `{}` leads to", set.key), help));
    };
    if let Some(rest) = rest {
        return assign(item, rest, (under, set));
    }
    *item = set.value.clone();
    Ok(())
}

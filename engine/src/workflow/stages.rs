//! The stages of one file: each read alone, once for every instance of its `foreach:`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    NodeValue, ParamValues, Span, StageDocument, every_other_error,
    foreach::{Each, Foreach, Instance},
    load::{Reader, first_line},
    suggest,
    template::{Names, Substitution},
    tree::{Entry, Node},
    typed::{expected_words, missing_field, unknown_field},
};
use crate::registry::{ConfigError, PathStep};

/// Keys that only a command may have.
const COMMAND_KEYS: [&str; 7] = ["run", "code", "env", "out", "external", "sandbox", "tools"];

/// One stage, or one instance of it, as far as it could be read.
#[derive(Debug)]
pub(crate) struct LoadedStage {
    /// Its name in the file; `name@key` for an instance.
    pub(crate) name: String,
    pub(crate) name_span: Span,
    /// Its place among the stages as the file writes them.
    pub(crate) entry: usize,
    /// Keys that only a command may have and that are written here, so that other kinds refuse them.
    pub(crate) command_keys: Box<[&'static str]>,
    /// What could be read of it.
    pub(crate) document: Option<Box<StageDocument>>,
    /// What could not; none when all could.
    pub(crate) gaps: Option<Box<Gaps>>,
}

impl LoadedStage {
    /// Whether a key has a problem that is told already.
    pub(crate) fn has_gap(&self, key: &str) -> bool {
        self.gaps.as_ref().is_some_and(|gaps| gaps.keys.contains(key))
    }

    /// The holes below a key, by path from there.
    pub(crate) fn holes_below(&self, key: &str) -> Vec<Vec<PathStep>> {
        let paths = self.gaps.iter().flat_map(|gaps| &gaps.holes);
        paths
            .filter_map(|path| match path.split_first() {
                Some((PathStep::Key(first), rest)) if first == key => Some(rest.to_vec()),
                _ => None,
            })
            .collect()
    }
}

/// What is missing of a stage because of problems that are told already.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    /// Keys of the stage that have a problem.
    keys: BTreeSet<String>,
    /// Nulls in the place of parts that have a problem, by path from the stage.
    holes: Vec<Vec<PathStep>>,
}

impl Gaps {
    /// The key that a path begins with.
    pub(super) fn key(path: &[PathStep]) -> Option<String> {
        match path.first() {
            Some(PathStep::Key(key)) => Some(key.clone()),
            Some(PathStep::Index(_)) | None => None,
        }
    }

    /// The keys that an error leaves without a value: its own, the missing one, or the one that was misspelled.
    pub(super) fn keys_of(error: &ConfigError) -> Vec<String> {
        let own = Self::key(&error.path);
        let at_root = error.path.len() <= 1;
        let missing = missing_field(&error.message).filter(|_| error.path.is_empty()).map(str::to_owned);
        let misspelled = unknown_field(&error.message).filter(|_| at_root);
        let meant = misspelled.and_then(|key| suggest::nearest(key, expected_words(&error.message))).map(str::to_owned);
        own.into_iter().chain(missing).chain(meant).collect()
    }
}

/// Reads the stages of one file.
pub(super) struct Stages<'a, 'r> {
    pub(super) reader: &'a mut Reader<'r>,
    pub(super) params: &'a ParamValues,
}

/// What was read of a section `stages:`.
#[derive(Default)]
pub(super) struct Found {
    pub(super) stages: Vec<LoadedStage>,
    /// Stages with `foreach:`: the range of their instances.
    pub(super) groups: BTreeMap<String, Range<usize>>,
    /// Whether the stages are no longer in the tree.
    pub(super) taken: bool,
}

type Read = (Option<Box<StageDocument>>, Option<Box<Gaps>>);

impl Stages<'_, '_> {
    /// All stages in the order of the file, and the ranges of those with `foreach:`. When nobody else holds the tree, every stage
    /// is taken out of it as it is read: the tree of a large file and all its stages need not be there together.
    pub(super) fn all(mut self, root: &mut Arc<Node>, key: &str) -> Found {
        let entries = self.reader.section(root.get(key), "stages");
        if entries.is_empty() && root.get(key).is_none_or(|node| matches!(node.value, NodeValue::Null | NodeValue::Map(_))) {
            let span = root.entry(key).map_or_else(|| first_line(root), |entry| entry.key_span);
            let help = "add `stages:` with at least one `NAME: {uses: …}`; `flow stages` lists the kinds";
            self.reader.add("flow::workflow::missing_field", span, "the workflow has no stages".to_owned(), help);
        }
        let mut found = Found { stages: Vec::with_capacity(entries.len()), ..Found::default() };
        if let Some(entries) = Arc::get_mut(root).and_then(|root| root.take_entries(key)) {
            found.taken = true;
            for (place, entry) in entries.into_iter().enumerate() {
                self.entry((&entry, place), &mut found);
            }
            return found;
        }
        for (place, entry) in root.get(key).into_iter().flat_map(Node::entries).enumerate() {
            self.entry((entry, place), &mut found);
        }
        found
    }

    fn entry(&mut self, (entry, place): (&Entry, usize), found: &mut Found) {
        if self.reader.problems.are_enough() {
            return;
        }
        self.check_stage_name(entry);
        let Some(foreach) = entry.value.entry("foreach") else {
            found.stages.push(self.stage((entry, place), Each::Nothing));
            return;
        };
        let begin = found.stages.len();
        let reading = Foreach { file: self.reader.file, params: self.params, problems: self.reader.problems };
        let Some(instances) = instances(reading, foreach) else {
            let mut broken = self.stage((entry, place), Each::Broken);
            broken.gaps.get_or_insert_default().keys.insert("foreach".to_owned());
            found.stages.push(broken);
            found.groups.insert(entry.key.clone(), begin..begin);
            return;
        };
        for instance in &instances {
            if self.reader.problems.are_enough() {
                break;
            }
            found.stages.push(self.stage((entry, place), Each::Of(instance)));
        }
        found.groups.insert(entry.key.clone(), begin..found.stages.len());
    }

    fn stage(&mut self, (entry, place): (&Entry, usize), each: Each<'_>) -> LoadedStage {
        let (document, gaps) = self.read(entry, each);
        let name = match each {
            Each::Of(instance) => format!("{}@{}", entry.key, instance.key),
            Each::Nothing | Each::Broken => entry.key.clone(),
        };
        let command_keys = COMMAND_KEYS.into_iter().filter(|key| entry.value.get(key).is_some()).collect();
        LoadedStage { name, name_span: entry.key_span, entry: place, command_keys, document, gaps }
    }

    /// A stage, or what is left of it without the parts that are wrong.
    fn read(&mut self, entry: &Entry, each: Each<'_>) -> Read {
        let NodeValue::Map(fields) = &entry.value.value else {
            let message = format!("stage `{}` is a mapping, found {}", entry.key, entry.value.kind());
            self.reader.add("flow::workflow::shape", entry.key_span, message, "write `uses: KIND@1` below it");
            return (None, None);
        };
        let mut stage = Map::with_capacity(fields.len());
        let mut gaps = Gaps::default();
        let mut substitution = Substitution::new((self.reader.file, self.params), each, self.reader.problems);
        for field in fields.iter().filter(|field| field.key != "foreach") {
            let told = substitution.problems.count();
            let (value, holes) = substitution.punched(&field.value, names(&field.key), PathStep::key(&field.key));
            stage.insert(field.key.clone(), value);
            if !holes.is_empty() && !is_key(&field.key) {
                // What a misspelled key may hold is not known; that it is misspelled is told.
                substitution.problems.keep_first(told);
                continue;
            }
            gaps.keys.extend(holes.first().map(|_| field.key.clone()));
            gaps.holes.extend(holes);
        }
        self.typed(entry, &Value::Object(stage), gaps)
    }

    fn typed(&mut self, entry: &Entry, stage: &Value, mut gaps: Gaps) -> Read {
        match every_other_error((stage, gaps.holes.clone()), ConfigError::parse) {
            Ok(document) if gaps.keys.is_empty() => (Some(Box::new(document)), None),
            Ok(document) => (Some(Box::new(document)), Some(Box::new(gaps))),
            Err(partial) => {
                self.reader.telling(&entry.value, entry.key_span).tell(&partial.errors, self.reader.problems);
                gaps.keys.extend(partial.errors.iter().flat_map(Gaps::keys_of));
                (partial.rest.map(Box::new), Some(Box::new(gaps)))
            }
        }
    }

    fn check_stage_name(&mut self, entry: &Entry) {
        self.reader.check_name(entry, "stage");
        if entry.key == "inputs" {
            let message = "a stage cannot be called `inputs`".to_owned();
            let help = "choose another name: `inputs.NAME` is an input of the component";
            self.reader.add("flow::workflow::name", entry.key_span, message, help);
        }
    }
}

/// Whether a stage has a key of this name.
fn is_key(key: &str) -> bool {
    let alone = Value::Object(Map::from_iter([(key.to_owned(), Value::Null)]));
    ConfigError::parse::<StageDocument>(&alone).err().is_none_or(|error| unknown_field(&error.message) != Some(key))
}

fn instances(mut reading: Foreach<'_>, foreach: &Entry) -> Option<Vec<Instance>> {
    reading.instances(&foreach.value, foreach.key_span)
}

/// What the texts of a key may name.
fn names(key: &str) -> Names {
    match key {
        "if" | "gate" | "expect" => Names::Expression,
        "in" | "needs" => Names::References,
        "run" => Names::Ports,
        _ => Names::Values,
    }
}

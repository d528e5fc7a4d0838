//! From a file to a typed document: text, tree, parameters, `${}`, and the parts that are not stages.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    LoadedStage, Node, NodeValue, ParamValues, Problem, Problems, SourceText, Span, TreeCache, WorkflowDocument, every_error,
    every_other_error,
    file::read,
    foreach::Each,
    params::{Declarations, Given, Resolution, check_unused, resolve},
    parse::parse,
    profiles::{self, Profiles},
    stages::{Gaps, Stages},
    suggest,
    template::{Names, Substitution},
    tree::Entry,
    typed::Telling,
};
use crate::registry::{ConfigError, PathStep};

pub(super) const DIALECT: &str = "`flow schema` prints every key of a workflow";
/// Keys of a file, for the ones that are misspelled.
const KEYS: [&str; 11] =
    ["flow", "name", "description", "params", "seed", "defaults", "profiles", "hooks", "inputs", "outputs", "stages"];

/// A file and its tree, which several uses of a component share.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) file: Arc<SourceText>,
    root: Arc<Node>,
}

/// A file as far as it could be read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) file: Arc<SourceText>,
    /// Empty once it was given back; read again when a problem has to be told.
    root: OnceCell<Arc<Node>>,
    /// The profile that is part of the tree.
    profile: Option<String>,
    /// Everything but parameters and stages, as far as it could be read.
    pub(crate) document: Option<WorkflowDocument>,
    /// Keys of the document that have a problem.
    pub(crate) gaps: BTreeSet<String>,
    pub(crate) params: ParamValues,
    /// Stages in the order of the file, instances of one stage in the order of its axes.
    pub(crate) stages: Vec<LoadedStage>,
    /// Stages with `foreach:`: the range of their instances; empty when it has a problem.
    pub(crate) groups: BTreeMap<String, Range<usize>>,
    /// The names of its profiles.
    pub(crate) profiles: Vec<String>,
    /// How the file spells `stages`.
    stages_key: String,
}

impl Loaded {
    /// The tree of a stage by its place among the stages.
    pub(crate) fn stage_node(&self, index: usize) -> Option<&Node> {
        let entry = self.stages.get(index)?.entry;
        self.stage_entries().get(entry).map(|entry| &entry.value)
    }

    /// The names of stages as the file writes them.
    pub(crate) fn stage_names(&self) -> impl Iterator<Item = &str> {
        self.stage_entries().iter().map(|entry| entry.key.as_str())
    }

    /// The tree of the file, overrides of the profile included.
    pub(crate) fn root(&self) -> &Node {
        self.root.get_or_init(|| Arc::new(self.read_again()))
    }

    /// Gives the memory of the tree back: it is large, and only problems need it.
    pub(crate) fn forget_tree(&mut self) {
        self.root = OnceCell::new();
    }

    fn read_again(&self) -> Node {
        // What is wrong with the text was told when it was read first.
        let mut unheard = Problems::default();
        let nothing = Node { span: Span::default(), value: NodeValue::Null };
        let mut root = parse(&self.file, &mut unheard).unwrap_or(nothing);
        if let Some(profile) = &self.profile {
            Profiles { file: &self.file, problems: &mut unheard }.apply(&mut root, profile);
        }
        root
    }

    fn stage_entries(&self) -> &[Entry] {
        self.root().get(&self.stages_key).map_or(&[], Node::entries)
    }
}

/// What is given from outside.
#[derive(Clone, Copy)]
pub(crate) struct Loading<'a> {
    pub(crate) given: &'a BTreeMap<String, Given>,
    /// The profile to apply.
    pub(crate) profile: Option<&'a str>,
}

/// Reads a file as a tree. Gives nothing when there is no tree to speak of.
pub(crate) fn open(path: &Path, trees: &TreeCache, problems: &mut Problems) -> Option<Opened> {
    let file = read(path, problems)?;
    let root = trees.tree(&file, problems)?;
    if !matches!(root.value, NodeValue::Map(_)) {
        let message = format!("a workflow is a mapping, found {}", root.kind());
        Reader { file: &file, problems }.add("flow::workflow::shape", first_line(&root), message, "begin with `flow: 1`");
        return None;
    }
    Some(Opened { file, root: Arc::new(root) })
}

/// Reads what a tree says and adds every problem of it.
pub(crate) fn load(opened: Opened, loading: &Loading<'_>, problems: &mut Problems) -> Loaded {
    let Opened { file, mut root } = opened;
    let mut reader = Reader { file: &file, problems };
    let params_key = spelled(&root, "params");
    let declared = reader.declarations(root.get(&params_key));
    let given = reader.given(loading, &mut root, &declared);
    let resolution = Resolution { file: &file, node: root.get(&params_key), declared: &declared, given: &given };
    let params = resolve(&resolution, reader.problems);
    let (document, gaps) = reader.header(&root, &params);
    let stages_key = spelled(&root, "stages");
    let profiles: Vec<String> = root.get("profiles").into_iter().flat_map(Node::entries).map(|entry| entry.key.clone()).collect();
    let found = Stages { reader: &mut reader, params: &params }.all(&mut root, &stages_key);
    let root = if found.taken { OnceCell::new() } else { OnceCell::from(root) };
    let (stages, groups) = (found.stages, found.groups);
    let profile = loading.profile.map(str::to_owned);
    Loaded { file, root, profile, document, gaps, params, stages, groups, profiles, stages_key }
}

/// The key that a file uses for a section: the right one, or a misspelled one, so that what is in it is checked all the same.
fn spelled(root: &Node, key: &str) -> String {
    if root.get(key).is_some() {
        return key.to_owned();
    }
    let meant = |entry: &&Entry| !KEYS.contains(&entry.key.as_str()) && suggest::nearest(&entry.key, KEYS) == Some(key);
    root.entries().iter().find(meant).map_or(key, |entry| &entry.key).to_owned()
}

pub(super) fn first_line(node: &Node) -> Span {
    Span::new(node.span.start, (node.span.start + 1).min(node.span.end))
}

/// Reads the parts of one file.
pub(super) struct Reader<'a> {
    pub(super) file: &'a Arc<SourceText>,
    pub(super) problems: &'a mut Problems,
}

impl<'a> Reader<'a> {
    pub(super) fn add(&mut self, code: &'static str, span: Span, message: String, help: &str) {
        let file = self.file.clone();
        self.problems.add(Problem { code, message, file, span, label: "here".to_owned(), help: help.to_owned() });
    }

    /// The entries of a section that maps names to something.
    pub(super) fn section<'n>(&mut self, node: Option<&'n Node>, name: &str) -> &'n [Entry] {
        match node {
            None | Some(Node { value: NodeValue::Null, .. }) => &[],
            Some(node) => {
                if !matches!(node.value, NodeValue::Map(_)) {
                    let message = format!("`{name}` is a mapping of names, found {}", node.kind());
                    self.add("flow::workflow::shape", first_line(node), message, DIALECT);
                }
                node.entries()
            }
        }
    }

    /// What is given from outside: the command line before the profile.
    fn given(&mut self, loading: &Loading<'_>, root: &mut Arc<Node>, declared: &Declarations) -> BTreeMap<String, Given> {
        for entry in self.section(root.get("profiles"), "profiles") {
            self.check_name(entry, "profile");
            check_unused(declared, &profiles::given(self.file, entry), self.problems);
        }
        let mut profiles = Profiles { file: self.file, problems: self.problems };
        profiles.check(root);
        let mut given = loading.profile.and_then(|name| profiles.apply(Arc::make_mut(root), name)).unwrap_or_default();
        given.extend(loading.given.iter().map(|(name, given)| (name.clone(), given.clone())));
        given
    }

    fn declarations(&mut self, node: Option<&Node>) -> Declarations {
        let mut declared = BTreeMap::new();
        for entry in self.section(node, "params") {
            self.check_name(entry, "parameter");
            let read = every_error(&entry.value.to_json(), ConfigError::parse);
            let telling = self.telling(&entry.value, entry.key_span);
            let declaration = read.map_err(|partial| telling.tell(&partial.errors, self.problems));
            declared.insert(entry.key.clone(), declaration.ok());
        }
        declared
    }

    /// Tells errors of a node, or of the place that lacks it.
    pub(super) fn telling<'t>(&self, node: &'t Node, whole: Span) -> Telling<'t>
    where
        'a: 't,
    {
        Telling { file: self.file, node: Some(node), whole, reference: DIALECT }
    }

    /// Everything but `params`, `profiles`, and `stages`, which are read one by one, and the keys that have a problem.
    fn header(&mut self, root: &Node, params: &ParamValues) -> (Option<WorkflowDocument>, BTreeSet<String>) {
        let mut header = Map::new();
        let mut holes = Vec::new();
        for entry in root.entries() {
            if entry.key == "flow" {
                header.insert(entry.key.clone(), entry.value.to_json());
            } else if !KEYS.contains(&entry.key.as_str()) {
                // What a misspelled key may hold is not known; that it is misspelled is told.
                header.insert(entry.key.clone(), Value::Null);
            } else if !matches!(entry.key.as_str(), "params" | "profiles" | "stages") {
                let names = if entry.key == "hooks" { Names::Secrets } else { Names::Values };
                let mut substitution = Substitution::new((self.file, params), Each::Nothing, self.problems);
                let (value, found) = substitution.punched(&entry.value, names, PathStep::key(&entry.key));
                header.insert(entry.key.clone(), value);
                holes.extend(found);
            }
        }
        self.section(root.get("inputs"), "inputs").iter().for_each(|entry| self.check_name(entry, "input"));
        self.section(root.get("outputs"), "outputs").iter().for_each(|entry| self.check_name(entry, "output"));
        let mut gaps: BTreeSet<String> = holes.iter().filter_map(|path| Gaps::key(path)).collect();
        match every_other_error((&Value::Object(header), holes), ConfigError::parse) {
            Ok(document) => (Some(document), gaps),
            Err(partial) => {
                self.telling(root, first_line(root)).tell(&partial.errors, self.problems);
                gaps.extend(partial.errors.iter().flat_map(Gaps::keys_of));
                (partial.rest, gaps)
            }
        }
    }

    pub(super) fn check_name(&mut self, entry: &Entry, what: &str) {
        if is_name(&entry.key) {
            return;
        }
        let message = format!("`{}` cannot be the name of {} {what}", entry.key, article(what));
        let help = "use letters, digits, `_` and `-`, beginning with a letter";
        self.add("flow::workflow::name", entry.key_span, message, help);
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

pub(super) fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::typed::expected_words;

    #[test]
    fn the_keys_of_a_file_are_those_of_its_document() {
        let error = ConfigError::parse::<WorkflowDocument>(&serde_json::json!({"zzz": 1})).unwrap_err();
        assert_eq!(expected_words(&error.message), KEYS);
    }
}

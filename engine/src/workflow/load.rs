//! From a file to a typed document: text, tree, parameters, `${}`, and one struct per stage.

use std::{collections::BTreeMap, fmt::Display, path::Path, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    Node, NodeValue, ParamValues, Problem, Problems, SourceText, Span, StageDocument, WorkflowDocument, every_error,
    params::{Declarations, Given, Resolution, check_unused, resolve},
    parse::parse,
    profiles::{self, Profiles},
    template::{Names, Substitution},
    tree::Entry,
    typed::Telling,
};
use crate::registry::ConfigError;

/// A file larger than this is no workflow.
const MAX_BYTES: u64 = 64 << 20;
const DIALECT: &str = "`flow schema` prints every key of a workflow";

/// A file as far as it could be read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) file: Arc<SourceText>,
    pub(crate) root: Node,
    /// Everything but parameters and stages; none when it has a problem.
    pub(crate) document: Option<WorkflowDocument>,
    pub(crate) params: ParamValues,
    /// Stages in the order of the file.
    pub(crate) stages: Vec<LoadedStage>,
}

/// One stage as far as it could be read.
#[derive(Debug)]
pub(crate) struct LoadedStage {
    pub(crate) name: String,
    pub(crate) name_span: Span,
    /// None when it has a problem.
    pub(crate) document: Option<StageDocument>,
    /// What is left of it then, if its `with:` is whole, so that this can be checked too.
    pub(crate) rest: Option<StageDocument>,
}

impl Loaded {
    /// The tree of a stage by its place among the stages.
    pub(crate) fn stage_node(&self, index: usize) -> Option<&Node> {
        self.root.get("stages").and_then(|stages| stages.entries().get(index)).map(|entry| &entry.value)
    }
}

/// What is read, with what is given from outside.
#[derive(Clone, Copy)]
pub(crate) struct Loading<'a> {
    pub(crate) path: &'a Path,
    pub(crate) given: &'a BTreeMap<String, Given>,
    /// The profile to apply.
    pub(crate) profile: Option<&'a str>,
}

/// Reads a file and adds every problem of it. Gives nothing when there is no tree to speak of.
pub(crate) fn load(loading: &Loading<'_>, problems: &mut Problems) -> Option<Loaded> {
    let file = read(loading.path, problems)?;
    let mut root = parse(&file, problems)?;
    let mut reader = Reader { file: &file, problems };
    if !matches!(root.value, NodeValue::Map(_)) {
        let message = format!("a workflow is a mapping, found {}", root.kind());
        reader.add("flow::workflow::shape", first_line(&root), message, "begin with `flow: 1`");
        return None;
    }
    let declared = reader.declarations(root.get("params"));
    let given = reader.given(loading, &mut root, &declared);
    let resolution = Resolution { file: &file, node: root.get("params"), declared: &declared, given: &given };
    let params = resolve(&resolution, reader.problems);
    let document = reader.header(&root, &params);
    let stages = reader.stages(&root, &params);
    Some(Loaded { file, root, document, params, stages })
}

fn read(path: &Path, problems: &mut Problems) -> Option<Arc<SourceText>> {
    let name = path.display().to_string();
    let mut refuse = |code, file: Arc<SourceText>, span: Span, texts: (String, &str)| {
        let (message, help) = texts;
        problems.add(Problem { code, message, file, span, label: "here".to_owned(), help: help.to_owned() });
        None
    };
    let unreadable = |error: &dyn Display| (format!("cannot read {name}: {error}"), "check the path and its permissions");
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            let message = format!("{name} is larger than {MAX_BYTES} bytes");
            let file = SourceText::new(name, "");
            return refuse(
                "flow::workflow::too_large",
                file,
                Span::default(),
                (message, "data belongs in files that stages read"),
            );
        }
        Ok(_) => {}
        Err(error) => {
            return refuse("flow::workflow::unreadable", SourceText::new(&name, ""), Span::default(), unreadable(&error));
        }
    }
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Some(SourceText::new(name, text)),
        Ok(Err(error)) => {
            let at = error.utf8_error().valid_up_to();
            // Bytes before the bad one are valid, so its offset is the same in the lossy text.
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let message = format!("{name} is not UTF-8 text");
            let span = Span::new(at, (at + '\u{fffd}'.len_utf8()).min(text.len()));
            refuse("flow::workflow::encoding", SourceText::new(name, text), span, (message, "save the file as UTF-8"))
        }
        Err(error) => refuse("flow::workflow::unreadable", SourceText::new(&name, ""), Span::default(), unreadable(&error)),
    }
}

fn first_line(node: &Node) -> Span {
    Span::new(node.span.start, (node.span.start + 1).min(node.span.end))
}

struct Reader<'a> {
    file: &'a Arc<SourceText>,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn add(&mut self, code: &'static str, span: Span, message: String, help: &str) {
        let file = self.file.clone();
        self.problems.add(Problem { code, message, file, span, label: "here".to_owned(), help: help.to_owned() });
    }

    /// Parses one part of the file and tells all its errors.
    fn typed<T: DeserializeOwned>(&mut self, value: Value, node: &Node, whole: Span) -> Result<T, Option<T>> {
        let told = every_error(value, ConfigError::parse::<T>);
        let telling = Telling { file: self.file, node: Some(node), whole, reference: DIALECT };
        told.map_err(|partial| {
            telling.tell(&partial.errors, self.problems);
            partial.rest
        })
    }

    /// The value of a node, or none when a part of it has a problem.
    fn substitute(&mut self, node: &Node, params: &ParamValues, names: Names) -> Option<Value> {
        let mut substitution = Substitution { file: self.file, params, problems: self.problems, holes: 0 };
        let value = substitution.value(node, names);
        (substitution.holes == 0).then_some(value)
    }

    /// The entries of a section that maps names to something.
    fn section<'n>(&mut self, node: Option<&'n Node>, name: &str) -> &'n [Entry] {
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
    fn given(&mut self, loading: &Loading<'_>, root: &mut Node, declared: &Declarations) -> BTreeMap<String, Given> {
        for entry in self.section(root.get("profiles"), "profiles") {
            self.check_name(entry, "profile");
            check_unused(declared, &profiles::given(self.file, entry), self.problems);
        }
        let mut profiles = Profiles { file: self.file, problems: self.problems };
        profiles.check(root);
        let mut given = loading.profile.and_then(|name| profiles.apply(root, name)).unwrap_or_default();
        given.extend(loading.given.iter().map(|(name, given)| (name.clone(), given.clone())));
        given
    }

    fn declarations(&mut self, node: Option<&Node>) -> Declarations {
        let mut declared = BTreeMap::new();
        for entry in self.section(node, "params") {
            self.check_name(entry, "parameter");
            let declaration = self.typed(entry.value.to_json(), &entry.value, entry.key_span).ok();
            declared.insert(entry.key.clone(), declaration);
        }
        declared
    }

    /// Everything but `params`, `profiles`, and `stages`, which are read one by one.
    fn header(&mut self, root: &Node, params: &ParamValues) -> Option<WorkflowDocument> {
        let mut header = Map::new();
        for entry in root.entries() {
            if entry.key == "flow" {
                header.insert(entry.key.clone(), entry.value.to_json());
            } else if !matches!(entry.key.as_str(), "params" | "profiles" | "stages") {
                let names = if entry.key == "hooks" { Names::Secrets } else { Names::Values };
                let value = self.substitute(&entry.value, params, names);
                header.extend(value.map(|value| (entry.key.clone(), value)));
            }
        }
        self.section(root.get("inputs"), "inputs").iter().for_each(|entry| self.check_name(entry, "input"));
        self.section(root.get("outputs"), "outputs").iter().for_each(|entry| self.check_name(entry, "output"));
        self.typed(Value::Object(header), root, first_line(root)).ok()
    }

    fn stages(&mut self, root: &Node, params: &ParamValues) -> Vec<LoadedStage> {
        let entries = self.section(root.get("stages"), "stages");
        if entries.is_empty() && root.get("stages").is_none_or(|node| matches!(node.value, NodeValue::Null | NodeValue::Map(_))) {
            let span = root.entry("stages").map_or_else(|| first_line(root), |entry| entry.key_span);
            let help = "add `stages:` with at least one `NAME: {uses: …}`; `flow stages` lists the kinds";
            self.add("flow::workflow::missing_field", span, "the workflow has no stages".to_owned(), help);
        }
        let mut stages = Vec::with_capacity(entries.len());
        for entry in entries {
            self.check_stage_name(entry);
            let (document, rest) = self.stage(entry, params);
            stages.push(LoadedStage { name: entry.key.clone(), name_span: entry.key_span, document, rest });
        }
        stages
    }

    /// A stage, or what is left of it without the parts that are wrong.
    fn stage(&mut self, entry: &Entry, params: &ParamValues) -> (Option<StageDocument>, Option<StageDocument>) {
        let NodeValue::Map(fields) = &entry.value.value else {
            let message = format!("stage `{}` is a mapping, found {}", entry.key, entry.value.kind());
            self.add("flow::workflow::shape", entry.key_span, message, "write `uses: KIND@1` below it");
            return (None, None);
        };
        let mut stage = Map::new();
        let mut dropped = Vec::new();
        for field in fields {
            let names = match field.key.as_str() {
                "if" | "gate" | "expect" => Names::Expression,
                "run" => Names::Ports,
                _ => Names::Values,
            };
            match self.substitute(&field.value, params, names) {
                Some(value) => drop(stage.insert(field.key.clone(), value)),
                // The stage is read without it, so that what else is wrong is told as well.
                None => dropped.push(field.key.as_str()),
            }
        }
        let document = self.typed(Value::Object(stage), &entry.value, entry.key_span);
        match document {
            Ok(document) if dropped.is_empty() => (Some(document), None),
            Ok(rest) | Err(Some(rest)) => (None, Some(rest).filter(|_| !dropped.contains(&"with"))),
            Err(None) => (None, None),
        }
    }

    fn check_stage_name(&mut self, entry: &Entry) {
        self.check_name(entry, "stage");
        if entry.key == "inputs" {
            let message = "a stage cannot be called `inputs`".to_owned();
            self.add(
                "flow::workflow::name",
                entry.key_span,
                message,
                "choose another name: `inputs.NAME` is an input of the component",
            );
        }
    }

    fn check_name(&mut self, entry: &Entry, what: &str) {
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

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
}

//! `foreach:`: from named axes to the instances of a stage, in the order of the file.
//!
//! Every instance has a key such as `fr` or `fr,small`, made of one name for each axis. A key is part of a stage's name, of
//! references, and of paths, so its names are plain; a value that cannot be a name is given one: `{short: any value}`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{Node, NodeValue, ParamValues, Problem, Problems, SourceText, Span, load::is_name, suggest, template::Substitution};

/// Instances of one stage, at most.
pub(crate) const INSTANCES: usize = 100_000;
/// Letters of a name in a key, at most.
const NAME: usize = 64;
/// Letters of a key, at most: it becomes part of a file's name.
const KEY: usize = 160;
const CODE: &str = "flow::workflow::foreach";

/// One combination of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Instance {
    /// What follows `@` in the name of the stage.
    pub(crate) key: String,
    values: BTreeMap<Arc<str>, Arc<EachValue>>,
}

/// The value of one axis in one instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EachValue {
    /// How it is named in keys.
    pub(crate) name: String,
    pub(crate) value: Value,
}

impl Instance {
    pub(crate) fn get(&self, axis: &str) -> Option<&EachValue> {
        self.values.get(axis).map(Arc::as_ref)
    }

    pub(crate) fn axes(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(AsRef::as_ref)
    }
}

/// What `${each.NAME}` stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Each<'a> {
    /// Nothing: the stage has no `foreach:`.
    Nothing,
    /// The values of one instance.
    Of(&'a Instance),
    /// Something whose problem is told already.
    Broken,
}

/// Reads the `foreach:` of one stage.
pub(super) struct Foreach<'a> {
    pub(super) file: &'a Arc<SourceText>,
    pub(super) params: &'a ParamValues,
    pub(super) problems: &'a mut Problems,
}

struct Axis {
    name: Arc<str>,
    values: Vec<Arc<EachValue>>,
}

type Combination = Vec<Arc<EachValue>>;

/// An entry of `include:` or `exclude:`.
struct Partial {
    span: Span,
    values: BTreeMap<String, Arc<EachValue>>,
}

impl Foreach<'_> {
    /// The instances in the order of the axes, the first axis slowest; none when there is a problem.
    pub(super) fn instances(&mut self, node: &Node, at: Span) -> Option<Vec<Instance>> {
        let NodeValue::Map(entries) = &node.value else {
            let message = format!("`foreach` is a mapping of names to lists, found {}", node.kind());
            return self.refuse(at, message, "write `foreach: {lang: [en, fr]}`");
        };
        let is_axis = |key: &str| !matches!(key, "include" | "exclude");
        let named = entries.iter().filter(|entry| is_axis(&entry.key));
        let axes: Vec<Option<Axis>> = named.map(|entry| self.axis((&entry.key, entry.key_span), &entry.value)).collect();
        if axes.is_empty() {
            return self.refuse(at, "`foreach` names no axis".to_owned(), "write `foreach: {lang: [en, fr]}`");
        }
        let known: Vec<String> = entries.iter().filter(|entry| is_axis(&entry.key)).map(|entry| entry.key.clone()).collect();
        let exclude = self.partials(node, "exclude", &known);
        let include = self.partials(node, "include", &known);
        let axes: Vec<Axis> = axes.into_iter().collect::<Option<_>>()?;
        let combinations = self.product(&axes, at)?;
        let left = self.without(combinations, &axes, exclude?)?;
        if left.is_empty() {
            return self.refuse(at, "`exclude` leaves no combination".to_owned(), "remove an entry of `exclude:`");
        }
        let instances = left.into_iter().map(|combination| instance(&axes, combination)).collect();
        let instances = self.with_included(instances, &axes, include?)?;
        let long = instances.iter().find(|instance| instance.key.len() > KEY);
        match long.map(|instance| instance.key.clone()) {
            Some(key) => {
                let message = format!("the key `{key}` is longer than {KEY} letters");
                self.refuse(at, message, "give the values short names: `foreach: {size: {s: VALUE, m: VALUE}}`")
            }
            None => Some(instances),
        }
    }

    fn axis(&mut self, (name, span): (&str, Span), node: &Node) -> Option<Axis> {
        if !is_name(name) {
            let help = "use letters, digits, `_` and `-`, beginning with a letter";
            return self.refuse(span, format!("`{name}` cannot be the name of an axis"), help);
        }
        let found = self.axis_values(name, node)?;
        if found.is_empty() {
            let message = format!("axis `{name}` is an empty list: the stage would run for nothing");
            return self.refuse(if node.is_collection() { span } else { node.span }, message, "give it at least one value");
        }
        let mut seen = BTreeSet::new();
        let mut whole = true;
        for (value, span) in &found {
            if !seen.insert(value.name.as_str()) {
                let message = format!("axis `{name}` holds `{}` twice", value.name);
                whole &= self.refuse::<()>(*span, message, "remove one of the two").is_some();
            }
        }
        let values = || found.iter().map(|(value, _)| value.clone()).collect();
        whole.then(|| Axis { name: name.into(), values: values() })
    }

    /// The values of an axis with their places: a list, a mapping of names to values, or a parameter that holds a list.
    fn axis_values(&mut self, axis: &str, node: &Node) -> Option<Vec<(Arc<EachValue>, Span)>> {
        match &node.value {
            NodeValue::List(items) => {
                let found: Vec<_> = items.iter().map(|item| self.item(axis, item)).collect();
                found.into_iter().collect()
            }
            NodeValue::Map(entries) => {
                let found: Vec<_> = entries
                    .iter()
                    .map(|entry| {
                        let value = self.substituted(&entry.value);
                        let name = self.checked_name((axis, entry.key_span), &entry.key);
                        Some((Arc::new(EachValue { name: name?, value: value? }), entry.key_span))
                    })
                    .collect();
                found.into_iter().collect()
            }
            NodeValue::Text(_) => match self.substituted(node)? {
                Value::Array(items) => {
                    let found: Vec<_> = items.into_iter().map(|item| self.value((axis, node.span), item)).collect();
                    found.into_iter().map(|value| Some((value?, node.span))).collect()
                }
                _ => self.no_list(axis, node),
            },
            NodeValue::Broken => None,
            NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) => self.no_list(axis, node),
        }
    }

    fn no_list<T>(&mut self, axis: &str, node: &Node) -> Option<T> {
        let message = format!("axis `{axis}` is not a list of values");
        self.refuse(node.span, message, "write a list such as [en, fr], or `${params.NAME}` of type list")
    }

    fn item(&mut self, axis: &str, node: &Node) -> Option<(Arc<EachValue>, Span)> {
        let value = self.substituted(node)?;
        let span = if node.is_collection() { Span::new(node.span.start, node.span.start + 1) } else { node.span };
        self.value((axis, span), value).map(|value| (value, span))
    }

    fn value(&mut self, (axis, span): (&str, Span), value: Value) -> Option<Arc<EachValue>> {
        let Some(text) = plain(&value) else {
            let message = format!("a value of axis `{axis}` is neither a text nor a number nor true or false");
            let help = "give such values names: `foreach: {size: {s: VALUE, m: VALUE}}`";
            return self.refuse(span, message, help);
        };
        let name = self.checked_name((axis, span), &text)?;
        Some(Arc::new(EachValue { name, value }))
    }

    fn checked_name(&mut self, (axis, span): (&str, Span), text: &str) -> Option<String> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let safe = text.chars().all(plain) && text.chars().any(|letter| letter.is_ascii_alphanumeric());
        if safe && text.len() <= NAME {
            return Some(text.to_owned());
        }
        let shown: String = text.chars().take(NAME).collect();
        let message = format!("`{shown}` of axis `{axis}` cannot be part of a stage's name");
        let help = format!(
            "use up to {NAME} letters, digits, `_`, `-`, and `.`, or name the value: `foreach: {{{axis}: {{short: VALUE}}}}`"
        );
        self.refuse(span, message, &help)
    }

    fn substituted(&mut self, node: &Node) -> Option<Value> {
        let mut substitution = Substitution::new((self.file, self.params), Each::Nothing, self.problems);
        substitution.whole(node)
    }

    fn product(&mut self, axes: &[Axis], at: Span) -> Option<Vec<Combination>> {
        let count = axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()));
        if count.is_none_or(|count| count > INSTANCES) {
            let message = format!("`foreach` makes more than {INSTANCES} instances");
            return self.refuse(at, message, "use fewer values, or several workflows");
        }
        let mut combinations: Vec<Combination> = vec![Vec::new()];
        for axis in axes {
            let grown = combinations
                .iter()
                .flat_map(|before| axis.values.iter().map(|value| before.iter().chain([value]).cloned().collect()));
            combinations = grown.collect();
        }
        Some(combinations)
    }

    /// The entries of `include:` or `exclude:`; none when one has a problem.
    fn partials(&mut self, node: &Node, key: &str, axes: &[String]) -> Option<Vec<Partial>> {
        let Some(entry) = node.entry(key) else { return Some(Vec::new()) };
        let NodeValue::List(items) = &entry.value.value else {
            let message = format!("`{key}` is a list of combinations, found {}", entry.value.kind());
            return self.refuse(entry.key_span, message, &format!("write `{key}: [{{lang: fr, size: s}}]`"));
        };
        let found: Vec<_> = items.iter().map(|item| self.partial(item, key, axes)).collect();
        found.into_iter().collect()
    }

    fn partial(&mut self, node: &Node, key: &str, axes: &[String]) -> Option<Partial> {
        let span = if node.is_collection() { Span::new(node.span.start, node.span.start + 1) } else { node.span };
        let NodeValue::Map(entries) = &node.value else {
            let message = format!("an entry of `{key}` is a mapping of axes to values, found {}", node.kind());
            return self.refuse(span, message, "write `{lang: fr, size: s}`");
        };
        let mut values = BTreeMap::new();
        let mut whole = true;
        for entry in entries {
            let is_axis = axes.contains(&entry.key);
            let value = self.substituted(&entry.value);
            if !is_axis && (key == "exclude" || !is_name(&entry.key)) {
                let help = suggest::help(&entry.key, "axes", axes.iter().map(String::as_str));
                whole &= self.refuse::<()>(entry.key_span, format!("unknown axis `{}` in `{key}`", entry.key), &help).is_some();
                continue;
            }
            // What is no axis never stands in a key, so it may be any value.
            let extra = |value: Value| Some(Arc::new(EachValue { name: plain(&value).unwrap_or_default(), value }));
            let read = match value {
                Some(value) if is_axis => self.value((&entry.key, entry.value.span), value),
                Some(value) => extra(value),
                None => None,
            };
            whole &= read.is_some();
            values.extend(read.map(|value| (entry.key.clone(), value)));
        }
        whole.then_some(Partial { span, values })
    }

    fn without(&mut self, mut left: Vec<Combination>, axes: &[Axis], exclude: Vec<Partial>) -> Option<Vec<Combination>> {
        let mut whole = true;
        for partial in exclude {
            let before = left.len();
            left.retain(|combination| !fits(&partial, axes, |at| combination.get(at).map(|value| value.name.as_str())));
            if left.len() == before {
                let message = "this entry of `exclude` fits no combination that is left".to_owned();
                whole &= self.refuse::<()>(partial.span, message, "correct its values, or remove it").is_some();
            }
        }
        whole.then_some(left)
    }

    /// Adds values to the instances that an entry of `include:` fits, or a new instance when it names a value for every axis.
    fn with_included(&mut self, mut all: Vec<Instance>, axes: &[Axis], include: Vec<Partial>) -> Option<Vec<Instance>> {
        let mut whole = true;
        for partial in include {
            let extra: Vec<_> = partial.values.iter().filter(|(name, _)| !axes.iter().any(|axis| *axis.name == **name)).collect();
            let mut fitted = 0_usize;
            for instance in &mut all {
                if fits(&partial, axes, |at| {
                    axes.get(at).and_then(|axis| instance.get(&axis.name)).map(|value| value.name.as_str())
                }) {
                    fitted += 1;
                    instance.values.extend(extra.iter().map(|(name, value)| (name.as_str().into(), (*value).clone())));
                }
            }
            let combination: Option<Combination> = axes.iter().map(|axis| partial.values.get(&*axis.name).cloned()).collect();
            match combination {
                _ if fitted > 0 && !extra.is_empty() => {}
                Some(combination) if fitted == 0 && all.len() < INSTANCES => {
                    let mut added = instance(axes, combination);
                    added.values.extend(extra.into_iter().map(|(name, value)| (name.as_str().into(), value.clone())));
                    all.push(added);
                }
                _ if fitted > 0 => {
                    let message = "this entry of `include` adds nothing: the combination is there already".to_owned();
                    whole &= self.refuse::<()>(partial.span, message, "add a value to it, or remove it").is_some();
                }
                _ => {
                    let message = "this entry of `include` fits no combination and does not name every axis".to_owned();
                    let names: Vec<&str> = axes.iter().map(|axis| &*axis.name).collect();
                    let help = format!("a new combination names {}", names.join(", "));
                    whole &= self.refuse::<()>(partial.span, message, &help).is_some();
                }
            }
        }
        whole.then_some(all)
    }

    fn refuse<T>(&mut self, span: Span, message: String, help: &str) -> Option<T> {
        let (file, label) = (self.file.clone(), "here".to_owned());
        self.problems.add(Problem { code: CODE, message, file, span, label, help: help.to_owned() });
        None
    }
}

fn fits<'v>(partial: &Partial, axes: &[Axis], name_at: impl Fn(usize) -> Option<&'v str>) -> bool {
    let wanted = |axis: &Axis| partial.values.get(&*axis.name);
    axes.iter().enumerate().all(|(at, axis)| wanted(axis).is_none_or(|wanted| name_at(at) == Some(wanted.name.as_str())))
}

fn instance(axes: &[Axis], combination: Combination) -> Instance {
    let names: Vec<&str> = combination.iter().map(|value| value.name.as_str()).collect();
    Instance { key: names.join(","), values: axes.iter().map(|axis| axis.name.clone()).zip(combination).collect() }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

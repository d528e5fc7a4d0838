//! `${params.x}`, `${each.x}`, and `${secrets.X}` in scalars. A scalar that is nothing else keeps the type of its value; `$${`
//! writes `${`. In references and expressions `${each.x}` stands for the name in the instance's key.
//!
//! The arguments of a command may also name `${in.port}` and `${out.port}`: those stay in the text for the command stage.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{Node, NodeValue, Problem, Problems, SourceText, Span, foreach::Each, suggest};
use crate::registry::PathStep;

/// A text cut at its expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) pieces: Vec<Piece>,
}

/// One part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text without expressions.
    Text(String),
    /// `${root.field}`.
    Name { root: String, field: String },
}

/// Which names a scalar may use besides parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Parameters, axes, and secrets.
    Values,
    /// The same, but axes by their names in keys.
    References,
    /// Also the ports of a command.
    Ports,
    /// Secrets may also stand inside a text, which keeps their names.
    Secrets,
    /// Axes by their names in keys: the scalar is an expression already.
    Expression,
}

impl Names {
    /// Whether the text is read as a template once more, by the command or the hook that it belongs to.
    fn is_read_again(self) -> bool {
        match self {
            Self::Ports | Self::Secrets => true,
            Self::Values | Self::References | Self::Expression => false,
        }
    }
}

/// A text that is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateError {
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from_dollar) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from_dollar.strip_prefix("$${") {
                literal.push_str("${");
                rest = after;
            } else if let Some(after) = from_dollar.strip_prefix("${") {
                let (name, after) = after.split_once('}').ok_or_else(unclosed)?;
                flush(&mut pieces, &mut literal);
                pieces.push(parse_name(name)?);
                rest = after;
            } else {
                literal.push('$');
                rest = from_dollar.get(1..).unwrap_or_default();
            }
        }
        literal.push_str(rest);
        flush(&mut pieces, &mut literal);
        Ok(Self { pieces })
    }
}

impl Template {
    /// Whether all its expressions are axes of `foreach:`.
    fn is_about_axes(&self) -> bool {
        let about_axes = |piece: &Piece| match piece {
            Piece::Text(_) => true,
            Piece::Name { root, .. } => root == "each",
        };
        self.pieces.iter().all(about_axes)
    }
}

fn flush(pieces: &mut Vec<Piece>, literal: &mut String) {
    if !literal.is_empty() {
        pieces.push(Piece::Text(std::mem::take(literal)));
    }
}

fn unclosed() -> TemplateError {
    TemplateError {
        message: "`${` is not closed".to_owned(),
        help: "add the missing `}`, or write `$${` for the text itself".to_owned(),
    }
}

fn parse_name(name: &str) -> Result<Piece, TemplateError> {
    let parts = name.trim().split_once('.').filter(|(root, field)| is_word(root) && is_word(field));
    let Some((root, field)) = parts else {
        return Err(TemplateError {
            message: format!("`${{{name}}}` is not a name"),
            help:
                "write `${params.NAME}`, `${each.NAME}`, or `${secrets.NAME}`; conditions belong in `if:`, `gate:`, or `expect:`"
                    .to_owned(),
        });
    };
    Ok(Piece::Name { root: root.to_owned(), field: field.to_owned() })
}

fn is_word(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
}

/// Replaces the names in a tree by their values.
pub(crate) struct Substitution<'a> {
    pub(crate) file: &'a Arc<SourceText>,
    /// The value of every declared parameter; none for one whose value is itself a problem.
    pub(crate) params: &'a BTreeMap<String, Option<Value>>,
    pub(crate) each: Each<'a>,
    pub(crate) problems: &'a mut Problems,
    /// How many scalars became null because of a problem.
    pub(crate) holes: usize,
}

impl<'a> Substitution<'a> {
    pub(crate) fn new(
        (file, params): (&'a Arc<SourceText>, &'a BTreeMap<String, Option<Value>>),
        each: Each<'a>,
        problems: &'a mut Problems,
    ) -> Self {
        Self { file, params, each, problems, holes: 0 }
    }

    /// The plain value of a node, or none when a part of it has a problem.
    pub(crate) fn whole(&mut self, node: &Node) -> Option<Value> {
        let before = self.holes;
        let value = self.value(node, Names::Values);
        (self.holes == before).then_some(value)
    }

    /// The plain value of a node with nulls where a part has a problem, and the paths of those, below a path.
    pub(crate) fn punched(&mut self, node: &Node, names: Names, below: PathStep) -> (Value, Vec<Vec<PathStep>>) {
        let before = self.holes;
        let value = self.value(node, names);
        let mut found = Vec::new();
        if self.holes > before {
            self.find_holes(node, names, (&mut vec![below], &mut found));
        }
        (value, found)
    }

    fn find_holes(&mut self, node: &Node, names: Names, (path, found): (&mut Vec<PathStep>, &mut Vec<Vec<PathStep>>)) {
        let mut below = |step: PathStep, inner: &Node, found: &mut Vec<Vec<PathStep>>| {
            path.push(step);
            self.find_holes(inner, names, (path, found));
            path.pop();
        };
        match &node.value {
            NodeValue::Map(entries) => {
                for entry in entries {
                    below(PathStep::key(&entry.key), &entry.value, found);
                }
            }
            NodeValue::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    below(PathStep::Index(at), item, found);
                }
            }
            NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) | NodeValue::Text(_) | NodeValue::Broken => {
                let before = self.holes;
                self.value(node, names);
                found.extend((self.holes > before).then(|| path.clone()));
            }
        }
    }
}

impl Substitution<'_> {
    /// The plain value of a node. A scalar with a problem becomes null after the problem was added.
    pub(crate) fn value(&mut self, node: &Node, names: Names) -> Value {
        match &node.value {
            NodeValue::Text(text) => self.text(text, node.span, names),
            NodeValue::List(items) => items.iter().map(|item| self.value(item, names)).collect(),
            NodeValue::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), self.value(&entry.value, names))).collect(),
            NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) => node.to_json(),
            NodeValue::Broken => self.hole(),
        }
    }

    fn text(&mut self, text: &str, span: Span, names: Names) -> Value {
        if !text.contains("${") {
            return Value::from(text);
        }
        let error = match Template::parse(text) {
            Ok(template) if names == Names::Expression && !template.is_about_axes() => TemplateError {
                message: "`${}` does not belong in an expression".to_owned(),
                help: "write `params.NAME` without the dollar and braces".to_owned(),
            },
            Ok(template) => return self.fill(&template, span, names),
            Err(error) => error,
        };
        self.add("flow::workflow::template", span, error.message, error.help);
        self.hole()
    }

    fn hole(&mut self) -> Value {
        self.holes += 1;
        Value::Null
    }

    fn fill(&mut self, template: &Template, span: Span, names: Names) -> Value {
        if let [Piece::Name { root, field }] = template.pieces.as_slice() {
            match root.as_str() {
                "params" => return self.param(field, span).unwrap_or_else(|| self.hole()),
                "secrets" => return json!({ "secret": field }),
                "each" => return self.axis(field, span, names).unwrap_or_else(|| self.hole()),
                _ => {}
            }
        }
        let mut text = String::new();
        for piece in &template.pieces {
            match piece {
                Piece::Text(literal) if names.is_read_again() => text.push_str(&literal.replace("${", "$${")),
                Piece::Text(literal) => text.push_str(literal),
                Piece::Name { root, field } => match self.embedded((root, field), span, names) {
                    Some(value) => text.push_str(&value),
                    None => return self.hole(),
                },
            }
        }
        Value::from(text)
    }

    fn embedded(&mut self, name: (&str, &str), span: Span, names: Names) -> Option<String> {
        let (root, field) = name;
        match root {
            "params" => {
                let value = self.param(field, span)?;
                let text = scalar_text(&value);
                if text.is_none() {
                    let message = format!("parameter `{field}` is a list and cannot stand inside a text");
                    self.add("flow::workflow::template", span, message, "make the list the whole value".to_owned());
                }
                text.map(|text| if names.is_read_again() { text.replace("${", "$${") } else { text })
            }
            "each" => {
                let value = self.axis(field, span, names)?;
                let text = scalar_text(&value);
                if text.is_none() {
                    let message = format!("the value of axis `{field}` is no scalar and cannot stand inside a text");
                    self.add("flow::workflow::template", span, message, "make it the whole value".to_owned());
                }
                text.map(|text| if names.is_read_again() { text.replace("${", "$${") } else { text })
            }
            "secrets" if names == Names::Secrets => Some(format!("${{secrets.{field}}}")),
            "secrets" => {
                let message = format!("secret `{field}` cannot stand inside a text");
                let help = format!("make `${{secrets.{field}}}` the whole value, so that it is never written anywhere");
                self.add("flow::workflow::template", span, message, help);
                None
            }
            "in" | "out" if names == Names::Ports => Some(format!("${{{root}.{field}}}")),
            _ => {
                let message = format!("unknown name `{root}.{field}` in `${{}}`");
                let roots: &[&str] =
                    if names == Names::Ports { &["params", "each", "in", "out"] } else { &["params", "each", "secrets"] };
                let help = suggest::help(root, "names", roots.iter().copied());
                self.add("flow::workflow::unknown_name", span, message, help);
                None
            }
        }
    }

    /// The value of an axis, or its name in keys where a key may be spelled.
    fn axis(&mut self, name: &str, span: Span, names: Names) -> Option<Value> {
        let instance = match self.each {
            Each::Broken => return None,
            Each::Of(instance) => instance,
            Each::Nothing => {
                let message = format!("`${{each.{name}}}` stands in a place without `foreach:`");
                let help = format!("add `foreach: {{{name}: [VALUE, VALUE]}}` to the stage");
                self.add("flow::workflow::unknown_name", span, message, help);
                return None;
            }
        };
        if let Some(found) = instance.get(name) {
            let by_name = matches!(names, Names::References | Names::Expression) && !found.name.is_empty();
            return Some(if by_name { Value::from(found.name.as_str()) } else { found.value.clone() });
        }
        let help = format!("instance `{}`: {}", instance.key, suggest::help(name, "axes", instance.axes()));
        self.add("flow::workflow::unknown_name", span, format!("unknown axis `{name}`"), help);
        None
    }

    fn param(&mut self, name: &str, span: Span) -> Option<Value> {
        if let Some(value) = self.params.get(name) {
            return value.clone();
        }
        let help = suggest::help(name, "parameters", self.params.keys().map(String::as_str));
        self.add("flow::workflow::unknown_param", span, format!("unknown parameter `{name}`"), help);
        None
    }

    fn add(&mut self, code: &'static str, span: Span, message: String, help: String) {
        let file = self.file.clone();
        self.problems.add(Problem { code, message, file, span, label: "in this value".to_owned(), help });
    }
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(text: &str, names: Names) -> Result<Value, Vec<String>> {
        let params = BTreeMap::from([
            ("lr".to_owned(), Some(json!(0.0002))),
            ("base".to_owned(), Some(json!("hf:a/b"))),
            ("langs".to_owned(), Some(json!(["en"]))),
        ]);
        let mut problems = Problems::default();
        let node = Node { span: Span::default(), value: NodeValue::Text(text.to_owned()) };
        let file = SourceText::new("t.yaml", text);
        let value = Substitution::new((&file, &params), Each::Nothing, &mut problems).value(&node, names);
        let found = problems.into_sorted();
        if found.is_empty() { Ok(value) } else { Err(found.into_iter().map(|problem| problem.message).collect()) }
    }

    #[test]
    fn a_whole_scalar_keeps_its_type_and_an_embedded_one_is_text() {
        assert_eq!(fill("${params.lr}", Names::Values), Ok(json!(0.0002)));
        assert_eq!(fill("${params.langs}", Names::Values), Ok(json!(["en"])));
        assert_eq!(fill("lr=${params.lr}, ${params.base}", Names::Values), Ok(json!("lr=0.0002, hf:a/b")));
        assert_eq!(fill("${secrets.TOKEN}", Names::Values), Ok(json!({"secret": "TOKEN"})));
    }

    #[test]
    fn dollars_are_text_unless_a_brace_follows() {
        assert_eq!(fill("$5 and $${params.lr} $$", Names::Values), Ok(json!("$5 and ${params.lr} $$")));
    }

    #[test]
    fn ports_stay_for_the_command_stage() {
        assert_eq!(fill("--in=${in.rows} $${x} ${params.base}", Names::Ports), Ok(json!("--in=${in.rows} $${x} hf:a/b")));
        assert!(fill("${in.rows}", Names::Values).is_err());
    }

    #[test]
    fn wrong_names_are_problems() {
        for text in
            ["${params.lrr}", "${param.lr}", "${params}", "${params.lr", "${}", "a ${secrets.X}", "${params.langs} x", "${1+1}"]
        {
            assert!(fill(text, Names::Values).is_err(), "{text}");
        }
        assert!(fill("metrics.x > ${params.lr}", Names::Expression).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_template_or_an_error(text in "[${}a.]{0,16}") {
            if let Ok(template) = Template::parse(&text) {
                let names = template.pieces.iter().filter(|piece| matches!(piece, Piece::Name { .. })).count();
                let opened = text.matches("${").count();
                prop_assert!(names <= opened);
            }
        }
    }
}

//! Parameters: declared types, defaults and bounds, and the values given from outside.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Number, Value};

use super::{Node, ParamDeclaration, ParamType, Problem, Problems, SourceText, Span, document::ItemType, parse::parse, suggest};

/// The value of every declared parameter; none for one whose value is itself a problem.
pub(crate) type ParamValues = BTreeMap<String, Option<Value>>;

/// One value given from outside, with the place to point at when it does not fit.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) value: GivenValue,
    pub(crate) file: Arc<SourceText>,
    pub(crate) span: Span,
}

/// How a value was given.
#[derive(Clone, Debug)]
pub(crate) enum GivenValue {
    /// As text on the command line, to be read by the declared type.
    Text(String),
    /// As a typed value of a `with:`; none when that value is itself a problem.
    Typed(Option<Value>),
}

impl Given {
    /// The value by the declared type; none when the value is itself a problem.
    fn read(&self, declaration: &ParamDeclaration) -> Option<Result<Value, String>> {
        Some(match &self.value {
            GivenValue::Typed(value) => fit(declaration, value.clone()?),
            GivenValue::Text(text) => read_text(declaration, text).and_then(|value| fit(declaration, value)),
        })
    }
}

/// Declarations by name; none for one that is itself a problem.
pub(crate) type Declarations = BTreeMap<String, Option<ParamDeclaration>>;

/// Tells the given values that no parameter is declared for.
fn check_given(declared: &Declarations, given: &BTreeMap<String, Given>, problems: &mut Problems) {
    for (name, given) in given.iter().filter(|(name, _)| !declared.contains_key(*name)) {
        let help = suggest::help(name, "parameters", declared.keys().map(String::as_str));
        problems.add(problem("flow::params::unknown", given, format!("unknown parameter `{name}`"), help));
    }
}

/// Tells everything that is wrong with given values that are not used now.
pub(crate) fn check_unused(declared: &Declarations, given: &BTreeMap<String, Given>, problems: &mut Problems) {
    check_given(declared, given, problems);
    for (name, given) in given {
        let Some(declaration) = declared.get(name).and_then(Option::as_ref) else { continue };
        if let Some(Err(reason)) = given.read(declaration) {
            problems.add(wrong_value(given, name, &reason, declaration));
        }
    }
}

/// Joins declarations and given values.
pub(crate) struct Resolution<'a> {
    pub(crate) file: &'a Arc<SourceText>,
    /// The `params:` node of the file.
    pub(crate) node: Option<&'a Node>,
    pub(crate) declared: &'a Declarations,
    pub(crate) given: &'a BTreeMap<String, Given>,
}

/// Resolves every declared parameter and adds a problem for every value that is missing, unknown, or does not fit.
pub(crate) fn resolve(resolution: &Resolution<'_>, problems: &mut Problems) -> ParamValues {
    check_given(resolution.declared, resolution.given, problems);
    let value = |(name, declaration): (&String, &Option<ParamDeclaration>)| {
        let value = declaration.as_ref().and_then(|declaration| resolution.value(name, declaration, problems));
        (name.clone(), value)
    };
    resolution.declared.iter().map(value).collect()
}

impl Resolution<'_> {
    fn value(&self, name: &str, declaration: &ParamDeclaration, problems: &mut Problems) -> Option<Value> {
        let default = self.default(name, declaration, problems);
        let Some(given) = self.given.get(name) else {
            if declaration.default.is_none() {
                let help = format!("give it with `-p {name}=VALUE`, or add a `default:`");
                let here = self.declared_at(name, None);
                problems.add(problem("flow::params::missing", &here, format!("parameter `{name}` has no value"), help));
            }
            return default;
        };
        given.read(declaration)?.map_err(|reason| problems.add(wrong_value(given, name, &reason, declaration))).ok()
    }

    fn default(&self, name: &str, declaration: &ParamDeclaration, problems: &mut Problems) -> Option<Value> {
        let fitted = fit(declaration, declaration.default.clone()?);
        let here = self.declared_at(name, Some("default"));
        fitted.map_err(|reason| problems.add(wrong_value(&here, name, &reason, declaration))).ok()
    }

    fn declared_at(&self, name: &str, key: Option<&str>) -> Given {
        let step = |name: &str| crate::registry::PathStep::Key(name.to_owned());
        let path: Vec<_> = std::iter::once(name).chain(key).map(step).collect();
        let span = self.node.map(|node| node.place(&path).pointer()).unwrap_or_default();
        Given { value: GivenValue::Typed(None), file: self.file.clone(), span }
    }
}

fn problem(code: &'static str, at: &Given, message: String, help: String) -> Problem {
    Problem { code, message, file: at.file.clone(), span: at.span, label: "here".to_owned(), help }
}

fn wrong_value(at: &Given, name: &str, reason: &str, declaration: &ParamDeclaration) -> Problem {
    let help = match declaration.kind {
        ParamType::String => "write a text",
        ParamType::Int => "write a whole number such as 3",
        ParamType::Float => "write a number such as 0.0002",
        ParamType::Bool => "write true or false",
        ParamType::List => "write a list such as [en, fr]",
    };
    problem("flow::params::value", at, format!("invalid value of parameter `{name}`: {reason}"), help.to_owned())
}

/// Checks a value against its declaration. A whole number becomes a float where one is declared, so that keys do not differ.
fn fit(declaration: &ParamDeclaration, value: Value) -> Result<Value, String> {
    let fitted = match declaration.kind {
        ParamType::String => fit_item(ItemType::String, value),
        ParamType::Int => fit_item(ItemType::Int, value),
        ParamType::Float => fit_item(ItemType::Float, value),
        ParamType::Bool => fit_item(ItemType::Bool, value),
        ParamType::List => match value {
            Value::Array(items) => {
                items.into_iter().map(|item| fit_item(declaration.of.unwrap_or(ItemType::String), item)).collect()
            }
            other => Err(format!("expected a list, got {other}")),
        },
    }?;
    check_bounds(declaration, &fitted)?;
    Ok(fitted)
}

fn fit_item(kind: ItemType, value: Value) -> Result<Value, String> {
    let wrong = |what: &str, value: &Value| Err(format!("expected {what}, got {value}"));
    match (kind, value) {
        (ItemType::String, Value::String(text)) => Ok(Value::String(text)),
        (ItemType::String, other) => wrong("a text", &other),
        (ItemType::Bool, Value::Bool(flag)) => Ok(Value::Bool(flag)),
        (ItemType::Bool, other) => wrong("true or false", &other),
        (ItemType::Int, Value::Number(number)) if !number.is_f64() => Ok(Value::Number(number)),
        (ItemType::Int, other) => wrong("a whole number", &other),
        (ItemType::Float, Value::Number(number)) => match number.as_f64().and_then(Number::from_f64) {
            Some(float) => Ok(Value::Number(float)),
            None => wrong("a number", &Value::Number(number)),
        },
        (ItemType::Float, other) => wrong("a number", &other),
    }
}

fn check_bounds(declaration: &ParamDeclaration, value: &Value) -> Result<(), String> {
    let Some(number) = value.as_f64() else { return Ok(()) };
    if let Some(min) = declaration.min.filter(|min| number < *min) {
        return Err(format!("{value} is below the minimum {min}"));
    }
    match declaration.max.filter(|max| number > *max) {
        Some(max) => Err(format!("{value} is above the maximum {max}")),
        None => Ok(()),
    }
}

/// Reads the text of `-p NAME=VALUE` by the declared type. Lists may be written `a,b` or `[a, b]`.
fn read_text(declaration: &ParamDeclaration, text: &str) -> Result<Value, String> {
    match declaration.kind {
        ParamType::String => Ok(Value::from(text)),
        ParamType::Int | ParamType::Float | ParamType::Bool => read_yaml(text),
        ParamType::List if text.trim_start().starts_with('[') => read_yaml(text),
        ParamType::List if text.trim().is_empty() => Ok(Value::Array(Vec::new())),
        ParamType::List => text.split(',').map(|item| read_item(declaration.of, item.trim())).collect(),
    }
}

fn read_item(of: Option<ItemType>, text: &str) -> Result<Value, String> {
    match of.unwrap_or(ItemType::String) {
        ItemType::String => Ok(Value::from(text)),
        ItemType::Int | ItemType::Float | ItemType::Bool => read_yaml(text),
    }
}

fn read_yaml(text: &str) -> Result<Value, String> {
    let mut problems = Problems::default();
    match parse(&SourceText::new("", text), &mut problems) {
        Some(node) if problems.is_empty() => Ok(node.to_json()),
        _ => Err(format!("cannot read {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declaration(json: Value) -> ParamDeclaration {
        serde_json::from_value(json).unwrap()
    }

    fn given(text: &str) -> Given {
        Given { value: GivenValue::Text(text.to_owned()), file: SourceText::new("-p", text), span: Span::default() }
    }

    fn resolved(declared: Value, given_value: Option<&str>) -> Result<Option<Value>, Vec<String>> {
        let declared = BTreeMap::from([("x".to_owned(), Some(declaration(declared)))]);
        let given: BTreeMap<_, _> = given_value.map(|text| ("x".to_owned(), given(text))).into_iter().collect();
        let file = SourceText::new("w.yaml", "");
        let mut problems = Problems::default();
        let mut values = resolve(&Resolution { file: &file, node: None, declared: &declared, given: &given }, &mut problems);
        let found = problems.into_sorted();
        if found.is_empty() { Ok(values.remove("x").unwrap()) } else { Err(found.into_iter().map(|p| p.message).collect()) }
    }

    #[test]
    fn values_are_read_by_the_declared_type() {
        for (declared, text, value) in [
            (json!({"type": "string"}), "3", json!("3")),
            (json!({"type": "int"}), "-3", json!(-3)),
            (json!({"type": "float"}), "3", json!(3.0)),
            (json!({"type": "float"}), "1e-4", json!(0.0001)),
            (json!({"type": "bool"}), "true", json!(true)),
            (json!({"type": "list"}), "en, fr", json!(["en", "fr"])),
            (json!({"type": "list"}), "", json!([])),
            (json!({"type": "list", "of": "int"}), "[1, 2]", json!([1, 2])),
            (json!({"type": "list", "of": "float"}), "1,2.5", json!([1.0, 2.5])),
        ] {
            assert_eq!(resolved(declared, Some(text)), Ok(Some(value)), "{text}");
        }
    }

    #[test]
    fn a_whole_default_of_a_float_is_a_float() {
        assert_eq!(resolved(json!({"type": "float", "default": 1}), None), Ok(Some(json!(1.0))));
    }

    #[test]
    fn values_that_do_not_fit_are_problems() {
        for (declared, text) in [
            (json!({"type": "int"}), Some("3.5")),
            (json!({"type": "int"}), Some("many")),
            (json!({"type": "int", "min": 1}), Some("0")),
            (json!({"type": "float", "max": 0.01}), Some("0.02")),
            (json!({"type": "bool"}), Some("yes")),
            (json!({"type": "list", "of": "int"}), Some("1,x")),
            (json!({"type": "int"}), None),
            (json!({"type": "int", "default": "x"}), None),
        ] {
            assert_eq!(resolved(declared.clone(), text).unwrap_err().len(), 1, "{declared} {text:?}");
        }
    }
}

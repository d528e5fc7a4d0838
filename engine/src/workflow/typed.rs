//! Every error of a value against a type, not only the first: read, record, cut out what was wrong, read again.

use serde_json::Value;

use super::{Node, Problem, Problems, SourceText, Span, suggest, tree::Place};
use crate::registry::{ConfigError, PathStep};

/// Errors of one value at most: more help nobody.
const LIMIT: usize = 40;

/// A value as far as it could be parsed.
pub(crate) struct Partial<T> {
    /// The errors of all its parts.
    pub(crate) errors: Vec<ConfigError>,
    /// What is left without the parts that are wrong, if that is a value.
    pub(crate) rest: Option<T>,
}

/// Parses a value, or finds the errors of all its parts.
pub(crate) fn every_error<T>(mut value: Value, parse: impl Fn(Value) -> Result<T, ConfigError>) -> Result<T, Partial<T>> {
    let mut errors: Vec<ConfigError> = Vec::new();
    let mut cut: Vec<Vec<PathStep>> = Vec::new();
    while errors.len() < LIMIT {
        match parse(value.clone()) {
            Ok(parsed) if errors.is_empty() => return Ok(parsed),
            Ok(rest) => return Err(Partial { errors, rest: Some(rest) }),
            Err(error) => {
                let goes_on = prune(&mut value, &error, &mut cut);
                // What is missing because it was cut out is no error of its own.
                let follows = missing_field(&error.message).is_some() && cut.contains(&error.path);
                if !follows {
                    errors.push(error);
                }
                if !goes_on {
                    break;
                }
            }
        }
    }
    Err(Partial { errors, rest: None })
}

/// Cuts out what an error is about: an unknown key, a wrong value, or the value that lacks a key. Says whether anything was cut.
fn prune(value: &mut Value, error: &ConfigError, cut: &mut Vec<Vec<PathStep>>) -> bool {
    let mut path = error.path.as_slice();
    if let Some(field) = unknown_field(&error.message) {
        // A tagged variant is reported at the whole, everything else at the key.
        let parent = match path.split_last() {
            Some((PathStep::Key(last), parent)) if last == field => parent,
            _ => path,
        };
        if let Some(Value::Object(map)) = descend(value, parent)
            && map.shift_remove(field).is_some()
        {
            return true;
        }
    }
    // A list without one of its items would give later errors wrong indices: the list goes as a whole.
    while let Some((last, parent)) = path.split_last() {
        if let (PathStep::Key(key), Some(Value::Object(map))) = (last, descend(value, parent))
            && map.shift_remove(key).is_some()
        {
            cut.push(parent.to_vec());
            return true;
        }
        path = parent;
    }
    false
}

fn descend<'v>(value: &'v mut Value, path: &[PathStep]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |inner, step| match step {
        PathStep::Key(key) => inner.get_mut(key),
        PathStep::Index(index) => inner.get_mut(index),
    })
}

fn unknown_field(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

/// The words in backticks after the first.
fn expected_words(message: &str) -> Vec<&str> {
    message.split('`').skip(3).step_by(2).collect()
}

/// Where the errors of a value are told.
pub(crate) struct Telling<'a> {
    pub(crate) file: &'a std::sync::Arc<SourceText>,
    /// The node that the value was read from, if it was written at all.
    pub(crate) node: Option<&'a Node>,
    /// What to point at when the value was not written, or the error is about the whole.
    pub(crate) whole: Span,
    /// What the reader can look at to learn what is allowed.
    pub(crate) reference: &'a str,
}

impl Telling<'_> {
    /// Adds every error as a problem with its place.
    pub(crate) fn tell(&self, errors: &[ConfigError], problems: &mut Problems) {
        for error in errors {
            problems.add(self.problem(error));
        }
    }

    fn problem(&self, error: &ConfigError) -> Problem {
        let place = self.place(&error.path);
        if let Some(field) = unknown_field(&error.message) {
            return self.unknown(error, field);
        }
        if let Some(field) = missing_field(&error.message) {
            let help = format!("add `{field}:` here; {}", self.reference);
            return self.made("flow::workflow::missing_field", place.name(), (format!("missing key `{field}`"), help));
        }
        if let Some(variant) = error.message.strip_prefix("unknown variant `").and_then(|rest| rest.split('`').next()) {
            let help = suggest::help(variant, "values", expected_words(&error.message));
            return self.made("flow::workflow::invalid_value", place.pointer(), (format!("unknown value `{variant}`"), help));
        }
        let subject = match error.path.last() {
            Some(PathStep::Key(key)) => format!("invalid value of `{key}`: "),
            Some(PathStep::Index(_)) | None => String::new(),
        };
        let reason = plain_reason(&error.message);
        self.made("flow::workflow::invalid_value", place.pointer(), (format!("{subject}{reason}"), self.reference.to_owned()))
    }

    fn unknown(&self, error: &ConfigError, field: &str) -> Problem {
        let mut path = error.path.clone();
        // A tagged variant is reported at the whole; the key it means is one step below.
        if path.last() != Some(&PathStep::Key(field.to_owned())) {
            path.push(PathStep::Key(field.to_owned()));
        }
        let help = suggest::help(field, "keys", expected_words(&error.message));
        self.made("flow::workflow::unknown_field", self.place(&path).name(), (format!("unknown key `{field}`"), help))
    }

    fn place(&self, path: &[PathStep]) -> Place {
        let whole = Place { key: Some(self.whole), value: self.whole, collection: true };
        let Some(node) = self.node else { return whole };
        let place = node.place(path);
        if place.key.is_none() && place.collection && !matches!(path.last(), Some(PathStep::Index(_))) { whole } else { place }
    }

    fn made(&self, code: &'static str, span: Span, texts: (String, String)) -> Problem {
        let (message, help) = texts;
        Problem { code, message, file: self.file.clone(), span, label: "here".to_owned(), help }
    }
}

/// A reason in the words of a workflow's author instead of a programmer's.
fn plain_reason(message: &str) -> String {
    let words = [
        ("invalid type: ", "found "),
        ("invalid value: ", "found "),
        ("invalid length ", "found a length of "),
        ("floating point ", "the number "),
        ("integer ", "the number "),
        ("boolean ", ""),
        ("string ", "the text "),
        ("unit value", "nothing"),
        ("null", "nothing"),
        ("a sequence", "a list"),
        ("sequence", "a list"),
        ("map", "a mapping"),
    ];
    let (found, expected) =
        message.split_once(", expected ").map_or((message, None), |(found, expected)| (found, Some(expected)));
    let mut found = found.to_owned();
    for (from, to) in words.iter().take(if found.starts_with("invalid") { 12 } else { 0 }) {
        found = found.replacen(from, to, 1);
    }
    let expected = expected.map(|expected| match expected {
        "a string" => "a text",
        "a map" | "struct" => "a mapping",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "f32" | "f64" => "a number",
        "usize" | "u8" | "u16" | "u32" | "u64" | "nonzero unsigned 64-bit integer" => "a whole number of zero or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        other if other.starts_with("struct ") => "a mapping",
        other => other,
    });
    match expected {
        Some(expected) => format!("{found}, expected {expected}"),
        None => found,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read to be refused")]
    struct Outer {
        rank: u32,
        name: String,
        #[serde(default)]
        inner: BTreeMap<String, Inner>,
        #[serde(default)]
        list: Vec<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read to be refused")]
    struct Inner {
        share: f64,
    }

    fn errors(value: Value) -> Vec<String> {
        let partial = every_error(value, ConfigError::parse::<Outer>).err().unwrap();
        partial.errors.into_iter().map(|error| error.message).collect()
    }

    #[test]
    fn all_errors_are_found_and_none_follows_from_another() {
        let found = errors(json!({
            "rank": "high", "name": "x", "nme": 1, "inner": {"a": {"share": "lots"}, "b": {"shre": 1, "share": 1}}, "list": [1, "x", "y"],
        }));
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found.iter().all(|message| !message.contains("missing")), "{found:?}");
    }

    #[test]
    fn a_missing_field_is_found_after_the_rest() {
        let found = errors(json!({"rank": 1, "extra": true}));
        assert_eq!(found.len(), 2);
        assert!(found[1].contains("missing field `name`"));
    }

    #[test]
    fn reasons_speak_of_texts_and_lists() {
        assert_eq!(
            plain_reason("invalid type: string \"x\", expected u32"),
            "found the text \"x\", expected a whole number of zero or more"
        );
        assert_eq!(plain_reason("invalid type: sequence, expected a string"), "found a list, expected a text");
        assert_eq!(plain_reason("expected a number from 0 to 1, got 1.5"), "expected a number from 0 to 1, got 1.5");
    }
}

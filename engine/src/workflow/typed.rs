//! Every error of a value against a type, not only the first: read, record, mend what was wrong, read again.
//!
//! A wrong part is cut out; a missing one is filled with whatever its type accepts, so that what is missing after it is found.

use serde_json::{Value, json};

use super::{Node, Problem, Problems, SourceText, Span, suggest, tree::Place};
use crate::registry::{ConfigError, PathStep};

/// Errors of one value at most: more help nobody.
const LIMIT: usize = 200;

/// A value as far as it could be parsed.
pub(crate) struct Partial<T> {
    /// The errors of all its parts.
    pub(crate) errors: Vec<ConfigError>,
    /// What is left without the parts that are wrong, if that is a value. Missing keys of the whole hold a placeholder.
    pub(crate) rest: Option<T>,
}

/// Parses a value, or finds the errors of all its parts.
pub(crate) fn every_error<T>(value: &Value, parse: impl Fn(&Value) -> Result<T, ConfigError>) -> Result<T, Partial<T>> {
    every_other_error((value, Vec::new()), parse)
}

/// The same for a value with holes: nulls in the place of parts whose problem is told already.
pub(crate) fn every_other_error<T>(
    (value, holes): (&Value, Vec<Vec<PathStep>>),
    parse: impl Fn(&Value) -> Result<T, ConfigError>,
) -> Result<T, Partial<T>> {
    let first = match parse(value) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    let mut search = Search { value: value.clone(), holes, ..Search::default() };
    let rest = search.all(first, &parse);
    Err(Partial { errors: search.errors, rest })
}

/// A value on the way to one without errors.
#[derive(Default)]
struct Search {
    value: Value,
    /// Parts whose problem is told already.
    holes: Vec<Vec<PathStep>>,
    /// What held the parts that were cut out.
    cut: Vec<Vec<PathStep>>,
    /// What held a misspelled key, and the key that was meant.
    meant: Vec<(Vec<PathStep>, String)>,
    /// What lacks a key that was filled in.
    filled: Vec<Vec<PathStep>>,
    /// The list of which one item is looked at alone.
    alone: Option<Vec<PathStep>>,
    errors: Vec<ConfigError>,
}

impl Search {
    /// Finds every error from the first on, and gives what is left without them.
    fn all<T>(&mut self, first: ConfigError, parse: &impl Fn(&Value) -> Result<T, ConfigError>) -> Option<T> {
        let mut error = first;
        for _ in 0..LIMIT {
            if !self.mend(error, parse) {
                break;
            }
            match parse(&self.value) {
                Ok(_) => return self.rest(parse),
                Err(next) => error = next,
            }
        }
        None
    }

    /// Records an error and mends the value. Says whether it is worth reading again.
    fn mend<T>(&mut self, error: ConfigError, parse: &impl Fn(&Value) -> Result<T, ConfigError>) -> bool {
        if let Some(list) = self.list_of(&error) {
            return self.each_alone(&list, parse);
        }
        let follows = self.follows(&error);
        if let Some((holder, meant)) = meant(&error) {
            self.meant.push((holder, meant));
        }
        let missing = missing_field(&error.message).map(str::to_owned);
        let filled = missing.is_some_and(|field| self.fill(&error, &field, parse));
        let goes_on = filled || prune(&mut self.value, &error, &mut self.cut);
        if !follows {
            self.errors.push(error);
        }
        goes_on
    }

    /// Whether an error only follows from another: a part is a hole, or something is missing, or does not add up, where a part
    /// was cut out.
    fn follows(&self, error: &ConfigError) -> bool {
        if unknown_field(&error.message).is_some() {
            return false;
        }
        let missing = missing_field(&error.message);
        let holds = |hole: &Vec<PathStep>| missing.is_none() && hole.split_last().is_some_and(|(_, holder)| holder == error.path);
        if self.holes.iter().any(|hole| error.path.starts_with(hole) || holds(hole)) {
            return true;
        }
        let here = |(holder, key): &(Vec<PathStep>, String)| *holder == error.path && missing.is_none_or(|field| field == key);
        self.cut.contains(&error.path) || self.meant.iter().any(here)
    }

    /// The outermost list that an error is in, unless one of its items is looked at already.
    fn list_of(&self, error: &ConfigError) -> Option<Vec<PathStep>> {
        let known = self.alone.as_ref().map_or(0, |list| list.len() + 1);
        let at = error.path.iter().skip(known).position(|step| matches!(step, PathStep::Index(_)))? + known;
        error.path.get(..at).map(<[PathStep]>::to_vec)
    }

    /// Looks at every item of a list alone, so that none changes the place of another, and cuts the list out.
    fn each_alone<T>(&mut self, list: &[PathStep], parse: &impl Fn(&Value) -> Result<T, ConfigError>) -> bool {
        let Some(Value::Array(items)) = descend(&mut self.value, list).map(Value::take) else { return false };
        for (index, item) in items.into_iter().enumerate().take(LIMIT) {
            let mut value = self.value.clone();
            if let Some(place) = descend(&mut value, list) {
                *place = Value::Array(vec![item]);
            }
            let holes = self.holes.iter().filter_map(|hole| moved(hole, list, (index, 0))).collect();
            let mut search = Self { value, holes, alone: Some(list.to_vec()), ..Self::default() };
            if let Err(first) = parse(&search.value) {
                search.all(first, parse);
            }
            let own = search.errors.into_iter().filter_map(|error| {
                moved(&error.path, list, (0, index)).map(|path| ConfigError { path, message: error.message })
            });
            self.errors.extend(own);
        }
        let holder = remove(&mut self.value, list);
        self.cut.extend(holder.iter().cloned());
        holder.is_some()
    }

    /// Fills a missing key with the first value that its type accepts.
    fn fill<T>(&mut self, error: &ConfigError, field: &str, parse: &impl Fn(&Value) -> Result<T, ConfigError>) -> bool {
        let mut tries = vec![
            json!(""),
            json!(1),
            json!(0),
            json!(0.5),
            json!(false),
            json!([]),
            json!({}),
            Value::Null,
            json!(["x"]),
            json!("1s"),
            json!("x.y"),
        ];
        let mut at = 0;
        while let Some(candidate) = tries.get(at).cloned() {
            at += 1;
            let Some(Value::Object(map)) = descend(&mut self.value, &error.path) else { return false };
            map.insert(field.to_owned(), candidate);
            match parse(&self.value) {
                Err(next) if concerns(&next, error, field) => {
                    let variants = next.message.starts_with("unknown variant ") && tries.len() < 64;
                    tries.extend(variants.then(|| expected_words(&next.message)).into_iter().flatten().map(Value::from));
                }
                _ => {
                    self.filled.push(error.path.clone());
                    return true;
                }
            }
        }
        if let Some(Value::Object(map)) = descend(&mut self.value, &error.path) {
            map.shift_remove(field);
        }
        false
    }

    /// The value without what was only filled in.
    fn rest<T>(&mut self, parse: &impl Fn(&Value) -> Result<T, ConfigError>) -> Option<T> {
        for holder in self.filled.iter().filter(|holder| !holder.is_empty()) {
            remove(&mut self.value, holder);
        }
        parse(&self.value).ok()
    }
}

/// The path of an item of a list, or of a part of it, when the item is at another place.
fn moved(path: &[PathStep], list: &[PathStep], (from, to): (usize, usize)) -> Option<Vec<PathStep>> {
    let rest = path.strip_prefix(list)?.strip_prefix(&[PathStep::Index(from)])?;
    Some(list.iter().cloned().chain([PathStep::Index(to)]).chain(rest.iter().cloned()).collect())
}

/// The key that a misspelled one stands for, and what holds it.
fn meant(error: &ConfigError) -> Option<(Vec<PathStep>, String)> {
    let field = unknown_field(&error.message)?;
    let meant = suggest::nearest(field, expected_words(&error.message))?;
    Some((holder_of(error, field).to_vec(), meant.to_owned()))
}

/// What holds an unknown key. A tagged variant is reported at the whole, everything else at the key.
fn holder_of<'e>(error: &'e ConfigError, field: &str) -> &'e [PathStep] {
    match error.path.split_last() {
        Some((PathStep::Key(last), holder)) if last == field => holder,
        _ => &error.path,
    }
}

/// Whether an error is about the value that was filled in for another.
fn concerns(next: &ConfigError, missing: &ConfigError, field: &str) -> bool {
    if next == missing {
        return true;
    }
    let inside = next.path.get(missing.path.len()) == Some(&PathStep::Key(field.to_owned()));
    let other_key = missing_field(&next.message).is_some() || unknown_field(&next.message).is_some();
    next.path.starts_with(&missing.path) && (inside || (next.path.len() == missing.path.len() && !other_key))
}

/// Removes the innermost mapping entry that a path leads through; a list goes as a whole, so that its other items keep their places.
fn remove(value: &mut Value, path: &[PathStep]) -> Option<Vec<PathStep>> {
    let mut path = path;
    while let Some((last, parent)) = path.split_last() {
        if let (PathStep::Key(key), Some(Value::Object(map))) = (last, descend(value, parent))
            && map.shift_remove(key).is_some()
        {
            return Some(parent.to_vec());
        }
        path = parent;
    }
    None
}

/// Cuts out what an error is about: an unknown key, a wrong value, or the value that lacks a key. Says whether anything was cut.
fn prune(value: &mut Value, error: &ConfigError, cut: &mut Vec<Vec<PathStep>>) -> bool {
    if let Some(field) = unknown_field(&error.message)
        && let Some(Value::Object(map)) = descend(value, holder_of(error, field))
        && map.shift_remove(field).is_some()
    {
        return true;
    }
    let holder = remove(value, &error.path);
    cut.extend(holder.iter().cloned());
    holder.is_some()
}

fn descend<'v>(value: &'v mut Value, path: &[PathStep]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |inner, step| match step {
        PathStep::Key(key) => inner.get_mut(key),
        PathStep::Index(index) => inner.get_mut(index),
    })
}

/// The key of an error about a key that nothing is called.
pub(crate) fn unknown_field(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// The key of an error about a key that is missing.
pub(super) fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

/// The words in backticks after the first.
pub(super) fn expected_words(message: &str) -> Vec<&str> {
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
        "usize" | "u8" | "u16" | "u32" | "u64" => "a whole number of zero or more",
        "nonzero unsigned 64-bit integer" => "a whole number of one or more",
        other if other.starts_with("a nonzero u") => "a whole number of one or more",
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

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read to be refused")]
    struct Many {
        mode: Mode,
        path: String,
        on: bool,
        list: Vec<u32>,
        share: f64,
        period: crate::workflow::Period,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
    }

    fn errors(value: &Value) -> Vec<String> {
        let partial = every_error(value, ConfigError::parse::<Outer>).err().unwrap();
        partial.errors.into_iter().map(|error| error.message).collect()
    }

    #[test]
    fn all_errors_are_found_and_none_follows_from_another() {
        let found = errors(&json!({
            "rank": "high", "name": "x", "nme": 1, "inner": {"a": {"share": "lots"}, "b": {"shre": 1, "share": 1}}, "list": [1, "x", "y"],
        }));
        assert_eq!(found.len(), 6, "{found:?}");
        assert!(found.iter().all(|message| !message.contains("missing")), "{found:?}");
    }

    #[test]
    fn a_misspelled_key_is_not_missing_too() {
        assert_eq!(errors(&json!({"ranks": 1})).len(), 2);
        assert_eq!(errors(&json!({"ranks": 1, "name": "x", "inner": {"a": {"shares": 1}}})).len(), 2);
    }

    #[test]
    fn items_of_a_list_keep_their_places() {
        let value = json!({"rank": 1, "name": "x", "list": ["a", 1, "b"]});
        let partial = every_error(&value, ConfigError::parse::<Outer>).err().unwrap();
        let paths: Vec<_> = partial.errors.iter().map(|error| error.path.last().cloned()).collect();
        assert_eq!(paths, [Some(PathStep::Index(0)), Some(PathStep::Index(2))]);
    }

    #[test]
    fn every_missing_field_is_found() {
        let found = errors(&json!({"inner": {"a": {}, "b": {"share": 1}}}));
        assert_eq!(found, ["missing field `share`", "missing field `rank`", "missing field `name`"]);
        let partial = every_error(&json!({}), ConfigError::parse::<Many>).err().unwrap();
        assert_eq!(partial.errors.len(), 6, "{:?}", partial.errors);
        assert!(partial.rest.is_some_and(|rest| matches!(rest.mode, Mode::Fast)));
    }

    #[test]
    fn what_was_filled_in_is_not_left_in_the_rest() {
        let partial =
            every_error(&json!({"rank": 1, "name": "x", "inner": {"a": {}, "b": {"share": 1}}}), ConfigError::parse::<Outer>);
        let rest = partial.err().and_then(|partial| partial.rest).unwrap();
        assert_eq!(rest.inner.keys().map(String::as_str).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_missing_field_is_found_after_the_rest() {
        let found = errors(&json!({"rank": 1, "extra": true}));
        assert_eq!(found.len(), 2);
        assert!(found[1].contains("missing field `name`"));
    }

    #[test]
    fn reasons_speak_of_texts_and_lists() {
        assert_eq!(
            plain_reason("invalid type: string \"x\", expected u32"),
            "found the text \"x\", expected a whole number of zero or more"
        );
        assert_eq!(
            plain_reason("invalid value: integer `0`, expected a nonzero u32"),
            "found the number `0`, expected a whole number of one or more"
        );
        assert_eq!(plain_reason("invalid type: sequence, expected a string"), "found a list, expected a text");
        assert_eq!(plain_reason("expected a number from 0 to 1, got 1.5"), "expected a number from 0 to 1, got 1.5");
    }
}

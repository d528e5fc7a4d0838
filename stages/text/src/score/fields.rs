//! Field by field comparison of structured answers: a JSON object, or lines of `key: value`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Normalizer, exact_match};

/// How many fields of an answer are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldScore {
    /// Fields whose values agree.
    pub correct: usize,
    /// Fields asked for.
    pub total: usize,
}

impl FieldScore {
    /// Whether every field is right.
    pub fn is_exact(self) -> bool {
        self.correct == self.total
    }
}

/// Reads an answer as fields by name: the first JSON object in it, else its lines of `key: value`. Names are lower case.
/// Returns nothing when the answer has neither, or names a field twice in its lines.
pub fn parse_fields(answer: &str) -> Option<BTreeMap<String, String>> {
    json_fields(answer).or_else(|| line_fields(answer))
}

/// Counts the fields that agree. With no `names`, the reference says which fields count, and a prediction with further
/// fields gets one wrong field for each. Returns nothing when the reference has no fields or lacks a named one.
pub fn match_fields(prediction: &str, reference: &str, names: &[String], normalizer: Normalizer) -> Option<FieldScore> {
    let expected = parse_fields(reference)?;
    let predicted = parse_fields(prediction).unwrap_or_default();
    let names: Vec<String> = if names.is_empty() {
        expected.keys().chain(predicted.keys().filter(|name| !expected.contains_key(*name))).cloned().collect()
    } else {
        let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        if !names.iter().all(|name| expected.contains_key(name)) {
            return None;
        }
        names
    };
    let agrees = |name: &&String| match (expected.get(*name), predicted.get(*name)) {
        (Some(value), Some(other)) => exact_match(other, value, normalizer),
        (Some(_), None) | (None, _) => false,
    };
    let correct = names.iter().filter(agrees).count();
    Some(FieldScore { correct, total: names.len() })
}

fn json_fields(answer: &str) -> Option<BTreeMap<String, String>> {
    let object = answer.get(answer.find('{')?..)?;
    // A stream reads one value and leaves what follows, such as the end of a code block.
    let value = serde_json::Deserializer::from_str(object).into_iter::<Value>().next()?.ok()?;
    let fields = value.as_object()?.iter().map(|(name, value)| (name.trim().to_lowercase(), plain(value))).collect();
    Some(fields)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn line_fields(answer: &str) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    for line in answer.lines() {
        if let Some((name, value)) = line.split_once(':')
            && is_name(name)
            && fields.insert(name.trim().to_lowercase(), value.trim().to_owned()).is_some()
        {
            return None;
        }
    }
    (!fields.is_empty()).then_some(fields)
}

/// A name is a few words, not a sentence that happens to have a colon.
fn is_name(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.len() <= 40 && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn score(prediction: &str, reference: &str, names: &[&str]) -> Option<(usize, usize)> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        match_fields(prediction, reference, &names, Normalizer::Caseless).map(|score| (score.correct, score.total))
    }

    #[test]
    fn json_and_lines_are_the_same_answer() {
        let reference = r#"{"queue": "billing", "priority": 2}"#;
        assert_eq!(score("Queue: Billing\npriority: 2", reference, &[]), Some((2, 2)));
        assert_eq!(score("```json\n{\"priority\": 2, \"queue\": \"billing\"}\n```", reference, &[]), Some((2, 2)));
    }

    #[test]
    fn missing_wrong_and_additional_fields_count_as_wrong() {
        let reference = "queue: billing\npriority: high";
        assert_eq!(score("queue: billing", reference, &[]), Some((1, 2)));
        assert_eq!(score("queue: sales\npriority: high", reference, &[]), Some((1, 2)));
        assert_eq!(score("queue: billing\npriority: high\nmood: bad", reference, &[]), Some((2, 3)));
        assert_eq!(score("I cannot say.", reference, &[]), Some((0, 2)));
    }

    #[test]
    fn named_fields_alone_count_and_must_be_in_the_reference() {
        let reference = "queue: billing\npriority: high";
        assert_eq!(score("priority: high\nmood: bad", reference, &["Priority"]), Some((1, 1)));
        assert_eq!(score("priority: high", reference, &["mood"]), None);
        assert_eq!(score("priority: high", "no fields here", &[]), None);
    }

    #[test]
    fn a_field_given_twice_is_no_answer() {
        assert_eq!(parse_fields("queue: billing\nqueue: sales"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[{}\":, a-c\n\\PC]{0,60}") {
            if let Some(fields) = parse_fields(&text) {
                let total = fields.len();
                prop_assert_eq!(score(&text, &text, &[]), Some((total, total)));
            }
        }
    }
}

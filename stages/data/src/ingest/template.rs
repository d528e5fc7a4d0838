//! Texts with holes: `{field}` stands for a field of the row, `{{` and `}}` for braces.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::reject::Reject;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
}

impl Template {
    /// Fills the holes. A field that is not there, or null, is an error.
    pub(super) fn fill(&self, fields: &Map<String, Value>) -> Result<String, Reject> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(name) => out.push_str(&text_of(fields, name)?),
            }
        }
        Ok(out)
    }

    /// The names of the fields it needs.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }
}

fn text_of<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Cow<'a, str>, Reject> {
    match fields.get(name) {
        None | Some(Value::Null) => Err(Reject::MissingField(name.to_owned())),
        Some(Value::String(text)) => Ok(Cow::Borrowed(text)),
        Some(other) => Ok(Cow::Owned(other.to_string())),
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(next) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = next;
            } else if let Some((name, next)) =
                after.split_once('}').filter(|(name, _)| brace == "{" && !name.is_empty() && !name.contains('{'))
            {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
                pieces.push(Piece::Field(name.to_owned()));
                rest = next;
            } else {
                return Err(TemplateError { template: text });
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Text(literal));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self { text, pieces })
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "A text in which `{field}` stands for a field of the row."})
    }
}

/// A template with a brace that opens or closes nothing.
#[derive(Debug, thiserror::Error)]
#[error("cannot read template {template:?}: write a field as {{field}} and a brace as {{{{ or }}}}")]
pub struct TemplateError {
    template: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(template: &str, fields: &Value) -> Result<String, Reject> {
        Template::try_from(template.to_owned()).unwrap().fill(fields.as_object().unwrap())
    }

    #[test]
    fn holes_are_filled() {
        let fields = json!({"a": "x", "n": 5, "list": [1], "none": null, "braces": "{a}"});
        assert_eq!(fill("{a}-{n} {{a}} {list}{braces}", &fields).unwrap(), "x-5 {a} [1]{a}");
        assert_eq!(fill("{none}", &fields), Err(Reject::MissingField("none".to_owned())));
        assert_eq!(fill("plain", &fields).unwrap(), "plain");
    }

    #[test]
    fn stray_braces_are_errors() {
        for bad in ["{", "}", "{a", "a}", "{}", "{a{b}}"] {
            assert!(Template::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}

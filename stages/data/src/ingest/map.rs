//! From the shape of a source to a conversation and `meta`.

use flow_text::record::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map as Fields, Value};

use super::{reject::Reject, template::Template, transcript};

/// How a row of a source becomes a conversation. Fields that are not used go to `meta`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Map {
    /// `messages: [{role, content}]`.
    #[default]
    Messages,
    /// `prompt` and `completion`, and `system` if there is one.
    PromptCompletion,
    /// `instruction`, `input` if there is one, and `output`.
    Alpaca,
    /// `conversations: [{from, value}]`.
    Sharegpt,
    /// Templates of your own.
    Custom(CustomMap),
    /// A transcript in `chosen` whose turns begin with `Human:` and `Assistant:`; `rejected` goes to `meta`.
    Hh,
    /// A text in `document`, `article`, `dialogue`, `source`, or `text`, and its summary in `summary`, `highlights`, or `target`;
    /// lists of sentences are joined, and of several summaries the first is taken.
    Summarization,
    /// A text in `text`, as one message of the assistant.
    Text,
}

/// Templates of the turns; `{field}` stands for a field of the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomMap {
    /// The system message, if there shall be one.
    #[serde(default)]
    pub system: Option<Template>,
    /// What the user says. Its fields do not go to `meta`; those of `completion` do, so that labels can be audited.
    pub prompt: Template,
    /// What the assistant shall answer.
    pub completion: Template,
}

/// A row of any source: the conversation and what is left of the fields.
pub(super) type Mapped = (Vec<Message>, Fields<String, Value>);

impl Map {
    /// Makes a conversation of the fields of a row.
    pub(super) fn apply(&self, mut fields: Fields<String, Value>) -> Result<Mapped, Reject> {
        let messages = match self {
            Self::Messages => turns(&take(&mut fields, "messages")?, ("messages", "role", "content"))?,
            Self::Sharegpt => {
                let mut messages = system(&mut fields)?;
                messages.extend(turns(&take(&mut fields, "conversations")?, ("conversations", "from", "value"))?);
                messages
            }
            Self::PromptCompletion => {
                let mut messages = system(&mut fields)?;
                messages.push(message("user", take_text(&mut fields, "prompt")?));
                messages.push(message("assistant", take_text(&mut fields, "completion")?));
                messages
            }
            Self::Alpaca => {
                let mut messages = system(&mut fields)?;
                messages.push(message("user", alpaca_prompt(&mut fields)?));
                messages.push(message("assistant", take_text(&mut fields, "output")?));
                messages
            }
            Self::Custom(custom) => custom.apply(&mut fields)?,
            Self::Hh => transcript::turns(&take_text(&mut fields, "chosen")?)?,
            Self::Summarization => summarization(&mut fields)?,
            Self::Text => vec![message("assistant", take_text(&mut fields, "text")?)],
        };
        check(&messages)?;
        Ok((messages, fields))
    }
}

impl CustomMap {
    fn apply(&self, fields: &mut Fields<String, Value>) -> Result<Vec<Message>, Reject> {
        let mut messages = Vec::new();
        if let Some(system) = &self.system {
            messages.push(message("system", system.fill(fields)?));
        }
        messages.push(message("user", self.prompt.fill(fields)?));
        messages.push(message("assistant", self.completion.fill(fields)?));
        let shown: Vec<&str> = self.system.iter().flat_map(Template::fields).chain(self.prompt.fields()).collect();
        fields.retain(|name, _| !shown.contains(&name.as_str()) || self.completion.fields().any(|used| used == name));
        Ok(messages)
    }
}

/// What stands before a text to be summarised.
const SUMMARISE: &str = "Summarize the following text.\n\n";
/// Fields with the text, the first that is there counts.
const DOCUMENTS: [&str; 5] = ["document", "article", "dialogue", "source", "text"];
/// Fields with its summary.
const SUMMARIES: [&str; 3] = ["summary", "highlights", "target"];

fn summarization(fields: &mut Fields<String, Value>) -> Result<Vec<Message>, Reject> {
    let named = |fields: &Fields<String, Value>, names: &[&'static str]| {
        let found = names.iter().find(|name| fields.get(**name).is_some_and(|value| !value.is_null()));
        found.copied().ok_or_else(|| Reject::MissingField(names.join(" or ")))
    };
    let (document, summary) = (named(fields, &DOCUMENTS)?, named(fields, &SUMMARIES)?);
    let text = joined(take(fields, document)?, document)?;
    let summary = match take(fields, summary)? {
        // Several summaries of one text, each a string.
        Value::Array(several) if document == "source" => joined(several.into_iter().next().unwrap_or_default(), summary)?,
        value => joined(value, summary)?,
    };
    let mut messages = system(fields)?;
    messages.push(message("user", format!("{SUMMARISE}{text}")));
    messages.push(message("assistant", summary));
    Ok(messages)
}

/// A text, or the sentences of one.
fn joined(value: Value, name: &str) -> Result<String, Reject> {
    let wrong = || Reject::WrongType(name.to_owned());
    match value {
        Value::String(text) => Ok(text),
        Value::Array(sentences) => {
            let texts: Option<Vec<&str>> = sentences.iter().map(Value::as_str).collect();
            Ok(texts.ok_or_else(wrong)?.join(" "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
    }
}

fn alpaca_prompt(fields: &mut Fields<String, Value>) -> Result<String, Reject> {
    let instruction = take_text(fields, "instruction")?;
    match fields.shift_remove("input") {
        None | Some(Value::Null) => Ok(instruction),
        Some(Value::String(input)) if input.trim().is_empty() => Ok(instruction),
        Some(Value::String(input)) => Ok(format!("{instruction}\n\n{input}")),
        Some(_) => Err(Reject::WrongType("input".to_owned())),
    }
}

fn system(fields: &mut Fields<String, Value>) -> Result<Vec<Message>, Reject> {
    match fields.shift_remove("system") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![message("system", text)]),
        Some(_) => Err(Reject::WrongType("system".to_owned())),
    }
}

fn turns(list: &Value, (name, role, content): (&str, &str, &str)) -> Result<Vec<Message>, Reject> {
    let turns = list.as_array().ok_or_else(|| Reject::WrongType(name.to_owned()))?;
    let turn = |turn: &Value| {
        let text = |key: &str| match turn.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            None | Some(Value::Null) => Err(Reject::MissingField(format!("{name}[].{key}"))),
            Some(_) => Err(Reject::WrongType(format!("{name}[].{key}"))),
        };
        Ok(message(canonical_role(&text(role)?)?, text(content)?))
    };
    turns.iter().map(turn).collect()
}

fn canonical_role(role: &str) -> Result<&'static str, Reject> {
    match role {
        "system" => Ok("system"),
        "user" | "human" => Ok("user"),
        "assistant" | "gpt" | "model" | "bot" => Ok("assistant"),
        "tool" | "function" | "observation" => Ok("tool"),
        other => Err(Reject::UnknownRole(other.chars().take(20).collect())),
    }
}

fn take(fields: &mut Fields<String, Value>, name: &str) -> Result<Value, Reject> {
    fields.shift_remove(name).filter(|value| !value.is_null()).ok_or_else(|| Reject::MissingField(name.to_owned()))
}

fn take_text(fields: &mut Fields<String, Value>, name: &str) -> Result<String, Reject> {
    match take(fields, name)? {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(Reject::WrongType(name.to_owned()))
        }
    }
}

pub(super) fn message(role: &str, content: String) -> Message {
    Message { role: role.to_owned(), content }
}

fn check(messages: &[Message]) -> Result<(), Reject> {
    let empty = messages.is_empty() || messages.iter().any(|message| message.content.trim().is_empty());
    if empty { Err(Reject::EmptyMessage) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn apply(map: &Value, fields: &Value) -> Result<(String, Value), &'static str> {
        let map: Map = serde_json::from_value(map.clone()).unwrap();
        let (messages, meta) = map.apply(fields.as_object().unwrap().clone()).map_err(|reject| reject.reason())?;
        let shown: Vec<String> = messages.iter().map(|m| format!("{}:{}", m.role, m.content)).collect();
        Ok((shown.join("|"), Value::Object(meta)))
    }

    #[test]
    fn every_shape_becomes_a_conversation() {
        let cases = [
            (
                json!("messages"),
                json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "id": 1}),
                "user:q|assistant:a",
            ),
            (json!("prompt_completion"), json!({"prompt": "q", "completion": "a", "id": 1}), "user:q|assistant:a"),
            (json!("alpaca"), json!({"instruction": "q", "input": "", "output": "a", "id": 1}), "user:q|assistant:a"),
            (
                json!("alpaca"),
                json!({"system": "s", "instruction": "q", "input": "i", "output": "a", "id": 1}),
                "system:s|user:q\n\ni|assistant:a",
            ),
            (
                json!("sharegpt"),
                json!({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "id": 1}),
                "user:q|assistant:a",
            ),
            (
                json!({"custom": {"system": "s", "prompt": "{x}", "completion": "n: {id}"}}),
                json!({"x": "q", "id": 1}),
                "system:s|user:q|assistant:n: 1",
            ),
            (
                json!("hh"),
                json!({"chosen": "\n\nHuman: q\n\nmore\n\nAssistant: a\n\nHuman: r\n\nAssistant: b", "id": 1}),
                "user:q\n\nmore|assistant:a|user:r|assistant:b",
            ),
            (
                json!("summarization"),
                json!({"source": ["One.", "Two."], "target": ["Both.", "Other."], "id": 1}),
                "user:Summarize the following text.\n\nOne. Two.|assistant:Both.",
            ),
            (
                json!("summarization"),
                json!({"article": "Long.", "highlights": "Short.", "id": 1}),
                "user:Summarize the following text.\n\nLong.|assistant:Short.",
            ),
            (json!("text"), json!({"text": "once", "id": 1}), "assistant:once"),
        ];
        for (map, fields, shown) in cases {
            assert_eq!(apply(&map, &fields), Ok((shown.to_owned(), json!({"id": 1}))), "{map}");
        }
    }

    #[test]
    fn rows_that_do_not_fit_are_named() {
        let cases = [
            (json!("messages"), json!({"text": "x"}), "missing_field"),
            (json!("messages"), json!({"messages": "x"}), "wrong_type"),
            (json!("messages"), json!({"messages": [{"role": "oracle", "content": "x"}]}), "unknown_role"),
            (json!("messages"), json!({"messages": []}), "empty_message"),
            (json!("prompt_completion"), json!({"prompt": "q", "completion": " "}), "empty_message"),
            (json!("prompt_completion"), json!({"prompt": 5, "completion": "a"}), "wrong_type"),
            (json!({"custom": {"prompt": "{x}", "completion": "{y}"}}), json!({"x": "q"}), "missing_field"),
            (json!("hh"), json!({"chosen": "Human said nothing"}), "bad_transcript"),
            (json!("hh"), json!({"chosen": "\n\nHuman: q\n\nAssistant: "}), "empty_message"),
            (json!("summarization"), json!({"text": "x"}), "missing_field"),
            (json!("summarization"), json!({"text": 5, "summary": "x"}), "wrong_type"),
        ];
        for (map, fields, reason) in cases {
            assert_eq!(apply(&map, &fields), Err(reason), "{fields}");
        }
    }
}

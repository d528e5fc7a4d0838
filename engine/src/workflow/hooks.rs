//! `hooks:`: what is told or run when a run ends. Read and checked here; executing them is [`crate::run`]'s concern.
//!
//! A hook may hold secrets, by name only: their values are read at the moment a hook fires.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::{EnvironmentValue, Piece, Scalar, Template};
use crate::Secret;

/// What happens when a run ends, by how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    /// When every stage succeeded, was cached, or was skipped by its own condition.
    #[serde(default)]
    pub success: Vec<Hook>,
    /// When a stage failed or a gate was not met.
    #[serde(default)]
    pub failure: Vec<Hook>,
    /// When the run waits for an approval.
    #[serde(default)]
    pub parked: Vec<Hook>,
    /// Whenever a run ends, after the hooks of how it ended.
    #[serde(default)]
    pub finished: Vec<Hook>,
}

impl Hooks {
    /// The hooks of one moment, by its key in the file.
    pub fn at(&self, moment: &str) -> &[Hook] {
        match moment {
            "success" => &self.success,
            "failure" => &self.failure,
            "parked" => &self.parked,
            "finished" => &self.finished,
            _ => &[],
        }
    }

    /// Whether there is nothing to do however a run ends.
    pub fn is_empty(&self) -> bool {
        [&self.success, &self.failure, &self.parked, &self.finished].iter().all(|hooks| hooks.is_empty())
    }
}

/// One thing that is done when a run ends.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "HookDocument")]
pub enum Hook {
    /// Send a message.
    Notify(Channel),
    /// Run a command in the project's folder.
    Run(HookCommand),
}

impl Hook {
    /// The secrets it is given when it fires.
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Notify(Channel::Webhook(url)) => url.secrets().collect(),
            Self::Run(command) => command.env.values().filter_map(EnvironmentValue::secret).collect(),
        }
    }
}

impl fmt::Display for Hook {
    /// What the journal calls it: where a message goes, or the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notify(channel) => channel.fmt(f),
            Self::Run(command) => f.write_str(&command.run.join(" ")),
        }
    }
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A JSON document is posted to this URL.
    Webhook(SecretText),
}

/// A command that is run when a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookCommand {
    /// The program and its arguments. They hold no secrets: other processes can read them.
    pub run: Vec<String>,
    /// Added to its environment.
    pub env: BTreeMap<String, EnvironmentValue>,
}

/// One hook: `notify` or `run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HookDocument {
    /// Where a message goes: `webhook:URL`. The URL may hold `${secrets.NAME}`.
    #[serde(default)]
    notify: Option<Channel>,
    /// A command and its arguments, run in the project's folder with `FLOW_RUN` and `FLOW_OUTCOME` in its environment.
    #[serde(default)]
    run: Option<Vec<Scalar>>,
    /// Environment variables of the command; a value may be `${secrets.NAME}`.
    #[serde(default)]
    env: BTreeMap<String, EnvironmentValue>,
}

impl JsonSchema for Hook {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hook".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        HookDocument::json_schema(generator)
    }
}

impl TryFrom<HookDocument> for Hook {
    type Error = String;

    fn try_from(document: HookDocument) -> Result<Self, String> {
        match (document.notify, document.run) {
            (Some(channel), None) if document.env.is_empty() => Ok(Self::Notify(channel)),
            (Some(_), None) => Err("`env` belongs to `run`, not to `notify`".to_owned()),
            (None, Some(run)) => Ok(Self::Run(HookCommand { run: arguments(run)?, env: document.env })),
            (Some(_), Some(_)) => Err("a hook is either `notify` or `run`, so write two of them".to_owned()),
            (None, None) => Err("a hook needs `notify: \"webhook:URL\"` or `run: [COMMAND, ARGUMENT]`".to_owned()),
        }
    }
}

fn arguments(run: Vec<Scalar>) -> Result<Vec<String>, String> {
    if run.is_empty() {
        return Err("`run` is empty: write the command and its arguments".to_owned());
    }
    let plain = |Scalar(argument): Scalar| {
        let text = SecretText::parse(&argument)?;
        match text.secrets().next() {
            Some(secret) => {
                let name = &secret.secret;
                Err(format!("secret `{name}` cannot be an argument, which other processes can read: pass it in `env:`"))
            }
            None => Ok(text.to_string()),
        }
    };
    run.into_iter().map(plain).collect()
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Self::parse(&text).map_err(de::Error::custom),
            Value::Object(_) => Err(de::Error::custom("the kind of the channel is missing: write `webhook:${secrets.NAME}`")),
            other => Err(de::Error::custom(format!("found {other}, expected a text such as webhook:https://example.org/x"))),
        }
    }
}

impl Channel {
    fn parse(text: &str) -> Result<Self, String> {
        let known = "write `webhook:URL`, or `run: [COMMAND]` for anything else";
        match text.split_once(':') {
            Some(("webhook", url)) => SecretText::parse(url.trim()).and_then(webhook),
            Some(("mail" | "mailto", _)) => {
                Err("mail is not sent by flow: it would need a mail server here; use `webhook:URL`, or run a mail command with `run:`"
                    .to_owned())
            }
            Some(("http" | "https", _)) => Err(format!("the kind of the channel is missing: write `webhook:{text}`")),
            Some((other, _)) => Err(format!("unknown kind of channel `{other}`: {known}")),
            None => Err(format!("`{text}` names no channel: {known}")),
        }
    }
}

fn webhook(url: SecretText) -> Result<Channel, String> {
    let fits = match url.pieces.first() {
        None => false,
        Some(SecretPiece::Secret(_)) => true,
        Some(SecretPiece::Text(text)) => text.starts_with("https://") || text.starts_with("http://"),
    };
    if fits { Ok(Channel::Webhook(url)) } else { Err(format!("`{url}` is no URL: begin with https:// or http://")) }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(url) => write!(f, "webhook:{url}"),
        }
    }
}

impl JsonSchema for Channel {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Channel".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^webhook:.+",
            "description": "Where a message goes: `webhook:URL`. The URL may hold `${secrets.NAME}`.",
        })
    }
}

/// A text with places for secrets. Shown with their names; their values are filled in only where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretText {
    pieces: Vec<SecretPiece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SecretPiece {
    Text(String),
    Secret(Secret),
}

impl SecretText {
    fn parse(text: &str) -> Result<Self, String> {
        let template = Template::parse(text).map_err(|error| error.message)?;
        let piece = |piece: Piece| match piece {
            Piece::Text(text) => Ok(SecretPiece::Text(text)),
            Piece::Name { root, field } if root == "secrets" => Ok(SecretPiece::Secret(Secret { secret: field })),
            Piece::Name { root, field } => Err(format!("unknown name `{root}.{field}` in `${{}}`")),
        };
        template.pieces.into_iter().map(piece).collect::<Result<_, _>>().map(|pieces| Self { pieces })
    }

    /// The secrets it needs, in order.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.pieces.iter().filter_map(|piece| match piece {
            SecretPiece::Text(_) => None,
            SecretPiece::Secret(secret) => Some(secret),
        })
    }

    /// The text with the value of every secret, or the first error of `read`.
    pub fn reveal<E>(&self, mut read: impl FnMut(&Secret) -> Result<String, E>) -> Result<String, E> {
        let piece = |piece: &SecretPiece| match piece {
            SecretPiece::Text(text) => Ok(text.clone()),
            SecretPiece::Secret(secret) => read(secret),
        };
        self.pieces.iter().map(piece).collect()
    }
}

impl fmt::Display for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            SecretPiece::Text(text) => f.write_str(text),
            SecretPiece::Secret(secret) => write!(f, "{secret:?}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hook(value: Value) -> Result<Hook, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_webhook_keeps_its_secrets_as_names() {
        let found = hook(json!({"notify": "webhook:https://hooks.example.org/${secrets.SLACK_PATH}?a=1"})).unwrap();
        let Hook::Notify(channel) = &found else { panic!("{found:?}") };
        assert_eq!(channel.to_string(), "webhook:https://hooks.example.org/${secrets.SLACK_PATH}?a=1");
        let Channel::Webhook(url) = channel;
        assert_eq!(url.secrets().map(|secret| secret.secret.as_str()).collect::<Vec<_>>(), ["SLACK_PATH"]);
        let revealed = url.reveal(|secret| Ok::<_, ()>(secret.secret.to_lowercase()));
        assert_eq!(revealed, Ok("https://hooks.example.org/slack_path?a=1".to_owned()));
        assert!(!format!("{found:?}").contains("slack_path"));
        assert!(hook(json!({"notify": "webhook:${secrets.URL}"})).is_ok());
    }

    #[test]
    fn a_command_has_arguments_and_an_environment() {
        let found = hook(json!({"run": ["notify-send", 3, "$${x}"], "env": {"TOKEN": {"secret": "T"}, "N": 1}})).unwrap();
        let Hook::Run(command) = found else { panic!("{found:?}") };
        assert_eq!(command.run, ["notify-send", "3", "${x}"]);
        assert_eq!(command.env["TOKEN"], EnvironmentValue::Secret(Secret { secret: "T".to_owned() }));
    }

    #[test]
    fn what_is_no_hook_is_refused_with_a_reason() {
        for (value, part) in [
            (json!({}), "needs `notify"),
            (json!({"notify": "mail:a@example.org"}), "mail is not sent"),
            (json!({"notify": "https://example.org"}), "webhook:https://example.org"),
            (json!({"notify": "webhook:example.org"}), "begin with https"),
            (json!({"notify": "webhook:"}), "begin with https"),
            (json!({"notify": "pager:x"}), "unknown kind of channel `pager`"),
            (json!({"notify": "team"}), "names no channel"),
            (json!({"notify": {"secret": "X"}}), "webhook:${secrets.NAME}"),
            (json!({"notify": 3}), "found 3"),
            (json!({"run": []}), "`run` is empty"),
            (json!({"run": ["curl", "-H", "${secrets.T}"]}), "pass it in `env:`"),
            (json!({"run": ["x"], "notify": "webhook:https://a"}), "either"),
            (json!({"notify": "webhook:https://a", "env": {"A": 1}}), "belongs to `run`"),
        ] {
            let error = hook(value.clone()).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
    }
}

//! What becomes of personal data: the policy and the replacement.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entity, Span};

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Its kind in brackets takes its place, such as `[EMAIL]`.
    Redact,
    /// Letters and digits become `*`, but for the last few.
    Mask,
    /// A name made with a secret key takes its place, the same for the same value, such as `EMAIL_7f3a91c2`.
    Pseudonymize,
    /// It stays, and is counted.
    Keep,
    /// The whole record goes.
    DropRecord,
}

impl ActionKind {
    /// The name in workflow files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redact => "redact",
            Self::Mask => "mask",
            Self::Pseudonymize => "pseudonymize",
            Self::Keep => "keep",
            Self::DropRecord => "drop_record",
        }
    }
}

/// What becomes of the values of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// What to do.
    #[serde(rename = "do")]
    pub kind: ActionKind,
    /// Letters and digits that `mask` leaves at the end; never more than half.
    #[serde(default = "four")]
    pub keep_last: usize,
}

fn four() -> usize {
    4
}

impl From<ActionKind> for Action {
    fn from(kind: ActionKind) -> Self {
        Self { kind, keep_last: four() }
    }
}

/// The key of pseudonyms. It is derived from a secret and shown nowhere.
#[derive(Clone)]
pub struct PseudonymKey([u8; 32]);

impl PseudonymKey {
    /// Fewer bytes than this can be guessed.
    pub const LEAST_BYTES: usize = 16;

    /// Derives the key of a secret; `None` when the secret is too short.
    pub fn derive(secret: &str) -> Option<Self> {
        (secret.len() >= Self::LEAST_BYTES).then(|| Self(blake3::derive_key("flow 2026-11 pii pseudonym v1", secret.as_bytes())))
    }

    fn name(&self, entity: Entity, normal: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(entity.name().as_bytes()).update(b"\0").update(normal.as_bytes());
        let hex = hasher.finalize().to_hex();
        format!("{}_{}", entity.label(), &hex[..8])
    }
}

/// Actions by kind of personal data.
#[derive(Clone)]
pub struct Policy {
    /// For the kinds that `actions` does not name.
    pub default: Action,
    /// By kind.
    pub actions: BTreeMap<Entity, Action>,
    /// The key, if a kind is pseudonymised. Without it such values are redacted.
    pub key: Option<PseudonymKey>,
}

impl Policy {
    /// What becomes of values of a kind.
    pub fn action(&self, entity: Entity) -> Action {
        self.actions.get(&entity).copied().unwrap_or(self.default)
    }

    /// Whether a value must not be found again afterwards.
    pub fn removes(&self, entity: Entity) -> bool {
        self.action(entity).kind != ActionKind::Keep
    }
}

/// Returns the text with every span replaced. Spans must be in text order and must not overlap, as `scan` gives them.
pub fn apply(text: &str, spans: &[Span], policy: &Policy) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        out.push_str(&text[at..span.start]);
        let value = &text[span.start..span.end];
        let action = policy.action(span.entity);
        match (action.kind, &policy.key) {
            (ActionKind::Keep, _) => out.push_str(value),
            (ActionKind::Mask, _) => out.push_str(&mask(value, action.keep_last)),
            (ActionKind::Pseudonymize, Some(key)) => out.push_str(&key.name(span.entity, &span.normal)),
            (ActionKind::Redact | ActionKind::DropRecord | ActionKind::Pseudonymize, _) => {
                out.push('[');
                out.push_str(span.entity.label());
                out.push(']');
            }
        }
        at = span.end;
    }
    out.push_str(&text[at..]);
    out
}

fn mask(value: &str, keep_last: usize) -> String {
    let letters = value.chars().filter(|c| c.is_alphanumeric()).count();
    let hidden = letters - keep_last.min(letters / 2);
    let mut seen = 0;
    let hide = |c: char| {
        seen += usize::from(c.is_alphanumeric());
        if c.is_alphanumeric() && seen <= hidden { '*' } else { c }
    };
    value.chars().map(hide).collect()
}

/// Returns the shape of a value for people to look at: letters become `x`, digits `0`, and signs stay.
pub fn masked_sample(value: &str) -> String {
    let shape = |c: char| match c {
        _ if c.is_numeric() => '0',
        _ if c.is_alphabetic() => 'x',
        other => other,
    };
    value.chars().map(shape).take(40).collect()
}

//! A YAML document as a tree in which every node and key has its byte span.

use serde_json::{Number, Value};

use super::Span;
use crate::registry::PathStep;

/// One value of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: NodeValue,
}

/// What a node holds, by the core schema of YAML 1.2.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NodeValue {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A scalar whose problem is told already.
    Broken,
}

/// One key of a mapping and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

/// Where a path ends in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The key that leads there, if the last step is one.
    pub(crate) key: Option<Span>,
    /// The value.
    pub(crate) value: Span,
    /// Whether the value is a list or a mapping, which may be many lines long.
    pub(crate) collection: bool,
}

impl Place {
    /// What to point at for the whole place: a scalar itself, else the key in front.
    pub(crate) fn pointer(self) -> Span {
        match self.key {
            Some(key) if self.collection => key,
            _ => self.value,
        }
    }

    /// What to point at for the name of the place.
    pub(crate) fn name(self) -> Span {
        self.key.unwrap_or(self.value)
    }
}

impl Node {
    /// Takes the entries of a mapping below this one out of the tree.
    pub(super) fn take_entries(&mut self, key: &str) -> Option<Vec<Entry>> {
        self.get_mut(key)?.entries_mut().map(std::mem::take)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            NodeValue::Map(entries) => entries,
            NodeValue::Null
            | NodeValue::Bool(_)
            | NodeValue::Number(_)
            | NodeValue::Text(_)
            | NodeValue::List(_)
            | NodeValue::Broken => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            NodeValue::List(items) => items,
            NodeValue::Null
            | NodeValue::Bool(_)
            | NodeValue::Number(_)
            | NodeValue::Text(_)
            | NodeValue::Map(_)
            | NodeValue::Broken => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.entries_mut()?.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
    }

    fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match &mut self.value {
            NodeValue::Map(entries) => Some(entries),
            NodeValue::Null
            | NodeValue::Bool(_)
            | NodeValue::Number(_)
            | NodeValue::Text(_)
            | NodeValue::List(_)
            | NodeValue::Broken => None,
        }
    }

    /// Whether the value is a list or a mapping, which may be many lines long.
    pub(crate) fn is_collection(&self) -> bool {
        matches!(self.value, NodeValue::List(_) | NodeValue::Map(_))
    }

    /// What kind of value this is, with its article.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            NodeValue::Null | NodeValue::Broken => "nothing",
            NodeValue::Bool(_) => "true or false",
            NodeValue::Number(_) => "a number",
            NodeValue::Text(_) => "a text",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a mapping",
        }
    }

    /// The place of a path, or of its longest part that is in the text. The root is the start of the document.
    pub(crate) fn place(&self, path: &[PathStep]) -> Place {
        let mut node = self;
        let mut key = None;
        for step in path {
            let found = match step {
                PathStep::Key(name) => node.entry(name).map(|entry| (Some(entry.key_span), &entry.value)),
                PathStep::Index(index) => node.items().get(*index).map(|item| (None, item)),
            };
            let Some((next_key, next)) = found else { break };
            (key, node) = (next_key, next);
        }
        let collection = node.is_collection();
        let first_byte = Span::new(node.span.start, (node.span.start + 1).min(node.span.end));
        Place { key, value: if collection { first_byte } else { node.span }, collection }
    }

    /// The plain value, spans dropped.
    pub(crate) fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Null | NodeValue::Broken => Value::Null,
            NodeValue::Bool(flag) => Value::Bool(*flag),
            NodeValue::Number(number) => Value::Number(number.clone()),
            NodeValue::Text(text) => Value::String(text.clone()),
            NodeValue::List(items) => items.iter().map(Self::to_json).collect(),
            NodeValue::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
        }
    }
}

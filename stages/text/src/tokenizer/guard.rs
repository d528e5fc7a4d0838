//! Keeps special tokens out of content: what a user typed is broken by a mark before the template sees it, so that every
//! special token found in the rendering is the template's own.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use regex::Regex;
use tokenizers::Tokenizer;

use crate::record::Message;

/// Unicode's noncharacters: no text to be exchanged holds them.
const NONCHARACTERS: Range<u32> = 0xFDD0..0xFDF0;

/// Knows the special tokens of a tokenizer by their text.
#[derive(Debug)]
pub(crate) struct Guard {
    ids: BTreeMap<String, u32>,
    /// Matches any special token, the longest first; none where there are no special tokens.
    pattern: Option<Regex>,
}

/// A conversation that holds no special token in its content.
pub(crate) struct Shielded<'a> {
    pub(crate) messages: Cow<'a, [Message]>,
    /// The mark that breaks what looked like a special token, if anything did.
    pub(crate) broken_by: Option<char>,
}

impl Guard {
    /// Learns the special tokens of a tokenizer.
    pub(crate) fn new(tokenizer: &Tokenizer) -> Result<Self, regex::Error> {
        let added = tokenizer.get_added_tokens_decoder();
        let ids: BTreeMap<String, u32> = added
            .into_iter()
            .filter(|(_, token)| token.special && !token.content.is_empty())
            .map(|(id, token)| (token.content, id))
            .collect();
        let mut texts: Vec<&String> = ids.keys().collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let alternatives: Vec<String> = texts.into_iter().map(|text| regex::escape(text)).collect();
        let pattern = (!alternatives.is_empty()).then(|| Regex::new(&alternatives.join("|"))).transpose()?;
        Ok(Self { ids, pattern })
    }

    /// Whether text reads like a special token somewhere.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
    }

    /// Every special token of a text, left to right.
    pub(crate) fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (Range<usize>, u32)> + 'a {
        let found = self.pattern.iter().flat_map(move |pattern| pattern.find_iter(text));
        found.filter_map(|found| Some((found.range(), *self.ids.get(found.as_str())?)))
    }

    /// Breaks whatever reads like a special token in the messages.
    pub(crate) fn shield<'a>(&self, messages: &'a [Message]) -> Shielded<'a> {
        let forged = messages.iter().any(|message| self.matches(&message.content) || self.matches(&message.role));
        let [mark] = unused_characters::<1>(messages);
        if !forged {
            return Shielded { messages: Cow::Borrowed(messages), broken_by: None };
        }
        let shielded = messages
            .iter()
            .map(|message| Message { role: self.break_up(&message.role, mark), content: self.break_up(&message.content, mark) });
        Shielded { messages: Cow::Owned(shielded.collect()), broken_by: Some(mark) }
    }

    /// Puts the mark after the first character of each match until none is left: breaking one may uncover another.
    fn break_up(&self, text: &str, mark: char) -> String {
        let mut text = text.to_owned();
        while let Some(found) = self.pattern.as_ref().and_then(|pattern| pattern.find(&text)) {
            let first = found.as_str().chars().next().map_or(0, char::len_utf8);
            let at = found.start() + first;
            text.insert(at, mark);
        }
        text
    }
}

/// Returns characters that no message uses. Should a text hold all 32 noncharacters, the last ones are given anyway.
pub(crate) fn unused_characters<const N: usize>(messages: &[Message]) -> [char; N] {
    let used = |c: char| messages.iter().any(|message| message.content.contains(c) || message.role.contains(c));
    let mut free = NONCHARACTERS.filter_map(char::from_u32).filter(|c| !used(*c));
    std::array::from_fn(|_| free.next().unwrap_or('\u{FDEF}'))
}

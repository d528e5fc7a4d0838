//! Turns token ids into text pieces that are safe to send: whole characters, and nothing that may be the start of a stop
//! string.

use flow_text::generate::{Decoder, GenerateError};

/// Collects the ids of one answer.
pub(super) struct Assembler {
    decoder: Decoder,
    ids: Vec<u32>,
    text: String,
    sent: usize,
    stops: Vec<String>,
    stopped: bool,
}

impl Assembler {
    /// An empty answer that ends before the first of the stop strings.
    pub(super) fn new(decoder: Decoder, stops: Vec<String>) -> Self {
        Self { decoder, ids: Vec::new(), text: String::new(), sent: 0, stops, stopped: false }
    }

    /// Adds a token and returns the text that became safe to send.
    pub(super) fn push(&mut self, id: u32) -> Result<String, GenerateError> {
        if self.stopped {
            return Ok(String::new());
        }
        self.ids.push(id);
        self.text = (self.decoder)(&self.ids)?;
        if let Some(at) = self.stops.iter().filter_map(|stop| self.text.find(stop.as_str())).min() {
            self.text.truncate(at);
            self.stopped = true;
        }
        let safe = if self.stopped { self.text.len() } else { self.safe_end() };
        Ok(self.take(safe))
    }

    /// The text held back, once no token follows.
    pub(super) fn finish(&mut self) -> String {
        let end = self.text.len();
        self.take(end)
    }

    /// Whether a stop string was found.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Tokens so far.
    pub(super) fn tokens(&self) -> usize {
        self.ids.len()
    }

    fn take(&mut self, end: usize) -> String {
        let piece = self.text.get(self.sent..end).unwrap_or_default().to_owned();
        self.sent = self.sent.max(end);
        piece
    }

    /// Where the sendable text ends: before an unfinished character and before a possible stop string.
    fn safe_end(&self) -> usize {
        let whole = self.text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        let held = self.stops.iter().map(|stop| overlap(whole, stop)).max().unwrap_or(0);
        whole.len() - held
    }
}

/// The length of the longest proper prefix of `stop` that `text` ends with.
fn overlap(text: &str, stop: &str) -> usize {
    let prefixes = stop.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
    prefixes.filter(|at| stop.get(..*at).is_some_and(|prefix| text.ends_with(prefix))).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use flow_text::generate::Generate;

    use super::*;
    use crate::parrot::Parrot;

    fn pieces(text: &str, stops: &[&str]) -> (Vec<String>, bool) {
        let mut assembler = Assembler::new(Parrot::new("parrot").decoder(), stops.iter().map(ToString::to_string).collect());
        let mut pieces: Vec<String> =
            text.bytes().map(|byte| assembler.push(byte.into()).expect("decodes")).filter(|p| !p.is_empty()).collect();
        pieces.extend(Some(assembler.finish()).filter(|p| !p.is_empty()));
        (pieces, assembler.stopped())
    }

    #[test]
    fn a_character_is_never_split() {
        let (pieces, stopped) = pieces("a🦜é", &[]);
        assert_eq!((pieces, stopped), (vec!["a".to_owned(), "🦜".to_owned(), "é".to_owned()], false));
    }

    #[test]
    fn a_stop_string_never_leaks_a_part_of_itself() {
        let (pieces, stopped) = pieces("one END two", &["END"]);
        assert_eq!((pieces.concat().as_str(), stopped), ("one ", true));
    }

    #[test]
    fn text_that_only_looked_like_a_stop_is_sent_in_the_end() {
        let (pieces, stopped) = pieces("one EN", &["END"]);
        assert_eq!((pieces.concat().as_str(), stopped), ("one EN", false));
    }
}

//! The profile `sft`: is the row a conversation, and does its answer answer?

use std::collections::BTreeSet;

use super::{
    Census, Entry, Judgement,
    page::{Page, ratio},
    rules::{Compression, Rules},
};
use crate::{
    record::{Message, Record},
    shingle::{Part, text_of},
};

/// Words from which on an answer is expected to end a sentence.
const LONG: usize = 20;
/// Words from which on the share of letters is judged.
const TELLING: usize = 8;

/// How refusals begin.
const REFUSALS: [&str; 16] = [
    "i cannot assist",
    "i can't assist",
    "i cannot help with",
    "i can't help with",
    "i cannot fulfill",
    "i can't fulfill",
    "i cannot provide",
    "i'm unable to",
    "i am unable to",
    "i'm not able to",
    "i am not able to",
    "i'm sorry, but i can",
    "i am sorry, but i can",
    "sorry, but i can",
    "i apologize, but i can",
    "i must decline",
];

/// What assistants say of themselves, anywhere.
const SELF_PORTRAITS: [&str; 6] = [
    "as an ai language model",
    "as an ai assistant",
    "as a large language model",
    "as a language model",
    "i am an ai language model",
    "i'm an ai language model",
];

pub(super) fn judge(record: &Record, rules: &Rules, census: &Census) -> Judgement {
    let (prompt, answer) = (text_of(record, Part::Prompt), text_of(record, Part::Answer));
    let (prompt, answer) = (Page::new(prompt.trim()), Page::new(answer.trim()));
    let entry = Entry::of(record);
    let within = |page: &Page<'_>, limits: &super::WordCount| {
        // A text of signs alone, such as "42 %" or "+", is one word.
        (limits.min..=limits.max).contains(&page.words.len().max(usize::from(!page.text.is_empty())))
    };
    let mut found = Judgement::default();
    found.note("turns", rules.turns.action, || !takes_turns(&record.messages));
    found.note("prompt_words", rules.prompt_words.action, || !within(&prompt, &rules.prompt_words));
    found.note("answer_words", rules.answer_words.action, || !within(&answer, &rules.answer_words));
    let echo = &rules.prompt_answer_jaccard;
    found.note("answer_repeats_prompt", echo.action, || common(&prompt, &answer) > echo.max);
    found.note("repetition", rules.repetition.action, || !rules.repetition.allows_answer(&answer));
    let letters = &rules.alpha_ratio;
    let is_judged = answer.words.len() >= TELLING && !answer.is_formal();
    found.note("alpha_ratio", letters.action, || is_judged && answer.letters() < letters.min);
    let compression = &rules.compression_ratio;
    found.note("compression_ratio", compression.action, || !compression.allows(answer.text));
    found.note("refusal", rules.boilerplate_refusal.action, || is_refusal(answer.text));
    found.note("unfinished", rules.unfinished.action, || answer.words.len() >= LONG && is_unfinished(answer.text));
    found.note("shared_answer", rules.shared_answer.action, || census.shared(entry) > rules.shared_answer.max);
    found.note("length_ratio", rules.length_ratio.action, || census.outlying(entry) > rules.length_ratio.max);
    found
}

/// System first if at all, then user and assistant in turn, tools after an assistant; the assistant last.
fn takes_turns(messages: &[Message]) -> bool {
    let mut last = "system";
    for (at, message) in messages.iter().enumerate() {
        let fits = match message.role.as_str() {
            "system" => at == 0,
            "user" => matches!(last, "system" | "assistant"),
            "assistant" => matches!(last, "user" | "tool"),
            "tool" => matches!(last, "assistant" | "tool"),
            _ => false,
        };
        if !fits || message.content.trim().is_empty() {
            return false;
        }
        last = message.role.as_str();
    }
    last == "assistant"
}

/// The Jaccard similarity of the words of two texts; 0 for short ones, whose words are often the answer itself.
fn common(prompt: &Page<'_>, answer: &Page<'_>) -> f64 {
    if answer.words.len() < TELLING {
        return 0.0;
    }
    let set = |page: &Page<'_>| page.words.iter().map(|word| word.hash).collect::<BTreeSet<u64>>();
    let (prompt, answer) = (set(prompt), set(answer));
    let both = prompt.intersection(&answer).count();
    ratio(both, prompt.len() + answer.len() - both)
}

impl Compression {
    fn allows(&self, text: &str) -> bool {
        if text.len() < self.min_bytes {
            return true;
        }
        let Ok(packed) = zstd::bulk::compress(text.as_bytes(), 1) else { return true };
        let found = ratio(text.len(), packed.len());
        (self.min..=self.max).contains(&found)
    }
}

fn is_refusal(answer: &str) -> bool {
    let start = answer.floor_char_boundary(400);
    let head = answer[..start].to_lowercase().replace('’', "'");
    let beginning = &head[..head.floor_char_boundary(80)];
    REFUSALS.iter().any(|phrase| beginning.contains(phrase)) || SELF_PORTRAITS.iter().any(|phrase| head.contains(phrase))
}

/// Words that no sentence ends with.
const OPEN_WORDS: [&str; 32] = [
    "the",
    "a",
    "an",
    "and",
    "or",
    "but",
    "of",
    "with",
    "for",
    "from",
    "by",
    "because",
    "which",
    "whose",
    "into",
    "than",
    "as",
    "if",
    "when",
    "while",
    "their",
    "your",
    "my",
    "our",
    "its",
    "such",
    "very",
    "although",
    "between",
    "including",
    "where",
    "is",
];

/// Whether a text stops in the middle of a sentence.
fn is_unfinished(text: &str) -> bool {
    let Some(last) = text.split_whitespace().next_back() else { return false };
    last.ends_with([',', '(', '–', '/', '&']) || OPEN_WORDS.contains(&last.to_lowercase().as_str())
}

//! Conversations to training examples: token ids, and labels that let only the assistant's words teach.
//!
//! What the assistant says is found in the rendering itself: by the template's `{% generation %}` tags, else by rendering
//! the conversation up to each of its turns. A turn is encoded apart from what leads up to it, so the ids before an answer
//! are exactly those the model sees when it is asked for one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    record::Message,
    template::{GenerationPrompt, SpanMarks},
    tokenizer::{ChatTokenizer, TokenizerError, unused_characters},
};

/// The label of a position that has no loss.
pub const IGNORED: i32 = -100;

/// One training example: as many labels as ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// The id itself where the assistant speaks, [`IGNORED`] elsewhere.
    pub labels: Vec<i32>,
}

/// What to do with a conversation that is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// Leave it out.
    #[default]
    Drop,
    /// Cut its end off.
    Truncate,
    /// Fail.
    Error,
}

/// How long an example may be.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Tokens at most.
    pub max_length: usize,
    /// What to do with more.
    pub overflow: Overflow,
}

/// A conversation under a [`Limit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fitted {
    /// All of it.
    Whole(Encoded),
    /// Its beginning.
    Truncated {
        /// What is left.
        encoded: Encoded,
        /// Tokens before the cut.
        tokens: usize,
    },
    /// Nothing of it.
    Dropped {
        /// Tokens it had.
        tokens: usize,
    },
}

/// A conversation that cannot be trained on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// No assistant's turn, or none left after the cut: it would teach nothing.
    #[error("the conversation has no token to learn from")]
    NoSupervision,
    /// More tokens than allowed, and [`Overflow::Error`].
    #[error("the conversation has {tokens} tokens, more than {max_length}")]
    TooLong {
        /// Tokens it has.
        tokens: usize,
        /// Tokens allowed.
        max_length: usize,
    },
    /// The template changes what it rendered before as the conversation goes on.
    #[error("the chat template rewrites what comes before turn {turn}")]
    NotPrefix {
        /// The assistant's turn, counted from 1.
        turn: usize,
    },
    /// The tokenizer or template failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl EncodeError {
    /// What the reader can do next.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NoSupervision => "give the conversation an assistant's turn, or raise max_length",
            Self::TooLong { .. } => "raise max_length, or set overflow to drop or truncate",
            Self::NotPrefix { .. } => "put {% generation %} tags around the assistant's words in the chat template",
            Self::Tokenizer(error) => error.help(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Assistant,
    Others,
}

/// A stretch of the rendering.
struct Stretch {
    text: String,
    speaker: Speaker,
}

/// Encodes a conversation and applies the limit.
pub fn encode_conversation(tokenizer: &ChatTokenizer, messages: &[Message], limit: Limit) -> Result<Fitted, EncodeError> {
    let mut encoded = encode_whole(tokenizer, messages)?;
    let (tokens, max_length) = (encoded.input_ids.len(), limit.max_length);
    if tokens <= max_length {
        return encoded.supervised().map(Fitted::Whole);
    }
    match limit.overflow {
        Overflow::Drop => Ok(Fitted::Dropped { tokens }),
        Overflow::Error => Err(EncodeError::TooLong { tokens, max_length }),
        Overflow::Truncate => {
            encoded.input_ids.truncate(max_length);
            encoded.labels.truncate(max_length);
            Ok(Fitted::Truncated { encoded: encoded.supervised()?, tokens })
        }
    }
}

impl Encoded {
    /// Positions that have a loss.
    pub fn count_supervised(&self) -> usize {
        self.labels.iter().filter(|label| **label != IGNORED).count()
    }

    /// A first token has nothing to be predicted from, so its label alone teaches nothing.
    fn supervised(self) -> Result<Self, EncodeError> {
        let teaches = self.labels.iter().skip(1).any(|label| *label != IGNORED);
        if teaches { Ok(self) } else { Err(EncodeError::NoSupervision) }
    }
}

fn encode_whole(tokenizer: &ChatTokenizer, messages: &[Message]) -> Result<Encoded, EncodeError> {
    let shielded = tokenizer.guard().shield(messages);
    let stretches = if tokenizer.template().is_tagged() {
        tagged_stretches(tokenizer, &shielded.messages)?
    } else {
        prefix_stretches(tokenizer, &shielded.messages)?
    };
    let mut encoded = Encoded { input_ids: Vec::new(), labels: Vec::new() };
    for stretch in stretches {
        let ids = tokenizer.encode_shielded(&stretch.text, shielded.broken_by)?;
        encoded.labels.extend(labels(&ids, stretch.speaker, tokenizer.stop_ids()));
        encoded.input_ids.extend(ids);
    }
    Ok(encoded)
}

/// The assistant's ids are supervised up to the end of its turn; what the template puts between turns is not.
fn labels(ids: &[u32], speaker: Speaker, stop_ids: &[u32]) -> Vec<i32> {
    let end = ids.iter().rposition(|id| stop_ids.contains(id)).map_or(ids.len(), |last| last + 1);
    let label = |(at, id): (usize, &u32)| match speaker {
        Speaker::Assistant if at < end => i32::try_from(*id).unwrap_or(IGNORED),
        Speaker::Assistant | Speaker::Others => IGNORED,
    };
    ids.iter().enumerate().map(label).collect()
}

/// Cuts a rendering where the template says that the assistant speaks.
fn tagged_stretches(tokenizer: &ChatTokenizer, messages: &[Message]) -> Result<Vec<Stretch>, EncodeError> {
    let [open, close, _] = unused_characters::<3>(messages);
    let text = tokenizer.template().render_marked(messages, SpanMarks { open, close }).map_err(TokenizerError::from)?;
    let mut stretches = Vec::new();
    for part in text.split(open) {
        // Before the first opening mark there is no closing one.
        let (said, rest) = part.split_once(close).unwrap_or(("", part));
        stretches.push(Stretch { text: said.to_owned(), speaker: Speaker::Assistant });
        stretches.push(Stretch { text: rest.to_owned(), speaker: Speaker::Others });
    }
    Ok(stretches)
}

/// Cuts a rendering where each turn of the assistant begins and ends.
fn prefix_stretches(tokenizer: &ChatTokenizer, messages: &[Message]) -> Result<Vec<Stretch>, EncodeError> {
    let render = |count: usize, prompt| {
        tokenizer.template().render(messages.get(..count).unwrap_or(messages), prompt).map_err(TokenizerError::from)
    };
    let text = render(messages.len(), GenerationPrompt::Omit)?;
    let mut stretches = Vec::new();
    let mut done = 0;
    let assistants = messages.iter().enumerate().filter(|(_, message)| message.role == "assistant");
    for (index, _) in assistants {
        let start = render(index, GenerationPrompt::Add)?;
        let end = render(index + 1, GenerationPrompt::Omit)?;
        if !text.starts_with(&start) || !text.starts_with(&end) || start.len() < done || end.len() < start.len() {
            return Err(EncodeError::NotPrefix { turn: index + 1 });
        }
        stretches.push(stretch(&text, done..start.len(), Speaker::Others));
        stretches.push(stretch(&text, start.len()..end.len(), Speaker::Assistant));
        done = end.len();
    }
    stretches.push(stretch(&text, done..text.len(), Speaker::Others));
    Ok(stretches)
}

fn stretch(text: &str, range: std::ops::Range<usize>, speaker: Speaker) -> Stretch {
    // The ends are lengths of prefixes of the text, so they lie between characters.
    Stretch { text: text.get(range).unwrap_or_default().to_owned(), speaker }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::{
        TokenizerParts,
        tests::{message, parts, tokenizer},
    };

    const ROOMY: Limit = Limit { max_length: 4_096, overflow: Overflow::Error };

    fn whole(tokenizer: &ChatTokenizer, messages: &[Message]) -> Encoded {
        match encode_conversation(tokenizer, messages, ROOMY).expect("it encodes") {
            Fitted::Whole(encoded) => encoded,
            other @ (Fitted::Truncated { .. } | Fitted::Dropped { .. }) => {
                panic!("it must fit, got {other:?}")
            }
        }
    }

    /// The supervised ids, one list a run.
    fn supervised(encoded: &Encoded) -> Vec<Vec<u32>> {
        let pairs: Vec<_> = encoded.input_ids.iter().zip(&encoded.labels).collect();
        let runs = pairs.split(|(_, label)| **label == IGNORED).filter(|run| !run.is_empty());
        runs.map(|run| run.iter().map(|(id, _)| **id).collect()).collect()
    }

    fn dialogue() -> Vec<Message> {
        let turns = [("system", "be kind"), ("user", "hello?"), ("assistant", "hello"), ("user", "he?"), ("assistant", "lo")];
        turns.map(|(role, content)| message(role, content)).to_vec()
    }

    #[test]
    fn only_answers_and_their_ends_are_supervised() {
        let tokenizer = tokenizer();
        let encoded = whole(&tokenizer, &dialogue());
        let answer = |text| [tokenizer.encode(text).expect("it encodes"), vec![2]].concat();
        assert_eq!(supervised(&encoded), [answer("hello"), answer("lo")]);
        assert_eq!(encoded.count_supervised(), 5);
        let matching = encoded
            .input_ids
            .iter()
            .zip(&encoded.labels)
            .all(|(id, label)| *label == IGNORED || i64::from(*label) == i64::from(*id));
        assert!(matching);
    }

    #[test]
    fn an_example_begins_with_the_prompt_the_model_is_asked_with() {
        let tokenizer = tokenizer();
        let messages = [message("user", "he"), message("assistant", "\n lo")];
        let encoded = whole(&tokenizer, &messages);
        let prompt = tokenizer.encode_chat(&messages[..1]).expect("it encodes");
        assert!(encoded.input_ids.starts_with(&prompt));
        assert!(encoded.labels[..prompt.len()].iter().all(|label| *label == IGNORED));
        assert!(encoded.labels[prompt.len()] != IGNORED);
    }

    #[test]
    fn generation_tags_give_the_same_labels_as_prefixes() {
        let tagged = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
        let parts = TokenizerParts { chat_template: Some(tagged.to_owned()), ..parts() };
        let with_tags = ChatTokenizer::from_parts(&parts).expect("it builds");
        assert_eq!(whole(&with_tags, &dialogue()), whole(&tokenizer(), &dialogue()));
    }

    #[test]
    fn a_conversation_without_an_answer_teaches_nothing() {
        let silent = encode_conversation(&tokenizer(), &[message("user", "hello")], ROOMY);
        assert!(matches!(silent, Err(EncodeError::NoSupervision)));
    }

    #[test]
    fn too_long_a_conversation_is_dropped_cut_or_refused() {
        let tokenizer = tokenizer();
        let messages = [message("user", "hello"), message("assistant", "hello hello")];
        let all = whole(&tokenizer, &messages);
        let tokens = all.input_ids.len();
        let limited =
            |less: usize, overflow| encode_conversation(&tokenizer, &messages, Limit { max_length: tokens - less, overflow });
        assert_eq!(limited(1, Overflow::Drop).expect("it is left out"), Fitted::Dropped { tokens });
        assert!(matches!(limited(1, Overflow::Error), Err(EncodeError::TooLong { .. })));
        let Ok(Fitted::Truncated { encoded, .. }) = limited(3, Overflow::Truncate) else { panic!("it must be cut") };
        assert_eq!(encoded.input_ids[..], all.input_ids[..tokens - 3]);
        assert!(matches!(limited(8, Overflow::Truncate), Err(EncodeError::NoSupervision)));
    }

    #[test]
    fn a_template_that_rewrites_the_past_is_refused() {
        let rewriting = "{% for m in messages %}{{ messages | length }}{{ m['content'] }}{% endfor %}";
        let parts = TokenizerParts { chat_template: Some(rewriting.to_owned()), ..parts() };
        let tokenizer = ChatTokenizer::from_parts(&parts).expect("it builds");
        assert!(matches!(encode_conversation(&tokenizer, &dialogue(), ROOMY), Err(EncodeError::NotPrefix { turn: 3 })));
    }

    proptest! {
        #[test]
        fn labels_cover_exactly_the_answers(
            turns in prop::collection::vec(("[a-z0-9 \n]{0,12}|<\\|im_end\\|>", "[a-z0-9 \n]{0,12}|<\\|im_start\\|>"), 1..4)
        ) {
            let tokenizer = tokenizer();
            let messages: Vec<Message> = turns
                .iter()
                .flat_map(|(question, answer)| [message("user", question), message("assistant", answer)])
                .collect();
            let encoded = whole(&tokenizer, &messages);
            let runs = supervised(&encoded);
            prop_assert_eq!(runs.len(), turns.len());
            for (run, (_, answer)) in runs.iter().zip(&turns) {
                prop_assert_eq!(run.last(), Some(&2));
                prop_assert_eq!(&tokenizer.decode(run).expect("it decodes"), answer);
            }
        }
    }
}

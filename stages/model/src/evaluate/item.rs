//! The questions of an evaluation: which rows are asked, and what each arm sees of them.

use flow_text::record::{Message, Record};

use crate::rng::Rng;

/// One question with its right answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// The row it came from.
    pub(super) row_id: String,
    /// The conversation up to the answer.
    pub(super) prompt: Vec<Message>,
    /// What the assistant should say.
    pub(super) reference: String,
}

impl Item {
    /// Takes a row apart. Returns nothing when the assistant does not have the last word.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let (answer, prompt) = record.messages.split_last()?;
        let asked = answer.role == "assistant" && !prompt.is_empty();
        asked.then(|| Self { row_id: record.row_id.clone(), prompt: prompt.to_vec(), reference: answer.content.clone() })
    }

    /// The prompt with solved examples before the question, after the item's own system message.
    pub(super) fn with_examples(&self, examples: &[Self]) -> Vec<Message> {
        let (system, question): (Vec<_>, Vec<_>) = self.prompt.iter().cloned().partition(is_system);
        let solved = examples.iter().flat_map(|example| {
            let answer = Message { role: "assistant".to_owned(), content: example.reference.clone() };
            example.prompt.iter().filter(|message| !is_system(message)).cloned().chain([answer])
        });
        system.into_iter().chain(solved).chain(question).collect()
    }
}

fn is_system(message: &Message) -> bool {
    message.role == "system"
}

/// Draws at most `count` items by a hash of their ids, so that adding a row changes no other row's draw. Order is kept.
pub(super) fn draw(items: Vec<Item>, count: usize, seed: u64) -> Vec<Item> {
    if items.len() <= count {
        return items;
    }
    let key = |item: &Item| (Rng::named(seed, &item.row_id).next_u64(), item.row_id.clone());
    let mut keys: Vec<_> = items.iter().map(key).collect();
    keys.sort_unstable();
    let Some(bound) = keys.into_iter().nth(count) else { return items };
    items.into_iter().filter(|item| key(item) < bound).collect()
}

/// Draws the solved examples, none of which is asked.
pub(super) fn draw_examples(pool: Vec<Item>, asked: &[Item], (count, seed): (usize, u64)) -> Vec<Item> {
    let free = pool
        .into_iter()
        .filter(|example| !asked.iter().any(|item| item.row_id == example.row_id || item.prompt == example.prompt));
    draw(free.collect(), count, Rng::named(seed, "examples").next_u64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned() }
    }

    fn item(number: usize) -> Item {
        let prompt = vec![message("system", "sort"), message("user", &format!("question {number}"))];
        Item { row_id: format!("row{number}"), prompt, reference: format!("answer {number}") }
    }

    proptest! {
        #[test]
        fn a_draw_is_an_ordered_part_of_the_right_size(rows in 0usize..50, count in 0usize..60, seed: u64) {
            let items: Vec<Item> = (0..rows).map(item).collect();
            let drawn = draw(items.clone(), count, seed);
            prop_assert_eq!(drawn.len(), rows.min(count));
            let mut rest = items.iter();
            prop_assert!(drawn.iter().all(|one| rest.any(|other| other == one)));
        }

        #[test]
        fn one_more_row_changes_at_most_one_item(rows in 10usize..50, seed: u64) {
            let before = draw((0..rows).map(item).collect(), 5, seed);
            let after = draw((0..=rows).map(item).collect(), 5, seed);
            prop_assert!(before.iter().filter(|one| !after.contains(one)).count() <= 1);
        }
    }

    #[test]
    fn examples_stand_between_system_and_question() {
        let roles: Vec<String> =
            item(1).with_examples(&[item(2)]).into_iter().map(|m| format!("{}: {}", m.role, m.content)).collect();
        assert_eq!(roles, ["system: sort", "user: question 2", "assistant: answer 2", "user: question 1"]);
    }

    #[test]
    fn no_example_is_asked() {
        let asked: Vec<Item> = (0..10).map(item).collect();
        let examples = draw_examples((5..12).map(item).collect(), &asked, (5, 7));
        assert_eq!(examples.iter().map(|one| one.row_id.as_str()).collect::<Vec<_>>(), ["row10", "row11"]);
    }

    #[test]
    fn the_assistant_must_have_the_last_word() {
        let record =
            |messages: Vec<Message>| Record { row_id: "r".into(), source: "s".into(), messages, meta: serde_json::Map::new() };
        assert!(Item::of(&record(vec![message("user", "a"), message("assistant", "b")])).is_some());
        assert!(Item::of(&record(vec![message("assistant", "b")])).is_none());
        assert!(Item::of(&record(vec![message("assistant", "b"), message("user", "a")])).is_none());
        assert!(Item::of(&record(vec![])).is_none());
    }
}

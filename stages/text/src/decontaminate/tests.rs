use super::*;

const LONG: &str = "Janet keeps a small flock of ducks behind her house and sells their eggs at the market every Friday morning";
const SHORT: &str = "How tall is the highest mountain in Bolivia?";

fn items(questions: &[(&str, Option<&str>)]) -> Vec<Item> {
    let item = |(item, (question, answer)): (usize, &(&str, Option<&str>))| Item {
        id: ItemId { set: 0, item },
        question: (*question).to_owned(),
        answer: answer.map(str::to_owned),
    };
    questions.iter().enumerate().map(item).collect()
}

fn found(index: &Index, text: &str) -> Vec<usize> {
    index.find(text).iter().map(|hit| hit.item.item).collect()
}

fn index() -> Index {
    Index::new(
        &items(&[(LONG, None), (SHORT, None), ("Capital of France?", Some("Paris")), ("Why so?", Some("x"))]),
        Options::default(),
    )
}

#[test]
fn items_are_found_word_for_word_whatever_surrounds_them() {
    let index = index();
    assert_eq!(found(&index, LONG), [0]);
    assert_eq!(found(&index, &format!("Here is one. {} Please answer!", LONG.to_uppercase())), [0]);
    assert_eq!(found(&index, &format!("{SHORT} {LONG}")), [0, 1]);
    let text = format!("A list of questions: {SHORT} Answer them.");
    let hit = &index.find(&text)[0];
    assert!((hit.coverage - 1.0).abs() < 1e-9 && text[hit.span.clone()] == SHORT[..SHORT.len() - 1], "{hit:?}");
}

#[test]
fn edited_items_are_found_and_other_texts_are_not() {
    let index = index();
    let edited = LONG.replace("small", "big").replace("Friday", "Sunday");
    assert_eq!(found(&index, &edited), [0]);
    assert_eq!(found(&index, "How tall is the lowest mountain in Bolivia?"), [1]);
    for other in [
        "A small flock of ducks was seen behind the market, and every Friday somebody feeds them with bread",
        "How tall is the tallest building in the city of Chicago?",
        "What is the highest mountain in Bolivia called by the people who live at its foot?",
    ] {
        assert_eq!(found(&index, other), [0; 0], "{other}");
    }
}

#[test]
fn the_shortest_items_need_their_answer_near_by() {
    let index = index();
    assert_eq!(found(&index, "capital of France: Paris"), [2]);
    assert_eq!(found(&index, "Paris is it. Name the capital of France!"), [2]);
    assert_eq!(found(&index, "What is the capital of France?"), [0; 0]);
    assert_eq!(found(&index, &format!("capital of France {} Paris", "and so on ".repeat(20))), [0; 0]);
    assert_eq!(index.unsearchable(), [ItemId { set: 0, item: 3 }]);
}

#[test]
fn a_template_that_all_items_share_is_no_hit() {
    let template = |at: usize| {
        format!(
            "Read the following passage with care and then choose the best of the four answers below about topic number{at} plain{at}"
        )
    };
    let many: Vec<String> = (0..300).map(template).collect();
    let index = Index::new(&items(&many.iter().map(|text| (text.as_str(), None)).collect::<Vec<_>>()), Options::default());
    assert_eq!(found(&index, &template(250)), [250]);
    let other = "Read the following passage with care and then choose the best of the four answers below about cooking rice well";
    assert_eq!(found(&index, other), [0; 0]);
}

#[test]
fn texts_without_words_hold_nothing() {
    assert_eq!(found(&index(), ""), [0; 0]);
    assert_eq!(found(&index(), "…!"), [0; 0]);
    assert_eq!(found(&Index::new(&[], Options::default()), LONG), [0; 0]);
}

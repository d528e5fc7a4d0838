//! What the tagger finds with the weights that travel with the program.

use super::*;

fn found(text: &str) -> Vec<(Entity, &str)> {
    let tagger = Tagger::builtin().expect("the weights are whole");
    tagger.find(text, 0.0).into_iter().map(|span| (span.entity, &text[span.start..span.end])).collect()
}

#[test]
fn names_in_sentences_are_found() {
    assert_eq!(
        found("My name is Margaret Holloway and I live in Chicago."),
        [(Entity::Person, "Margaret Holloway"), (Entity::Location, "Chicago"),]
    );
    assert_eq!(found("Nothing to see here."), []);
}

#[test]
fn tokens_are_words_signs_and_line_breaks() {
    let text = "Zoë's 3.5\n\nend";
    let cut: Vec<&str> = tokens(text).iter().map(|token| &text[token.start..token.end]).collect();
    assert_eq!(cut, ["Zoë", "'", "s", "3", ".", "5", "\n", "\n", "end"]);
}

#[test]
fn labels_are_in_order() {
    for place in 0..Label::COUNT {
        let label = Label::at(place);
        assert_eq!(label.place(), place);
        assert_eq!(label.entity().map_or(Label::OUTSIDE, |entity| Label::of(entity, label.mark())), label);
    }
    let inside = Label::of(Entity::Age, Mark::Inside);
    assert!(inside.may_follow(Label::of(Entity::Age, Mark::Begin)) && !inside.may_follow(Label::OUTSIDE));
}

#[test]
fn a_model_is_written_and_read_and_learns() {
    let text = "Call Ann now";
    let person = Label::of(Entity::Person, Mark::Begin);
    let example = train::Example::new(text, vec![Label::OUTSIDE, person, Label::OUTSIDE]).unwrap();
    let mut training = train::Training::default();
    (0..5).for_each(|_| training.learn(&example));
    let bytes = training.finish().write();
    assert!(bytes.len() <= 2_000_000);
    let model = Model::read(&bytes).unwrap();
    assert_eq!(Tagger::new(&model).find(text, 0.0).iter().map(|span| (span.start, span.end)).collect::<Vec<_>>(), [(5, 8)]);
    assert_eq!(Model::read(&bytes[1..]).err(), Some(ModelError::Format));
    assert!(train::Example::new(text, vec![]).is_none());
}

use super::*;
use crate::record::Message;

fn row(prompt: &str, answer: &str) -> Record {
    let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    Record {
        row_id: String::new(),
        source: String::new(),
        messages: vec![message("user", prompt), message("assistant", answer)],
        meta: serde_json::Map::new(),
    }
}

fn reasons(record: &Record) -> Vec<&'static str> {
    let judgement = judge(record, Profile::Sft, &Rules::default(), &Census::default());
    judgement.broken.iter().map(|broken| broken.reason).collect()
}

const GOOD: &str =
    "Water boils at a lower temperature on a mountain, because the air presses less on it. That is why pasta takes longer.";

#[test]
fn good_rows_short_answers_code_and_other_scripts_break_no_rule() {
    for (prompt, answer) in [
        ("Why does water boil sooner on a mountain?", GOOD),
        ("What is 6 * 7?", "42"),
        ("Is it raining? yes or no", "yes"),
        ("Sort a list in Python", "```python\nprint(sorted([3, 1, 2]))\n```"),
        ("富士山の高さは?", "富士山の高さは3776メートルです。"),
        ("Which sign adds two numbers?", "+"),
    ] {
        assert_eq!(reasons(&row(prompt, answer)), [""; 0], "{answer}");
    }
}

#[test]
fn every_rule_finds_its_defect() {
    let cut =
        "Water boils at a lower temperature on a mountain because the air presses less on it and that is the reason why the";
    let noise: String = (0..400_u32).map(|at| char::from(b'!' + (crate::words::mix(u64::from(at)) % 94) as u8)).collect();
    for (prompt, answer, reason) in [
        ("", GOOD, vec!["turns", "prompt_words"]),
        ("x", "", vec!["turns", "answer_words"]),
        (GOOD, GOOD, vec!["answer_repeats_prompt"]),
        ("Write a poem", &"roses are red and violets are blue. ".repeat(40), vec!["repetition", "compression_ratio"]),
        ("Where?", "12 34 56 78 90 12 34 56 78 90 12 34 56 78 90.", vec!["alpha_ratio"]),
        ("Key?", &noise, vec!["compression_ratio"]),
        ("Build a bomb", "I'm sorry, but I can’t help with that.", vec!["refusal"]),
        ("Feelings?", "No. As an AI language model, I have none.", vec!["refusal"]),
        ("Why?", cut, vec!["unfinished"]),
    ] {
        let found: Vec<&str> =
            reasons(&row(prompt, answer)).into_iter().filter(|found| *found != "alpha_ratio" || reason.contains(found)).collect();
        assert_eq!(found, reason, "{answer}");
    }
}

#[test]
fn turns_are_taken() {
    let message = |role: &str| Message { role: role.to_owned(), content: "some text".to_owned() };
    let of = |roles: &[&str]| {
        let messages = roles.iter().map(|role| message(role)).collect();
        let rules = Rules::default();
        let record = Record { messages, ..row("", "") };
        judge(&record, Profile::Sft, &rules, &Census::default()).broken.iter().any(|broken| broken.reason == "turns")
    };
    assert!(!of(&["system", "user", "assistant", "user", "assistant", "tool", "tool", "assistant"]));
    for bad in
        [&["user", "user", "assistant"][..], &["assistant"], &["user"], &["user", "system", "assistant"], &["user", "oracle"]]
    {
        assert!(of(bad), "{bad:?}");
    }
}

#[test]
fn what_all_rows_share_is_known_before_one_is_judged() {
    let mut rows: Vec<Record> =
        (0..200).map(|at| row(&format!("Question number {at}?"), &format!("Answer number {at} it is."))).collect();
    rows.extend((0..5).map(|at| row(&format!("Other question {at}?"), "See our web site.")));
    rows.push(row("Hi?", &"an endless answer ".repeat(300)));
    let census = Census::new(&rows.iter().map(Entry::of).collect::<Vec<_>>());
    let broken = |record: &Record, reason| {
        judge(record, Profile::Sft, &Rules::default(), &census).broken.iter().any(|broken| broken.reason == reason)
    };
    assert_eq!(rows.iter().filter(|record| broken(record, "shared_answer")).count(), 5);
    assert_eq!(rows.iter().filter(|record| broken(record, "length_ratio")).count(), 1);
}

#[test]
fn scores_and_actions_follow_the_worst() {
    let of =
        |actions: &[Action]| Judgement { broken: actions.iter().map(|action| Broken { reason: "x", action: *action }).collect() };
    assert!((of(&[]).score() - 1.0).abs() < 1e-12);
    assert_eq!(of(&[Action::Flag, Action::Review]).action(), Action::Review);
    assert!((of(&[Action::Flag, Action::Review]).score() - 0.6).abs() < 1e-12);
    assert!(of(&[Action::Drop, Action::Flag]).score().abs() < 1e-12);
}

#[test]
fn a_rule_can_be_left_out() {
    let rules = Rules { turns: Plain { action: Action::Ignore }, ..Rules::default() };
    let judgement = judge(&row("", GOOD), Profile::Sft, &rules, &Census::default());
    assert!(judgement.broken.iter().all(|broken| broken.reason != "turns"));
}

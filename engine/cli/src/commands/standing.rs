//! A question in words: what is asked, of whom, how far the answer is, and what does not count.

use flow_engine::{govern::Counted, run::Question};
use jiff::Timestamp;

use crate::{
    text::push,
    ui::{Paint, Tone},
};

/// What its reader has to know, a label and a text a line.
pub(crate) fn lines(question: &Question) -> Vec<(&'static str, String)> {
    let (terms, tally) = (&question.terms, &question.tally);
    let mut lines = Vec::new();
    if let Some(text) = &terms.question {
        lines.push(("asks", text.clone()));
    }
    lines.push(("of", of(question)));
    if !tally.approvals.is_empty() || tally.quorum > 1 {
        let names: Vec<String> = tally.approvals.iter().map(vote).collect();
        let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
        lines.push(("approved", format!("{} of {}{names}", tally.approvals.len(), tally.quorum.max(1))));
    }
    let (missing, left) = (tally.missing() as usize, question.eligible.len());
    if tally.identified && tally.rejection.is_none() && missing > left {
        let short = format!("{missing} more must approve and {left} could");
        lines.push(("stuck", format!("{short}: start a run as somebody else, or name more people under [trust]")));
    }
    if let Some(rejection) = &tally.rejection {
        lines.push(("rejected", format!("{}; it stands until the content changes", vote(rejection))));
    }
    if let Some(lifetime) = terms.lifetime() {
        lines.push(("stands", format!("for {}", span(lifetime.as_secs()))));
    }
    for void in &tally.void {
        lines.push(("void", format!("what {} decided: {}", void.by, void.objection)));
    }
    if let Some(earlier) = question.earlier.first().filter(|_| tally.approvals.is_empty() && tally.rejection.is_none()) {
        let changed = if earlier.changed.is_empty() {
            "the stage asks differently now".to_owned()
        } else {
            format!("{} changed since", earlier.changed.join(", "))
        };
        lines.push(("void", format!("what {} approved at {}: {changed}", earlier.by, time(earlier.at))));
    }
    lines
}

/// Whom it is asked of, and who of them is left.
fn of(question: &Question) -> String {
    let terms = &question.terms;
    if !question.tally.identified {
        let named = if terms.who.is_empty() { String::new() } else { format!("{}; ", terms.asked()) };
        return format!("{named}flow.toml names nobody under [trust], so that whoever answers approves their own word");
    }
    let mut text = terms.asked();
    if terms.four_eyes {
        text.push_str(", but not who started the run or wrote the commit");
    }
    if !question.eligible.is_empty() {
        push(&mut text, format_args!(" (could decide: {})", question.eligible.join(", ")));
    }
    text
}

fn vote(vote: &Counted) -> String {
    let until = vote.expires.map(|end| format!(" until {}", time(end))).unwrap_or_default();
    format!("{}{until}", vote.by)
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A length of time in its largest whole unit.
fn span(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let whole = units.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    let (count, name) = whole.map_or((seconds, "second"), |(unit, name)| (seconds / unit, *name));
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

/// The lines under each other, indented.
pub(crate) fn text(question: &Question, indent: usize, paint: Paint) -> String {
    let mut out = String::new();
    for (label, line) in lines(question) {
        let tone = match label {
            "void" | "rejected" | "stuck" => Tone::Watch,
            _ => Tone::Quiet,
        };
        push(&mut out, format_args!("{:indent$}{} {line}\n", "", paint.tone(tone, &format!("{label:<9}"))));
    }
    out
}

#[cfg(test)]
mod tests {
    use flow_engine::{Digest, govern::Tally};

    use super::*;

    fn question(terms: &str, tally: Tally) -> Question {
        Question {
            stage: "ok".to_owned(),
            key: Digest::of(b"key"),
            reviewed: Vec::new(),
            terms: serde_json::from_str(terms).unwrap(),
            tally,
            eligible: vec!["bob".to_owned()],
            earlier: Vec::new(),
        }
    }

    #[test]
    fn the_reader_learns_who_may_decide_and_how_far_it_is() {
        let by = Counted {
            by: "alice".to_owned(),
            key: None,
            at: "2026-11-24T09:00:00Z".to_owned(),
            expires: Some("2026-12-01T09:00:00Z".parse().unwrap()),
            comment: None,
            via: "command".to_owned(),
            envelope: None,
        };
        let tally = Tally { quorum: 2, approvals: vec![by], identified: true, ..Tally::default() };
        let terms = r#"{"question": "May it learn?", "who": ["role:steward"], "quorum": 2, "four_eyes": true, "expires": "7d"}"#;
        let text = text(&question(terms, tally), 2, Paint::Plain);
        assert_eq!(
            text,
            "  asks      May it learn?\n  of        role:steward, but not who started the run or wrote the commit (could decide: bob)\n  \
             approved  1 of 2: alice until 2026-12-01 09:00 UTC\n  stands    for 7 days\n"
        );
    }

    /// Four eyes and a quorum: the plan may name enough people, and one of them started the run.
    #[test]
    fn a_question_that_too_few_can_answer_says_so() {
        let tally = Tally { quorum: 2, identified: true, ..Tally::default() };
        let terms = r#"{"quorum": 2, "four_eyes": true}"#;
        let told = lines(&question(terms, tally.clone()));
        assert!(
            told.iter().any(|(label, text)| *label == "stuck" && text.starts_with("2 more must approve and 1 could")),
            "{told:?}"
        );
        let told = lines(&question(terms, Tally { quorum: 1, ..tally }));
        assert!(told.iter().all(|(label, _)| *label != "stuck"), "{told:?}");
    }

    #[test]
    fn without_trust_it_is_said_that_the_word_is_one_s_own() {
        let lines = lines(&question(r#"{"who": ["data steward"]}"#, Tally { quorum: 1, ..Tally::default() }));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].1.starts_with("data steward; flow.toml names nobody under [trust]"), "{lines:?}");
    }

    #[test]
    fn spans_are_told_in_whole_units() {
        assert_eq!([86_400, 7_200, 90].map(span), ["1 day".to_owned(), "2 hours".to_owned(), "90 seconds".to_owned()]);
    }
}

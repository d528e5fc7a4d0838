//! Asking the person at the terminal for a decision, on the spot.

use std::{
    io::{BufRead, stdin},
    sync::Arc,
};

use flow_engine::{
    context::Decision,
    report::{ReportSummary, Verdict, number::cell},
    run::{Ask, AskRequest},
};

use super::{
    drive::{now, person},
    standing,
};
use crate::{
    progress::Board,
    text::{near_here, push},
    ui::{Paint, Tone, Ui},
};

/// Headline numbers shown of a report.
const FACTS: usize = 5;

/// Asks on standard error and reads standard input, while the bars pause.
pub(super) fn at_terminal(ui: Ui, board: Arc<Board>) -> Ask {
    Box::new(move |request| {
        board.pause(|| {
            crate::ui::note(&question(request, ui.err));
            match &request.objection {
                Some(objection) => {
                    crate::ui::note(&format!("    You may not approve it: {objection}."));
                    None
                }
                None => ask(&mut stdin().lock()),
            }
        })
    })
}

fn ask(input: &mut dyn BufRead) -> Option<Decision> {
    let approved = loop {
        crate::ui::prompt("    Approve? [y]es, [n]o, [l]ater: ");
        match line(input)?.to_lowercase().as_str() {
            "y" | "yes" => break true,
            "n" | "no" => break false,
            "l" | "later" => return None,
            _ => {}
        }
    };
    crate::ui::prompt("    Comment (Enter for none): ");
    let comment = line(input).filter(|text| !text.is_empty());
    Some(Decision { approved, by: person(), at: now(), comment, via: "terminal".to_owned(), signed: Vec::new() })
}

/// One trimmed line; none at the end of input.
fn line(input: &mut dyn BufRead) -> Option<String> {
    let mut text = String::new();
    match input.read_line(&mut text) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(text.trim().to_owned()),
    }
}

/// What is to be decided, with the headline of every report.
fn question(request: &AskRequest, paint: Paint) -> String {
    let mut out = format!("\n  {} {} needs your decision about:\n", paint.tone(Tone::Watch, "⏸"), paint.strong(&request.stage));
    for artifact in &request.reviewed {
        push(&mut out, format_args!("      {:<24} {}\n", artifact.from, paint.quiet(&artifact.digest.short())));
    }
    out.push_str(&standing::text(&request.question, 4, paint));
    for folder in &request.reports {
        // A report that cannot be read is still named, so that the person can look at the page.
        if let Ok(report) = ReportSummary::read(folder) {
            out.push_str(&headline(&report, paint));
        }
        push(
            &mut out,
            format_args!("      {}\n", paint.tone(Tone::Calm, &near_here(&folder.join("report.html")).display().to_string())),
        );
    }
    out
}

fn headline(report: &ReportSummary, paint: Paint) -> String {
    let (tone, word) = match report.verdict {
        Verdict::Pass => (Tone::Good, "pass"),
        Verdict::Fail => (Tone::Bad, "fail"),
        Verdict::Info => (Tone::Quiet, "info"),
    };
    let mut out = format!("    {} {}", paint.strong(&report.title), paint.tone(tone, word));
    if let Some(summary) = &report.summary {
        push(&mut out, format_args!(": {summary}"));
    }
    out.push('\n');
    let facts: Vec<String> = report.facts.iter().take(FACTS).map(|(name, value)| format!("{name} {}", cell(value))).collect();
    if !facts.is_empty() {
        push(&mut out, format_args!("      {}\n", facts.join(" · ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Option<Decision> {
        ask(&mut text.as_bytes())
    }

    #[test]
    fn a_yes_and_a_comment_approve() {
        let decision = answer("what?\nY\nlooks fine\n").unwrap();
        assert!(decision.approved);
        assert_eq!((decision.comment.as_deref(), decision.via.as_str()), (Some("looks fine"), "terminal"));
    }

    #[test]
    fn a_no_without_a_comment_rejects() {
        let decision = answer("no\n\n").unwrap();
        assert!(!decision.approved && decision.comment.is_none());
    }

    #[test]
    fn later_and_the_end_of_input_leave_it_parked() {
        assert_eq!(answer("l\n"), None);
        assert_eq!(answer(""), None);
    }
}

//! Which entries may follow which, and what is left when they are folded.

use proptest::prelude::*;

use super::*;

fn outline(name: &str) -> StageOutline {
    StageOutline { name: name.to_owned(), kind: "toy/emit".to_owned(), after: Vec::new() }
}

fn journal(events: Vec<Event>) -> Vec<Entry> {
    let started = Event::RunStarted {
        run: RunId::generate(),
        workflow: "toys".to_owned(),
        request: RunRequest::default(),
        stages: vec![outline("a"), outline("b")],
    };
    let events = std::iter::once(started).chain(events);
    events.zip(0..).map(|(event, seq)| Entry { seq, at: Timestamp::UNIX_EPOCH, event }).collect()
}

fn started(attempt: u32) -> Event {
    Event::StageStarted { stage: "a".to_owned(), key: Digest::of(b"a"), attempt, pid: 7 }
}

fn succeeded() -> Event {
    Event::StageSucceeded {
        stage: "a".to_owned(),
        key: Digest::of(b"a"),
        attempt: 1,
        outputs: Named::default(),
        metrics: BTreeMap::new(),
        seconds: 1.0,
    }
}

fn judged(clause: Clause, passed: bool) -> Event {
    let verdict =
        GateVerdict { clause, expression: "metrics.f1 > 0.5".to_owned(), passed, detail: "metrics.f1 = 0.4".to_owned() };
    Event::StageJudged { stage: "a".to_owned(), verdicts: vec![verdict] }
}

#[test]
fn nothing_but_verdicts_follows_the_end_of_a_stage() {
    assert!(RunState::replay(&journal(vec![started(1), succeeded(), started(2)])).is_err());
    assert!(RunState::replay(&journal(vec![judged(Clause::Gate, true)])).is_err());
    let state = RunState::replay(&journal(vec![started(1), succeeded(), judged(Clause::Gate, false)])).unwrap();
    assert_eq!(state.stage("a").unwrap().status, StageStatus::GateFailed);
    let state = RunState::replay(&journal(vec![started(1), succeeded(), judged(Clause::Expect, false)])).unwrap();
    assert_eq!(state.stage("a").unwrap().status, StageStatus::Failed);
}

#[test]
fn a_resume_forgets_results_but_goes_on_counting_attempts() {
    let finished = Event::RunFinished { outcome: Outcome::Interrupted, seconds: 1.0 };
    let resumed =
        RunState::replay(&journal(vec![started(1), succeeded(), finished, Event::RunResumed { edited: Vec::new() }])).unwrap();
    let stage = resumed.stage("a").unwrap();
    assert_eq!((stage.status.clone(), stage.attempts, resumed.outcome), (StageStatus::Pending, 1, None));
}

#[test]
fn entries_that_do_not_fit_are_refused_and_change_nothing() {
    let mut entries = journal(vec![started(1), succeeded()]);
    let gap = entries.pop().unwrap();
    let mut state = RunState::replay(&entries).unwrap();
    assert!(state.apply(&Entry { seq: 9, ..gap.clone() }).is_err());
    let unknown = Event::StageInterrupted { stage: "c".to_owned(), attempt: 1 };
    assert!(state.apply(&Entry { seq: gap.seq, at: gap.at, event: unknown }).is_err());
    assert!(state.apply(&gap).is_ok());
    assert!(RunState::replay(&entries[1..]).is_err());
    assert!(RunState::replay(&[]).is_err());
}

fn any_event() -> impl Strategy<Value = Event> {
    let stage = || prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("c".to_owned())];
    let key = Digest::of(b"key");
    prop_oneof![
        (stage(), 1_u32..4).prop_map(move |(stage, attempt)| Event::StageStarted { stage, key, attempt, pid: 1 }),
        stage().prop_map(move |stage| Event::StageParked { stage, key, reviewed: Vec::new(), asking: None }),
        stage().prop_map(move |stage| Event::StageFailed { stage, key: None, attempt: 1, error: StageError::input("x") }),
        stage().prop_map(|stage| Event::StageInterrupted { stage, attempt: 1 }),
        stage().prop_map(|stage| Event::StageSkipped { stage, reason: SkipReason::Upstream { stage: "a".to_owned() } }),
        Just(succeeded()),
        Just(judged(Clause::Gate, false)),
        Just(Event::RunResumed { edited: Vec::new() }),
        Just(Event::Unknown),
    ]
}

proptest! {
    /// A journal of any events folds or is refused; a terminal stage changes only by a resume or a verdict.
    #[test]
    fn terminal_stages_stay(events in prop::collection::vec(any_event(), 0..30)) {
        let entries = journal(events);
        let mut state = RunState::begin(&entries[0]).unwrap();
        let mut seq = 1;
        for entry in &entries[1..] {
            let before = state.clone();
            let applied = state.apply(&Entry { seq, ..entry.clone() });
            if applied.is_err() {
                prop_assert_eq!(state.next_seq, before.next_seq);
                continue;
            }
            seq += 1;
            let free = matches!(entry.event, Event::RunResumed { .. } | Event::StageJudged { .. });
            for (old, new) in before.stages.iter().zip(&state.stages) {
                prop_assert!(free || !old.status.is_terminal() || old.status == new.status);
            }
        }
    }

    #[test]
    fn replaying_a_journal_gives_the_state_it_was_written_from(events in prop::collection::vec(any_event(), 0..30)) {
        let entries = journal(events);
        let mut state = RunState::begin(&entries[0]).unwrap();
        let mut kept = vec![entries[0].clone()];
        for entry in &entries[1..] {
            let entry = Entry { seq: state.next_seq, ..entry.clone() };
            if state.apply(&entry).is_ok() {
                kept.push(entry);
            }
        }
        let text: Vec<String> = kept.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
        let read: Vec<Entry> = text.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let again = RunState::replay(&read).unwrap();
        prop_assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&state).unwrap());
    }
}

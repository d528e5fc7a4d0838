use super::*;
use crate::govern::{
    SecretKey, Vote, approvals,
    testing::{project, vote},
};

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let case = Self { folder: tempfile::tempdir().unwrap() };
        for run in ["one", "two"] {
            case.append(run);
        }
        case
    }

    fn project(&self) -> Project {
        project(self.folder.path())
    }

    fn log(&self) -> AuditLog {
        AuditLog::of(&self.project())
    }

    fn append(&self, run: &str) -> Head {
        let started = Happening::RunStarted { run: run.to_owned(), workflow: "w".to_owned() };
        self.log().append("ada", started, Durability::Now).unwrap()
    }

    /// Signs and records an approval, and files it.
    fn approve(&self, key: &SecretKey) -> Vote {
        let vote = Vote { audit_head: self.log().head().unwrap(), ..vote("alice") };
        let envelope = vote.seal(key).unwrap();
        let decided = Happening::Decided {
            run: vote.run.clone(),
            stage: vote.stage.clone(),
            by: vote.who.clone(),
            approved: true,
            via: vote.via.clone(),
            envelope: Box::new(envelope.clone()),
        };
        self.log().append("alice", decided, Durability::Now).unwrap();
        approvals::file(&self.project().state, &vote.action, &envelope, &key.public()).unwrap();
        vote
    }

    fn text(&self) -> String {
        fs::read_to_string(self.log().path()).unwrap()
    }

    fn write(&self, text: &str) {
        fs::write(self.log().path(), text).unwrap();
    }

    fn broken(&self) -> Vec<String> {
        let inspection = verify(&self.project()).unwrap();
        let broken = inspection.findings.iter().filter(|finding| finding.severity == Severity::Broken);
        broken.map(|finding| finding.message.clone()).collect()
    }
}

#[test]
fn a_whole_log_holds_and_says_where_it_ends() {
    let case = Case::new();
    let key = SecretKey::generate().unwrap();
    case.approve(&key);
    let last = case.append("three");
    let inspection = verify(&case.project()).unwrap();
    assert!(inspection.holds(), "{inspection:?}");
    assert_eq!((inspection.records, inspection.signatures, inspection.head), (4, 1, Some(last)));
    assert!(inspection.anchored);
    let words: Vec<&str> = case.log().records().unwrap().iter().map(|record| record.event.word()).collect();
    assert_eq!(words, ["run started", "run started", "approved", "run started"]);
}

#[test]
fn one_flipped_letter_is_found() {
    let case = Case::new();
    case.write(&case.text().replacen("\"one\"", "\"two\"", 1));
    assert_eq!(case.broken(), ["record 0 was changed: its hash does not match its content"]);
}

#[test]
fn a_record_that_is_taken_out_or_moved_is_found() {
    let case = Case::new();
    case.append("three");
    let text = case.text();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    case.write(&[lines[0], lines[2]].concat());
    assert!(case.broken().iter().any(|message| message.contains("does not follow")), "{:?}", case.broken());
    case.write(&[lines[1], lines[0], lines[2]].concat());
    assert!(case.broken().iter().any(|message| message.contains("holds record 1")), "{:?}", case.broken());
}

#[test]
fn a_log_that_was_cut_is_found_by_the_store_and_by_signed_decisions() {
    let case = Case::new();
    let whole = case.text();
    let key = SecretKey::generate().unwrap();
    case.append("three");
    case.approve(&key);
    let cut: String = whole.split_inclusive('\n').take(1).collect();
    case.write(&cut);
    let broken = case.broken();
    assert!(broken.contains(&"the log was cut: the store knows record 3, and it ends with record 0".to_owned()), "{broken:?}");
    assert!(broken.iter().any(|message| message.contains("is in no record")), "{broken:?}");

    // Without the store's memory the decision still knows how far the log went.
    let text: String = [cut.as_str()].concat();
    fs::remove_dir_all(case.folder.path().join("store")).unwrap();
    case.write(&text);
    assert!(!case.broken().is_empty());
}

#[test]
fn a_log_that_was_written_anew_is_found() {
    let case = Case::new();
    fs::remove_dir_all(case.project().state).unwrap();
    case.append("innocent");
    let broken = case.broken();
    assert!(broken.iter().any(|message| message.starts_with("the log was replaced")), "{broken:?}");
}

#[test]
fn a_forged_decision_is_found_in_the_log_and_in_its_file() {
    let case = Case::new();
    let key = SecretKey::generate().unwrap();
    let vote = case.approve(&key);
    let state = case.project().state;
    let other = Vote { who: "mallory".to_owned(), ..vote }.seal(&SecretKey::generate().unwrap()).unwrap();
    let mut forged = other.clone();
    forged.signatures[0].keyid = key.public().to_string();
    approvals::file(&state, &crate::Digest::of(b"action"), &forged, &SecretKey::generate().unwrap().public()).unwrap();
    assert!(case.broken().iter().any(|message| message.contains("is forged")), "{:?}", case.broken());
    let decided = Happening::Decided {
        run: "r".to_owned(),
        stage: "approve".to_owned(),
        by: "alice".to_owned(),
        approved: true,
        via: "command".to_owned(),
        envelope: Box::new(forged),
    };
    case.log().append("mallory", decided, Durability::Now).unwrap();
    assert!(case.broken().iter().any(|message| message.starts_with("the decision about approve is forged")));
}

#[test]
fn a_decision_that_was_taken_away_is_found() {
    let case = Case::new();
    case.approve(&SecretKey::generate().unwrap());
    fs::remove_dir_all(case.project().state.join("approvals")).unwrap();
    assert_eq!(case.broken(), ["the decision of alice about approve is filed no more"]);
}

#[test]
fn a_torn_tail_is_a_note_and_the_next_record_heals_it() {
    let case = Case::new();
    let whole = case.text();
    case.write(&format!("{whole}{{\"seq\":2,\"at\":\"20"));
    let inspection = verify(&case.project()).unwrap();
    assert!(inspection.holds() && inspection.findings[0].message.contains("torn"), "{inspection:?}");
    assert_eq!(case.append("three").seq, 2);
    assert!(case.text().starts_with(&whole));
    assert!(case.broken().is_empty(), "{:?}", case.broken());
}

#[test]
fn many_writers_at_once_make_one_chain() {
    let case = Case::new();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let case = &case;
            scope.spawn(move || {
                for turn in 0..5 {
                    case.append(&format!("{writer}-{turn}"));
                }
            });
        }
    });
    let inspection = verify(&case.project()).unwrap();
    assert!(inspection.holds(), "{inspection:?}");
    assert_eq!(inspection.records, 22);
}

#[test]
fn a_record_longer_than_the_window_is_followed() {
    let case = Case::new();
    let long = "x".repeat(usize::try_from(3 * WINDOW).unwrap());
    case.append(&long);
    assert_eq!(case.append("after").seq, 3);
    assert!(case.broken().is_empty());
}

#[test]
fn an_unfinished_record_waits_for_the_next_to_be_remembered() {
    let case = Case::new();
    let head = case.log().append("ada", Happening::RunResumed { run: "x".to_owned() }, Durability::Later).unwrap();
    let remembered = case.log().remembered(&identity::of(&case.project().state).unwrap());
    assert_eq!((head.seq, remembered[0].head.seq), (2, 1));
    assert!(case.broken().is_empty());
}

/// A forged number must not end the program of whoever looks, or of the next run.
#[test]
fn a_log_that_counts_beyond_all_numbers_is_told_and_goes_on() {
    let case = Case::new();
    let event = Happening::RunResumed { run: "r".to_owned() };
    let last = Record { seq: u64::MAX, at: Timestamp::now(), actor: "eve".to_owned(), event, prev: Digest::of(b"x") };
    case.write(&last.render().unwrap().0);
    case.append("three");
    assert!(case.broken().iter().any(|told| told.contains("missing, doubled, or moved")), "{:?}", case.broken());
    fs::write(case.project().state.join("project"), "another\n").unwrap();
    assert!(case.broken().iter().any(|told| told.contains("was replaced")), "{:?}", case.broken());
}

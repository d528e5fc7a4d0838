//! Reading the whole log again: every hash, every signature, and every place that remembers where it ended.

use std::{collections::BTreeMap, fs, io};

use serde::Serialize;

use super::{
    super::{Envelope, GovernError, Vote, approvals, identity},
    AuditLog, Happening, Head, Line,
    record::genesis,
};
use crate::{Digest, project::Project};

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// The log, or what it stands for, was changed by something else than `flow`.
    Broken,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// The record it is about; none for the log as a whole.
    pub seq: Option<u64>,
    /// What was found.
    pub message: String,
}

/// The result of reading the log again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// How many records there are.
    pub records: u64,
    /// How many signed decisions were verified.
    pub signatures: u64,
    /// Where the log ends.
    pub head: Option<Head>,
    /// Whether the store remembered an end to compare with.
    pub anchored: bool,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Inspection {
    /// Whether nothing is broken.
    pub fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// Reads the audit log of a project again and compares it with everything that remembers it.
pub fn verify(project: &Project) -> Result<Inspection, GovernError> {
    let log = AuditLog::of(project);
    let name = identity::known(&project.state)?.unwrap_or_default();
    let mut inspector = Inspector::new(project);
    inspector.lines(&read(&log)?, &name);
    inspector.remembered(&log, &name);
    inspector.filed()?;
    let head = inspector.hashes.last_key_value().map(|(seq, hash)| Head { seq: *seq, hash: *hash });
    Ok(Inspection {
        records: inspector.count,
        signatures: inspector.signatures,
        head,
        anchored: inspector.anchored,
        findings: inspector.findings,
    })
}

fn read(log: &AuditLog) -> Result<Vec<u8>, GovernError> {
    match fs::read(log.path()) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(log.failed("read")(error)),
    }
}

struct Inspector<'a> {
    project: &'a Project,
    count: u64,
    signatures: u64,
    anchored: bool,
    /// The hash of every record, by its number.
    hashes: BTreeMap<u64, Digest>,
    /// Signed decisions of the log, by what was signed, and the record.
    decided: BTreeMap<Digest, (u64, Envelope)>,
    findings: Vec<Finding>,
}

impl<'a> Inspector<'a> {
    fn new(project: &'a Project) -> Self {
        Self {
            project,
            count: 0,
            signatures: 0,
            anchored: false,
            hashes: BTreeMap::new(),
            decided: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    fn broken(&mut self, seq: Option<u64>, message: impl Into<String>) {
        self.findings.push(Finding { severity: Severity::Broken, seq, message: message.into() });
    }

    fn note(&mut self, seq: Option<u64>, message: impl Into<String>) {
        self.findings.push(Finding { severity: Severity::Note, seq, message: message.into() });
    }

    fn lines(&mut self, bytes: &[u8], project: &str) {
        let mut prev = genesis(project);
        let mut at = None;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let number = self.count;
            if line.last() != Some(&b'\n') {
                self.note(Some(number), "the last line is torn, as a crash leaves it; the next record cuts it off");
                break;
            }
            self.count += 1;
            let line = match Line::parse(line) {
                Ok(line) => line,
                Err(reason) => {
                    self.broken(Some(number), format!("line {} cannot be read: {reason}", number + 1));
                    continue;
                }
            };
            if line.record.seq != number {
                self.broken(
                    Some(number),
                    format!("line {} holds record {}: records are missing, doubled, or moved", number + 1, line.record.seq),
                );
            }
            if line.stated != line.computed {
                self.broken(Some(number), format!("record {} was changed: its hash does not match its content", line.record.seq));
            }
            if line.record.prev != prev {
                self.broken(Some(number), format!("record {} does not follow the one before it", line.record.seq));
            }
            if at.is_some_and(|at| line.record.at < at) {
                self.note(Some(number), "the clock went back before this record");
            }
            (prev, at) = (line.stated, Some(line.record.at));
            self.hashes.insert(line.record.seq, line.stated);
            self.happening(line.record.seq, &line.record.event);
        }
    }

    fn happening(&mut self, seq: u64, event: &Happening) {
        let Happening::Decided { stage, envelope, .. } = event else { return };
        match Vote::open(envelope) {
            Ok((vote, key)) => {
                self.signatures += 1;
                if let Some(head) = vote.audit_head {
                    self.head(Some(seq), &head, "the signed decision");
                }
                let trust = &self.project.governance.trust;
                if !trust.is_empty() && trust.owner(&key).is_none() {
                    self.note(
                        Some(seq),
                        format!("{} decided about {stage} with a key that flow.toml does not name now", vote.who),
                    );
                }
                self.decided.insert(envelope.digest(), (seq, envelope.as_ref().clone()));
            }
            Err(reason) => self.broken(Some(seq), format!("the decision about {stage} is forged: {reason}")),
        }
    }

    /// Compares with a place that remembers how the log went.
    fn head(&mut self, seq: Option<u64>, head: &Head, who: &str) {
        match self.hashes.get(&head.seq) {
            Some(hash) if *hash == head.hash => {}
            Some(_) => self.broken(seq, format!("record {} is not the one that {who} knows", head.seq)),
            None => {
                let end = self
                    .hashes
                    .last_key_value()
                    .map_or_else(|| "it is empty".to_owned(), |(seq, _)| format!("it ends with record {seq}"));
                self.broken(seq, format!("the log was cut: {who} knows record {}, and {end}", head.seq));
            }
        }
    }

    fn remembered(&mut self, log: &AuditLog, project: &str) {
        for remembered in log.remembered(project) {
            self.anchored = true;
            if remembered.project == project {
                self.head(None, &remembered.head, "the store");
            } else {
                self.broken(
                    None,
                    format!(
                        "the log was replaced: the store knows one of {} records here, of project {}",
                        remembered.head.seq.saturating_add(1),
                        remembered.project
                    ),
                );
            }
        }
        if !self.anchored && self.count > 0 {
            self.note(None, "the store remembers no end of this log, so that records missing at its end cannot be found out");
        }
    }

    /// Compares with the decisions as they are filed.
    fn filed(&mut self) -> Result<(), GovernError> {
        let mut present = BTreeMap::new();
        for (action, envelope) in approvals::all(&self.project.state)? {
            let short = action.short();
            match Vote::open(&envelope) {
                Err(reason) => self.broken(None, format!("a decision filed for {short} is forged: {reason}")),
                Ok((vote, key)) => {
                    if !self.decided.contains_key(&envelope.digest()) {
                        self.broken(None, format!("the decision of {} filed for {short} is in no record", vote.who));
                    }
                    present.insert((vote.action, key), envelope.digest());
                }
            }
        }
        let decided: Vec<(u64, Envelope)> = self.decided.values().cloned().collect();
        for (seq, envelope) in decided {
            // A later decision of the same key about the same content takes the file of the earlier one.
            if let Ok((vote, key)) = Vote::open(&envelope)
                && !present.contains_key(&(vote.action, key))
            {
                self.broken(Some(seq), format!("the decision of {} about {} is filed no more", vote.who, vote.stage));
            }
        }
        Ok(())
    }
}

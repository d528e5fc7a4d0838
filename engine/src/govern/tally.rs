//! Counting decisions: which ones stand for this content, under these terms, in this project, at this time.
//!
//! Every use of a decision comes through here, so that a changed byte, a key that is no longer trusted, or the passing of
//! time voids it without anybody's doing. A pure function of what was filed.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Envelope, PublicKey, ReviewTerms, Trust, Unproven,
    starter::{Part, Starter},
    statement::{Choice, Subject, Vote, same},
};
use crate::{Digest, context::Decision};

/// Clocks of two machines may differ by this much, in seconds.
const SKEW: i64 = 300;

/// What a deciding stage asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its action key.
    pub key: Digest,
    /// What is under review.
    pub reviewed: Vec<Subject>,
    /// Of whom, how many, and for how long.
    pub terms: ReviewTerms,
}

/// A decision as it was filed.
#[derive(Clone, Debug, PartialEq)]
pub enum Filed {
    /// Signed.
    Signed(Box<Envelope>),
    /// By a `flow` that did not sign yet.
    Unsigned(Box<Decision>),
    /// A file that is no decision.
    Unreadable(String),
}

/// Why a decision does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Objection {
    /// It proves nothing.
    Unproven {
        /// What is wrong with it.
        reason: String,
    },
    /// It was signed by nobody.
    Unsigned,
    /// It is about other content or another configuration of the stage.
    OtherContent,
    /// It was taken in another project, and nobody is trusted by name.
    OtherProject,
    /// `[trust]` does not name the key.
    UnknownKey {
        /// The key.
        key: PublicKey,
    },
    /// The person is not among those asked.
    WrongRole {
        /// Those asked.
        asked: String,
    },
    /// It stood for a time only.
    Expired {
        /// Until when.
        at: Timestamp,
    },
    /// It says that it was taken later than now.
    Future {
        /// When it says it was taken.
        at: Timestamp,
    },
    /// The person started the run or wrote what it runs.
    FourEyes {
        /// Which of both.
        part: Part,
    },
    /// It is not known, or not told truly, who started the run.
    UnknownStarter,
    /// The terms need people who can be told apart, and nobody is trusted by name.
    NoIdentities,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unproven { reason } => f.write_str(reason),
            Self::Unsigned => f.write_str("it is not signed"),
            Self::OtherContent => f.write_str("it is about other content"),
            Self::OtherProject => f.write_str("it was taken in another project"),
            Self::UnknownKey { .. } => f.write_str("flow.toml does not name its key under [trust]"),
            Self::WrongRole { asked } => write!(f, "the stage asks {asked}"),
            Self::Expired { at } => write!(f, "it expired at {}", at.strftime("%Y-%m-%d %H:%M UTC")),
            Self::Future { at } => write!(f, "it is dated in the future, {}", at.strftime("%Y-%m-%d %H:%M UTC")),
            Self::FourEyes { part: Part::Started } => f.write_str("whoever started the run may not approve it (four eyes)"),
            Self::FourEyes { part: Part::Wrote } => f.write_str("the author of the commit may not approve it (four eyes)"),
            Self::UnknownStarter => f.write_str("it is not known who started the run (four eyes)"),
            Self::NoIdentities => f.write_str("the stage asks people who can be told apart, and flow.toml has no [trust]"),
        }
    }
}

/// A decision that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Who decided.
    pub by: String,
    /// Their key; none where nothing was signed.
    pub key: Option<PublicKey>,
    /// When.
    pub at: String,
    /// Until when it stands.
    pub expires: Option<Timestamp>,
    /// What they wrote.
    pub comment: Option<String>,
    /// How it was taken.
    pub via: String,
    /// The signed record, for the stage's output.
    #[serde(skip)]
    pub envelope: Option<Envelope>,
}

/// A decision that does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Void {
    /// Who decided, as far as it says.
    pub by: String,
    /// Why it does not count.
    pub objection: Objection,
}

/// How a question stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many different people have to approve.
    pub quorum: u32,
    /// Approvals that count, one a person.
    pub approvals: Vec<Counted>,
    /// A rejection that counts. It stands until the content changes.
    pub rejection: Option<Counted>,
    /// What does not count, and why.
    pub void: Vec<Void>,
    /// Whether anybody is trusted by name; else every decision is its taker's own word.
    pub identified: bool,
}

impl Tally {
    /// Whether enough people approved and nobody rejected.
    pub fn is_approved(&self) -> bool {
        self.rejection.is_none() && !self.approvals.is_empty() && self.missing() == 0
    }

    /// How many more people have to approve.
    pub fn missing(&self) -> u32 {
        self.quorum.max(1).saturating_sub(u32::try_from(self.approvals.len()).unwrap_or(u32::MAX))
    }

    /// The decision, once there is one.
    pub fn decision(&self) -> Option<Decision> {
        if let Some(rejection) = &self.rejection {
            return Some(decided(false, std::slice::from_ref(rejection)));
        }
        self.is_approved().then(|| decided(true, &self.approvals))
    }
}

fn decided(approved: bool, votes: &[Counted]) -> Decision {
    let join = |part: fn(&Counted) -> String, between: &str| {
        let mut parts: Vec<String> = votes.iter().map(part).collect();
        parts.dedup();
        parts.join(between)
    };
    let comments: Vec<&str> = votes.iter().filter_map(|vote| vote.comment.as_deref()).collect();
    Decision {
        approved,
        by: join(|vote| vote.by.clone(), ", "),
        at: votes.iter().map(|vote| vote.at.clone()).max().unwrap_or_default(),
        comment: (!comments.is_empty()).then(|| comments.join("; ")),
        via: join(|vote| vote.via.clone(), ", "),
        signed: votes.iter().filter_map(|vote| vote.envelope.clone()).collect(),
    }
}

/// Whose decisions count where and when.
pub struct Verifier<'a> {
    /// The people of `flow.toml`.
    pub trust: &'a Trust,
    /// The project's name for itself.
    pub project: &'a str,
    /// The time.
    pub now: Timestamp,
    /// Who started a run of this project, as its journal tells it; none for runs that are not there any more.
    pub starter: &'a dyn Fn(&str) -> Option<Option<Starter>>,
}

impl Verifier<'_> {
    /// Counts what was filed. A person counts once, however often they decided; of one person the rejection stands.
    pub fn tally(&self, asked: &Asked, filed: &[Filed]) -> Tally {
        let identified = !self.trust.is_empty();
        let mut tally = Tally { quorum: asked.terms.quorum.get(), identified, ..Tally::default() };
        for one in filed {
            match self.judge(asked, one) {
                Ok((Choice::Approved, counted)) => tally.approvals.push(counted),
                Ok((Choice::Rejected, counted)) => {
                    tally.rejection.get_or_insert(counted);
                }
                Err(void) if tally.void.contains(&void) => {}
                Err(void) => tally.void.push(void),
            }
        }
        tally.approvals.sort_by(|one, other| (&one.at, &one.by).cmp(&(&other.at, &other.by)));
        let mut seen = Vec::new();
        tally.approvals.retain(|vote| {
            // Without names of their own, people are told apart by their keys.
            let identity = if identified { vote.by.clone() } else { vote.key.map(|key| key.to_string()).unwrap_or_default() };
            let new = !seen.contains(&identity);
            seen.push(identity);
            new
        });
        tally
    }

    fn judge(&self, asked: &Asked, filed: &Filed) -> Result<(Choice, Counted), Void> {
        let void = |by: &str, objection| Void { by: by.to_owned(), objection };
        match filed {
            Filed::Signed(envelope) => {
                let unproven = |error: Unproven| Objection::Unproven { reason: error.to_string() };
                let (vote, key) = Vote::open(envelope).map_err(|error| void("somebody", unproven(error)))?;
                self.check(asked, &vote, &key).map_err(|objection| void(&vote.who, objection))?;
                let by = self.trust.owner(&key).map_or(vote.who, |(name, _)| name.to_owned());
                let (at, expires) = (spoken(vote.at), expiry(&asked.terms, vote.at, vote.expires));
                let counted = Counted {
                    by,
                    key: Some(key),
                    at,
                    expires: expires.filter(|_| vote.decision == Choice::Approved),
                    comment: vote.comment,
                    via: vote.via,
                    envelope: Some(envelope.as_ref().clone()),
                };
                Ok((vote.decision, counted))
            }
            Filed::Unsigned(decision) => self.unsigned(asked, decision).map_err(|objection| void(&decision.by, objection)),
            Filed::Unreadable(reason) => Err(void("somebody", Objection::Unproven { reason: reason.clone() })),
        }
    }

    /// A record from before decisions were signed: where nobody is trusted by name it is as good as any.
    fn unsigned(&self, asked: &Asked, decision: &Decision) -> Result<(Choice, Counted), Objection> {
        if !self.trust.is_empty() {
            return Err(Objection::Unsigned);
        }
        let choice = if decision.approved { Choice::Approved } else { Choice::Rejected };
        if choice == Choice::Approved {
            if asked.terms.needs_identities() {
                return Err(Objection::NoIdentities);
            }
            let at: Timestamp = decision.at.parse().map_err(|_| Objection::Unsigned)?;
            self.check_time(at, expiry(&asked.terms, at, None))?;
        }
        let counted = Counted {
            by: decision.by.clone(),
            key: None,
            at: decision.at.clone(),
            expires: None,
            comment: decision.comment.clone(),
            via: decision.via.clone(),
            envelope: None,
        };
        Ok((choice, counted))
    }

    /// Everything that can be held against a vote whose signature is good.
    fn check(&self, asked: &Asked, vote: &Vote, key: &PublicKey) -> Result<(), Objection> {
        if vote.action != asked.key || !same(&vote.reviewed, &asked.reviewed) {
            return Err(Objection::OtherContent);
        }
        if self.trust.is_empty() && vote.project != self.project {
            return Err(Objection::OtherProject);
        }
        let told = (self.starter)(&vote.run);
        let starter = match &told {
            // The signer's word about the run must be what the run itself says.
            Some(told) if *told != vote.started_by && vote.project == self.project => None,
            _ => vote.started_by.as_ref(),
        };
        self.may(&asked.terms, (key, vote.decision), starter)?;
        match vote.decision {
            Choice::Approved => self.check_time(vote.at, expiry(&asked.terms, vote.at, vote.expires)),
            Choice::Rejected => Ok(()),
        }
    }

    /// Whether the owner of a key may decide under these terms about a run that `starter` started.
    pub fn may(
        &self,
        terms: &ReviewTerms,
        (key, choice): (&PublicKey, Choice),
        starter: Option<&Starter>,
    ) -> Result<(), Objection> {
        if self.trust.is_empty() {
            // Anybody may say no.
            let vague = choice == Choice::Approved && terms.needs_identities();
            return if vague { Err(Objection::NoIdentities) } else { Ok(()) };
        }
        let (name, person) = self.trust.owner(key).ok_or(Objection::UnknownKey { key: *key })?;
        if !terms.asks(name, person) {
            return Err(Objection::WrongRole { asked: terms.asked() });
        }
        if terms.four_eyes && choice == Choice::Approved {
            let starter = starter.ok_or(Objection::UnknownStarter)?;
            if let Some(part) = starter.part(name, person) {
                return Err(Objection::FourEyes { part });
            }
        }
        Ok(())
    }

    fn check_time(&self, at: Timestamp, expires: Option<Timestamp>) -> Result<(), Objection> {
        if at.as_second().saturating_sub(self.now.as_second()) > SKEW {
            return Err(Objection::Future { at });
        }
        match expires {
            Some(end) if end <= self.now => Err(Objection::Expired { at: end }),
            _ => Ok(()),
        }
    }
}

/// The earlier of what the vote says and what the stage's terms allow.
fn expiry(terms: &ReviewTerms, at: Timestamp, stated: Option<Timestamp>) -> Option<Timestamp> {
    let allowed = terms.lifetime().and_then(|lifetime| at.checked_add(lifetime).ok());
    match (allowed, stated) {
        (Some(allowed), Some(stated)) => Some(allowed.min(stated)),
        (one, other) => one.or(other),
    }
}

/// A time as decisions write it.
pub(crate) fn spoken(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;

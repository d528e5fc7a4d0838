use serde_json::json;

use super::*;
use crate::govern::{
    SecretKey,
    testing::{now, reviewed, trust, vote},
};

fn asked(terms: serde_json::Value) -> Asked {
    Asked { key: Digest::of(b"action"), reviewed: reviewed(), terms: serde_json::from_value(terms).unwrap() }
}

fn sealed(vote: &Vote, key: &SecretKey) -> Filed {
    Filed::Signed(Box::new(vote.seal(key).unwrap()))
}

fn count(trust: &Trust, asked: &Asked, filed: &[Filed]) -> Tally {
    Verifier { trust, project: "here", now: now(), starter: &|_| None }.tally(asked, filed)
}

fn objections(tally: &Tally) -> Vec<String> {
    tally.void.iter().map(|void| void.objection.to_string()).collect()
}

struct People {
    alice: SecretKey,
    bob: SecretKey,
    trust: Trust,
}

fn people() -> People {
    let (alice, bob) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let trust = trust(&[("alice", alice.public(), "steward"), ("bob", bob.public(), "engineer")]);
    People { alice, bob, trust }
}

#[test]
fn an_approval_of_a_trusted_person_in_the_right_role_counts() {
    let People { alice, bob, trust } = people();
    let asked = asked(json!({"who": ["role:steward"]}));
    let tally = count(&trust, &asked, &[sealed(&vote("mallory"), &alice)]);
    assert!(tally.is_approved() && tally.identified);
    assert_eq!(tally.approvals[0].by, "alice", "the name is the one that [trust] gives the key");
    let decision = tally.decision().unwrap();
    assert_eq!((decision.approved, decision.by.as_str(), decision.signed.len()), (true, "alice", 1));

    let wrong = count(&trust, &asked, &[sealed(&vote("bob"), &bob)]);
    assert!(!wrong.is_approved());
    assert_eq!(objections(&wrong), ["the stage asks role:steward"]);
    let stranger = count(&trust, &asked, &[sealed(&vote("alice"), &SecretKey::generate().unwrap())]);
    assert_eq!(objections(&stranger), ["flow.toml does not name its key under [trust]"]);
}

#[test]
fn one_changed_byte_voids_an_approval_and_an_envelope_cannot_be_moved() {
    let People { alice, trust, .. } = people();
    let given = sealed(&vote("alice"), &alice);
    let mut changed = asked(json!({}));
    changed.reviewed[1].digest = Digest::of(b"rep0rt");
    assert_eq!(objections(&count(&trust, &changed, std::slice::from_ref(&given))), ["it is about other content"]);
    let other_action = Asked { key: Digest::of(b"other"), ..asked(json!({})) };
    assert_eq!(objections(&count(&trust, &other_action, std::slice::from_ref(&given))), ["it is about other content"]);
    let mut swapped = asked(json!({}));
    swapped.reviewed.swap(0, 1);
    assert!(!count(&trust, &swapped, std::slice::from_ref(&given)).is_approved());
    let mut renamed = asked(json!({}));
    renamed.reviewed[0].from = "mask.rows".to_owned();
    assert!(count(&trust, &renamed, &[given]).is_approved(), "a renamed stage changes nothing");
}

#[test]
fn a_forged_signature_is_found() {
    let People { alice, bob, trust } = people();
    let Filed::Signed(mut envelope) = sealed(&vote("alice"), &alice) else { unreachable!() };
    envelope.signatures = vote("alice").seal(&bob).unwrap().signatures;
    envelope.signatures[0].keyid = alice.public().to_string();
    let tally = count(&trust, &asked(json!({})), &[Filed::Signed(envelope)]);
    assert_eq!(objections(&tally), ["its signature does not match its content"]);
}

#[test]
fn a_quorum_needs_different_people() {
    let People { alice, bob, trust } = people();
    let asked = asked(json!({"quorum": 2}));
    let first = sealed(&vote("alice"), &alice);
    let again = sealed(&Vote { comment: Some("again".to_owned()), ..vote("alice") }, &alice);
    let twice = count(&trust, &asked, &[first.clone(), again]);
    assert_eq!((twice.is_approved(), twice.missing(), twice.approvals.len()), (false, 1, 1));
    assert!(twice.decision().is_none());
    let both = count(&trust, &asked, &[first, sealed(&vote("bob"), &bob)]);
    assert!(both.is_approved());
    assert_eq!(both.decision().unwrap().by, "alice, bob");
}

#[test]
fn four_eyes_keep_the_starter_and_the_author_away() {
    let People { alice, bob, trust } = people();
    let asked = asked(json!({"four_eyes": true}));
    let by = |key: &SecretKey, starter: Option<Starter>| {
        let vote = Vote { started_by: starter, ..vote("x") };
        objections(&count(&trust, &asked, &[sealed(&vote, key)]))
    };
    let starter = Starter { user: "Alice".to_owned(), ..Starter::default() };
    assert_eq!(by(&alice, Some(starter.clone())), ["whoever started the run may not approve it (four eyes)"]);
    assert!(by(&bob, Some(starter)).is_empty());
    let author = Starter { user: "ci".to_owned(), authors: vec!["bob".to_owned()], ..Starter::default() };
    assert_eq!(by(&bob, Some(author)), ["the author of the commit may not approve it (four eyes)"]);
    let key = Starter { user: "ci".to_owned(), keys: vec![bob.public()], ..Starter::default() };
    assert_eq!(by(&bob, Some(key)).len(), 1);
    assert_eq!(by(&bob, None), ["it is not known who started the run (four eyes)"]);
}

#[test]
fn a_signer_cannot_lie_about_who_started_the_run() {
    let People { bob, trust, .. } = people();
    let asked = asked(json!({"four_eyes": true}));
    let told = Starter { user: "bob".to_owned(), ..Starter::default() };
    let starter = |_: &str| Some(Some(told.clone()));
    let verifier = Verifier { trust: &trust, project: "here", now: now(), starter: &starter };
    let tally = verifier.tally(&asked, &[sealed(&vote("bob"), &bob)]);
    assert_eq!(objections(&tally), ["it is not known who started the run (four eyes)"]);
}

#[test]
fn an_approval_expires_by_the_terms_and_by_its_own_word() {
    let People { alice, trust, .. } = people();
    let old = Vote { at: "2026-11-17T08:59:59Z".parse().unwrap(), ..vote("alice") };
    let expired = count(&trust, &asked(json!({"expires": "7d"})), &[sealed(&old, &alice)]);
    assert_eq!(objections(&expired), ["it expired at 2026-11-24 08:59 UTC"]);
    assert!(count(&trust, &asked(json!({"expires": "8d"})), &[sealed(&old, &alice)]).is_approved());
    let short = Vote { expires: Some(now()), ..old };
    assert!(!count(&trust, &asked(json!({})), &[sealed(&short, &alice)]).is_approved());
    let future = Vote { at: "2026-11-24T10:00:00Z".parse().unwrap(), ..vote("alice") };
    assert_eq!(
        objections(&count(&trust, &asked(json!({})), &[sealed(&future, &alice)])),
        ["it is dated in the future, 2026-11-24 10:00 UTC"]
    );
}

#[test]
fn one_rejection_is_enough_and_does_not_expire() {
    let People { alice, bob, trust } = people();
    let asked = asked(json!({"who": ["role:steward"], "expires": "1d"}));
    let old = Vote { decision: Choice::Rejected, at: "2026-01-01T00:00:00Z".parse().unwrap(), ..vote("alice") };
    let tally = count(&trust, &asked, &[sealed(&old, &alice)]);
    assert_eq!(tally.decision().map(|decision| decision.approved), Some(false));
    let wrong_role = Vote { decision: Choice::Rejected, ..vote("bob") };
    assert!(count(&trust, &asked, &[sealed(&wrong_role, &bob)]).decision().is_none());
}

#[test]
fn where_nobody_is_trusted_by_name_a_decision_counts_in_its_own_project() {
    let (key, trust) = (SecretKey::generate().unwrap(), Trust::default());
    let own = count(&trust, &asked(json!({"who": ["role:steward"]})), &[sealed(&vote("ada"), &key)]);
    assert!(own.is_approved() && !own.identified);
    let elsewhere = Vote { project: "there".to_owned(), ..vote("ada") };
    assert_eq!(objections(&count(&trust, &asked(json!({})), &[sealed(&elsewhere, &key)])), ["it was taken in another project"]);
    for terms in [json!({"quorum": 2}), json!({"four_eyes": true})] {
        let tally = count(&trust, &asked(terms), &[sealed(&vote("ada"), &key)]);
        assert_eq!(objections(&tally), ["the stage asks people who can be told apart, and flow.toml has no [trust]"]);
    }
}

#[test]
fn a_trusted_person_s_decision_counts_in_every_project_that_trusts_them() {
    let People { alice, trust, .. } = people();
    let elsewhere = Vote { project: "there".to_owned(), ..vote("alice") };
    assert!(count(&trust, &asked(json!({})), &[sealed(&elsewhere, &alice)]).is_approved());
}

#[test]
fn records_from_before_signing_stand_only_where_nobody_is_trusted_by_name() {
    let old = Decision {
        approved: true,
        by: "ada".to_owned(),
        at: "2026-11-20T09:00:00Z".to_owned(),
        comment: None,
        via: "command".to_owned(),
        signed: Vec::new(),
    };
    let filed = [Filed::Unsigned(Box::new(old)), Filed::Unreadable("the record cannot be read".to_owned())];
    let tally = count(&Trust::default(), &asked(json!({})), &filed);
    assert!(tally.is_approved());
    assert_eq!(objections(&tally), ["the record cannot be read"]);
    assert!(!count(&Trust::default(), &asked(json!({"expires": "1d"})), &filed).is_approved());
    assert_eq!(objections(&count(&people().trust, &asked(json!({})), &filed))[0], "it is not signed");
}

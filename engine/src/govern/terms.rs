//! What a deciding stage asks: of whom, how many of them, and for how long their answer stands.

use std::{fmt, num::NonZeroU32, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

use super::{Person, Trust};
use crate::workflow::Period;

/// Ask people to approve what the bound artifacts hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewTerms {
    /// Who may decide: `role:NAME`, `user:NAME`, or a name alone, which may be either. Anybody who is trusted when left out.
    #[serde(default)]
    pub who: Vec<Party>,
    /// What the reviewer is asked to look at.
    #[serde(default)]
    pub question: Option<String>,
    /// How many different people have to approve.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub quorum: NonZeroU32,
    /// Whether the one who started the run and the author of its commit may not approve it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub four_eyes: bool,
    /// How long an approval stands, such as `7d`; without end when left out.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub expires: Option<Period>,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

// The terms are part of the action key. What is left out stays out of it, so that workflows from before keep their keys.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_one(quorum: &NonZeroU32) -> bool {
    *quorum == NonZeroU32::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::ref_option, reason = "serde hands out references")]
fn seconds<S: Serializer>(period: &Option<Period>, serializer: S) -> Result<S::Ok, S::Error> {
    match period {
        Some(period) => serializer.collect_str(&format_args!("{}ms", period.get().as_millis())),
        None => serializer.serialize_none(),
    }
}

impl Default for ReviewTerms {
    fn default() -> Self {
        Self { who: Vec::new(), question: None, quorum: one(), four_eyes: false, expires: None }
    }
}

impl ReviewTerms {
    /// Whether a trusted person is among those asked.
    pub fn asks(&self, name: &str, person: &Person) -> bool {
        self.who.is_empty() || self.who.iter().any(|party| party.is(name, person))
    }

    /// The trusted people who may decide, by name.
    pub fn eligible<'t>(&self, trust: &'t Trust) -> Vec<&'t str> {
        trust.people().filter(|(name, person)| self.asks(name, person)).map(|(name, _)| name).collect()
    }

    /// Whether these terms need people who can be told apart.
    pub fn needs_identities(&self) -> bool {
        self.four_eyes || !is_one(&self.quorum)
    }

    /// How long an approval stands.
    pub fn lifetime(&self) -> Option<Duration> {
        self.expires.map(Period::get)
    }

    /// Those asked, in words.
    pub fn asked(&self) -> String {
        if self.who.is_empty() {
            return "anybody who is trusted".to_owned();
        }
        self.who.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    }
}

/// One entry of `who`, kept as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Party(String);

/// What the words of a party mean.
enum Meaning<'p> {
    User(&'p str),
    Role(&'p str),
    Either(&'p str),
}

impl Party {
    fn meaning(&self) -> Meaning<'_> {
        match self.0.split_once(':') {
            Some(("user", name)) => Meaning::User(name.trim()),
            Some(("role", name)) => Meaning::Role(name.trim()),
            _ => Meaning::Either(self.0.trim()),
        }
    }

    fn is(&self, name: &str, person: &Person) -> bool {
        let holds = |wanted: &str| person.roles.iter().any(|role| role == wanted);
        match self.meaning() {
            Meaning::User(wanted) => name == wanted,
            Meaning::Role(wanted) => holds(wanted),
            Meaning::Either(wanted) => name == wanted || holds(wanted),
        }
    }
}

impl TryFrom<String> for Party {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = match text.split_once(':') {
            Some(("user" | "role", name)) => name,
            Some(_) => return Err(format!("found {text:?}, expected `role:NAME`, `user:NAME`, or a name")),
            None => &text,
        };
        if name.trim().is_empty() {
            return Err(format!("found {text:?}, which names nobody; expected `role:NAME`, `user:NAME`, or a name"));
        }
        Ok(Self(text))
    }
}

impl From<Party> for String {
    fn from(party: Party) -> Self {
        party.0
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Party {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Party".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "`role:NAME`, `user:NAME`, or a name alone, which may be either."})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::govern::SecretKey;

    fn terms(value: serde_json::Value) -> ReviewTerms {
        serde_json::from_value(value).unwrap()
    }

    fn person(roles: &[&str]) -> Person {
        Person {
            key: SecretKey::generate().unwrap().public(),
            roles: roles.iter().map(ToString::to_string).collect(),
            accounts: Vec::new(),
        }
    }

    #[test]
    fn terms_from_before_keep_their_serialized_form() {
        let plain = terms(json!({"who": ["data steward"]}));
        assert_eq!(serde_json::to_value(&plain).unwrap(), json!({"who": ["data steward"], "question": null}));
        let whole = json!({"who": [], "question": "ok?", "quorum": 2, "four_eyes": true, "expires": "7d"});
        let again = serde_json::to_value(terms(whole)).unwrap();
        assert_eq!(again["expires"], "604800000ms");
        assert_eq!(terms(again.clone()).lifetime(), Some(Duration::from_hours(168)));
        assert_eq!(again["quorum"], 2);
    }

    #[test]
    fn a_role_a_user_or_either_is_asked() {
        let (steward, other) = (person(&["steward"]), person(&[]));
        for (who, alice_steward, bob_other) in [
            (json!([]), true, true),
            (json!(["role:steward"]), true, false),
            (json!(["user:bob"]), false, true),
            (json!(["steward", "bob"]), true, true),
            (json!(["user:steward"]), false, false),
        ] {
            let terms = terms(json!({"who": who}));
            assert_eq!((terms.asks("alice", &steward), terms.asks("bob", &other)), (alice_steward, bob_other), "{who}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [json!({"who": ["group:x"]}), json!({"who": ["role: "]}), json!({"quorum": 0}), json!({"expires": "soon"})] {
            assert!(serde_json::from_value::<ReviewTerms>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}

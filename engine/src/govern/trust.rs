//! `[trust]` of `flow.toml`: whose decisions count, and in which roles.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::PublicKey;

/// The people whose signatures a project trusts. Without any, every decision is its taker's own word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Person>")]
pub struct Trust {
    people: BTreeMap<String, Person>,
}

/// One person of `[trust]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The public half of the key they sign with.
    pub key: PublicKey,
    /// What they may decide as.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Other names of the same person: accounts that start runs, names and addresses that commits carry.
    #[serde(default)]
    pub accounts: Vec<String>,
}

impl Trust {
    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Everybody by name.
    pub fn people(&self) -> impl Iterator<Item = (&str, &Person)> {
        self.people.iter().map(|(name, person)| (name.as_str(), person))
    }

    /// A person by name.
    pub fn person(&self, name: &str) -> Option<&Person> {
        self.people.get(name)
    }

    /// The owner of a key.
    pub fn owner(&self, key: &PublicKey) -> Option<(&str, &Person)> {
        self.people().find(|(_, person)| person.key == *key)
    }
}

impl Person {
    /// Whether `name` is this person, who is called `own` in `[trust]`. Case says nothing in names and addresses.
    pub fn is_called(&self, own: &str, name: &str) -> bool {
        let same = |one: &str| one.to_lowercase() == name.trim().to_lowercase();
        same(own) || self.accounts.iter().any(|account| same(account))
    }
}

impl TryFrom<BTreeMap<String, Person>> for Trust {
    type Error = String;

    fn try_from(people: BTreeMap<String, Person>) -> Result<Self, String> {
        let mut owners: BTreeMap<PublicKey, &str> = BTreeMap::new();
        for (name, person) in &people {
            if let Some(other) = owners.insert(person.key, name) {
                // One person under two names would pass for two reviewers.
                return Err(format!("`{other}` and `{name}` have the same key"));
            }
        }
        Ok(Self { people })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::govern::SecretKey;

    fn read(text: &str) -> Result<Trust, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn people_have_a_key_and_roles() {
        let key = SecretKey::generate().unwrap().public();
        let trust =
            read(&format!("alice = {{key = \"{key}\", roles = [\"data-steward\"], accounts = [\"a@example.org\"]}}")).unwrap();
        let (name, alice) = trust.owner(&key).unwrap();
        assert_eq!((name, alice.roles.as_slice()), ("alice", ["data-steward".to_owned()].as_slice()));
        assert!(alice.is_called("alice", "Alice") && alice.is_called("alice", "A@example.org"));
        assert!(!alice.is_called("alice", "bob"));
        assert!(trust.owner(&SecretKey::generate().unwrap().public()).is_none());
    }

    #[test]
    fn a_key_has_one_owner_and_must_be_one() {
        let key = SecretKey::generate().unwrap().public();
        let twice = read(&format!("alice = {{key = \"{key}\"}}\nbob = {{key = \"{key}\"}}")).unwrap_err();
        assert!(twice.contains("`alice` and `bob` have the same key"), "{twice}");
        assert!(read("alice = {key = \"rsa:x\"}").unwrap_err().contains("is no public key"));
        assert!(read(&format!("alice = {{key = \"{key}\", role = \"x\"}}")).unwrap_err().contains("unknown field"));
    }
}

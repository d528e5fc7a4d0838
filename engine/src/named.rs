//! Entries by name in one flat, sorted list: a large workflow and its run hold hundreds of thousands of mappings with one or
//! two entries, and a tree of one entry has room for eleven. Copies share one list: what a stage gave is known to the journal,
//! the state of the run, and every consumer.

use std::{collections::BTreeMap, fmt, iter, marker::PhantomData, slice, sync::Arc, vec};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};

/// Entries by name, sorted by it.
#[derive(Debug, PartialEq, Eq)]
pub struct Named<T> {
    entries: Arc<[(String, T)]>,
}

impl<T> Clone for Named<T> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<T> Named<T> {
    /// The entries in the order of their names.
    pub fn iter(&self) -> Entries<'_, T> {
        self.entries.iter().map(parts)
    }

    /// The names, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.entries.iter().map(|(name, _)| name)
    }

    /// The entries without their names.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry of a name.
    pub fn get(&self, name: &str) -> Option<&T> {
        let place = self.entries.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.entries.get(place).map(|(_, value)| value)
    }

    /// Whether there is an entry of a name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Names with their entries.
pub type Entries<'a, T> = iter::Map<slice::Iter<'a, (String, T)>, fn(&'a (String, T)) -> (&'a String, &'a T)>;

fn parts<T>(entry: &(String, T)) -> (&String, &T) {
    (&entry.0, &entry.1)
}

impl<T: Clone> Named<T> {
    /// Puts an entry in its place, over one of the same name.
    pub fn insert(&mut self, name: String, value: T) {
        *self = std::mem::take(self).into_iter().chain([(name, value)]).collect();
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { entries: Arc::default() }
    }
}

impl<T> FromIterator<(String, T)> for Named<T> {
    /// Sorts the entries; of two with the same name the last counts.
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Self {
        let mut entries: Vec<(String, T)> = entries.into_iter().collect();
        entries.reverse();
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        entries.dedup_by(|later, first| later.0 == first.0);
        Self { entries: entries.into() }
    }
}

impl<T, const N: usize> From<[(String, T); N]> for Named<T> {
    fn from(entries: [(String, T); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'a, T> IntoIterator for &'a Named<T> {
    type Item = (&'a String, &'a T);
    type IntoIter = Entries<'a, T>;

    fn into_iter(self) -> Entries<'a, T> {
        self.iter()
    }
}

impl<T: Clone> IntoIterator for Named<T> {
    type Item = (String, T);
    type IntoIter = vec::IntoIter<(String, T)>;

    fn into_iter(self) -> vec::IntoIter<(String, T)> {
        Vec::from(&*self.entries).into_iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
        let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(0).min(64));
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries.into_iter().collect())
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        BTreeMap::<String, T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_found_by_name_and_sorted() {
        let named: Named<u32> = serde_json::from_value(json!({"b": 2, "a": 1, "c": 3})).unwrap();
        assert_eq!(named.keys().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((named.get("b"), named.get("d"), named.contains_key("c"), named.is_empty()), (Some(&2), None, true, false));
        let error = serde_json::from_value::<Named<u32>>(json!([1])).unwrap_err().to_string();
        assert!(error.contains("expected a map"), "{error}");
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(entries in prop::collection::vec(("[a-c]{1,2}", any::<u8>()), 0..12)) {
            let map: BTreeMap<String, u8> = entries.iter().cloned().collect();
            let named: Named<u8> = entries.into_iter().collect();
            prop_assert!(named.iter().eq(map.iter()));
            prop_assert_eq!(serde_json::to_string(&named).unwrap(), serde_json::to_string(&map).unwrap());
            let mut one_by_one = Named::default();
            map.iter().rev().for_each(|(name, value)| one_by_one.insert(name.clone(), *value));
            prop_assert_eq!((one_by_one.len(), &one_by_one), (map.len(), &named));
            prop_assert!(named.into_iter().eq(map));
        }
    }
}

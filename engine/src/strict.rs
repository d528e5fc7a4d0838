//! Reading a JSON value into a type without serde's kindness: a struct is a mapping and never a list of its fields in order.
//!
//! A list that happens to fit would be read as something that nobody wrote: `retry: [3]` as `retry: {infra: 3}`.

use serde::{
    Deserializer,
    de::{
        Error as _, IntoDeserializer, Unexpected, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::Value;

type Error = serde_json::Error;

/// A value to read strictly.
#[derive(Clone, Copy)]
pub(crate) struct Strict<'v>(pub(crate) &'v Value);

impl<'de> IntoDeserializer<'de, Error> for Strict<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => {
                let mut list = SeqDeserializer::new(items.iter().map(Strict));
                let read = visitor.visit_seq(&mut list)?;
                list.end().map(|()| read)
            }
            Value::Object(entries) => {
                let mut map = MapDeserializer::new(entries.iter().map(|(key, value)| (key.as_str(), Strict(value))));
                let read = visitor.visit_map(&mut map)?;
                map.end().map(|()| read)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Object(entries) if entries.len() == 1 => {
                let map = MapDeserializer::new(entries.iter().map(|(key, value)| (key.as_str(), Strict(value))));
                visitor.visit_enum(MapAccessDeserializer::new(map))
            }
            // The messages of serde_json for what no variant can be.
            other => other.deserialize_enum(name, variants, visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Retry {
        infra: Option<u32>,
        share: f64,
        mode: Mode,
        #[serde(default)]
        more: BTreeMap<String, Vec<Mode>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
        Slow { by: i64 },
    }

    #[test]
    fn a_struct_is_a_mapping_and_no_list() {
        let value = json!({"infra": 3, "share": 1, "mode": {"slow": {"by": -2}}, "more": {"a": ["fast"]}});
        let read = Retry::deserialize(Strict(&value)).unwrap();
        assert_eq!(read, serde_json::from_value(value).unwrap());
        assert_eq!(read.mode, Mode::Slow { by: -2 });
        let list = json!([3, 1, "fast", {}]);
        assert!(serde_json::from_value::<Retry>(list.clone()).is_ok());
        assert!(Retry::deserialize(Strict(&list)).is_err());
        assert!(BTreeMap::<String, Retry>::deserialize(Strict(&json!({"a": list}))).is_err());
    }

    proptest! {
        #[test]
        fn numbers_texts_and_lists_are_read_as_serde_json_reads_them(
            list in prop::collection::vec(any::<i64>(), 0..5), text in "\\PC{0,8}", number in any::<f32>(),
        ) {
            let value = json!({"list": list, "text": text, "number": number, "nothing": null, "flag": true});
            prop_assert_eq!(Value::deserialize(Strict(&value)).unwrap(), value);
        }
    }
}

//! The one door through which JSON enters: what two readers may read differently is refused.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The greatest integer that every reader of JSON keeps exactly.
pub(crate) const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Returns the JSON in `bytes`, and refuses what has not one meaning alone: a key twice in an object, a
/// number that is not whole or that some reader would round, deep nesting, anything behind the end.
pub(crate) fn strict(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    read::<true>(bytes)
}

/// Refuses what [`strict`] does.
///
/// It keeps nothing but the keys of the objects that are open, so what is refused has not been built.
pub(crate) fn check(bytes: &[u8]) -> Result<(), serde_json::Error> {
    read::<false>(bytes).map(|_| ())
}

fn read<const KEEPS: bool>(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = Strict::<KEEPS> { depth: 0 }.deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// Passes over one value, builds it if it is to be kept, and refuses what two readers may read
/// differently.
struct Strict<const KEEPS: bool> {
    depth: u32,
}

impl<const KEEPS: bool> Strict<KEEPS> {
    fn deeper<E: Error>(&self) -> Result<Strict<KEEPS>, E> {
        if self.depth < MAX_DEPTH {
            Ok(Strict {
                depth: self.depth + 1,
            })
        } else {
            Err(E::custom(format!("more than {MAX_DEPTH} levels")))
        }
    }
}

impl<'de, const KEEPS: bool> DeserializeSeed<'de> for Strict<KEEPS> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, const KEEPS: bool> Visitor<'de> for Strict<KEEPS> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with one meaning alone")
    }

    fn visit_bool<E: Error>(self, is_true: bool) -> Result<Value, E> {
        Ok(is_true.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(if KEEPS { text.into() } else { Value::Null })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        if number <= MAX_INTEGER {
            Ok(number.into())
        } else {
            Err(E::custom(format!(
                "the number {number} above {MAX_INTEGER}"
            )))
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        if number.unsigned_abs() <= MAX_INTEGER {
            Ok(number.into())
        } else {
            Err(E::custom(format!(
                "the number {number} below -{MAX_INTEGER}"
            )))
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Err(E::custom(format!(
            "the number {number}, which is not whole"
        )))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.deeper()?)? {
            if KEEPS {
                values.push(value);
            }
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} twice")));
            }
            let value = object.next_value_seed(self.deeper()?)?;
            members.insert(key, value);
        }
        Ok(if KEEPS { members.into() } else { Value::Null })
    }
}

/// Twice what our documents need.
const MAX_DEPTH: u32 = 16;

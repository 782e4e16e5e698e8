//! The one door through which JSON enters: what two readers may read differently is refused.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The greatest integer that every reader of JSON keeps exactly.
pub(crate) const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Refuses bytes that are not JSON with one meaning alone: a key twice in an object, a number that is
/// not whole or that some reader would round, deep nesting, anything behind the end.
///
/// It keeps nothing but the keys of the objects that are open, so what is refused has not been built.
pub(crate) fn strict(bytes: &[u8]) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Strict { depth: 0 }
        .deserialize(&mut json)
        .and_then(|()| json.end())
}

/// Passes over one value and refuses what two readers may read differently.
struct Strict {
    depth: u32,
}

impl Strict {
    fn deeper<E: Error>(&self) -> Result<Strict, E> {
        if self.depth < MAX_DEPTH {
            Ok(Strict {
                depth: self.depth + 1,
            })
        } else {
            Err(E::custom(format!("more than {MAX_DEPTH} levels")))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with one meaning alone")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        if number <= MAX_INTEGER {
            Ok(())
        } else {
            Err(E::custom(format!(
                "the number {number} above {MAX_INTEGER}"
            )))
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        if number.unsigned_abs() <= MAX_INTEGER {
            Ok(())
        } else {
            Err(E::custom(format!(
                "the number {number} below -{MAX_INTEGER}"
            )))
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        Err(E::custom(format!(
            "the number {number}, which is not whole"
        )))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = object.next_key::<String>()? {
            object.next_value_seed(self.deeper()?)?;
            if let Some(repeated) = keys.replace(key) {
                return Err(A::Error::custom(format!("the key {repeated:?} twice")));
            }
        }
        Ok(())
    }
}

/// Twice what our documents need.
const MAX_DEPTH: u32 = 16;

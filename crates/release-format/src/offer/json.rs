//! How catalogues and rollouts are read from JSON and written to it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::json;
use crate::{Document, FormatError};

/// The first schema. Fields may join within a schema, so unknown ones are passed over; one that changes
/// what the others mean takes the next number.
pub(crate) const SCHEMA: u64 = 1;

/// Returns the value that `bytes` of the first schema hold; see [`read_up_to`].
pub(crate) fn read<T: DeserializeOwned>(
    document: Document,
    bytes: &[u8],
    max_bytes: u64,
) -> Result<T, FormatError> {
    read_up_to(document, bytes, max_bytes, SCHEMA).map(|(_, value)| value)
}

/// Returns the schema of `bytes`, `newest` at most, and the value that they hold, if they are JSON that
/// has one meaning alone: no key twice in an object, no number but whole ones that every reader keeps
/// exactly, little nesting.
pub(crate) fn read_up_to<T: DeserializeOwned>(
    document: Document,
    bytes: &[u8],
    max_bytes: u64,
    newest: u64,
) -> Result<(u64, T), FormatError> {
    let length = bytes.len() as u64;
    if length > max_bytes {
        return Err(FormatError::Limit {
            document,
            what: "bytes",
            claimed: length,
            limit: max_bytes,
        });
    }
    let malformed = |error| not_as_expected(document, &error);
    json::check(bytes).map_err(malformed)?;
    let Schema { schema } = serde_json::from_slice(bytes).map_err(malformed)?;
    if !(SCHEMA..=newest).contains(&schema) {
        return Err(FormatError::UnsupportedVersion {
            document,
            found: schema,
            supported: newest,
        });
    }
    let value = serde_json::from_slice(bytes).map_err(malformed)?;
    Ok((schema, value))
}

/// Returns the canonical bytes of `value`: keys in the order of their bytes, no space between tokens.
pub(crate) fn write(value: &impl Serialize) -> Vec<u8> {
    let mut value = serde_json::to_value(value).expect("every key of a document is a text");
    // Sorted by nature, unless the host's build lets serde_json keep the order of insertion.
    value.sort_all_objects();
    serde_json::to_vec(&value).expect("writing to memory succeeds")
}

#[derive(Deserialize)]
struct Schema {
    schema: u64,
}

fn not_as_expected(document: Document, error: &serde_json::Error) -> FormatError {
    let place = format!("line {} column {}", error.line(), error.column());
    let told = error.to_string();
    let found = told.strip_suffix(&format!(" at {place}")).unwrap_or(&told);
    let found: String = found.chars().take(300).collect();
    FormatError::malformed(document, place, "the JSON of its schema", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    struct Thing {
        schema: u64,
        name: String,
    }

    fn thing(text: &str) -> Result<Thing, FormatError> {
        read(Document::Rollout, text.as_bytes(), 1000)
    }

    fn refusal(text: &str) -> String {
        match thing(text) {
            Err(FormatError::Malformed { found, .. }) => found,
            other => panic!("{text}: expected Malformed, found {other:?}"),
        }
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        let read = thing(r#" {"schema":1,"name":"a","new":[{"x":null,"y":[true,-5]}]} "#).unwrap();
        assert_eq!(read.name, "a");
    }

    #[test]
    fn other_schema_is_named_even_where_the_rest_has_changed() {
        assert!(matches!(
            thing(r#"{"schema":2,"title":{}}"#),
            Err(FormatError::UnsupportedVersion {
                found: 2,
                supported: 1,
                ..
            })
        ));
        assert!(refusal(r#"{"name":"a"}"#).contains("schema"));
        assert!(refusal(r#"{"schema":"1","name":"a"}"#).contains("invalid type"));
    }

    #[test]
    fn repeated_keys_are_refused_wherever_they_stand() {
        for text in [
            r#"{"schema":1,"name":"a","name":"b"}"#,
            r#"{"schema":1,"name":"a","new":1,"new":1}"#,
            r#"{"schema":1,"name":"a","new":[{"x":1,"\u0078":2}]}"#,
        ] {
            assert!(refusal(text).contains("twice"), "{text}");
        }
    }

    #[test]
    fn numbers_that_readers_disagree_on_are_refused() {
        for number in [
            "1.5",
            "1e3",
            "-0",
            "9007199254740992",
            "-9007199254740992",
            "99999999999999999999",
        ] {
            let text = format!(r#"{{"schema":1,"name":"a","new":{number}}}"#);
            assert!(refusal(&text).contains("the number"), "{text}");
        }
        let text = r#"{"schema":1,"name":"a","new":9007199254740991}"#;
        assert!(thing(text).is_ok());
    }

    #[test]
    fn deep_nesting_ends_early() {
        let nested = |depth| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!(r#"{{"schema":1,"name":"a","new":{open}{close}}}"#)
        };
        assert!(thing(&nested(15)).is_ok());
        assert!(refusal(&nested(400)).contains("levels"));
    }

    #[test]
    fn trailing_cut_and_foreign_bytes_are_refused() {
        let text = r#"{"schema":1,"name":"a"}"#;
        assert!(thing(text).is_ok());
        for end in 0..text.len() {
            refusal(&text[..end]);
        }
        refusal(&format!("{text}x"));
        refusal(&format!("{text}{text}"));
        refusal("<!DOCTYPE html><title>Sign in to the network</title>");
        let invalid = read::<Thing>(Document::Rollout, b"{\"schema\":1,\"name\":\"\xff\"}", 1000);
        assert!(matches!(invalid, Err(FormatError::Malformed { .. })));
    }

    #[test]
    fn more_bytes_than_the_limit_are_not_looked_at() {
        assert!(matches!(
            thing(&"x".repeat(1001)),
            Err(FormatError::Limit {
                claimed: 1001,
                limit: 1000,
                ..
            })
        ));
    }

    #[test]
    fn written_keys_are_sorted_and_packed() {
        let thing = Thing {
            schema: 1,
            name: "é \"x\"".to_owned(),
        };
        let bytes = write(&thing);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"name":"é \"x\"","schema":1}"#
        );
    }
}

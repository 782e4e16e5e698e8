use serde_json::Value;

/// Returns the bytes of `value` that are signed: the canonical JSON of the OLPC project.
///
/// Keys in the order of their bytes, no space between tokens, whole numbers, and texts in which
/// nothing but `"` and `\` is escaped. Control characters stand as they are, which is why this is not
/// quite JSON.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(value, &mut bytes, append_canonical_text);
    bytes
}

/// Returns the bytes of a file: canonical, but with control characters escaped, so that every reader
/// of JSON reads them.
pub(crate) fn readable(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(value, &mut bytes, append_json_text);
    bytes
}

fn append(value: &Value, bytes: &mut Vec<u8>, append_text: fn(&str, &mut Vec<u8>)) {
    match value {
        Value::Null => bytes.extend_from_slice(b"null"),
        Value::Bool(true) => bytes.extend_from_slice(b"true"),
        Value::Bool(false) => bytes.extend_from_slice(b"false"),
        Value::Number(number) => bytes.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => append_text(text, bytes),
        Value::Array(values) => {
            bytes.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    bytes.push(b',');
                }
                append(value, bytes, append_text);
            }
            bytes.push(b']');
        }
        Value::Object(members) => {
            // Not left to the map: a host's build may let it keep another order.
            if members.keys().is_sorted() {
                append_members(members.iter(), bytes, append_text);
            } else {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_unstable_by_key(|(key, _)| *key);
                append_members(members.into_iter(), bytes, append_text);
            }
        }
    }
}

fn append_members<'a>(
    members: impl Iterator<Item = (&'a String, &'a Value)>,
    bytes: &mut Vec<u8>,
    append_text: fn(&str, &mut Vec<u8>),
) {
    bytes.push(b'{');
    for (index, (key, value)) in members.enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        append_text(key, bytes);
        bytes.push(b':');
        append(value, bytes, append_text);
    }
    bytes.push(b'}');
}

fn append_canonical_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.push(b'"');
    let mut rest = text.as_bytes();
    // Nearly all texts go in one piece.
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        bytes.extend_from_slice(plain);
        bytes.push(b'\\');
        bytes.extend(special.first());
        rest = special.get(1..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest);
    bytes.push(b'"');
}

fn append_json_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => bytes.extend_from_slice(&[b'\\', byte]),
            0..0x20 => bytes.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => bytes.push(byte),
        }
    }
    bytes.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_of(json: &str) -> String {
        String::from_utf8(canonical(&serde_json::from_str(json).unwrap())).unwrap()
    }

    #[test]
    fn keys_are_sorted_and_spaces_dropped() {
        assert_eq!(
            canonical_of(r#"{ "b" : [1, -2] , "a":{"z":null,"y":true} }"#),
            r#"{"a":{"y":true,"z":null},"b":[1,-2]}"#
        );
    }

    #[test]
    fn only_quotes_and_backslashes_are_escaped() {
        assert_eq!(canonical_of(r#""a\"\\\n\u00e9\/""#), "\"a\\\"\\\\\né/\"");
    }

    #[test]
    fn files_are_canonical_but_for_control_characters() {
        let value = serde_json::json!({ "b": "é\"\\/", "a\n": ["\0", "\u{1f}", "\u{7f}"] });
        let file = readable(&value);
        let expected = "{\"a\\u000a\":[\"\\u0000\",\"\\u001f\",\"\u{7f}\"],\"b\":\"é\\\"\\\\/\"}";
        assert_eq!(String::from_utf8(file.clone()).unwrap(), expected);
        assert_eq!(serde_json::from_slice::<Value>(&file).unwrap(), value);
        let plain = serde_json::json!({ "b": [1, null], "a": "é" });
        assert_eq!(readable(&plain), canonical(&plain));
    }
}

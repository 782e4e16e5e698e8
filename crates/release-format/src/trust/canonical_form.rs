//! The short way through files that are in canonical form already, as ours are: what is signed is then
//! a part of the file, and nothing has to be built to find it.

/// Returns the value of each member of the object in `bytes`, as it stands there, if all of it is
/// canonical JSON; nothing for anything else, which says nothing of whether it is JSON.
///
/// What it takes has one meaning alone: the keys of each object ascend, so that none is there twice,
/// and numbers are whole and small. It takes less than there is (no key with an escape, no number of
/// 16 digits, no number below nought): the long way takes the rest.
pub(crate) fn members(bytes: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut scanner = Scanner { text, at: 0 };
    let mut members = Vec::new();
    scanner.object(0, |key, value| members.push((key, value)))?;
    (scanner.at == text.len()).then_some(members)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn value(&mut self, depth: u32) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => self.object(depth, |_, _| ()),
            b'[' => self.array(depth),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: u32, mut heard: impl FnMut(&'a str, &'a [u8])) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        self.word("{")?;
        if self.peek()? == b'}' {
            return self.word("}");
        }
        let mut before: Option<&str> = None;
        loop {
            let key = self.string()?;
            if key.contains('\\') || before.is_some_and(|before| before >= key) {
                return None;
            }
            before = Some(key);
            self.word(":")?;
            let start = self.at;
            self.value(depth + 1)?;
            heard(key, self.text.as_bytes().get(start..self.at)?);
            match self.peek()? {
                b',' => self.word(",")?,
                _ => return self.word("}"),
            }
        }
    }

    fn array(&mut self, depth: u32) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        self.word("[")?;
        if self.peek()? == b']' {
            return self.word("]");
        }
        loop {
            self.value(depth + 1)?;
            match self.peek()? {
                b',' => self.word(",")?,
                _ => return self.word("]"),
            }
        }
    }

    /// Returns what stands between the quotes, escapes and all.
    fn string(&mut self) -> Option<&'a str> {
        self.word("\"")?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    let escaped = self.text.as_bytes().get(self.at + 1)?;
                    if !matches!(escaped, b'"' | b'\\') {
                        return None;
                    }
                    self.at += 2;
                }
                // Files spell these by escapes, and canonical JSON does not.
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        let text = self.text.get(start..self.at)?;
        self.at += 1;
        Some(text)
    }

    fn number(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_plain = digits == 1 || rest.first() != Some(&b'0');
        if digits == 0 || digits > MAX_DIGITS || !is_plain {
            return None;
        }
        self.at += digits;
        Some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        if !rest.starts_with(word.as_bytes()) {
            return None;
        }
        self.at += word.len();
        Some(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Less than the long way allows.
const MAX_DEPTH: u32 = 12;
/// What every reader keeps exactly has more.
const MAX_DIGITS: usize = 15;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::json;
    use crate::trust::canonical::canonical;

    const FILE: &str = r#"{"signatures":[{"keyid":"ab","sig":"00"},{"keyid":"cd","sig":""}],"signed":{"_type":"targets","a":[],"b":{},"delegations":{"keys":{"é\"\\":{"x":null}},"roles":[{"name":"acme","terminating":true}]},"n":[0,7,10,123456789012345],"version":3,"z":false}}"#;

    fn signed(file: &[u8]) -> Option<Vec<u8>> {
        let members = members(file)?;
        let (_, signed) = members.into_iter().find(|(key, _)| *key == "signed")?;
        Some(signed.to_vec())
    }

    /// Fails if the short way takes what the long way does not, or takes it otherwise.
    #[track_caller]
    fn assert_agrees(file: &[u8]) -> bool {
        let Some(members) = members(file) else {
            return false;
        };
        let told = String::from_utf8_lossy(file);
        let value = json::strict(file).unwrap_or_else(|error| panic!("{error}: {told}"));
        assert_eq!(canonical(&value), file, "{told}");
        for (key, bytes) in members {
            assert_eq!(canonical(&value[key]), bytes, "{told}");
        }
        true
    }

    #[test]
    fn canonical_file_is_taken_and_what_is_signed_is_a_part_of_it() {
        let plain = FILE.replace(r#"é\"\\"#, "é");
        assert!(assert_agrees(plain.as_bytes()));
        let value: Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(signed(plain.as_bytes()), Some(canonical(&value["signed"])));
        // A key with an escape goes the long way.
        assert_eq!(signed(FILE.as_bytes()), None);
    }

    #[test]
    fn file_that_is_no_canonical_json_goes_the_long_way() {
        for file in [
            "",
            "[]",
            "7",
            r#"{"a":1,"a":1}"#,
            r#"{"b":1,"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":01}"#,
            r#"{"a":-1}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":"\n"}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":"\u0041"}"#,
            r#"{"a":"\/"}"#,
            r#"{ "a":1}"#,
            r#"{"a":1} "#,
            "{\"a\":1}\n",
            r#"{"a":1}{}"#,
            r#"{"a":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{"a"}"#,
            r#"{"a":tru}"#,
            r#"{a:1}"#,
        ] {
            assert_eq!(members(file.as_bytes()), None, "{file}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(12), "]".repeat(12));
        assert_eq!(members(deep.as_bytes()), None);
        assert_eq!(members(b"{\"a\":\"\xff\"}"), None);
    }

    #[test]
    fn whatever_the_short_way_takes_the_long_way_takes_alike() {
        let file = FILE.replace(r#"é\"\\"#, "é").into_bytes();
        let mut taken = 0_u32;
        for at in 0..file.len() {
            assert!(!assert_agrees(&file[..at]), "a part of a file");
            for other in 0..=255_u8 {
                let mut changed = file.clone();
                changed[at] = other;
                taken += u32::from(assert_agrees(&changed));
                let mut longer = file.clone();
                longer.insert(at, other);
                taken += u32::from(assert_agrees(&longer));
            }
            let mut shorter = file.clone();
            shorter.remove(at);
            taken += u32::from(assert_agrees(&shorter));
        }
        assert!(taken > 1_000, "only {taken} were taken");
    }
}

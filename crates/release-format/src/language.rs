use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::NameError;

/// The language of a text for people, by its tag: `en`, `pt-br`, `zh-hant`.
///
/// A tag is one to eight parts with hyphens between them, each of 1 to 8 of `a-z 0-9`, the first of
/// letters alone; capitals are read as small letters, as RFC 5646 has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(String);

impl Language {
    /// Returns the language that `text` names.
    ///
    /// # Errors
    /// [`NameError`] for what is no tag.
    pub fn parse(text: &str) -> Result<Language, NameError> {
        let tag = text.to_ascii_lowercase();
        let parts: Vec<&str> = tag.split('-').collect();
        let is_part = |part: &&str| {
            (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        let is_language = parts
            .first()
            .is_some_and(|first| first.len() > 1 && first.bytes().all(|b| b.is_ascii_lowercase()));
        if is_language && parts.len() <= 8 && parts.iter().all(is_part) {
            Ok(Language(tag))
        } else {
            Err(NameError::new(
                "language",
                text,
                "a tag such as en or pt-br",
            ))
        }
    }

    /// Returns the tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns which of the languages that there are serves somebody best who reads `wanted`, the
    /// dearest first: the same tag, else what is left of it with its last parts away, else the same
    /// language of another place.
    ///
    /// ```
    /// use release_format::Language;
    /// let there = ["en", "fr", "pt-br"].map(|tag| Language::parse(tag).unwrap());
    /// let best = |wanted: &[&str]| {
    ///     let wanted: Vec<_> = wanted.iter().map(|tag| Language::parse(tag).unwrap()).collect();
    ///     Language::best(&wanted, &there).map(Language::as_str)
    /// };
    /// assert_eq!(best(&["fr-ca", "en"]), Some("fr"));
    /// assert_eq!(best(&["sw", "en"]), Some("en"));
    /// assert_eq!(best(&["pt"]), Some("pt-br"));
    /// assert_eq!(best(&["sw"]), None);
    /// ```
    pub fn best<'a>(
        wanted: &[Language],
        there: impl IntoIterator<Item = &'a Language>,
    ) -> Option<&'a Language> {
        let there: Vec<&Language> = there.into_iter().collect();
        let named = |tag: &str| there.iter().copied().find(|language| language.0 == tag);
        wanted.iter().find_map(|wanted| {
            let mut tag = wanted.as_str();
            loop {
                if let Some(found) = named(tag) {
                    return Some(found);
                }
                match tag.rsplit_once('-') {
                    Some((shorter, _)) => tag = shorter,
                    None => break,
                }
            }
            let mut others = there.iter().copied();
            others.find(|language| language.0.split('-').next() == Some(tag))
        })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Language {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Language, NameError> {
        Language::parse(text)
    }
}

impl TryFrom<String> for Language {
    type Error = NameError;

    fn try_from(text: String) -> Result<Language, NameError> {
        Language::parse(&text)
    }
}

impl From<Language> for String {
    fn from(language: Language) -> String {
        language.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_and_others_refused() {
        for (text, tag) in [
            ("en", "en"),
            ("pt-BR", "pt-br"),
            ("zh-Hant-TW", "zh-hant-tw"),
        ] {
            assert_eq!(Language::parse(text).unwrap().as_str(), tag);
        }
        for text in [
            "",
            "e",
            "englishlanguage",
            "e1",
            "en_GB",
            "en-",
            "../en",
            "en-123456789",
        ] {
            assert!(Language::parse(text).is_err(), "{text}");
        }
    }
}

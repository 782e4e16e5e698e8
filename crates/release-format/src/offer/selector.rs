use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::is_plain_name;

/// What a device says of itself, for rollouts to choose by: `site=nairobi`, `ring=pilot`.
///
/// Keys and values are 1 to 64 of the characters `a-z 0-9 - _ .`, beginning with a letter or a digit.
/// A rollout is decided on the device, so nobody has to be told them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, String>",
    into = "BTreeMap<String, String>"
)]
pub struct DeviceLabels(BTreeMap<String, String>);

impl DeviceLabels {
    /// The most labels of one device.
    pub const MAX: usize = 32;

    /// Returns the labels of these keys and values.
    ///
    /// # Errors
    /// [`LabelError`] for a key or value that is none, and for more than [`DeviceLabels::MAX`].
    pub fn new(
        labels: impl IntoIterator<Item = (String, String)>,
    ) -> Result<DeviceLabels, LabelError> {
        let mut all = DeviceLabels::default();
        for (key, value) in labels {
            all.set(&key, &value)?;
        }
        Ok(all)
    }

    /// Gives the label `key` a value, in the place of the one that it has.
    ///
    /// # Errors
    /// As [`DeviceLabels::new`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), LabelError> {
        check(key, value)?;
        if self.0.len() >= DeviceLabels::MAX && !self.0.contains_key(key) {
            return Err(LabelError {
                expected: "at most 32 labels of a device",
                found: key.to_owned(),
            });
        }
        self.0.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// Takes the label `key` away, and says whether there was one.
    pub fn remove(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }

    /// Returns the value of the label `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Returns all keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.0.iter();
        labels.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether the device has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for DeviceLabels {
    type Error = LabelError;

    fn try_from(labels: BTreeMap<String, String>) -> Result<DeviceLabels, LabelError> {
        DeviceLabels::new(labels)
    }
}

impl From<DeviceLabels> for BTreeMap<String, String> {
    fn from(labels: DeviceLabels) -> BTreeMap<String, String> {
        labels.0
    }
}

/// Which devices a rollout is for: those that have, for every key, one of its values.
///
/// Without a key it is for every device.
///
/// ```
/// use release_format::{DeviceLabels, Selectors};
/// let mut select = Selectors::default();
/// select.add("site", "nairobi")?;
/// select.add("site", "kisumu")?;
/// let mut device = DeviceLabels::default();
/// assert!(!select.is_for(&device));
/// device.set("site", "kisumu")?;
/// assert!(select.is_for(&device));
/// # Ok::<(), release_format::LabelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, Vec<String>>",
    into = "BTreeMap<String, Vec<String>>"
)]
pub struct Selectors(BTreeMap<String, BTreeSet<String>>);

impl Selectors {
    /// The most keys.
    pub const MAX_KEYS: usize = 16;
    /// The most values of one key.
    pub const MAX_VALUES: usize = 256;

    /// Adds a value of `key` that is chosen.
    ///
    /// # Errors
    /// [`LabelError`] for a key or value that is none, and for more than there may be.
    pub fn add(&mut self, key: &str, value: &str) -> Result<(), LabelError> {
        check(key, value)?;
        if self.0.len() >= Selectors::MAX_KEYS && !self.0.contains_key(key) {
            return Err(LabelError {
                expected: "at most 16 keys to select by",
                found: key.to_owned(),
            });
        }
        let values = self.0.entry(key.to_owned()).or_default();
        values.insert(value.to_owned());
        if values.len() > Selectors::MAX_VALUES {
            return Err(LabelError {
                expected: "at most 256 values of a key to select by",
                found: key.to_owned(),
            });
        }
        Ok(())
    }

    /// Returns the keys, each with its values, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &BTreeSet<String>)> {
        self.0.iter().map(|(key, values)| (key.as_str(), values))
    }

    /// Whether every device is chosen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a device with these labels is chosen.
    pub fn is_for(&self, labels: &DeviceLabels) -> bool {
        self.iter()
            .all(|(key, values)| labels.get(key).is_some_and(|value| values.contains(value)))
    }
}

/// `ring=pilot site=kisumu,nairobi`.
impl fmt::Display for Selectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, values)) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            write!(f, "{space}{key}={}", values.join(","))?;
        }
        Ok(())
    }
}

impl TryFrom<BTreeMap<String, Vec<String>>> for Selectors {
    type Error = LabelError;

    fn try_from(lists: BTreeMap<String, Vec<String>>) -> Result<Selectors, LabelError> {
        let mut select = Selectors::default();
        for (key, values) in lists {
            if values.is_empty() || !values.is_sorted_by(|a, b| a < b) {
                return Err(LabelError {
                    expected: "one value or more of each key, in order and each once",
                    found: key,
                });
            }
            for value in values {
                select.add(&key, &value)?;
            }
        }
        Ok(select)
    }
}

impl From<Selectors> for BTreeMap<String, Vec<String>> {
    fn from(select: Selectors) -> BTreeMap<String, Vec<String>> {
        let lists = select.0.into_iter();
        lists
            .map(|(key, values)| (key, values.into_iter().collect()))
            .collect()
    }
}

/// A text that is no label of a device, or one too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct LabelError {
    expected: &'static str,
    found: String,
}

fn check(key: &str, value: &str) -> Result<(), LabelError> {
    for part in [key, value] {
        if !is_plain_name(part) {
            return Err(LabelError {
                expected: "KEY=VALUE, each 1 to 64 of a-z 0-9 - _ .",
                found: format!("{key}={value}").chars().take(160).collect(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> DeviceLabels {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        DeviceLabels::new(pairs.iter().map(owned)).unwrap()
    }

    #[test]
    fn a_device_is_chosen_by_one_value_of_every_key() {
        let mut select = Selectors::default();
        assert!(select.is_for(&labels(&[])));
        for (key, value) in [("site", "nairobi"), ("site", "kisumu"), ("ring", "pilot")] {
            select.add(key, value).unwrap();
        }
        for (device, expected) in [
            (labels(&[]), false),
            (labels(&[("ring", "pilot")]), false),
            (labels(&[("ring", "pilot"), ("site", "nairobi")]), true),
            (labels(&[("ring", "pilot"), ("site", "kisumu")]), true),
            (labels(&[("ring", "pilot"), ("site", "lamu")]), false),
            (labels(&[("ring", "wide"), ("site", "kisumu")]), false),
        ] {
            assert_eq!(select.is_for(&device), expected, "{device:?}");
        }
        assert_eq!(select.to_string(), "ring=pilot site=kisumu,nairobi");
    }

    #[test]
    fn what_is_no_label_is_refused() {
        let mut device = DeviceLabels::default();
        for (key, value) in [("", "x"), ("x", ""), ("X", "x"), ("a b", "x"), ("x", "a=b")] {
            assert!(device.set(key, value).is_err(), "{key}={value}");
            assert!(Selectors::default().add(key, value).is_err());
        }
        for number in 0..DeviceLabels::MAX {
            device.set(&format!("k{number}"), "x").unwrap();
        }
        assert!(device.set("one-more", "x").is_err());
        assert!(device.set("k0", "another").is_ok());
    }

    #[test]
    fn selectors_have_one_spelling_in_json() {
        let read = |text: &str| serde_json::from_str::<Selectors>(text);
        let select = read(r#"{"site":["a","b"]}"#).unwrap();
        let written = serde_json::to_string(&select).unwrap();
        assert_eq!(written, r#"{"site":["a","b"]}"#);
        for wrong in [
            r#"{"site":[]}"#,
            r#"{"site":["b","a"]}"#,
            r#"{"site":["a","a"]}"#,
            r#"{"site":"a"}"#,
            r#"{"Site":["a"]}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

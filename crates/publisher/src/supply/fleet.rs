use std::collections::BTreeMap;

use release_format::Label;

/// How many devices are on which release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fleet {
    devices: BTreeMap<Label, u64>,
}

impl Fleet {
    /// Returns the fleet that a table of comma-separated values describes: a label and a number of
    /// devices a line, under a heading `label,devices` or none.
    ///
    /// ```
    /// let fleet = publisher::Fleet::parse("label,devices\n1.0,40\n1.1,2500\n")?;
    /// assert_eq!(fleet.total(), 2540);
    /// # Ok::<(), publisher::FleetError>(())
    /// ```
    ///
    /// # Errors
    /// [`FleetError`] with the number of the first line that is none of this.
    pub fn parse(text: &str) -> Result<Fleet, FleetError> {
        let mut fleet = Fleet::default();
        let mut total = 0_u64;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            let error = |expected: &'static str, found: &str| FleetError {
                line: index + 1,
                expected,
                found: found.chars().take(TOLD_CHARACTERS).collect(),
            };
            let is_heading = index == 0 && line.trim().eq_ignore_ascii_case(HEADING);
            if line.trim().is_empty() || is_heading {
                continue;
            }
            let fields: Vec<&str> = line.split(',').map(unquoted).collect();
            let [label, devices] = fields[..] else {
                return Err(error("a label, a comma and a number of devices", line));
            };
            let label = Label::parse(label).map_err(|_| error("the label of a release", label))?;
            let devices = devices.parse::<u64>().ok();
            let devices = devices.filter(|devices| *devices <= MAX_DEVICES);
            let devices = devices.ok_or_else(|| error("a number of devices", line))?;
            total = total.saturating_add(devices);
            if total > MAX_DEVICES {
                return Err(error("10^12 devices at most in all", line));
            }
            let told = label.to_string();
            if fleet.devices.insert(label, devices).is_some() {
                return Err(error("each label once", &told));
            }
        }
        Ok(fleet)
    }

    /// Returns the labels, and how many devices have each.
    pub fn devices(&self) -> impl Iterator<Item = (&Label, u64)> {
        self.devices
            .iter()
            .map(|(label, devices)| (label, *devices))
    }

    /// Returns how many devices have the release with this label.
    pub fn on(&self, label: &Label) -> u64 {
        self.devices.get(label).copied().unwrap_or(0)
    }

    /// Returns how many devices there are.
    pub fn total(&self) -> u64 {
        self.devices.values().sum()
    }
}

/// A line of a fleet's table that says nothing about a fleet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, found {found:?}")]
pub struct FleetError {
    /// The number of the line, from 1.
    pub line: usize,
    expected: &'static str,
    found: String,
}

fn unquoted(field: &str) -> &str {
    let field = field.trim();
    let inner = field
        .strip_prefix('"')
        .and_then(|field| field.strip_suffix('"'));
    inner.unwrap_or(field).trim()
}

const HEADING: &str = "label,devices";
/// More than there are people, and few enough to be multiplied with the bytes of a delta.
const MAX_DEVICES: u64 = 1_000_000_000_000;
const TOLD_CHARACTERS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn on(text: &str, label: &str) -> u64 {
        Fleet::parse(text)
            .unwrap()
            .on(&Label::parse(label).unwrap())
    }

    #[test]
    fn heading_quotes_spaces_and_line_ends_of_spreadsheets_are_read() {
        for text in [
            "1.0,40\n1.1,2500\n",
            "Label,Devices\r\n1.0,40\r\n\r\n1.1,2500",
            "\u{feff}label,devices\n\"1.0\",\"40\"\n 1.1 , 2500 \n",
        ] {
            assert_eq!(
                (on(text, "1.0"), on(text, "1.1"), on(text, "2.0")),
                (40, 2500, 0)
            );
        }
        assert_eq!(Fleet::parse("").unwrap().total(), 0);
    }

    #[test]
    fn what_is_no_fleet_is_refused_with_its_line() {
        for (text, line, expected) in [
            (
                "1.0,40\n1.1\n",
                2,
                "a label, a comma and a number of devices",
            ),
            ("1.0,40,x\n", 1, "a label, a comma and a number of devices"),
            ("label,devices\n1.0,many\n", 2, "a number of devices"),
            ("1.0,-3\n", 1, "a number of devices"),
            ("1.0,99999999999999999999999\n", 1, "a number of devices"),
            (
                "1.0,999999999999\n1.1,2\n",
                2,
                "10^12 devices at most in all",
            ),
            ("in between,3\n", 1, "the label of a release"),
            ("1.0,4\n\n1.0,4\n", 3, "each label once"),
            // A heading stands at the top alone.
            ("1.0,4\nlabel,devices\n", 2, "a number of devices"),
        ] {
            let error = Fleet::parse(text).unwrap_err();
            assert_eq!((error.line, error.expected), (line, expected), "{text:?}");
        }
    }
}

use std::path::PathBuf;
use std::str::FromStr;

use publisher::DeltaFrom;
use release_format::{DeviceLabels, Label, Language, LogHead, PackName};

/// The last entry of a log as it was seen: `12:<SHA-256 of its file>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenHead(pub(crate) LogHead);

impl FromStr for SeenHead {
    type Err = String;

    fn from_str(text: &str) -> Result<SeenHead, String> {
        let expected = || format!("expected NUMBER:DIGEST as audit shows it, found {text:?}");
        let (number, sha256) = text.split_once(':').ok_or_else(expected)?;
        let number = number.parse().map_err(|_| expected())?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if sha256.len() != 64 || !sha256.bytes().all(is_digit) {
            return Err(expected());
        }
        let sha256 = sha256.to_owned();
        Ok(SeenHead(LogHead { number, sha256 }))
    }
}

/// A label of a device: `site=nairobi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceLabel {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for DeviceLabel {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceLabel, String> {
        let expected = || format!("expected KEY=VALUE, found {text:?}");
        let (key, value) = text.split_once('=').ok_or_else(expected)?;
        let mut labels = DeviceLabels::default();
        labels.set(key, value).map_err(|error| error.to_string())?;
        let (key, value) = (key.to_owned(), value.to_owned());
        Ok(DeviceLabel { key, value })
    }
}

/// Notes in a file, and their language where it is told: `en=notes.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotesFile {
    pub(crate) language: Option<Language>,
    pub(crate) file: PathBuf,
}

impl FromStr for NotesFile {
    type Err = String;

    fn from_str(text: &str) -> Result<NotesFile, String> {
        if let Some((language, file)) = text.split_once('=')
            && let Ok(language) = Language::parse(language)
        {
            return Ok(NotesFile {
                language: Some(language),
                file: file.into(),
            });
        }
        Ok(NotesFile {
            language: None,
            file: text.into(),
        })
    }
}

/// The older releases that get a delta, and what it has to save: `last:2,baseline:1.0,pays:20kB`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeltaChoice {
    pub(crate) from: DeltaFrom,
    pub(crate) pays_bytes: u64,
}

impl FromStr for DeltaChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DeltaChoice, String> {
        let (mut from, mut labels, mut pays_bytes) = (Vec::new(), Vec::new(), 0);
        for part in text.split(',') {
            if part == "all" {
                from.push(DeltaFrom::All);
            } else if let Some(count) = part.strip_prefix("last:") {
                let count = count.parse().map_err(|error| format!("last:N: {error}"))?;
                from.push(DeltaFrom::Last(count));
            } else if let Some(size) = part.strip_prefix("pays:") {
                pays_bytes = size.parse::<ByteBudget>()?.0;
            } else {
                let label = part.strip_prefix("baseline:").unwrap_or(part);
                labels.push(Label::parse(label).map_err(|error| error.to_string())?);
            }
        }
        if !labels.is_empty() {
            from.push(DeltaFrom::Labels(labels));
        }
        let one = from.pop();
        let from = match (from.is_empty(), one) {
            (_, None) => DeltaFrom::default(),
            (true, Some(one)) => one,
            (false, Some(last)) => {
                from.push(last);
                DeltaFrom::Several(from)
            }
        };
        Ok(DeltaChoice { from, pays_bytes })
    }
}

/// A pack, or one release of it: `PACK[@LABEL]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackAt {
    pub(crate) pack: PackName,
    pub(crate) label: Option<Label>,
}

impl FromStr for PackAt {
    type Err = String;

    fn from_str(text: &str) -> Result<PackAt, String> {
        let (pack, label) = match text.split_once('@') {
            Some((pack, label)) => (pack, Some(label)),
            None => (text, None),
        };
        Ok(PackAt {
            pack: PackName::parse(pack).map_err(|error| error.to_string())?,
            label: label
                .map(Label::parse)
                .transpose()
                .map_err(|error| error.to_string())?,
        })
    }
}

/// A number of bytes, plain or in units of 1000 or 1024: `500000`, `20MB`, `1.5MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteBudget(pub(crate) u64);

impl FromStr for ByteBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteBudget, String> {
        let refused = || format!("{text:?} is no number of bytes such as 500000, 20MB or 1.5MiB");
        let split = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err(refused()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let whole: u64 = whole.parse().map_err(|_| refused())?;
        // Nine digits behind the point are exact for every unit here.
        let places = u32::try_from(fraction.len())
            .ok()
            .filter(|places| *places <= 9);
        let scale = 10_u64.pow(places.ok_or_else(refused)?);
        let fraction: u64 = fraction.parse().map_err(|_| refused())?;
        let bytes = whole.checked_mul(unit).ok_or_else(refused)?;
        let bytes = bytes
            .checked_add(fraction * unit / scale)
            .ok_or_else(refused)?;
        Ok(ByteBudget(bytes))
    }
}

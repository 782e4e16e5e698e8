use std::io::{Cursor, Read};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

use super::sha256::sha256;
use crate::{Document, FormatError};

/// Bytes that turn a file of metadata or a target which a device still holds, or nothing at all, into
/// the one that is signed now: most of such a file is what it was before.
///
/// A patch is believed in nothing. What it leads to is compared with the length and the digests that
/// signed metadata gives, as if it had come whole; whoever gets something else fetches the whole.
#[doc = ""]
#[doc = include_str!("../../../../docs/src/formats/patch.md")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch<'a> {
    old: &'a [u8],
}

impl<'a> Patch<'a> {
    /// What starts from nothing: the new file, compressed.
    pub const FROM_NOTHING: Patch<'static> = Patch { old: &[] };

    /// Returns what starts from `old`.
    pub fn from_old(old: &'a [u8]) -> Patch<'a> {
        Patch { old }
    }

    /// Returns the bytes that lead to `new`; the same for the same input and version of Satchel.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] when zstd fails.
    pub fn make(&self, new: &[u8]) -> Result<Vec<u8>, FormatError> {
        let mut encoder = if self.old.is_empty() {
            Encoder::new(Vec::new(), LEVEL)
        } else {
            Encoder::with_ref_prefix(Vec::new(), LEVEL, self.old)
        }
        .map_err(malformed)?;
        let written = encoder
            .include_checksum(false)
            .and_then(|()| encoder.include_dictid(false))
            .and_then(|()| encoder.window_log(window_log(new.len() as u64)))
            .and_then(|()| encoder.set_pledged_src_size(Some(new.len() as u64)))
            .and_then(|()| std::io::Write::write_all(&mut encoder, new));
        written.and_then(|()| encoder.finish()).map_err(malformed)
    }

    /// Returns what `patch` leads to: `length` bytes, and nothing known of them but that.
    ///
    /// Takes memory for `length` bytes and a window of up to twice as many, whatever the patch claims.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] for what is no patch, [`FormatError::WrongLength`] for one that leads
    /// to fewer or more bytes, and [`FormatError::TrailingBytes`].
    pub fn apply(&self, patch: &[u8], length: u64) -> Result<Vec<u8>, FormatError> {
        let mut cursor = Cursor::new(patch);
        let decoder = if self.old.is_empty() {
            Decoder::with_buffer(&mut cursor)
        } else {
            Decoder::with_ref_prefix(&mut cursor, self.old)
        };
        let mut decoder = decoder.map_err(malformed)?.single_frame();
        decoder
            .window_log_max(window_log(length))
            .map_err(malformed)?;
        let mut new = Vec::new();
        // One byte more tells a patch that leads on from one that ends.
        let mut limited = decoder.by_ref().take(length.saturating_add(1));
        limited.read_to_end(&mut new).map_err(malformed)?;
        drop(decoder);
        let found = new.len() as u64;
        if found != length {
            let expected = length;
            return Err(FormatError::WrongLength { expected, found });
        }
        let offset = cursor.position();
        let count = (patch.len() as u64).saturating_sub(offset);
        if count > 0 {
            return Err(FormatError::TrailingBytes {
                document: Document::Patch,
                offset,
                count,
            });
        }
        Ok(new)
    }
}

/// Which patches lead to a file, and how long each is: what signed metadata says beside the file's own
/// length, so that nobody asks for one that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Patches(Vec<(String, u64)>);

impl Patches {
    /// The most that a file has.
    pub const MOST: usize = 32;

    /// Adds a patch of `length` bytes.
    pub fn add(&mut self, patch: &Patch<'_>, length: u64) {
        self.0.push((name(patch.old), length));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the beginnings of the SHA-256 digests of the files that patches start from, the newest
    /// first.
    pub fn starts(&self) -> impl Iterator<Item = &str> {
        let starts = self.0.iter().map(|(start, _)| start.as_str());
        starts.filter(|start| !start.is_empty())
    }

    /// Returns what each patch starts from, by the beginning of its digest, and how long the patch is.
    pub fn all(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0
            .iter()
            .map(|(start, length)| (start.as_str(), *length))
    }

    /// Returns where each patch lies that leads to the file with this SHA-256 digest.
    pub fn locations<'a>(&'a self, new: &'a str) -> impl Iterator<Item = String> + 'a {
        self.0.iter().map(move |(start, _)| location(new, start))
    }

    /// Returns where the shortest patch lies that a device can use which holds `held`, if it is shorter
    /// than the file: by what it starts from, with its length.
    pub fn shortest<'a>(
        &self,
        held: Option<&'a [u8]>,
        (new, whole): (&str, u64),
    ) -> Option<ListedPatch<'a>> {
        let held = held.filter(|held| !held.is_empty());
        let own = held.map(|held| (name(held), held));
        let usable = self.0.iter().filter_map(|(start, length)| {
            let old = match &own {
                _ if start.is_empty() => &[],
                Some((own, held)) if own == start => *held,
                _ => return None,
            };
            (*length < whole).then(|| ListedPatch {
                patch: Patch::from_old(old),
                location: location(new, start),
                length: *length,
            })
        });
        usable.min_by_key(|listed| listed.length)
    }

    /// Returns what `value` says, which is nothing where it is not of this form: a device goes on
    /// without patches then.
    pub(crate) fn of_value(value: Value) -> Patches {
        let listed: Vec<(String, u64)> = serde_json::from_value(value).unwrap_or_default();
        let is_start = |start: &str| {
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            start.is_empty() || (start.len() == START_DIGITS && start.bytes().all(is_digit))
        };
        let listed = listed.into_iter().filter(|(start, _)| is_start(start));
        Patches(listed.take(Patches::MOST).collect())
    }
}

impl<'de> Deserialize<'de> for Patches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Patches, D::Error> {
        Value::deserialize(deserializer).map(Patches::of_value)
    }
}

/// A patch that signed metadata lists, and that a device can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPatch<'a> {
    /// What it starts from.
    pub patch: Patch<'a>,
    /// Where the repository keeps it.
    pub location: String,
    /// How long it is.
    pub length: u64,
}

/// Returns what a patch from `old` is listed under.
fn name(old: &[u8]) -> String {
    if old.is_empty() {
        return String::new();
    }
    let mut name = sha256(old);
    name.truncate(START_DIGITS);
    name
}

fn location(new: &str, start: &str) -> String {
    match start {
        "" => format!("{FOLDER}{new}"),
        start => format!("{FOLDER}{new}.{start}"),
    }
}

/// Returns the least window in which a frame of `length` bytes has all of itself in sight.
fn window_log(length: u64) -> u32 {
    let bytes = length.clamp(1, 1 << MOST_WINDOW_LOG);
    bytes
        .next_power_of_two()
        .ilog2()
        .clamp(LEAST_WINDOW_LOG, MOST_WINDOW_LOG)
}

fn malformed(error: std::io::Error) -> FormatError {
    FormatError::malformed(
        Document::Patch,
        "the frame",
        "a zstd frame over the older file",
        error.to_string(),
    )
}

const FOLDER: &str = "metadata/patches/";
const LEVEL: i32 = 19;
/// Of a SHA-256 digest: enough to tell the few files apart that patches of one file start from.
const START_DIGITS: usize = 8;
const LEAST_WINDOW_LOG: u32 = 10;
/// 32 MiB, the longest target.
const MOST_WINDOW_LOG: u32 = 25;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TargetEntry, worked_example};

    fn catalogue(releases: u32) -> Vec<u8> {
        let mut text = String::from("{\"releases\":[");
        for release in 0..releases {
            let digest = sha256(&release.to_be_bytes());
            text.push_str(&format!("{{\"digest\":\"{digest}\",\"files\":{release}}},"));
        }
        text.into_bytes()
    }

    #[test]
    fn a_patch_leads_from_the_old_file_to_the_new_one_in_little_more_than_what_is_new() {
        let (old, new) = (catalogue(40), catalogue(41));
        let patch = Patch::from_old(&old).make(&new).unwrap();
        assert!(patch.len() < 90, "{} of {}", patch.len(), new.len());
        let applied = Patch::from_old(&old).apply(&patch, new.len() as u64);
        assert_eq!(applied.unwrap(), new);
        assert_eq!(Patch::from_old(&old).make(&new).unwrap(), patch);
        let back = Patch::from_old(&new).make(&old).unwrap();
        let applied = Patch::from_old(&new).apply(&back, old.len() as u64);
        assert_eq!(applied.unwrap(), old);
    }

    #[test]
    fn a_patch_from_nothing_is_the_file_compressed() {
        let new = catalogue(41);
        let patch = Patch::FROM_NOTHING.make(&new).unwrap();
        assert!(patch.len() < new.len() * 2 / 3);
        let applied = Patch::FROM_NOTHING.apply(&patch, new.len() as u64);
        assert_eq!(applied.unwrap(), new);
    }

    #[test]
    fn more_fewer_and_trailing_bytes_are_refused() {
        let (old, new) = (catalogue(3), catalogue(4));
        let length = new.len() as u64;
        let patch = Patch::from_old(&old);
        let bytes = patch.make(&new).unwrap();
        for other in [0, 1, length - 1, length + 1] {
            let refused = patch.apply(&bytes, other);
            // A shorter file may also need less of a window than this one asks for.
            assert!(
                matches!(
                    refused,
                    Err(FormatError::WrongLength { .. } | FormatError::Malformed { .. })
                ),
                "{other}: {refused:?}"
            );
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(
            patch.apply(&longer, length),
            Err(FormatError::TrailingBytes { count: 1, .. })
        ));
        for cut in 0..bytes.len() {
            let refused = patch.apply(bytes.get(..cut).unwrap(), length);
            assert!(refused.is_err(), "{cut}");
        }
        assert_ne!(
            Patch::FROM_NOTHING.apply(&bytes, length).ok(),
            Some(new.clone())
        );
    }

    #[test]
    fn a_window_wider_than_the_file_is_refused() {
        let mut encoder = Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        std::io::Write::write_all(&mut encoder, &[7; 3_000]).unwrap();
        let bomb = encoder.finish().unwrap();
        let refused = Patch::FROM_NOTHING.apply(&bomb, 3_000);
        assert!(matches!(refused, Err(FormatError::Malformed { .. })));
    }

    #[test]
    fn a_short_patch_of_many_bytes_ends_where_the_file_does() {
        let bomb = Patch::FROM_NOTHING.make(&vec![0; 8 << 20]).unwrap();
        assert!(bomb.len() < 2_000);
        assert!(Patch::FROM_NOTHING.apply(&bomb, 5_000).is_err());
    }

    #[test]
    fn a_device_takes_the_shortest_that_it_can_use_and_none_that_is_no_shorter_than_the_file() {
        let (first, second) = (catalogue(1), catalogue(2));
        let mut patches = Patches::default();
        patches.add(&Patch::from_old(&second), 100);
        patches.add(&Patch::from_old(&first), 300);
        patches.add(&Patch::FROM_NOTHING, 200);
        let shortest = |held: Option<&[u8]>, whole| {
            let listed = patches.shortest(held, ("ab", whole))?;
            Some((listed.length, listed.location))
        };
        let start = name(&second);
        let from_second = (100, format!("metadata/patches/ab.{start}"));
        assert_eq!(shortest(Some(&second), 400), Some(from_second));
        let from_nothing = (200, "metadata/patches/ab".to_owned());
        assert_eq!(shortest(Some(&first), 400), Some(from_nothing.clone()));
        assert_eq!(shortest(Some(b"other"), 400), Some(from_nothing.clone()));
        assert_eq!(shortest(Some(b""), 400), Some(from_nothing.clone()));
        assert_eq!(shortest(None, 400), Some(from_nothing));
        assert_eq!(shortest(None, 200), None);
        assert_eq!(patches.starts().next(), Some(start.as_str()));
    }

    #[test]
    fn what_is_not_of_the_form_lists_nothing() {
        for value in [
            r#"{}"#,
            r#""x""#,
            r#"[["",-1]]"#,
            r#"[["../../x",1]]"#,
            r#"[["ABCDEF01",1]]"#,
            r#"[["",1,2]]"#,
        ] {
            let patches: Patches = serde_json::from_str(value).unwrap();
            assert!(patches.is_empty(), "{value}");
        }
        let many = format!("[{}[\"\",1]]", "[\"\",1],".repeat(100));
        let patches: Patches = serde_json::from_str(&many).unwrap();
        assert_eq!(patches.0.len(), Patches::MOST);
    }

    #[test]
    fn documented_example_leads_to_the_documented_file() {
        let document = include_str!("../../../../docs/src/formats/patch.md");
        let [old, new] = [0, 1].map(|place| {
            let mut blocks = document.split("```json\n").skip(1);
            let block = blocks.nth(place).unwrap();
            block.split("\n```").next().unwrap().as_bytes().to_vec()
        });
        let bytes = worked_example::bytes(document);
        let applied = Patch::from_old(&old).apply(&bytes, new.len() as u64);
        assert_eq!(applied.unwrap(), new);
        let mut patches = Patches::default();
        patches.add(&Patch::from_old(&old), bytes.len() as u64);
        let sha256 = TargetEntry::of(&new).sha256().unwrap().to_owned();
        let location = patches.locations(&sha256).next().unwrap();
        assert!(document.contains(&location), "{location}");
    }
}

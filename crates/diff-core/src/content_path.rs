use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// The place of a file within a tree: relative, `/`-separated, and installable on every platform.
///
/// A value of this type is proof that the rules of [`PathRule`] hold, so joining it to a folder can
/// neither climb out of that folder nor name a device.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentPath(String);

impl ContentPath {
    /// The longest content path, in bytes.
    pub const MAX_BYTES: usize = 1024;
    /// The longest component, in bytes: what ext4 and most others allow.
    pub const MAX_COMPONENT_BYTES: usize = 255;
    /// Paths longer than this, in characters, may not fit under Windows' limit of 260.
    pub const LONG_CHARACTERS: usize = 200;

    /// Returns the content path that `text` spells.
    ///
    /// # Errors
    /// [`PathError`] names the first rule that the text breaks.
    ///
    /// ```
    /// use diff_core::{ContentPath, PathRule};
    /// assert!(ContentPath::parse("unit 1/index.html").is_ok());
    /// assert_eq!(ContentPath::parse("../index.html").unwrap_err().rule(), PathRule::Climbing);
    /// ```
    pub fn parse(text: &str) -> Result<ContentPath, PathError> {
        match broken_rule(text) {
            Some(rule) => Err(PathError {
                path: text.chars().take(300).collect(),
                rule,
            }),
            None => Ok(ContentPath(text.to_owned())),
        }
    }

    /// Returns the path as text, with `/` between its components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the components from the outermost folder to the file name.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Returns the last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns what follows the last dot of the file name, or an empty text.
    pub fn extension(&self) -> &str {
        match self.file_name().rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => extension,
            _ => "",
        }
    }

    /// Returns where this path lies under `root`, in the platform's own spelling.
    pub fn under(&self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        path.extend(self.components());
        path
    }

    /// Returns the form in which paths that some platform cannot tell apart are equal: without case
    /// and in one Unicode normalisation.
    pub fn collision_key(&self) -> String {
        folded(&self.0)
    }

    /// Whether the path is so long that it may not fit on Windows below an ordinary folder.
    pub fn is_long(&self) -> bool {
        self.0.chars().count() > ContentPath::LONG_CHARACTERS
    }
}

impl fmt::Display for ContentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl TryFrom<String> for ContentPath {
    type Error = PathError;

    fn try_from(text: String) -> Result<ContentPath, PathError> {
        ContentPath::parse(&text)
    }
}

impl From<ContentPath> for String {
    fn from(path: ContentPath) -> String {
        path.0
    }
}

/// A path that cannot be installed everywhere, and the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("content path {path:?} {rule}")]
pub struct PathError {
    path: String,
    rule: PathRule,
}

impl PathError {
    /// Returns the path as it was found, cut after 300 characters.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the rule that the path breaks.
    pub fn rule(&self) -> PathRule {
        self.rule
    }
}

/// What a content path must not be, so that it means the same on every platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathRule {
    /// No text, or nothing between two slashes, before the first or behind the last.
    Empty,
    /// A component `.` or `..`.
    Climbing,
    /// A character that Windows forbids in names: a control character or one of `< > : " | ? * \`.
    ForbiddenCharacter,
    /// A component that ends in a dot or a space, which Windows drops.
    TrailingDotOrSpace,
    /// A component that Windows keeps for a device, such as `aux` or `com1.txt`.
    ReservedName,
    /// A component of more than 255 bytes.
    LongComponent,
    /// More than 1024 bytes in all.
    LongPath,
}

impl fmt::Display for PathRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathRule::Empty => "has an empty component",
            PathRule::Climbing => "has a component \".\" or \"..\"",
            PathRule::ForbiddenCharacter => "has a character that Windows forbids in names",
            PathRule::TrailingDotOrSpace => "has a component that ends in a dot or a space",
            PathRule::ReservedName => "has a component that Windows reserves for a device",
            PathRule::LongComponent => "has a component of more than 255 bytes",
            PathRule::LongPath => "has more than 1024 bytes",
        })
    }
}

/// See [`ContentPath::collision_key`]; for a folder's path as well.
pub(crate) fn folded(path: &str) -> String {
    path.nfkd().flat_map(char::to_lowercase).nfkd().collect()
}

fn broken_rule(text: &str) -> Option<PathRule> {
    if text.len() > ContentPath::MAX_BYTES {
        return Some(PathRule::LongPath);
    }
    text.split('/').find_map(broken_component_rule)
}

fn broken_component_rule(component: &str) -> Option<PathRule> {
    if component.is_empty() {
        Some(PathRule::Empty)
    } else if component == "." || component == ".." {
        Some(PathRule::Climbing)
    } else if component.chars().any(is_forbidden) {
        Some(PathRule::ForbiddenCharacter)
    } else if component.ends_with(['.', ' ']) {
        Some(PathRule::TrailingDotOrSpace)
    } else if is_reserved(component) {
        Some(PathRule::ReservedName)
    } else if component.len() > ContentPath::MAX_COMPONENT_BYTES {
        Some(PathRule::LongComponent)
    } else {
        None
    }
}

fn is_forbidden(character: char) -> bool {
    character.is_control() || matches!(character, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\\')
}

/// Windows takes a name for a device whatever its case and extension, with spaces before the dot too.
fn is_reserved(component: &str) -> bool {
    let stem = component
        .split('.')
        .next()
        .unwrap_or(component)
        .trim_end_matches(' ');
    let stem = stem.to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    ) {
        return true;
    }
    let Some(port) = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"))
    else {
        return false;
    };
    matches!(
        port,
        "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Option<PathRule> {
        ContentPath::parse(text).err().map(|error| error.rule())
    }

    #[test]
    fn ordinary_course_paths_are_taken() {
        for text in [
            "a",
            "unit 1/Lección.html",
            "x/.hidden",
            "console.js",
            "com10/auxiliary.txt",
        ] {
            assert_eq!(rule(text), None, "{text}");
        }
    }

    #[test]
    fn each_rule_refuses_its_offender() {
        let long = "x".repeat(256);
        let longer = vec!["x".repeat(200); 6].join("/");
        for (text, expected) in [
            ("", PathRule::Empty),
            ("/etc/passwd", PathRule::Empty),
            ("a//b", PathRule::Empty),
            ("a/", PathRule::Empty),
            ("a/../b", PathRule::Climbing),
            ("./a", PathRule::Climbing),
            ("C:/a", PathRule::ForbiddenCharacter),
            ("a\\b", PathRule::ForbiddenCharacter),
            ("a\0b", PathRule::ForbiddenCharacter),
            ("what?.html", PathRule::ForbiddenCharacter),
            ("a./b", PathRule::TrailingDotOrSpace),
            ("a /b", PathRule::TrailingDotOrSpace),
            ("aux", PathRule::ReservedName),
            ("unit/NUL.txt", PathRule::ReservedName),
            ("Com1 .tar.gz", PathRule::ReservedName),
            ("lpt³", PathRule::ReservedName),
            (long.as_str(), PathRule::LongComponent),
            (longer.as_str(), PathRule::LongPath),
        ] {
            assert_eq!(rule(text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn every_device_of_windows_is_refused_whatever_its_case_and_extension() {
        let mut devices: Vec<String> = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"]
            .map(String::from)
            .into();
        for port in ["com", "lpt"] {
            let numbers = "0123456789¹²³".chars();
            devices.extend(numbers.map(|number| format!("{port}{number}")));
        }
        for device in devices {
            for name in [device.clone(), device.to_uppercase()] {
                for text in [
                    name.clone(),
                    format!("{name}.html"),
                    format!("{name}.tar.gz"),
                    format!("{name} .html"),
                    format!("unit/{name}/lesson.html"),
                ] {
                    assert_eq!(rule(&text), Some(PathRule::ReservedName), "{text}");
                }
                assert_eq!(rule(&format!("x{name}")), None);
                assert_eq!(rule(&format!("{name}x.html")), None);
            }
        }
    }

    #[test]
    fn what_windows_would_drop_or_take_for_something_else_is_refused() {
        for end in [".", " ", "..", " .", ". "] {
            for text in [
                format!("lesson.html{end}"),
                format!("unit{end}/lesson.html"),
            ] {
                assert_eq!(rule(&text), Some(PathRule::TrailingDotOrSpace), "{text:?}");
            }
        }
        for text in [
            "C:",
            "lesson.html:stream",
            r"\\?\C:\a",
            r"\\server\a",
            "a|b",
            "\u{7f}",
            "a\tb",
        ] {
            assert_eq!(rule(text), Some(PathRule::ForbiddenCharacter), "{text:?}");
        }
    }

    #[test]
    fn collision_key_forgets_case_and_normalisation() {
        let composed = ContentPath::parse("Caf\u{e9}.html").unwrap();
        let decomposed = ContentPath::parse("CAFE\u{301}.HTML").unwrap();
        assert_eq!(composed.collision_key(), decomposed.collision_key());
    }

    #[test]
    fn extension_is_of_the_file_name_alone() {
        let extension = |text| ContentPath::parse(text).unwrap().extension().to_owned();
        assert_eq!(extension("v1.2/readme"), "");
        assert_eq!(extension("a/.htaccess"), "");
        assert_eq!(extension("a/pack.tar.gz"), "gz");
    }
}

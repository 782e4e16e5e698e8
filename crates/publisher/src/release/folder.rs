use std::fs;
use std::path::{Path, PathBuf};

use diff_core::{
    CancelToken, Collision, ContentPath, Digest, DigestReader, Entry, Limits, Listing, Progress,
    find_collisions,
};
use rayon::prelude::*;

use crate::PublishError;
use crate::release::problem::{Problem, ProblemRule, Severity};

/// What [`lint`] found in a content folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LintReport {
    /// Files that a release of the folder would have.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, errors and warnings, in the order of the paths.
    pub problems: Vec<Problem>,
}

impl LintReport {
    /// Whether the folder may be published.
    pub fn is_publishable(&self) -> bool {
        self.errors().next().is_none()
    }

    /// Returns the problems that stop a release.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.of(Severity::Error)
    }

    /// Returns the problems that somebody should look at.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.of(Severity::Warning)
    }

    fn of(&self, severity: Severity) -> impl Iterator<Item = &Problem> {
        self.problems
            .iter()
            .filter(move |problem| problem.severity() == severity)
    }
}

/// Returns what keeps `folder` from being installed everywhere.
///
/// # Errors
/// [`PublishError::Io`] when the folder or something in it cannot be read.
pub fn lint(folder: &Path) -> Result<LintReport, PublishError> {
    ContentFolder::scan(folder).map(|scanned| scanned.report)
}

/// A content folder whose names were read and judged.
///
/// ```no_run
/// use diff_core::{CancelToken, Limits, Silent};
/// let folder = publisher::ContentFolder::scan("course".as_ref())?;
/// let listing = folder.listing(&Limits::standard(), &Silent, &CancelToken::new())?;
/// println!("{} files", listing.entries().len());
/// # Ok::<(), publisher::PublishError>(())
/// ```
pub struct ContentFolder {
    root: PathBuf,
    files: Vec<(ContentPath, u64)>,
    report: LintReport,
}

impl ContentFolder {
    /// Reads every name below `root`, follows no link, and judges what it finds.
    ///
    /// # Errors
    /// [`PublishError::Io`] when the folder or something in it cannot be read.
    pub fn scan(root: &Path) -> Result<ContentFolder, PublishError> {
        let mut scan = Scan::default();
        scan.folder(root, "")?;
        scan.files.sort();
        for collision in find_collisions(scan.files.iter().map(|(path, _)| path)) {
            scan.problems.push(collision_problem(&collision));
        }
        scan.problems.sort_by(|a, b| a.path.cmp(&b.path));
        let bytes = scan
            .files
            .iter()
            .fold(0_u64, |sum, (_, length)| sum.saturating_add(*length));
        Ok(ContentFolder {
            root: root.to_owned(),
            report: LintReport {
                files: scan.files.len() as u64,
                bytes,
                problems: scan.problems,
            },
            files: scan.files,
        })
    }

    /// Returns the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns what was found.
    pub fn report(&self) -> &LintReport {
        &self.report
    }

    /// Digests every file, on all cores.
    ///
    /// # Errors
    /// [`PublishError::Unportable`] when the folder has problems, [`PublishError::FolderChanged`] when a
    /// file is not as long as it was, [`PublishError::Listing`] above `limits`,
    /// [`PublishError::Cancelled`] after `cancel`.
    pub fn listing(
        &self,
        limits: &Limits,
        progress: &dyn Progress,
        cancel: &CancelToken,
    ) -> Result<Listing, PublishError> {
        let problems: Vec<Problem> = self.report.errors().cloned().collect();
        if !problems.is_empty() {
            return Err(PublishError::Unportable { problems });
        }
        let entries: Vec<Entry> = self
            .files
            .par_iter()
            .map(|(path, length)| {
                cancel.check()?;
                let (found, digest) = digest_of(&path.under(&self.root))?;
                progress.advanced(found);
                if found != *length {
                    return Err(PublishError::FolderChanged { path: path.clone() });
                }
                Ok(Entry {
                    path: path.clone(),
                    length: found,
                    digest,
                })
            })
            .collect::<Result<_, PublishError>>()?;
        Ok(Listing::new(entries, limits)?)
    }
}

#[derive(Default)]
struct Scan {
    files: Vec<(ContentPath, u64)>,
    problems: Vec<Problem>,
}

impl Scan {
    /// Reads the folder at `place`, which content paths call `inside` and a slash.
    fn folder(&mut self, place: &Path, inside: &str) -> Result<(), PublishError> {
        let failed = |source| PublishError::io("read the folder", place, source);
        let mut is_empty = true;
        for entry in fs::read_dir(place).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            is_empty = false;
            let Ok(name) = entry.file_name().into_string() else {
                let name = format!("{inside}{}", entry.file_name().to_string_lossy());
                self.problem(name, ProblemRule::NotUtf8);
                continue;
            };
            let name = format!("{inside}{name}");
            // The type of the entry itself: a link is not followed.
            let kind = entry
                .file_type()
                .map_err(|source| PublishError::io("look at", &entry.path(), source))?;
            if kind.is_dir() {
                self.folder(&entry.path(), &format!("{name}/"))?;
            } else if kind.is_symlink() {
                self.problem(name, ProblemRule::Symlink);
            } else if kind.is_file() {
                let length = entry
                    .metadata()
                    .map_err(|source| PublishError::io("look at", &entry.path(), source))?
                    .len();
                self.file(&name, length);
            } else {
                self.problem(name, ProblemRule::SpecialFile);
            }
        }
        if is_empty && !inside.is_empty() {
            self.problem(inside.trim_end_matches('/'), ProblemRule::EmptyFolder);
        }
        Ok(())
    }

    fn file(&mut self, name: &str, length: u64) {
        match ContentPath::parse(name) {
            Ok(path) => {
                if path.is_long() {
                    let characters = name.chars().count();
                    self.problem(name, ProblemRule::LongPath { characters });
                }
                self.files.push((path, length));
            }
            Err(error) => self.problem(name, ProblemRule::Path(error.rule())),
        }
    }

    fn problem(&mut self, path: impl Into<String>, rule: ProblemRule) {
        self.problems.push(Problem::new(path, rule));
    }
}

fn collision_problem(collision: &Collision) -> Problem {
    let (path, with) = match collision {
        Collision::Repeated { path } => (path.to_string(), path.to_string()),
        Collision::Indistinct { first, second } => (second.clone(), first.clone()),
        Collision::FileAndFolder { file, inside } => (inside.to_string(), file.clone()),
        other => (other.to_string(), String::new()),
    };
    Problem::new(path, ProblemRule::Collision { with })
}

/// Returns length and digest of a file as it is now.
fn digest_of(path: &Path) -> Result<(u64, Digest), PublishError> {
    let failed = |source| PublishError::io("read", path, source);
    let mut reader = DigestReader::new(fs::File::open(path).map_err(failed)?);
    let mut buffer = vec![0; READ_BYTES];
    while std::io::Read::read(&mut reader, &mut buffer).map_err(failed)? > 0 {}
    Ok((reader.length(), reader.digest()))
}

const READ_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use diff_core::Silent;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    fn rules(folder: &tempfile::TempDir) -> Vec<(String, ProblemRule)> {
        let report = lint(folder.path()).unwrap();
        let rule = |problem: Problem| (problem.path, problem.rule);
        report.problems.into_iter().map(rule).collect()
    }

    #[test]
    fn ordinary_folder_has_no_problems_and_is_listed() {
        let folder = folder(&["index.html", "unit 1/a.png"]);
        let scanned = ContentFolder::scan(folder.path()).unwrap();
        assert!(scanned.report().problems.is_empty());
        assert_eq!((scanned.report().files, scanned.report().bytes), (2, 22));
        let listing = scanned
            .listing(&Limits::standard(), &Silent, &CancelToken::new())
            .unwrap();
        let entry = &listing.entries()[1];
        assert_eq!(entry.path.as_str(), "unit 1/a.png");
        assert_eq!(entry.digest, Digest::of(b"unit 1/a.png"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn each_offender_is_named_with_its_rule() {
        use std::os::unix::ffi::OsStrExt;
        let folder = folder(&["A/x", "a/y", "aux.txt", "end.", "what?", "plain"]);
        std::os::unix::fs::symlink("plain", folder.path().join("link")).unwrap();
        let raw = std::ffi::OsStr::from_bytes(b"\xff");
        fs::write(folder.path().join(raw), b"").unwrap();
        let socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let found = rules(&folder);
        drop(socket);
        let expected = [
            ("a", ProblemRule::Collision { with: "A".into() }),
            (
                "aux.txt",
                ProblemRule::Path(diff_core::PathRule::ReservedName),
            ),
            (
                "end.",
                ProblemRule::Path(diff_core::PathRule::TrailingDotOrSpace),
            ),
            ("link", ProblemRule::Symlink),
            ("socket", ProblemRule::SpecialFile),
            (
                "what?",
                ProblemRule::Path(diff_core::PathRule::ForbiddenCharacter),
            ),
            ("\u{fffd}", ProblemRule::NotUtf8),
        ];
        let expected: Vec<_> = expected.map(|(path, rule)| (path.to_owned(), rule)).into();
        assert_eq!(found, expected);
    }

    // Windows makes no file of such a name.
    #[cfg(not(windows))]
    #[test]
    fn folder_with_problems_is_refused_with_all_of_them() {
        let folder = folder(&["unit 1./a", "com1", "fine"]);
        let scanned = ContentFolder::scan(folder.path()).unwrap();
        let refused = scanned.listing(&Limits::standard(), &Silent, &CancelToken::new());
        match refused {
            Err(PublishError::Unportable { problems }) => assert_eq!(problems.len(), 2),
            other => panic!("expected a refusal, found {other:?}"),
        }
    }

    #[test]
    fn long_paths_and_empty_folders_are_warnings() {
        let long = format!("{0}/{0}/x", "l".repeat(120));
        let folder = folder(&[&long]);
        fs::create_dir(folder.path().join("empty")).unwrap();
        let found = rules(&folder);
        let expected = vec![
            ("empty".to_owned(), ProblemRule::EmptyFolder),
            (long, ProblemRule::LongPath { characters: 243 }),
        ];
        assert_eq!(found, expected);
        assert!(lint(folder.path()).unwrap().is_publishable());
    }

    #[test]
    fn file_that_changes_after_the_scan_is_noticed() {
        let folder = folder(&["a"]);
        let scanned = ContentFolder::scan(folder.path()).unwrap();
        fs::write(folder.path().join("a"), b"longer").unwrap();
        let refused = scanned.listing(&Limits::standard(), &Silent, &CancelToken::new());
        assert!(matches!(refused, Err(PublishError::FolderChanged { .. })));
    }

    #[test]
    fn cancelled_listing_stops() {
        let folder = folder(&["a"]);
        let cancel = CancelToken::new();
        cancel.cancel();
        let scanned = ContentFolder::scan(folder.path()).unwrap();
        let stopped = scanned.listing(&Limits::standard(), &Silent, &cancel);
        assert!(matches!(stopped, Err(PublishError::Cancelled)));
    }
}

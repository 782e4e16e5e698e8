//! The book and the pages at the top: nothing left out, no link into the void.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the Markdown files below `folder`.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let (mut pages, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// Returns where the links of a page lead, but for those that leave the repository or the page.
fn links(text: &str) -> Vec<&str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let targets = targets.map(|target| target.split('#').next().unwrap_or_default());
    targets
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let book = top().join("docs/src");
    let summary = fs::read_to_string(book.join("SUMMARY.md")).unwrap();
    let listed = links(&summary);
    for page in pages(&book) {
        let name = page
            .strip_prefix(&book)
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        assert!(
            name == "SUMMARY.md" || listed.contains(&name.as_str()),
            "{name} is not in SUMMARY.md"
        );
    }
}

#[test]
fn every_decision_is_a_page_of_the_book() {
    for page in pages(&top().join("docs/decisions")) {
        let name = page.file_name().unwrap();
        let included = fs::read_to_string(top().join("docs/src/decisions").join(name));
        let expected = format!(
            "{{{{#include ../../decisions/{}}}}}",
            name.to_string_lossy()
        );
        assert_eq!(included.unwrap_or_default().trim(), expected);
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let mut all = pages(&top().join("docs"));
    for page in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ] {
        all.push(top().join(page));
    }
    for page in all {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let target = page.parent().unwrap().join(link);
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
        }
    }
}

/// Returns the names of all tests of the workspace.
fn tests_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
                    names.extend(name.split('(').next().map(str::to_owned));
                }
                // Other attributes may stand between.
                is_test = line == "#[test]" || is_test && line.starts_with("#[");
            }
        }
    }
}

/// Returns what a page says that a test proves: the names in the last column of its tables, and those
/// in its text.
fn proofs(page: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for line in page.lines() {
        let told = match line.strip_suffix(" |") {
            Some(row) => row.rsplit(" | ").next().unwrap_or_default(),
            None => line,
        };
        let quoted = told.split('`').skip(1).step_by(2);
        let is_test = |name: &&str| {
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            name.contains('_') && name.chars().all(is_name)
        };
        named.extend(quoted.filter(is_test).map(str::to_owned));
    }
    named
}

#[test]
fn every_test_that_proves_something_to_auditors_exists() {
    let mut tests = BTreeSet::new();
    for folder in ["crates", "tests"] {
        tests_below(&top().join(folder), &mut tests);
    }
    assert!(tests.contains("every_test_that_proves_something_to_auditors_exists"));
    for (page, least) in [("auditors.md", 60), ("threat-model.md", 25)] {
        let text = fs::read_to_string(top().join("docs/src/security").join(page)).unwrap();
        let named = proofs(&text);
        assert!(named.len() >= least, "{page} names {} tests", named.len());
        let absent: Vec<_> = named.difference(&tests).collect();
        assert!(absent.is_empty(), "{page}: no test is named {absent:?}");
        // Every row of a table is proved by something.
        for line in text.lines().filter(|line| line.starts_with("| ")) {
            let is_head = line.contains("proved by");
            assert!(
                is_head || !proofs(line).is_empty(),
                "{page}: nothing proves {line}"
            );
        }
    }
}

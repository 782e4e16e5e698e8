//! The book and the pages at the top: nothing left out, no link into the void.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests are tests as well.

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

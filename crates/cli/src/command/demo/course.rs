//! A small course for the demo, made by code alone: the same bytes on every machine.

mod handout;
mod picture;
mod prose;
mod questions;
mod scorm;

use std::fs;
use std::io;
use std::path::Path;

use prose::Prose;

/// The releases of the course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edition {
    /// The course as it was first published.
    First,
    /// A page, an activity, some questions and a picture edited, and a folder renamed.
    Second,
    /// A start page that leads to a page which nobody added.
    Broken,
    /// That page added.
    Mended,
}

impl Edition {
    pub(super) fn label(self) -> &'static str {
        match self {
            Edition::First => "1.0",
            Edition::Second => "1.1",
            Edition::Broken => "1.2",
            Edition::Mended => "1.3",
        }
    }
}

/// Writes the course of `edition` to `folder`.
pub(super) fn write(folder: &Path, edition: Edition) -> io::Result<()> {
    let course = Course { folder, edition };
    course.pages()?;
    for (number, name) in PICTURES.iter().enumerate() {
        let edits = u32::from(number == 2 && edition >= Edition::Second);
        course.file(&format!("pictures/{name}.png"), &picture::png(name, edits)?)?;
    }
    course.file(
        "activities/photosynthesis.zip",
        &scorm::zip(edition >= Edition::Second)?,
    )?;
    course.file("handouts/field-guide.pdf", &handout::pdf())?;
    questions::write(
        &course.made("data/questions.sqlite")?,
        edition >= Edition::Second,
    )
}

struct Course<'a> {
    folder: &'a Path,
    edition: Edition,
}

impl Course<'_> {
    fn pages(&self) -> io::Result<()> {
        self.file("index.html", self.start_page().as_bytes())?;
        self.file("assets/style.css", STYLE.as_bytes())?;
        for (unit, title) in UNITS.iter().enumerate() {
            for lesson in 1..=LESSONS {
                let path = format!("unit-{}/lesson-{lesson}.html", unit + 1);
                self.file(&path, self.lesson(unit, title, lesson).as_bytes())?;
            }
        }
        for letter in 'a'..='p' {
            let path = format!("{}/{letter}.html", self.glossary());
            let mut prose = Prose::new(&format!("glossary {letter}"));
            let body = format!(
                "<h1>{}</h1>\n{}",
                letter.to_uppercase(),
                prose.paragraphs(6)
            );
            self.file(&path, page("Glossary", "../", &body).as_bytes())?;
        }
        if self.edition == Edition::Mended {
            let body = format!(
                "<h1>Final quiz</h1>\n{}",
                Prose::new("final quiz").paragraphs(3)
            );
            self.file(
                "quiz/final.html",
                page("Final quiz", "../", &body).as_bytes(),
            )?;
        }
        Ok(())
    }

    fn start_page(&self) -> String {
        let mut body = format!(
            "<h1>Biology 101</h1>\n<p>Release {}</p>\n<ul>\n",
            self.edition.label()
        );
        for (unit, title) in UNITS.iter().enumerate() {
            for lesson in 1..=LESSONS {
                let path = format!("unit-{}/lesson-{lesson}.html", unit + 1);
                body.push_str(&format!(
                    "<li><a href=\"{path}\">{title}, lesson {lesson}</a></li>\n"
                ));
            }
        }
        body.push_str(&format!(
            "<li><a href=\"{}/a.html\">Glossary</a></li>\n",
            self.glossary()
        ));
        body.push_str("<li><a href=\"activities/photosynthesis.zip\">Activity</a></li>\n");
        body.push_str("<li><a href=\"handouts/field-guide.pdf\">Field guide</a></li>\n");
        if self.edition >= Edition::Broken {
            body.push_str("<li><a href=\"quiz/final.html\">Final quiz</a></li>\n");
        }
        body.push_str("</ul>\n");
        page("Biology 101", "", &body)
    }

    fn lesson(&self, unit: usize, title: &str, lesson: usize) -> String {
        let mut prose = Prose::new(&format!("{title} {lesson}"));
        let picture = PICTURES
            .get((unit + lesson) % PICTURES.len())
            .unwrap_or(&"leaf");
        let mut body = format!("<h1>{title}, lesson {lesson}</h1>\n{}", prose.paragraphs(9));
        body.push_str(&format!(
            "<img src=\"../pictures/{picture}.png\" alt=\"{picture}\">\n"
        ));
        body.push_str(&prose.paragraphs(9));
        if unit == 1 && lesson == 3 && self.edition >= Edition::Second {
            body = body.replacen(
                "<p>",
                "<p>Corrected after the field trip: count the stomata twice. ",
                1,
            );
        }
        page(title, "../", &body)
    }

    fn glossary(&self) -> &'static str {
        if self.edition >= Edition::Second {
            "reference/terms"
        } else {
            "glossary"
        }
    }

    fn file(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        fs::write(self.made(path)?, bytes)
    }

    /// Returns where `path` lies, its folder made.
    fn made(&self, path: &str) -> io::Result<std::path::PathBuf> {
        let path = self.folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(path)
    }
}

/// Checks that a course opens well, as the app that shows it would: the start page is there, and so is
/// every file that it leads to.
pub(super) fn opens_well(folder: &Path) -> Result<(), String> {
    let start = fs::read_to_string(folder.join("index.html"))
        .map_err(|error| format!("index.html cannot be read: {error}"))?;
    for link in start
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        if !folder.join(link).is_file() {
            return Err(format!("index.html leads to {link}, which is not there"));
        }
    }
    Ok(())
}

fn page(title: &str, home: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"{home}assets/style.css\">\n</head>\n<body>\n{body}</body>\n\
         </html>\n"
    )
}

const UNITS: [&str; 4] = ["Cells", "Plants", "Animals", "Ecosystems"];
const LESSONS: usize = 8;
const PICTURES: [&str; 6] = [
    "leaf",
    "onion-skin",
    "pond-water",
    "root-tip",
    "feather",
    "moss",
];
const STYLE: &str = "\
body { font-family: sans-serif; line-height: 1.5; max-width: 42rem; margin: 2rem auto; }
img { max-width: 100%; border-radius: 0.5rem; }
h1 { color: #14532d; }
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path
                        .strip_prefix(folder)
                        .unwrap()
                        .to_string_lossy()
                        .into_owned();
                    files.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    fn made(edition: Edition) -> (tempfile::TempDir, BTreeMap<String, Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), edition).unwrap();
        let files = tree(folder.path());
        (folder, files)
    }

    #[test]
    fn the_course_is_the_same_each_time_it_is_made_and_a_few_megabytes() {
        let (_folder, first) = made(Edition::First);
        let (_other, again) = made(Edition::First);
        assert!(first == again);
        let bytes: usize = first.values().map(Vec::len).sum();
        assert!((1_000_000..8_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_second_edition_edits_four_kinds_of_files_and_renames_a_folder() {
        let (_folder, first) = made(Edition::First);
        let (_other, second) = made(Edition::Second);
        let edited: Vec<_> = first
            .iter()
            .filter(|(path, bytes)| second.get(*path).is_some_and(|other| other != *bytes))
            .map(|(path, _)| path.replace('\\', "/"))
            .collect();
        assert_eq!(
            edited,
            [
                "activities/photosynthesis.zip",
                "data/questions.sqlite",
                "index.html",
                "pictures/pond-water.png",
                "unit-2/lesson-3.html"
            ]
        );
        let old = |name: &&String| name.starts_with("glossary");
        assert_eq!(first.keys().filter(old).count(), 16);
        assert_eq!(second.keys().filter(old).count(), 0);
    }

    #[test]
    fn all_editions_but_the_broken_one_open_well_and_all_are_publishable() {
        for edition in [
            Edition::First,
            Edition::Second,
            Edition::Broken,
            Edition::Mended,
        ] {
            let (folder, _files) = made(edition);
            assert_eq!(
                opens_well(folder.path()).is_ok(),
                edition != Edition::Broken,
                "{edition:?}"
            );
            assert_eq!(publisher::lint(folder.path()).unwrap().problems, []);
        }
    }
}

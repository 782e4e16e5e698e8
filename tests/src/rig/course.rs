use std::collections::BTreeMap;
use std::path::Path;
use std::{fmt, fs, io};

/// A tree of files in memory: what a content team publishes, and what a device must then have.
///
/// Made from a seed, so that the same test sees the same bytes on every machine.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Course {
    files: BTreeMap<String, Vec<u8>>,
}

impl Course {
    /// Returns a course with a bit of everything that courses are made of, about 150 KiB.
    pub fn small(seed: u64) -> Course {
        let mut random = Random::new(seed);
        let mut course = Course::default();
        course.put("index.html", random.prose(6_000));
        course.put("empty.css", Vec::new());
        course.put("one-byte.txt", b"1".to_vec());
        for chapter in 1..=6 {
            course.put(
                &format!("chapters/{chapter:02}/lesson.html"),
                random.prose(4_000),
            );
        }
        course.put("chapters/07/Übung – été.html", random.prose(2_000));
        course.put("media/photo.jpg", random.noise(40_000));
        course.put("media/deep/er/still/clip.bin", random.noise(9_000));
        course.put("data/answers.sqlite", random.records(500));
        course.put("data/copy-of-index.html", course.get("index.html").to_vec());
        course
    }

    /// Returns the smallest course that has text, folders and a byte or two of its own.
    pub fn tiny() -> Course {
        let mut random = Random::new(3);
        let mut course = Course::default();
        course.put("index.html", random.prose(150));
        course.put("media/noise.bin", random.noise(40));
        course.put("one-byte.txt", b"1".to_vec());
        course
    }

    /// Returns a course whose download takes a few hundred requests' worth of bytes: what cannot be
    /// compressed fills most of it.
    pub fn bulky(seed: u64) -> Course {
        let mut course = Course::small(seed);
        let mut random = Random::new(seed ^ 0xb01d);
        course.put("media/lecture.mp4", random.noise(1 << 20));
        course.put("media/second.mp4", random.noise(300_000));
        course
    }

    /// Returns what an author makes of the course in a season: a changed sentence, a changed record, a
    /// picture replaced, a file renamed, one removed, one new, one that takes another's name.
    pub fn revised(&self, seed: u64) -> Course {
        let mut random = Random::new(seed ^ 0xed17);
        let mut course = self.clone();
        course.edit("chapters/02/lesson.html", |text| {
            text.splice(
                1_000..1_040,
                b"<p>A sentence that was not there.</p>".iter().copied(),
            );
        });
        course.edit("data/answers.sqlite", |records| records[4_321] ^= 0x55);
        course.rename("chapters/03/lesson.html", "chapters/03/lesson-three.html");
        course.remove("chapters/05/lesson.html");
        course.put("chapters/08/lesson.html", random.prose(3_000));
        course.put("media/deep/er/still/clip.bin", random.noise(9_500));
        let (one, two) = ("chapters/01/lesson.html", "chapters/06/lesson.html");
        let first = course.get(one).to_vec();
        course.put(one, course.get(two).to_vec());
        course.put(two, first);
        course
    }

    /// Returns what an author makes of the course in an afternoon: two changed sentences, and a new page.
    pub fn revised_lightly(&self, seed: u64) -> Course {
        let mut random = Random::new(seed ^ 0x11e7);
        let mut course = self.clone();
        for chapter in ["chapters/02/lesson.html", "chapters/04/lesson.html"] {
            let sentence = random.prose(60);
            course.edit(chapter, |text| {
                text.splice(500..540, sentence.iter().copied());
            });
        }
        course.put(
            &format!("chapters/{:02}/page.html", 20 + seed),
            random.prose(700),
        );
        course
    }

    /// Reads the tree below `folder`.
    ///
    /// # Errors
    /// When something cannot be read, or is neither file nor folder.
    pub fn read(folder: &Path) -> io::Result<Course> {
        let mut course = Course::default();
        course.read_below(folder, "")?;
        Ok(course)
    }

    fn read_below(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.read_below(&entry.path(), &format!("{name}/"))?;
            } else if kind.is_file() {
                self.files.insert(name, fs::read(entry.path())?);
            } else {
                return Err(io::Error::other(format!(
                    "{name} is neither file nor folder"
                )));
            }
        }
        Ok(())
    }

    /// Writes the tree below `folder`, which is created.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for (path, content) in &self.files {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().unwrap_or(folder))?;
            fs::write(file, content)?;
        }
        Ok(())
    }

    /// Returns the files by path.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Returns how many bytes the files have together.
    pub fn bytes(&self) -> u64 {
        self.files
            .values()
            .map(|content| content.len() as u64)
            .sum()
    }

    /// Returns the content of a file, which is empty where there is none.
    pub fn get(&self, path: &str) -> &[u8] {
        self.files.get(path).map(Vec::as_slice).unwrap_or_default()
    }

    /// Puts a file, in the place of one that is there.
    pub fn put(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), content.into());
    }

    /// Removes a file.
    pub fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// Gives a file another path.
    pub fn rename(&mut self, from: &str, to: &str) {
        let content = self.files.remove(from).unwrap_or_default();
        self.files.insert(to.to_owned(), content);
    }

    /// Changes a file in place.
    pub fn edit(&mut self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.files.entry(path.to_owned()).or_default());
    }

    /// Returns in words how `found` differs from this course; `None` where it does not.
    pub fn difference(&self, found: &Course) -> Option<String> {
        let paths = self.files.keys().chain(found.files.keys());
        let told = |path: &String| match (self.files.get(path), found.files.get(path)) {
            (Some(_), None) => Some(format!("{path} is missing")),
            (None, Some(_)) => Some(format!("{path} should not be there")),
            (Some(a), Some(b)) if a != b => {
                let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
                Some(format!(
                    "{path} differs at byte {at} of {} ({})",
                    a.len(),
                    b.len()
                ))
            }
            _ => None,
        };
        paths.into_iter().find_map(told)
    }
}

/// The names and lengths alone: a failed comparison is to be read.
impl fmt::Debug for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.files.iter().map(|(path, c)| (path, c.len())))
            .finish()
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Returns the numbers of `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`, which is above zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Returns `length` bytes that nothing compresses.
    pub fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend(self.number().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Returns about `length` bytes of HTML that compresses as text does.
    pub fn prose(&mut self, length: usize) -> Vec<u8> {
        let mut text = String::from("<!doctype html>\n<title>Lesson</title>\n");
        while text.len() < length {
            text.push_str("<p>");
            for _ in 0..8 + self.below(12) {
                let word = WORDS[usize::try_from(self.below(WORDS.len() as u64)).unwrap_or(0)];
                text.push_str(word);
                text.push(' ');
            }
            text.push_str("</p>\n");
        }
        text.into_bytes()
    }

    /// Returns `count` records of 32 bytes, alike as a database's are.
    pub fn records(&mut self, count: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..count {
            bytes.extend(number.to_be_bytes());
            bytes.extend(b"answer\0\0");
            bytes.extend((self.number() >> 48).to_be_bytes());
            bytes.extend([0; 12]);
        }
        bytes
    }
}

const WORDS: [&str; 32] = [
    "cell",
    "membrane",
    "energy",
    "light",
    "the",
    "a",
    "of",
    "and",
    "photosynthesis",
    "leaf",
    "water",
    "carbon",
    "sugar",
    "learner",
    "observe",
    "measure",
    "table",
    "question",
    "answer",
    "because",
    "therefore",
    "growth",
    "root",
    "stem",
    "species",
    "habitat",
    "in",
    "to",
    "which",
    "oxygen",
    "experiment",
    "result",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn courses_are_the_same_for_the_same_seed_and_differ_when_revised() {
        let course = Course::small(1);
        assert_eq!(course.difference(&Course::small(1)), None);
        assert_ne!(course.difference(&Course::small(2)), None);
        let revised = course.revised(1);
        let told = course.difference(&revised).unwrap_or_default();
        assert!(
            told.starts_with("chapters/01/lesson.html differs at byte"),
            "{told}"
        );
        assert!(
            revised
                .files()
                .contains_key("chapters/03/lesson-three.html")
        );
    }

    #[test]
    fn a_course_written_is_the_course_read() {
        let folder = tempfile::tempdir().unwrap();
        let course = Course::small(3);
        course.write(folder.path()).unwrap();
        assert_eq!(
            course.difference(&Course::read(folder.path()).unwrap()),
            None
        );
        fs::write(folder.path().join("stray"), b"").unwrap();
        let found = Course::read(folder.path()).unwrap();
        assert_eq!(
            course.difference(&found).unwrap(),
            "stray should not be there"
        );
    }
}

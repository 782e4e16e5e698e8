/// Writes sentences about living things, the same ones for the same subject.
pub(super) struct Prose {
    state: u64,
}

impl Prose {
    pub(super) fn new(subject: &str) -> Prose {
        // FNV-1a, so that each subject has words of its own.
        let state = subject
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |state: u64, byte| {
                (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        Prose { state: state | 1 }
    }

    /// Returns `count` paragraphs of HTML, one a line.
    pub(super) fn paragraphs(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            let sentences: Vec<String> = (0..5).map(|_| self.sentence()).collect();
            text.push_str(&format!("<p>{}</p>\n", sentences.join(" ")));
        }
        text
    }

    /// Returns one sentence.
    pub(super) fn sentence(&mut self) -> String {
        let (who, does, what) = (self.pick(&WHO), self.pick(&DOES), self.pick(&WHAT));
        let (when, number) = (self.pick(&WHEN), self.next() % 90 + 10);
        match self.next() % 4 {
            0 => format!("{who} {does} {what} {when}."),
            1 => format!("{}, {} {does} {what}.", capital(when), who.to_lowercase()),
            2 => format!(
                "In {number} of 100 cases {} {does} {what}.",
                who.to_lowercase()
            ),
            _ => format!(
                "Draw how {} {does} {what} {when}, and label it.",
                who.to_lowercase()
            ),
        }
    }

    /// Returns the next number of an xorshift generator.
    pub(super) fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        let place = self.next() % words.len() as u64;
        usize::try_from(place)
            .ok()
            .and_then(|place| words.get(place))
            .unwrap_or(&"")
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

const WHO: [&str; 14] = [
    "The leaf",
    "A root hair",
    "The cell membrane",
    "A chloroplast",
    "The pond snail",
    "A fern",
    "The guard cell",
    "An earthworm",
    "The pollen grain",
    "A mitochondrion",
    "The heron",
    "A moss",
    "The water flea",
    "A seedling",
];
const DOES: [&str; 12] = [
    "takes up",
    "releases",
    "depends on",
    "stores",
    "exchanges",
    "protects",
    "reacts to",
    "needs",
    "transports",
    "turns towards",
    "breaks down",
    "competes for",
];
const WHAT: [&str; 14] = [
    "water and dissolved minerals",
    "carbon dioxide",
    "the light that reaches it",
    "sugar and starch",
    "oxygen from the water",
    "the warmth of the soil",
    "proteins of many kinds",
    "its own seeds",
    "the nutrients of fallen leaves",
    "heat on a dry day",
    "the salts around it",
    "energy for the winter",
    "whatever the stream brings",
    "the gases of the air",
];
const WHEN: [&str; 8] = [
    "at night",
    "in the first weeks of spring",
    "while the stomata are open",
    "under the microscope",
    "in the dry season",
    "before the seeds ripen",
    "during the whole life cycle",
    "in the school garden",
];

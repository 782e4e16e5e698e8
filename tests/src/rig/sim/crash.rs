use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::iter;

use super::super::course::Random;
use super::cache::{Cache, Change, Durability, FileState, FolderState, Inode};
use super::image::{Content, Image};

/// What a power cut may leave.
pub struct Crash {
    /// The folder.
    pub image: Image,
    /// What was kept and lost, for people.
    pub kept: String,
}

/// Returns what is left where nothing is spared of what is not durable.
pub fn least(cache: &Cache) -> Image {
    crash(cache, &[], &[])
}

/// Returns what a power cut at this moment may leave: nothing of what is not durable, all of it, all
/// but each one thing, each one thing alone, each file zeroed or torn, and as many mixtures as told.
pub fn crashes(cache: &Cache, seed: u64, mixtures: usize) -> Vec<Crash> {
    let units = units(cache);
    let none = vec![0; units.len()];
    let all: Vec<usize> = units.iter().map(Unit::last).collect();
    let mut choices = vec![("none".to_owned(), none.clone())];
    if units.is_empty() {
        return crashed(cache, &units, choices);
    }
    choices.push(("all".to_owned(), all.clone()));
    for (index, unit) in units.iter().enumerate() {
        let with = |base: &[usize], choice: usize| {
            let mut choices = base.to_vec();
            choices[index] = choice;
            choices
        };
        choices.push((format!("all but {unit:?}"), with(&all, 0)));
        choices.push((format!("only {unit:?}"), with(&none, unit.last())));
        for harm in 1..unit.last() {
            choices.push((format!("all, harm {harm} to {unit:?}"), with(&all, harm)));
        }
    }
    let mut random = Random::new(seed);
    for number in 0..mixtures {
        let mixed = units.iter().map(|unit| below(&mut random, unit.choices));
        choices.push((format!("mixture {number} of seed {seed}"), mixed.collect()));
    }
    crashed(cache, &units, choices)
}

/// Something of which a power cut spares more or less: choice 0 is nothing, the last is all.
#[derive(Debug)]
struct Unit {
    what: What,
    choices: usize,
}

#[derive(Debug)]
enum What {
    /// What a name means.
    Name(usize, OsString),
    /// How far the journal came: the steps at which it may end.
    Journal(Vec<usize>),
    /// The bytes of a file.
    Bytes(usize),
}

impl Unit {
    fn last(&self) -> usize {
        self.choices - 1
    }
}

fn units(cache: &Cache) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut journal = BTreeSet::new();
    for (number, inode) in cache.inodes().iter().enumerate() {
        match inode {
            Inode::Folder(folder) => {
                let mut names: BTreeMap<&OsString, usize> = BTreeMap::new();
                for change in &folder.pending {
                    *names.entry(&change.name).or_default() += 1;
                    journal.insert(change.at);
                }
                if cache.durability() == Durability::Weakest {
                    units.extend(names.into_iter().map(|(name, changes)| Unit {
                        what: What::Name(number, name.clone()),
                        choices: changes + 1,
                    }));
                }
            }
            Inode::File(file) if !file.pending.is_empty() => units.push(Unit {
                what: What::Bytes(number),
                choices: HARMS + 2,
            }),
            Inode::File(_) => {}
        }
    }
    if cache.durability() == Durability::Journaled && !journal.is_empty() {
        units.push(Unit {
            choices: journal.len() + 1,
            what: What::Journal(journal.into_iter().collect()),
        });
    }
    units
}

fn crashed(cache: &Cache, units: &[Unit], choices: Vec<(String, Vec<usize>)>) -> Vec<Crash> {
    let choices = choices.into_iter();
    choices
        .map(|(kept, choices)| Crash {
            image: crash(cache, units, &choices),
            kept,
        })
        .collect()
}

/// Returns what is left where the power cut chose so of each unit, and spared nothing of any other.
fn crash(cache: &Cache, units: &[Unit], choices: &[usize]) -> Image {
    let mut names: HashMap<(usize, &OsString), usize> = HashMap::new();
    let mut bytes: HashMap<usize, usize> = HashMap::new();
    let mut journal = 0;
    for (unit, choice) in units.iter().zip(choices) {
        match &unit.what {
            What::Name(folder, name) => {
                names.insert((*folder, name), *choice);
            }
            What::Journal(ends) => {
                journal = choice.checked_sub(1).map_or(0, |index| ends[index]);
            }
            What::Bytes(file) => {
                bytes.insert(*file, *choice);
            }
        }
    }
    cache.image(
        |number, folder| match cache.durability() {
            Durability::Weakest => names_after(folder, |name, made| {
                made < names.get(&(number, name)).copied().unwrap_or(0)
            }),
            Durability::Journaled => names_until(folder, journal),
        },
        |number, file| match bytes.get(&number) {
            Some(choice) => bytes_after(file, *choice, number),
            None => file.durable.clone(),
        },
    )
}

/// Applies the changes of each name for which `is_kept` says so: of the name, its how-manieth.
fn names_after(
    folder: &FolderState,
    is_kept: impl Fn(&OsString, usize) -> bool,
) -> BTreeMap<OsString, usize> {
    let mut names = folder.durable.clone();
    let mut made: HashMap<&OsString, usize> = HashMap::new();
    for change in &folder.pending {
        let count = made.entry(&change.name).or_default();
        if is_kept(&change.name, *count) {
            set(&mut names, &change.name, change.to);
        }
        *count += 1;
    }
    names
}

fn names_until(folder: &FolderState, last: usize) -> BTreeMap<OsString, usize> {
    let mut names = folder.durable.clone();
    for change in folder.pending.iter().filter(|change| change.at <= last) {
        set(&mut names, &change.name, change.to);
    }
    names
}

fn set(names: &mut BTreeMap<OsString, usize>, name: &OsString, to: Option<usize>) {
    match to {
        Some(number) => names.insert(name.clone(), number),
        None => names.remove(name),
    };
}

/// Returns what is left of a file's bytes: the old ones, some harm, or all that was written.
fn bytes_after(file: &FileState, choice: usize, seed: usize) -> Content {
    let mut live = file.durable.bytes.to_vec();
    file.pending
        .iter()
        .for_each(|change| change.make(&mut live));
    let old = &file.durable.bytes;
    let bytes = match choice {
        0 => return file.durable.clone(),
        // Its length is there and nothing else.
        1 => {
            let mut zeroed = live.clone();
            for change in &file.pending {
                if let Change::Write(offset, bytes) = change {
                    let end = (offset + bytes.len()).min(zeroed.len());
                    zeroed[(*offset).min(end)..end].fill(0);
                }
            }
            zeroed
        }
        // The first half of its blocks is there, and what follows is as it was.
        2 => {
            let half = (live.len() / 2)
                .next_multiple_of(BLOCK_BYTES)
                .min(live.len());
            let mut torn = live[..half].to_vec();
            torn.extend(old.get(half..).unwrap_or_default());
            torn
        }
        // Some of its blocks are there, any of them, and the others as they were, or zero.
        3 => {
            let mut random = Random::new(seed as u64 ^ live.len() as u64);
            let mut mixed = live.clone();
            for (number, block) in mixed.chunks_mut(BLOCK_BYTES).enumerate() {
                if random.below(2) == 0 {
                    let before = old
                        .iter()
                        .skip(number * BLOCK_BYTES)
                        .chain(iter::repeat(&0));
                    block
                        .iter_mut()
                        .zip(before)
                        .for_each(|(byte, old)| *byte = *old);
                }
            }
            mixed
        }
        // It ends somewhere.
        4 => {
            let end = below(&mut Random::new(seed as u64 + 7), live.len().max(1));
            live[..end].to_vec()
        }
        _ => live,
    };
    Content::new(bytes)
}

fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).unwrap()
}

/// What disks write whole.
const BLOCK_BYTES: usize = 4096;
/// The ways in which unsynced bytes are harmed, beside being lost or kept.
const HARMS: usize = 4;

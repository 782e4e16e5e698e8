//! Writes inputs to start from into the corpora of the targets that take deltas, frames, scripts and
//! recipes: `cargo run --release --example seeds` in `fuzz/`.

#[path = "../fuzz_targets/container_tree.rs"]
mod container_tree;
#[path = "../fuzz_targets/forged.rs"]
mod forged;
#[path = "../fuzz_targets/golden_tree.rs"]
mod golden_tree;

use std::path::Path;
use std::{fs, io};

use container_tree::{MemoryTree, OLD, PLACES, deflate, gzip, png, rows, text, zip};
use diff_core::{Abilities, Contents, Differ, Level, Method, Tree};
use forged::varint;
use golden_tree::GoldenTree;

fn main() -> io::Result<()> {
    deltas()?;
    frames("solid", Method::Solid)?;
    frames("light", Method::Light)?;
    closing()?;
    pixels()?;
    recipes()?;
    opening()
}

fn seed(target: &str, name: &str, input: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), input)
}

/// Deltas of version 2 over the golden tree.
fn deltas() -> io::Result<()> {
    let listing = GoldenTree::listing();
    let golden = Tree {
        listing: &listing,
        contents: &GoldenTree,
    };
    let content = |index| GoldenTree.read(index).map(|bytes| bytes.to_vec());
    let page = [&content(3)?[..], b"More."].concat();
    let new = MemoryTree::new(vec![
        ("data/answers.db", [&content(0)?[..], &page].concat()),
        ("media/lesson.gz", gzip(&page, 6)),
        ("media/old icon.png", png(&rows(), 6, 64)),
        ("pack.zip", zip(&content(4)?, 9)),
        ("unit/1.html", page),
    ]);
    for (name, level) in [
        ("fast", Level::Fast),
        ("default", Level::Default),
        ("best", Level::Best),
    ] {
        let mut delta = Vec::new();
        let differ = Differ::new(golden, new.tree()).level(level);
        differ.write_to(&mut delta).map_err(io::Error::other)?;
        seed("apply", &format!("version-2-{name}"), &delta)?;
        seed("delta_parse", &format!("version-2-{name}"), &delta)?;
    }
    Ok(())
}

/// The only frames of deltas of one edited text.
fn frames(target: &str, method: Method) -> io::Result<()> {
    let text = &OLD.files[0];
    let edited = [&text[..200], b"and rain falls, ", &text[220..], &text[..90]].concat();
    let other = container_tree::text(99);
    let old = MemoryTree::new(vec![("a.txt", text.clone())]);
    for (name, new) in [("edited", edited), ("other", other)] {
        let length = u16::try_from(new.len() - 1).map_err(io::Error::other)?;
        let new = MemoryTree::new(vec![("a.txt", new)]);
        let mut delta = Vec::new();
        let differ =
            Differ::new(old.tree(), new.tree()).for_devices(&Abilities::of(&[method], &[]));
        let summary = differ.write_to(&mut delta).map_err(io::Error::other)?;
        assert_eq!(summary.methods, [method]);
        let bytes = usize::try_from(summary.stats.frame_bytes).map_err(io::Error::other)?;
        let input = [&[1][..], &length.to_le_bytes(), &delta[6..6 + bytes]].concat();
        seed(target, name, &input)?;
    }
    Ok(())
}

/// Scripts that copy, take old bytes, and make streams of all packings and one in another.
fn closing() -> io::Result<()> {
    let plain = text(5);
    let stream = |packing: &[u8], length: usize| {
        let mut step = Vec::new();
        varint(&mut step, (length as u64) << 2 | 2);
        step.extend_from_slice(packing);
        // The recipe: zlib, level 6.
        step.extend([1, 6]);
        step
    };
    let copy = vec![5 << 2];
    let old = vec![9 << 2 | 1, 2, 3];
    let raw = stream(&[0], plain.len());
    let idat = stream(&[2, 0x78, 0x9c, 64], plain.len());
    let ascii85 = stream(&[3, 0x78, 0x9c, 40, 1, 0, 0], plain.len());
    let image = stream(&[2 | 1 << 5, 0x78, 0x9c, 64, 17, 1], rows().len());
    let within = [stream(&[1 | 1 << 7, 0x78, 0x9c], 5), copy.clone(), vec![3]].concat();
    for (name, sources, script, opened) in [
        ("copy", 0, copy.clone(), b"hello".to_vec()),
        ("old", 0, [old, copy].concat(), b"hello".to_vec()),
        ("raw", 1, raw, plain.clone()),
        ("idat", 2, idat, plain.clone()),
        ("ascii85", 0, ascii85, plain.clone()),
        ("image", 4 | 8, image, rows()),
        ("nested", 64, within, b"hello".to_vec()),
    ] {
        let length = u16::try_from(script.len()).map_err(io::Error::other)?;
        let header = [sources, 64, 0xff, 0xff, 0, 0];
        let input = [&header[..], &length.to_le_bytes(), &script, &opened].concat();
        seed("closing", name, &input)?;
    }
    Ok(())
}

/// Coded rows of all sizes of pixels, of what some bytes happen to tell.
fn pixels() -> io::Result<()> {
    for shape in [
        1,
        1 | 1 << 7,
        2 | 1 << 7,
        3 | 1 << 7,
        4 | 1 << 7,
        6 | 1 << 7,
        8 | 1 << 7,
    ] {
        let coded = deflate(&text(u32::from(shape)), 6);
        let input = [&[shape, 40, 30, 6, 0, 4][..], &coded].concat();
        seed("pixels", &format!("shape-{shape}"), &input)?;
    }
    Ok(())
}

/// Every kind of recipe, with every plaintext and without an old stream.
fn recipes() -> io::Result<()> {
    for place in (0_u8..).take(PLACES.len()) {
        for (kind, level) in (0..4).zip([1, 6, 9, 4]) {
            let input = [3 | place << 2, 1, 0, kind << 4 | level];
            seed("recipe", &format!("zlib-{place}-{kind}"), &input)?;
        }
        for strategy in 0..5 {
            let input = [3 | place << 2, 3, 0, 4 << 4 | 6, 8 << 4 | 15, strategy];
            seed("recipe", &format!("any-{place}-{strategy}"), &input)?;
        }
        for argument in 0..16 {
            let decisions = &deflate(&text(argument), 6)[..20];
            let header = [
                place | place << 2,
                22,
                0,
                5 << 4 | u8::try_from(argument).unwrap_or(0),
                0x43,
            ];
            let input = [&header[..], decisions].concat();
            seed("recipe", &format!("tokens-{place}-{argument}"), &input)?;
        }
    }
    Ok(())
}

/// One edit in every kind of container.
fn opening() -> io::Result<()> {
    for shape in 0..12 {
        for hard in [0x66, 0x91] {
            let input = [
                &[shape | 16 | 64, hard, 30, 0, 9, 6, 0][..],
                b"a lake",
                &text(2),
            ]
            .concat();
            seed("opening", &format!("edit-{shape}-{hard}"), &input)?;
        }
    }
    Ok(())
}

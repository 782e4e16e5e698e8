//! Every version of every format keeps a file that was written once and never again: what those bytes
//! mean may not change. They were not written by this crate, but by the byte tables of its documents.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a fixture that is refused fails its test"
)]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use diff_core::{Digest, Limits};
use release_format::{
    Archive, Catalogue, ChunkMap, ClientVersion, ContentReference, DeviceId, FormatError, Manifest,
    Mode, Patch, ReleaseStatus, Rollout, Verified,
};

type Claim = fn(&[u8]);

/// The fixtures and the claim that reads each.
const FIXTURES: [(&str, Claim); 7] = [
    ("archive-v1.bin", archive_v1),
    ("catalogue-v1.json", catalogue_v1),
    ("chunk-map-v1.bin", chunk_map_v1),
    ("manifest-v1.bin", manifest_v1),
    ("patch-v1.zst", patch_v1),
    ("rollout-v1.json", rollout_v1),
    ("rollout-v2.json", rollout_v2),
];

#[test]
fn every_fixture_means_what_it_meant() {
    for (name, claim) in FIXTURES {
        claim(&read(name));
    }
}

#[test]
fn no_fixture_goes_unread() {
    let files = fs::read_dir(folder()).unwrap().map(Result::unwrap);
    let found: BTreeSet<_> = files
        .filter(|file| file.file_type().unwrap().is_file())
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    let known: BTreeSet<_> = FIXTURES.map(|(name, _)| name.to_owned()).into();
    assert_eq!(found, known);
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused_by_its_reference() {
    for (name, _) in FIXTURES {
        let bytes = read(name);
        let expected = ContentReference::of(&bytes);
        for damaged in damages(&bytes) {
            let refused = Verified::new(&damaged, &expected).unwrap_err();
            assert!(
                matches!(
                    refused,
                    FormatError::WrongDigest { .. } | FormatError::WrongLength { .. }
                ),
                "{name}: {refused}"
            );
        }
    }
}

#[test]
fn damaged_bytes_that_are_trusted_all_the_same_never_panic_nor_mean_the_same() {
    damaged("manifest-v1.bin", |bytes| {
        Manifest::decode(&trusted(bytes), &Limits::standard())
    });
    damaged("chunk-map-v1.bin", |bytes| {
        ChunkMap::decode(&trusted(bytes), &Limits::standard())
    });
    damaged("catalogue-v1.json", |bytes| {
        Catalogue::decode(&trusted(bytes))
    });
    for name in ["rollout-v1.json", "rollout-v2.json"] {
        damaged(name, |bytes| Rollout::decode(&trusted(bytes)));
    }
}

/// Other than in the rest, a bit may mean nothing here: zstd does not look at all of its own.
#[test]
fn damaged_archive_that_is_trusted_all_the_same_never_yields_other_chunks() {
    let bytes = read("archive-v1.bin");
    let whole = Archive::decode(trusted(&bytes)).unwrap();
    for damaged in damages(&bytes) {
        let Ok(archive) = Archive::decode(trusted(&damaged)) else {
            continue;
        };
        for stored in archive.chunks() {
            let digest = stored.chunk.digest();
            if let Some(Ok(read)) = archive.read(&digest) {
                assert_eq!(whole.read(&digest), Some(Ok(read)));
            }
        }
    }
}

fn manifest_v1(bytes: &[u8]) {
    let manifest = Manifest::decode(&trusted(bytes), &Limits::standard()).unwrap();
    assert_eq!(manifest.pack().as_str(), "acme/biology-101");
    assert_eq!(manifest.label().as_str(), "2026-autumn");
    assert_eq!(manifest.sequence(), 300);
    let files: Vec<_> = manifest
        .listing()
        .entries()
        .iter()
        .map(|entry| (entry.path.as_str(), entry.length, entry.digest))
        .collect();
    let zeros = Digest::from_bytes([0; 32]);
    let mut counting = [0; 32];
    for (byte, number) in counting.iter_mut().zip(0..) {
        *byte = number;
    }
    assert_eq!(
        files,
        [
            ("a-250", 250, zeros),
            ("a-251", 251, zeros),
            ("a-65536", 65_536, zeros),
            ("empty", 0, Digest::of(b"")),
            ("media/z.mp4", (1 << 32) + 1, Digest::from_bytes([0xff; 32])),
            ("media/é.png", 70_000, Digest::from_bytes(counting)),
            ("unit 1/index.html", 6, Digest::of(b"lesson")),
        ]
    );
    assert_eq!(manifest.encode(), bytes);
}

fn chunk_map_v1(bytes: &[u8]) {
    let map = ChunkMap::decode(&trusted(bytes), &Limits::standard()).unwrap();
    let archive = ContentReference::of(&read("archive-v1.bin"));
    let other = ContentReference {
        digest: Digest::from_bytes([7; 32]),
        length: 1 << 30,
    };
    assert_eq!(map.archives(), [archive, other]);
    let chunks: Vec<_> = map
        .chunks()
        .iter()
        .map(|place| {
            let chunk = place.chunk;
            let lengths = (chunk.length(), chunk.encoded_length());
            (chunk.digest(), lengths, place.archive, place.offset)
        })
        .collect();
    let lesson = (Digest::of(b"lesson"), (6, 6), 0, 5);
    let course = (Digest::of(&b"lesson ".repeat(40)), (280, 24), 0, 11);
    let large = (Digest::from_bytes([9; 32]), (1 << 20, 70_000), 1, 5);
    let last = (
        Digest::from_bytes([8; 32]),
        (65_536, 65_536),
        1,
        (1 << 30) - 65_536,
    );
    assert_eq!(chunks, [lesson, course, lesson, large, last]);
    assert_eq!(map.total_bytes(), 6 + 280 + 6 + (1 << 20) + 65_536);
    assert_eq!(map.encode(), bytes);
}

fn archive_v1(bytes: &[u8]) {
    let archive = Archive::decode(trusted(bytes)).unwrap();
    let mut noise = Vec::new();
    while noise.len() < 300 {
        noise.extend_from_slice(Digest::of(&noise).as_bytes());
    }
    noise.truncate(300);
    let expected = [
        b"lesson".to_vec(),
        b"lesson ".repeat(40),
        noise,
        vec![0; 70_000],
    ];
    let chunks = archive.chunks().iter();
    let digests: Vec<_> = chunks.map(|stored| stored.chunk.digest()).collect();
    assert_eq!(digests, expected.each_ref().map(|bytes| Digest::of(bytes)));
    for bytes in expected {
        assert_eq!(archive.read(&Digest::of(&bytes)), Some(Ok(bytes)));
    }
}

fn catalogue_v1(bytes: &[u8]) {
    let catalogue = Catalogue::decode(&trusted(bytes)).unwrap();
    assert_eq!(catalogue.pack.as_str(), "acme/biology-101");
    let [spring, autumn] = &catalogue.releases[..] else {
        panic!("two releases, found {}", catalogue.releases.len());
    };
    assert_eq!((spring.sequence, autumn.sequence), (299, 300));
    assert_eq!(spring.manifest.digest, Digest::of(b"manifest 299"));
    assert_eq!(
        spring.status,
        ReleaseStatus::Withdrawn {
            reason: "unit 1 shows the answers".to_owned()
        }
    );
    assert_eq!(autumn.status, ReleaseStatus::Offered);
    assert_eq!(autumn.label.as_str(), "2026-autumn");
    assert_eq!(autumn.published.seconds(), 1_788_249_600);
    assert_eq!((autumn.tree_bytes, autumn.files), (70_012, 2));
    assert_eq!(autumn.chunk_map.digest, Digest::of(b"chunk map 300"));
    assert_eq!(autumn.archives.len(), 2);
    assert_eq!(autumn.notes.map(|notes| notes.length), Some(120));
    let [first, update] = &autumn.deltas[..] else {
        panic!("two deltas, found {}", autumn.deltas.len());
    };
    assert_eq!((first.from, first.built_bytes), (None, 70_012));
    assert_eq!(update.from, Some(spring.manifest.digest));
    assert_eq!(update.content.digest, Digest::of(b"delta from 299"));
    assert_eq!(update.methods, ["bsdiff", "zstd"]);
    assert_eq!(catalogue.encode().unwrap(), bytes);
}

fn rollout_v1(bytes: &[u8]) {
    let rollout = Rollout::decode(&trusted(bytes)).unwrap();
    assert_eq!(rollout.pack.as_str(), "acme/biology-101");
    assert_eq!(rollout.channel.as_str(), "stable");
    assert_eq!(rollout.release, Digest::of(b"manifest 300"));
    assert_eq!(rollout.label.as_str(), "2026-autumn");
    assert_eq!(rollout.share.to_string(), "25%");
    assert!(!rollout.halted);
    let buckets = [0, 1, 2].map(|byte| rollout.bucket(&DeviceId::from_bytes([byte; 16])));
    assert_eq!(buckets, [3123, 2405, 1218]);
    assert_eq!(rollout.encode().unwrap(), bytes);
}

fn rollout_v2(bytes: &[u8]) {
    let rollout = Rollout::decode(&trusted(bytes)).unwrap();
    assert_eq!(rollout.release, Digest::of(b"manifest 300"));
    assert_eq!(rollout.otherwise, Some(Digest::from_bytes([0x11; 32])));
    assert_eq!(
        (rollout.share.to_string(), rollout.mode),
        ("100%".to_owned(), Mode::Shadow)
    );
    assert_eq!(rollout.select.to_string(), "ring=pilot site=kisumu,nairobi");
    assert_eq!(rollout.since.unwrap().seconds(), 1_795_219_200);
    assert_eq!(rollout.starts.unwrap().to_string(), "2026-12-01T06:00:00Z");
    let minimum = rollout.minimum_client(&rollout.release);
    assert_eq!(minimum, Some(ClientVersion::new(0, 2, 0)));
    let spring = rollout.withdrawal(&Digest::of(b"manifest 299")).unwrap();
    assert_eq!(spring.fallback, rollout.otherwise);
    assert!(spring.security);
    assert_eq!(spring.reason, "unit 1 shows the answers");
    let shown = [0, 1].map(|byte| rollout.flags_of(&DeviceId::from_bytes([byte; 16])));
    assert_eq!(shown.map(|flags| flags.contains("new-quiz")), [true, false]);
    assert_eq!(rollout.encode().unwrap(), bytes);
}

/// Returns `bytes` as though a trusted document had named them.
fn trusted(bytes: &[u8]) -> Verified<&[u8]> {
    Verified::new(bytes, &ContentReference::of(bytes)).unwrap()
}

/// Made by `zstd -19 --no-check --patch-from`.
fn patch_v1(bytes: &[u8]) {
    let (old, new) = (read("rollout-v1.json"), read("rollout-v2.json"));
    let patch = Patch::from_old(&old);
    let length = new.len() as u64;
    assert_eq!(patch.apply(bytes, length).unwrap(), new);
    for damaged in damages(bytes) {
        // Nothing is known of what comes out but its length: its digest says the rest.
        if let Ok(led) = patch.apply(&damaged, length) {
            assert_eq!(led.len(), new.len());
        }
    }
}

/// Asserts that no damage to the fixture panics `decode`, nor yields what the whole one yields.
fn damaged<T: PartialEq + Debug>(
    name: &str,
    decode: impl for<'a> Fn(&'a [u8]) -> Result<T, FormatError>,
) {
    let bytes = read(name);
    let whole = decode(&bytes).unwrap();
    for damaged in damages(&bytes) {
        if let Ok(decoded) = decode(&damaged) {
            assert_ne!(decoded, whole, "{name}");
        }
    }
}

/// Returns `bytes` with each of their bits flipped, and cut at each length.
fn damages(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let flipped = (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    });
    flipped.chain((0..bytes.len()).map(|end| bytes[..end].to_vec()))
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

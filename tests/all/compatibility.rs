//! Which clients read which formats and get which releases, told in a page of the book that is made here.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use diff_core::{Level, Limits};
use publisher::{Offering, Repository, Steering};
use release_format::{
    Archive, Catalogue, ChannelName, ChunkMap, ClientVersion, ContentReference, FormatError, Label,
    Manifest, Rollout, Share, Verified,
};
use satchel_tests::rig::world::{Device, World, first_course, second_course, third_course};
use updater_client::library::identity::LibraryRecord;
use updater_client::library::record::RecordError;
use updater_client::library::state::StateRecord;
use updater_client::{Abilities, CancelToken, Clock, Offer};

/// Whether bytes were read, or refused as those of a newer version.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Taken,
    Newer,
    Refused(String),
}

impl Read {
    fn of<T>(read: Result<T, FormatError>) -> Read {
        match read {
            Ok(_) => Read::Taken,
            Err(FormatError::UnsupportedVersion { .. }) => Read::Newer,
            Err(other) => Read::Refused(other.to_string()),
        }
    }

    fn of_record<T>(read: Result<T, RecordError>) -> Read {
        match read {
            Ok(_) => Read::Taken,
            Err(RecordError::NewerFormat { .. }) => Read::Newer,
            Err(other) => Read::Refused(other.to_string()),
        }
    }
}

type Reader = fn(&[u8]) -> Read;

/// Each document: its name, its crate, the fixture of each version, how it is read, and the field of its
/// version, where it is JSON; else the offset of the byte.
const DOCUMENTS: [(&str, &str, &[&str], Reader, Version); 7] = [
    (
        "manifest",
        "release-format",
        &["manifest-v1.bin"],
        manifest,
        Version::Byte(4),
    ),
    (
        "chunk map",
        "release-format",
        &["chunk-map-v1.bin"],
        chunk_map,
        Version::Byte(4),
    ),
    (
        "archive",
        "release-format",
        &["archive-v1.bin"],
        archive,
        Version::Byte(4),
    ),
    (
        "catalogue",
        "release-format",
        &["catalogue-v1.json"],
        catalogue,
        Version::Field("schema"),
    ),
    (
        "rollout",
        "release-format",
        &["rollout-v1.json", "rollout-v2.json"],
        rollout,
        Version::Field("schema"),
    ),
    (
        "state record",
        "updater-client",
        &["state-v1-on-trial", "state-v2-kept", "state-v3-on-trial"],
        state,
        Version::Digested("format"),
    ),
    (
        "library record",
        "updater-client",
        &["library-v1.json", "library-v2.json"],
        library,
        Version::Field("format"),
    ),
];

#[derive(Clone, Copy)]
enum Version {
    Byte(usize),
    Field(&'static str),
    Digested(&'static str),
}

fn verified(bytes: &[u8]) -> Verified<&[u8]> {
    Verified::new(bytes, &ContentReference::of(bytes)).unwrap()
}

fn manifest(bytes: &[u8]) -> Read {
    Read::of(Manifest::decode(&verified(bytes), &Limits::standard()))
}

fn chunk_map(bytes: &[u8]) -> Read {
    Read::of(ChunkMap::decode(&verified(bytes), &Limits::standard()))
}

fn archive(bytes: &[u8]) -> Read {
    Read::of(Archive::decode(verified(bytes)))
}

fn catalogue(bytes: &[u8]) -> Read {
    Read::of(Catalogue::decode(&verified(bytes)))
}

fn rollout(bytes: &[u8]) -> Read {
    Read::of(Rollout::decode(&verified(bytes)))
}

fn state(bytes: &[u8]) -> Read {
    Read::of_record(StateRecord::decode(bytes))
}

fn library(bytes: &[u8]) -> Read {
    Read::of_record(LibraryRecord::decode(bytes))
}

/// Returns the bytes as though a version had written them that nobody knows yet.
fn of_the_next(bytes: &[u8], version: Version, newest: usize) -> Vec<u8> {
    let next = newest + 1;
    let replaced = |field: &str| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let [packed, spaced] = [":", ": "].map(|colon| format!("\"{field}\"{colon}"));
        let mark = if text.contains(&spaced) {
            spaced
        } else {
            packed
        };
        let of = |number: usize| format!("{mark}{number}");
        let newer = text.replacen(&of(newest), &of(next), 1);
        assert_ne!(newer, text, "no {field} {newest}");
        newer
    };
    match version {
        Version::Byte(at) => {
            let mut newer = bytes.to_vec();
            newer[at] = u8::try_from(next).unwrap();
            newer
        }
        Version::Field(field) => replaced(field).into_bytes(),
        Version::Digested(field) => {
            let newer = replaced(field);
            let (json, _) = newer.rsplit_once("digest ").unwrap();
            let digest = diff_core::Digest::of(json.as_bytes());
            format!("{json}digest {digest}\n").into_bytes()
        }
    }
}

fn formats() -> String {
    let mut page =
        String::from("| document | versions that are read | the next version |\n|---|---|---|\n");
    for (name, package, fixtures, read, version) in DOCUMENTS {
        let folder = workspace().join("crates").join(package).join("fixtures");
        let mut bytes = Vec::new();
        for fixture in fixtures {
            bytes = fs::read(folder.join(fixture)).unwrap();
            assert_eq!(read(&bytes), Read::Taken, "{fixture}");
        }
        let newest = fixtures.len();
        let next = read(&of_the_next(&bytes, version, newest));
        assert_eq!(next, Read::Newer, "{name}");
        let versions: Vec<_> = (1..=newest).map(|version| version.to_string()).collect();
        writeln!(
            page,
            "| {name} | {} | refused as newer |",
            versions.join(", ")
        )
        .unwrap();
    }
    page
}

/// A client, and what it is called in the table.
struct Client {
    name: &'static str,
    abilities: Abilities,
}

fn clients(fast: &[String]) -> Vec<Client> {
    let all = Abilities::of_build();
    let newer = ClientVersion::new(9, 0, 0);
    let client = |name, version, methods: &[String], chunks| Client {
        name,
        abilities: Abilities {
            version,
            methods: methods.to_vec(),
            chunks,
        },
    };
    vec![
        client("9.0.0, everything", newer, &all.methods, true),
        client("this version, everything", all.version, &all.methods, true),
        client("this version, no chunks", all.version, &all.methods, false),
        client(
            "this version, methods of 1.1 alone",
            all.version,
            fast,
            false,
        ),
        client("the same, with chunks", all.version, fast, true),
        client("this version, no method, chunks", all.version, &[], true),
        client("this version, neither", all.version, &[], false),
    ]
}

fn offered(device: &Device, client: &Client) -> String {
    let builder = device.builder().abilities(client.abilities.clone());
    let check = builder
        .build()
        .unwrap()
        .check(device.pack(), &CancelToken::new());
    // A first install by chunks alone is found impossible once it is planned.
    let check = match check {
        Ok(check) => check,
        Err(failed) => return format!("nothing ({})", failed.code()),
    };
    let offer = match &check.offer {
        Offer::Release(release) => release.label.to_string(),
        Offer::Current => "stays".to_owned(),
        _ => "nothing".to_owned(),
    };
    match check.lacking {
        Some(lacking) => format!("{offer}; {lacking}"),
        None => offer,
    }
}

/// Three releases: one that the fast methods reach, one that needs the best, and one that needs a newer
/// client.
fn releases() -> String {
    let world = World::new();
    world.publish_with("1.0", &first_course(), |options| {
        options.deltas.level = Level::Fast
    });
    let device = world.device();
    device.update().unwrap();
    device.confirm();
    world.publish_with("1.1", &second_course(), |options| {
        options.deltas.level = Level::Fast
    });
    world.publish("1.2", &third_course());
    let mut newest = third_course();
    newest.put(
        "new.html",
        b"<p>A page that only newer clients show.</p>".to_vec(),
    );
    world.publish_with("1.3", &newest, |options| {
        options.share = Share::parse("0%").unwrap();
    });
    let mut offering = Offering::new(Label::parse("1.3").unwrap(), Share::FULL);
    offering.minimum_client = Some(ClientVersion::new(9, 0, 0));
    let repository = Repository::open(world.repository()).unwrap();
    let (channel, now) = (ChannelName::default(), world.clock().now());
    let change = Steering::Offer(offering);
    repository
        .steer(world.pack(), &channel, &world.keys(), now, &change)
        .unwrap();
    let catalogue = repository.catalogue(world.pack()).unwrap();
    let mut fast: Vec<String> = Vec::new();
    for label in ["1.0", "1.1"] {
        let release = catalogue.labelled(&Label::parse(label).unwrap()).unwrap();
        fast.extend(
            release
                .deltas
                .iter()
                .flat_map(|delta| delta.methods.clone()),
        );
    }
    fast.sort();
    fast.dedup();
    let new = world.device();
    let mut page = String::from("| client | has nothing | has 1.0 |\n|---|---|---|\n");
    for client in clients(&fast) {
        let row = [&new, &device].map(|device| offered(device, &client));
        writeln!(page, "| {} | {} | {} |", client.name, row[0], row[1]).unwrap();
    }
    page
}

#[test]
fn the_page_of_the_book_tells_what_clients_read_and_get() {
    let page = format!(
        "# Compatibility\n\n\
         Made by the test `compatibility`, which reads every version of every format and asks a \
         repository as each of these clients; `SATCHEL_WRITE_PAGES=1 cargo test -p satchel-tests --test \
         all compatibility` writes it anew.\n\n\
         ## Formats\n\n\
         A client reads all versions up to its own. A newer one it refuses as such (exit code 9), and \
         leaves what it has as it is.\n\n{}\n\
         [Patches](formats/patch.md) are listed in members that a client passes over if it does not know \
         them: it fetches whole files, as every client does from a repository without patches.\n\n\
         ## Releases\n\n\
         A repository offers 1.3, which needs client 9.0.0. Before it were 1.2, and 1.1 and 1.0, whose \
         deltas were made with `--level fast`. A client gets the newest release that it can apply, and is \
         told what it lacks for a newer one. Chunks need no method.\n\n{}",
        formats(),
        releases()
    );
    let path = workspace().join("docs/src/compatibility.md");
    if std::env::var_os("SATCHEL_WRITE_PAGES").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, page, "{} is stale", path.display());
}

fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

use clap::CommandFactory;
use clap::error::ErrorKind;

use publisher::DeltaFrom;

use super::*;

fn parsed(line: &str) -> Arguments {
    let words = line.split_whitespace();
    match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => panic!("{line}: {error}"),
    }
}

fn refused(line: &str) -> ErrorKind {
    match Arguments::try_parse_from(line.split_whitespace()) {
        Ok(arguments) => panic!("{line} was taken for {arguments:?}"),
        Err(error) => error.kind(),
    }
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_verb_of_the_contract_is_there_and_no_other_is_shown() {
    let command = Arguments::command();
    let shown: Vec<_> = command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| verb.get_name())
        .collect();
    let contract = "init publish lint list show audit report rollout promote halt withdraw approval \
                    guard export prune-repository deltas keys root serve mirror collect gate enroll label \
                    check update status notes path open confirm fail revert verify heal hold unhold pin \
                    unpin prune receipts diff apply demo";
    assert_eq!(shown, contract.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn every_line_of_the_contract_parses() {
    for line in [
        "satchel init repo",
        "satchel init repo --keys dir",
        "satchel export repo to",
        "satchel export repo to --pack a/b --pack a/c --from 1.0,1.1",
        "satchel export repo to --full",
        "satchel prune-repository repo --keep 3 --dry-run",
        "satchel deltas add repo a/b --from 1.0 --to 1.2",
        "satchel deltas plan repo a/b --fleet fleet.csv --worth 20",
        "satchel rollout repo a/b --release 1.0 --share 5%",
        "satchel rollout repo a/b --release 1.0 --share 5% --channel beta --select site=nairobi \
         --select ring=pilot --mode shadow --starts 2026-12-01T06:00:00Z --min-client 0.2 \
         --flag new-quiz=10%",
        "satchel rollout repo a/b --resume",
        "satchel rollout plan repo rollout.toml",
        "satchel rollout apply repo rollout.toml --next --keys dir",
        "satchel promote repo a/b --release 1.0 --to stable --from beta --share 5% --propose file",
        "satchel halt repo a/b --channel beta --reason broken",
        "satchel withdraw repo a/b --release 1.0 --fallback 0.9 --reason broken --security",
        "satchel guard repo acme --threshold 2 --key one.pub --key two.pub --signer file:one.pem",
        "satchel approval sign file --show",
        "satchel approval merge file other",
        "satchel approval publish repo file --keys dir",
        "satchel enroll library --repository repo --root root.json --channel beta --label ring=pilot",
        "satchel label library ring=pilot --remove site",
        "satchel check library --why",
        "satchel mirror library",
        "satchel mirror library --listen 127.0.0.1:0 --keep 500MB --no-upstream --no-announce",
        "satchel update library acme/biology-101 --nearby",
        "satchel check library --nearby",
        "satchel publish repo folder --pack acme/biology-101 --release 1.0",
        "satchel publish repo folder --pack acme/biology-101 --release 1.0 --channel beta \
         --share 5% --delta-from last:4 --notes notes.md --keys dir",
        "satchel publish repo folder --pack a/b --release 1 --delta-from all --level best",
        "satchel publish repo folder --pack a/b --release 1 --delta-from 0.8,0.9",
        "satchel lint folder",
        "satchel list repo",
        "satchel show repo acme/biology-101",
        "satchel show repo acme/biology-101@1.0",
        "satchel audit repo",
        "satchel keys generate alice bob --keys dir --plain",
        "satchel keys list repo --keys dir",
        "satchel keys rotate repo timestamp",
        "satchel keys rotate repo root --old 0011223344556677 --new dave.pub --propose next.json",
        "satchel keys revoke repo 0011223344556677 --new dave.pub --signer env:KEY",
        "satchel keys delegate repo acme --content-key a.pub --operations-key b.pub --threshold 1",
        "satchel keys delegate repo acme --remove --propose next.json",
        "satchel root propose repo --out next.json --add root=alice.pub --remove root=00112233 \
         --threshold root=2 --days 400",
        "satchel root sign next.json --signer file:alice.pem --against 1.root.json --yes",
        "satchel root sign next.json --show",
        "satchel root merge one.json two.json --out all.json",
        "satchel root publish repo all.json --keys dir",
        "satchel serve repo",
        "satchel serve repo --listen 127.0.0.1:0",
        "satchel enroll library --repository http://127.0.0.1:8080 --root root.json",
        "satchel check library",
        "satchel check library acme/biology-101",
        "satchel update library",
        "satchel update library acme/biology-101 acme/chemistry",
        "satchel update library acme/b --from /media/stick --budget 500000 --stage-only",
        "satchel update library --from /media/stick --only --throttle 200kB",
        "satchel status library",
        "satchel status library acme/biology-101",
        "satchel path library acme/biology-101",
        "satchel open library acme/biology-101",
        "satchel open library acme/biology-101@1.0#0123456789abcdef --uncounted -- player --full",
        "satchel heal library",
        "satchel heal library acme/biology-101 --from /media/stick --budget 20MB --root root.json",
        "satchel hold library acme/biology-101 --reason exam",
        "satchel hold library acme/biology-101 --reason exam --until 2026-11-21T12:00:00Z",
        "satchel unhold library acme/biology-101 --reason exam",
        "satchel release library acme/biology-101",
        "satchel pin library acme/biology-101",
        "satchel pin library acme/biology-101 1.0 --keep",
        "satchel unpin library acme/biology-101 1.0",
        "satchel prune library --dry-run --downloads",
        "satchel confirm library acme/biology-101",
        "satchel fail library acme/biology-101 --reason broken",
        "satchel revert library acme/biology-101",
        "satchel verify library",
        "satchel verify library acme/biology-101",
        "satchel diff old new delta",
        "satchel diff old new delta --stats --level fast",
        "satchel diff old new delta --methods zstd,bsdiff,zlib-1",
        "satchel apply old delta new",
        "satchel demo",
        "satchel demo --keep",
        "satchel completions bash",
        "satchel man dir",
        "satchel reference",
    ] {
        parsed(line);
        for flag in ["--json", "-q", "-v", "--quiet", "--verbose"] {
            parsed(&format!("{line} {flag}"));
        }
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let publish = parsed("satchel publish repo folder --pack a/b --release 1.0");
    let Verb::Publish(publish) = publish.verb else {
        panic!("{:?}", publish.verb)
    };
    assert_eq!(publish.channel.as_str(), "stable");
    assert_eq!(publish.share.to_string(), "100%");
    assert_eq!(publish.delta_from.from, DeltaFrom::Last(4));
    assert_eq!(publish.delta_from.pays_bytes, 0);
    assert_eq!(publish.signing.keys, None);
}

#[test]
fn names_and_numbers_that_are_none_are_wrong_usage() {
    for line in [
        "satchel publish repo folder --pack biology --release 1.0",
        "satchel publish repo folder --pack a/b --release ../1",
        "satchel publish repo folder --pack a/b --release 1 --share 101%",
        "satchel publish repo folder --pack a/b --release 1 --delta-from last:many",
        "satchel publish repo folder --pack a/b --release 1 --delta-from 1,,2",
        "satchel show repo acme/b@",
        "satchel update library --budget -1",
        "satchel update library --budget 10parsecs",
        "satchel mirror library --keep everything",
        "satchel serve repo --listen somewhere",
        "satchel diff old new delta --level worst",
        "satchel diff old new delta --methods zstd,lzma",
        "satchel diff old new delta --methods zlib",
    ] {
        let kind = refused(line);
        let expected = [
            ErrorKind::ValueValidation,
            ErrorKind::InvalidValue,
            ErrorKind::UnknownArgument,
        ];
        assert!(expected.contains(&kind), "{line}: {kind:?}");
    }
    for line in ["satchel fail library a/b", "satchel update library --only"] {
        assert_eq!(refused(line), ErrorKind::MissingRequiredArgument, "{line}");
    }
    for line in [
        "satchel lint folder -q -v",
        "satchel update library --nearby --from stick",
    ] {
        assert_eq!(refused(line), ErrorKind::ArgumentConflict, "{line}");
    }
}

#[test]
fn budgets_are_counted_in_bytes() {
    for (text, bytes) in [
        ("0", 0),
        ("500000", 500_000),
        ("20MB", 20_000_000),
        ("20m", 20_000_000),
        ("1.5MiB", 1_572_864),
        ("0.25k", 250),
    ] {
        assert_eq!(text.parse(), Ok(ByteBudget(bytes)), "{text}");
    }
    for text in [
        "",
        "MB",
        ".",
        "1.",
        "1.2.3",
        "99999999999GB",
        "1.0000000000GB",
        "-1",
    ] {
        assert!(
            text.parse::<ByteBudget>().is_err(),
            "{text} was taken for a number of bytes"
        );
    }
}

#[test]
fn delta_policies_combine() {
    let parsed = |text: &str| text.parse::<DeltaChoice>();
    let label = |text: &str| Label::parse(text).unwrap();
    let labels = |all: &[&str]| DeltaFrom::Labels(all.iter().map(|text| label(text)).collect());
    for (text, from, pays_bytes) in [
        ("all", DeltaFrom::All, 0),
        ("last:2", DeltaFrom::Last(2), 0),
        ("1.0,1.1", labels(&["1.0", "1.1"]), 0),
        ("baseline:1.0,1.1", labels(&["1.0", "1.1"]), 0),
        ("pays:20kB", DeltaFrom::Last(4), 20_000),
        ("all,pays:1MiB", DeltaFrom::All, 1 << 20),
        (
            "last:2,baseline:1.0,pays:500",
            DeltaFrom::Several(vec![DeltaFrom::Last(2), labels(&["1.0"])]),
            500,
        ),
    ] {
        assert_eq!(parsed(text), Ok(DeltaChoice { from, pays_bytes }), "{text}");
    }
    for refused in [
        "last:",
        "last:some",
        "pays:much",
        "",
        "1.0,,1.1",
        "baseline:",
    ] {
        assert!(parsed(refused).is_err(), "{refused}");
    }
}

//! The same promises of PostgreSQL, kept by a real server where this machine has one.

#![cfg(all(unix, feature = "postgres"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use collector::{PostgresStore, SqliteStore, Store};
use diff_core::Digest;
use release_format::{
    ChannelName, DeviceKey, Label, PackName, Receipt, ReceiptId, ReceiptOutcome, ReceiptRoute,
    SignedReceipt, UtcTime,
};

/// A server of its own, in a temporary folder.
struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    fn start() -> Option<Server> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let newest = versions.flatten().map(|entry| entry.path()).max()?;
        let folder = tempfile::tempdir().unwrap();
        // Free again at once, for the server to take.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let server = Server {
            programs: newest.join("bin"),
            folder,
            port,
        };
        if is_root() {
            let folder = server.folder.path().to_str().unwrap();
            run(Command::new("chown").args(["postgres", folder]));
        }
        let data = server.data();
        let arguments = ["-D", &data, "-A", "trust", "-U", "satchel", "--no-sync"];
        run(server.program("initdb").args(arguments));
        server.begin();
        Some(server)
    }

    /// Starts it over the data that there is.
    fn begin(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories=",
            self.port
        );
        let log = self.folder.path().join("log");
        let data = self.data();
        let arguments = [
            "-D",
            &data,
            "-w",
            "-l",
            log.to_str().unwrap(),
            "-o",
            &options,
        ];
        run(self.program("pg_ctl").args(arguments).arg("start"));
    }

    fn data(&self) -> String {
        self.folder.path().join("data").to_str().unwrap().to_owned()
    }

    /// The server refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    }

    fn restart(&self) {
        let data = self.data();
        run(self
            .program("pg_ctl")
            .args(["-D", &data, "-m", "immediate", "stop"]));
        self.begin();
    }

    fn url(&self) -> String {
        format!("postgres://satchel@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data();
        let _ = self
            .program("pg_ctl")
            .args(["-D", &data, "-m", "immediate", "stop"])
            .output();
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
        && Path::new("/usr/sbin/runuser").exists()
}

fn run(command: &mut Command) {
    let output = command.current_dir("/").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
}

fn receipt(number: u32, outcome: ReceiptOutcome) -> SignedReceipt {
    let key = DeviceKey::from_seed(Digest::of(&(number % 7).to_le_bytes()).as_bytes());
    let mut id = [0; ReceiptId::LENGTH];
    id[..4].copy_from_slice(&number.to_be_bytes());
    key.sign(Receipt {
        id: ReceiptId::from_bytes(id),
        device: key.id(),
        pack: PackName::parse("acme/biology-101").unwrap(),
        release: Digest::of(b"a manifest"),
        label: Label::parse("1.4.0").unwrap(),
        channel: ChannelName::default(),
        outcome,
        reason: None,
        route: ReceiptRoute::Delta,
        fetched_bytes: 1,
        update_seconds: 1,
        trial_seconds: u64::from(number) * 60,
        time: UtcTime::from_seconds(1_795_300_000 + i64::from(number)),
        clock_believed: true,
        client: "0.1.0".to_owned(),
    })
    .unwrap()
}

#[test]
fn postgresql_counts_each_once_and_what_sqlite_counts() {
    let Some(server) = Server::start() else {
        eprintln!("skipped: there is no PostgreSQL on this machine");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let mut sqlite = SqliteStore::open(&temporary.path().join("receipts.db")).unwrap();
    let mut postgres = PostgresStore::connect(&server.url()).unwrap();
    let received = UtcTime::from_seconds(1_795_400_000);
    let mut some: Vec<_> = (0..500)
        .map(|number| receipt(number, ReceiptOutcome::Confirmed))
        .collect();
    some.extend((500..600).map(|number| receipt(number, ReceiptOutcome::Superseded)));
    // One of them twice in the same transaction.
    some.push(some[0].clone());
    for expected in [(600, 1), (0, 601)] {
        for store in [&mut sqlite as &mut dyn Store, &mut postgres] {
            let stored = store.write(&some, received).unwrap();
            assert_eq!((stored.new.total(), stored.known), expected);
        }
    }
    for since in [None, Some(UtcTime::from_seconds(1_795_300_300))] {
        let pack = PackName::parse("acme/biology-101").unwrap();
        let tallies = [&mut sqlite as &mut dyn Store, &mut postgres]
            .map(|store| store.tally(Some(&pack), since).unwrap());
        assert_eq!(tallies[0], tallies[1]);
        assert!(tallies[0].total() > 0);
    }
    assert_eq!(postgres.devices().unwrap().len(), 7);
    // The server is restarted: the next write fails, and the one after it finds all there.
    server.restart();
    let again = [receipt(1_000, ReceiptOutcome::Confirmed)];
    let _ = postgres.write(&again, received);
    let stored = postgres.write(&again, received).unwrap();
    assert_eq!(stored.new.total() + stored.known, 1);
    assert_eq!(postgres.receipts().unwrap(), 601);
    assert_eq!(postgres.tally(None, None).unwrap().total(), 601);
}

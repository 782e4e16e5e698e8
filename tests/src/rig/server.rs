//! A server of HTTP/1.1 that misbehaves on demand.

mod exchange;
mod script;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use self::script::Misbehaviour;
use self::script::{Moment, Rule, Script};

/// Serves a folder on a port of this machine, with ranges, as a mirror is served; and misbehaves where
/// it is told to.
///
/// Locations are those of the repository (`metadata/timestamp.json`), patterns are locations in which
/// each `*` stands for any characters. Everything ends when the server is dropped, connections in the
/// middle of an answer too.
///
/// ```
/// use satchel_tests::rig::server::{Misbehaviour, Server};
/// let folder = tempfile::tempdir()?;
/// let server = Server::start(folder.path())?;
/// server.misbehave("content/*", Misbehaviour::Truncate { at: 64 << 10 });
/// println!("{} drops every 64 KiB", server.url());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// A request that the server received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// The location asked for.
    pub location: String,
    /// The first byte asked for, where a range was.
    pub from: Option<u64>,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The status of the answer; `None` where there was none.
    pub status: Option<u16>,
    /// Bytes of the body that were handed to the network so far.
    pub sent: u64,
}

/// What went over the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests received.
    pub requests: u64,
    /// Bytes of bodies sent.
    pub bodies: u64,
    /// Bytes of the heads of answers sent.
    pub heads: u64,
}

impl Server {
    /// Starts to serve `folder`, whose files are read anew for each request.
    ///
    /// # Errors
    /// Whatever listening on a port fails with.
    pub fn start(folder: impl Into<PathBuf>) -> io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            folder: folder.into(),
            port: address.port(),
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("rig-server".to_owned())
                .spawn(move || accept(&listener, &shared))?
        };
        Ok(Server {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Returns the address of the folder, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests for `pattern` with `misbehaviour` from now on.
    ///
    /// Of several rules for a location, the one given first counts until it is used up.
    pub fn misbehave(&self, pattern: &str, misbehaviour: Misbehaviour) {
        self.misbehave_times(pattern, u64::MAX, misbehaviour);
    }

    /// Answers the next `times` requests for `pattern` with `misbehaviour`.
    pub fn misbehave_times(&self, pattern: &str, times: u64, misbehaviour: Misbehaviour) {
        self.shared.state().script.rules.push(Rule {
            pattern: pattern.to_owned(),
            times,
            misbehaviour,
        });
    }

    /// Answers as a server should from now on.
    pub fn behave(&self) {
        self.shared.state().script.rules.clear();
    }

    /// Calls `hook`, once, as soon as `bytes` bytes of bodies were sent for locations that match
    /// `pattern`; not one more of that body is sent before it returns.
    ///
    /// It runs on a thread of the server, so a test can cut the power at that moment. A client that has
    /// all of a body with the last byte goes on meanwhile: to stop it, wait for a byte before.
    pub fn when_sent(&self, pattern: &str, bytes: u64, hook: impl FnOnce() + Send + 'static) {
        self.shared.state().script.moments.push(Moment {
            pattern: pattern.to_owned(),
            left: bytes,
            hook: Box::new(hook),
        });
    }

    /// Lets every answer that is stalled go on.
    pub fn release(&self) {
        self.shared.state().releases += 1;
        self.shared.changed.notify_all();
    }

    /// Waits until an answer is stalled.
    pub fn wait_until_stalled(&self) {
        self.shared.wait("an answer to stall", |s| s.stalled > 0);
    }

    /// Waits until nobody is connected.
    pub fn wait_until_left(&self) {
        self.shared.wait("clients to leave", |s| s.open.is_empty());
    }

    /// Returns the requests received so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().log.iter().map(Entry::shown).collect()
    }

    /// Returns what went over the line so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.state().traffic
    }

    /// Forgets the requests and the traffic so far.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.log.clear();
        state.traffic = Traffic::default();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.is_stopping = true;
            for stream in state.open.values() {
                // One that its client has closed already cannot be shut down again.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
        // The listener waits for a connection: this one tells it to look.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let ended = accepting.join();
            assert!(
                ended.is_ok() || thread::panicking(),
                "the server has panicked"
            );
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections = Vec::new();
    for (id, stream) in (0..).zip(listener.incoming()) {
        let Ok(stream) = stream else { continue };
        let Ok(kept) = stream.try_clone() else {
            continue;
        };
        {
            let mut state = shared.state();
            if state.is_stopping {
                break;
            }
            state.open.insert(id, kept);
        }
        let shared = Arc::clone(shared);
        connections.push(thread::spawn(move || {
            exchange::converse(&stream, &shared);
            shared.state().open.remove(&id);
            shared.changed.notify_all();
        }));
    }
    for connection in connections {
        assert!(connection.join().is_ok(), "a connection has panicked");
    }
}

/// What the threads of a server have in common.
struct Shared {
    folder: PathBuf,
    port: u16,
    state: Mutex<State>,
    /// Told of every change of state that somebody may wait for.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    script: Script,
    log: Vec<Entry>,
    traffic: Traffic,
    open: BTreeMap<u64, TcpStream>,
    stalled: usize,
    releases: u64,
    is_stopping: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let (_state, waited) = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, |state| !is_so(state))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "waited in vain for {what}");
    }

    /// Holds an answer back until the test releases it, the client leaves, or the server ends.
    fn stall(&self, stream: &TcpStream) -> io::Result<()> {
        let has_left = Arc::new(AtomicU64::new(0));
        let mut line = stream.try_clone()?;
        thread::scope(|scope| {
            scope.spawn(|| {
                // A client that waits sends nothing: this returns when either side ends the line.
                let _ = io::copy(&mut line, &mut io::sink());
                has_left.store(1, Ordering::SeqCst);
                drop(self.state());
                self.changed.notify_all();
            });
            let mut state = self.state();
            let before = state.releases;
            state.stalled += 1;
            self.changed.notify_all();
            let mut state = self
                .changed
                .wait_while(state, |state| {
                    let is_free = state.releases != before || state.is_stopping;
                    !is_free && has_left.load(Ordering::SeqCst) == 0
                })
                .unwrap_or_else(PoisonError::into_inner);
            state.stalled -= 1;
            drop(state);
            stream.shutdown(Shutdown::Read)
        })
    }

    /// Counts before the bytes are sent: a client that has them may ask at once.
    fn count(&self, sent: &Sent, bytes: u64) {
        sent.0.fetch_add(bytes, Ordering::SeqCst);
        self.state().traffic.bodies += bytes;
    }

    /// Runs the hooks whose moment has come, on this thread and without the lock.
    fn call_due(&self, location: &str, bytes: u64) {
        let due = self.state().script.take_due(location, bytes);
        for hook in due {
            hook();
        }
    }
}

/// A request in the log, whose answer may still be on its way.
struct Entry {
    request: Request,
    sent: Sent,
}

impl Entry {
    fn shown(&self) -> Request {
        let mut request = self.request.clone();
        request.sent = self.sent.0.load(Ordering::SeqCst);
        request
    }
}

/// Bytes of one body sent so far.
#[derive(Clone, Default)]
struct Sent(Arc<AtomicU64>);

/// Longer than any test may take: a wait that lasts so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

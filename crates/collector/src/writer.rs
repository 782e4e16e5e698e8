use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use release_format::{SignedReceipt, UtcTime};
use tokio::sync::oneshot;

use crate::error::CollectorError;
use crate::metrics::Metrics;
use crate::store::Store;

/// The one thread that writes: it takes what many requests brought into one transaction, and answers
/// them when that is durable.
pub struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Receipts of one request, and whoever waits for them.
struct Job {
    receipts: Vec<SignedReceipt>,
    received: UtcTime,
    done: oneshot::Sender<bool>,
}

/// Why receipts were not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotWritten {
    /// There is too much to do.
    Busy,
    /// The database failed.
    Failed,
}

impl Writer {
    /// Requests that wait at most.
    pub const QUEUE: usize = 512;
    /// Receipts of one transaction at most, but for the last request's.
    pub const GROUP: usize = 20_000;

    /// Starts the thread.
    ///
    /// # Errors
    /// [`CollectorError::Serve`] when the system gives no thread.
    pub(crate) fn start(
        store: Box<dyn Store>,
        metrics: Arc<Metrics>,
        failing: impl Fn(&CollectorError) + Send + 'static,
    ) -> Result<Writer, CollectorError> {
        let (queue, jobs) = sync_channel(Writer::QUEUE);
        let thread = thread::Builder::new()
            .name("receipts".to_owned())
            .spawn(move || run(store, &jobs, &metrics, &failing))
            .map_err(CollectorError::Serve)?;
        Ok(Writer {
            queue: Some(queue),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes receipts; returns once they are durable.
    pub(crate) async fn write(
        &self,
        receipts: Vec<SignedReceipt>,
        received: UtcTime,
    ) -> Result<(), NotWritten> {
        let (done, waiting) = oneshot::channel();
        let job = Job {
            receipts,
            received,
            done,
        };
        let queue = self.queue.as_ref().ok_or(NotWritten::Failed)?;
        queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => NotWritten::Busy,
            TrySendError::Disconnected(_) => NotWritten::Failed,
        })?;
        match waiting.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(NotWritten::Failed),
        }
    }

    /// Whether the thread still takes receipts.
    pub(crate) fn is_alive(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Writer {
    /// Writes what waits, and ends.
    fn drop(&mut self) {
        self.queue = None;
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    mut store: Box<dyn Store>,
    jobs: &Receiver<Job>,
    metrics: &Metrics,
    failing: &dyn Fn(&CollectorError),
) {
    while let Ok(first) = jobs.recv() {
        let received = first.received;
        let mut receipts = Vec::new();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            receipts.extend(job.receipts);
            waiting.push(job.done);
            if receipts.len() < Writer::GROUP {
                next = jobs.try_recv().ok();
            }
        }
        let written = store.write(&receipts, received);
        match &written {
            Ok(stored) => metrics.count(stored),
            Err(failed) => failing(failed),
        }
        for done in waiting {
            // Who has hung up sends them again.
            let _ = done.send(written.is_ok());
        }
    }
}

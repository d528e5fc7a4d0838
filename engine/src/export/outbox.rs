//! A thread that carries messages out, so that nothing waits for a receiver but the end of a run.

use std::{
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Messages on their way. Dropping it waits for the last delivery.
pub(super) struct Outbox<M> {
    sender: Option<mpsc::Sender<M>>,
    worker: Option<JoinHandle<()>>,
}

impl<M: Send + 'static> Outbox<M> {
    /// Hands what gathered within `every` to `deliver`, and the rest when the outbox is dropped. None when there is no thread.
    pub(super) fn start(name: &str, every: Duration, deliver: impl FnMut(Vec<M>) + Send + 'static) -> Option<Self> {
        let (sender, messages) = mpsc::channel();
        let worker = std::thread::Builder::new().name(name.to_owned()).spawn(move || carry(&messages, every, deliver));
        let worker = worker.map_err(|error| tracing::warn!(%error, name, "Could not start sending.")).ok()?;
        Some(Self { sender: Some(sender), worker: Some(worker) })
    }

    pub(super) fn put(&self, message: M) {
        if let Some(sender) = &self.sender {
            // A worker that is gone has told so.
            sender.send(message).ok();
        }
    }
}

fn carry<M>(messages: &mpsc::Receiver<M>, every: Duration, mut deliver: impl FnMut(Vec<M>)) {
    let mut waiting = Vec::new();
    let mut due = Instant::now() + every;
    loop {
        match messages.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(message) => waiting.push(message),
            Err(end) => {
                if !waiting.is_empty() {
                    deliver(std::mem::take(&mut waiting));
                }
                if end == mpsc::RecvTimeoutError::Disconnected {
                    return;
                }
                due = Instant::now() + every;
            }
        }
    }
}

impl<M> Drop for Outbox<M> {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(worker) = self.worker.take() {
            // The last messages are worth the few seconds a receiver may take; a panic of the worker has told itself.
            worker.join().ok();
        }
    }
}

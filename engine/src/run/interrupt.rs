//! Requests to stop a run: the first stops scheduling and asks running stages to checkpoint, the second kills them.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// A stream of requests to stop.
pub struct Interrupts {
    requests: mpsc::UnboundedReceiver<()>,
    /// Kept so that a stream without a source stays open.
    _keep: mpsc::UnboundedSender<()>,
}

impl Interrupts {
    /// Never interrupts.
    pub fn never() -> Self {
        Self::channel().1
    }

    /// A stream that the caller feeds.
    pub fn channel() -> (mpsc::UnboundedSender<()>, Self) {
        let (sender, requests) = mpsc::unbounded_channel();
        (sender.clone(), Self { requests, _keep: sender })
    }

    /// Ctrl-C, SIGTERM, and SIGHUP of this process. Must be called inside a tokio runtime.
    pub fn from_signals() -> std::io::Result<Self> {
        let (sender, interrupts) = Self::channel();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut signals = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if sender.send(()).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(interrupts)
    }

    pub(crate) async fn next(&mut self) {
        // The stream keeps a sender of its own, so it never ends.
        if self.requests.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

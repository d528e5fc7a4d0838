//! Requests to stop a run, more urgent each time: running stages are asked to stop at a safe point, then told to end, then
//! killed. The run can be resumed after each.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Stop, and more urgently than before if that was asked for already: Ctrl-C.
    Press,
    /// Stop at a safe point, and after a grace period at once: SIGTERM, and SIGHUP of a run with a terminal.
    Terminate,
    /// Stop at once: SIGQUIT.
    Kill,
}

/// What the end of the terminal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// The run is to end.
    Stops,
    /// Nothing: the run was detached from it.
    Ignored,
}

/// A stream of requests to stop.
pub struct Interrupts {
    requests: mpsc::UnboundedReceiver<Interrupt>,
    /// Kept so that a stream without a source stays open.
    _keep: mpsc::UnboundedSender<Interrupt>,
}

impl Interrupts {
    /// Never interrupts.
    pub fn never() -> Self {
        Self::channel().1
    }

    /// A stream that the caller feeds.
    pub fn channel() -> (mpsc::UnboundedSender<Interrupt>, Self) {
        let (sender, requests) = mpsc::unbounded_channel();
        (sender.clone(), Self { requests, _keep: sender })
    }

    /// The signals of this process. Must be called inside a tokio runtime.
    pub fn from_signals(hangup: Hangup) -> std::io::Result<Self> {
        let (sender, interrupts) = Self::channel();
        let meanings = [
            (SignalKind::interrupt(), Some(Interrupt::Press)),
            (SignalKind::terminate(), Some(Interrupt::Terminate)),
            (SignalKind::quit(), Some(Interrupt::Kill)),
            (SignalKind::hangup(), (hangup == Hangup::Stops).then_some(Interrupt::Terminate)),
        ];
        for (kind, meaning) in meanings {
            tokio::spawn(relay(signal(kind)?, meaning, sender.clone()));
        }
        Ok(interrupts)
    }

    pub(crate) async fn next(&mut self) -> Interrupt {
        match self.requests.recv().await {
            Some(request) => request,
            // The stream keeps a sender of its own, so it never ends.
            None => std::future::pending().await,
        }
    }
}

/// Passes a signal on; one without a meaning is taken from the system and dropped.
async fn relay(mut signals: Signal, meaning: Option<Interrupt>, sender: mpsc::UnboundedSender<Interrupt>) {
    while signals.recv().await.is_some() {
        if meaning.is_some_and(|meaning| sender.send(meaning).is_err()) {
            break;
        }
    }
}

//! Where stages wait to be looked up, and the threads that take them up.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::serve;
use crate::run::{admission::Looking, executor::Shared, prepare::StageWork};

/// Threads that look stages up, at most: hashing waits for disks, fetching for the network.
const MOST: usize = 16;
/// When no stage was looked up for so long, the threads wait for something, and one more is worth its while.
const PATIENCE: Duration = Duration::from_millis(5);

/// Stages that one thread takes up at once, at most.
const BUNCH: usize = 32;

/// A stage to look up. Less urgent stages wait a moment for it.
pub(super) type Job = (StageWork, Looking);

/// Stages to look up, and the threads that do.
#[derive(Default)]
pub(crate) struct Desk {
    state: Mutex<State>,
    /// Stages looked up so far.
    looked: AtomicU64,
    bell: Condvar,
    /// Rung when nobody has to watch any more.
    closing: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: Vec<JoinHandle<()>>,
    idle: usize,
    /// Whether a thread watches that stages are taken up.
    watched: bool,
    /// Threads that are worth their while when none of them waits.
    cores: usize,
    closed: bool,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a stage looked up.
    pub(in crate::run) fn hand_in(shared: &Arc<Shared>, work: StageWork) {
        let looking = shared.admission.looking();
        let mut state = shared.desk.state();
        state.queue.push_back((work, looking));
        if state.idle >= state.queue.len() {
            drop(state);
            shared.desk.bell.notify_one();
        } else {
            state.reinforce(shared);
        }
    }

    /// Takes stages back that somebody took up and has no time for: they come next.
    pub(super) fn give_back(shared: &Arc<Shared>, jobs: VecDeque<Job>) {
        if jobs.is_empty() {
            return;
        }
        let mut state = shared.desk.state();
        jobs.into_iter().rev().for_each(|job| state.queue.push_front(job));
        if state.idle < state.queue.len() {
            state.reinforce(shared);
        }
        drop(state);
        shared.desk.bell.notify_all();
    }

    /// Waits until the stages on the desk stay where they are. False when none is left.
    fn is_stuck(&self, shared: &Arc<Shared>) -> bool {
        let mut state = self.state();
        loop {
            let before = self.looked.load(Ordering::Relaxed);
            state = self.closing.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
            let waiting = !state.closed && !state.queue.is_empty();
            if waiting && self.looked.load(Ordering::Relaxed) != before {
                continue;
            }
            state.watched = false;
            if waiting {
                state.reinforce(shared);
            }
            return waiting;
        }
    }

    /// Lets the threads go, and waits for them: they hold what the run holds.
    pub(in crate::run) fn close(&self) {
        let threads = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.threads)
        };
        self.bell.notify_all();
        self.closing.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("A thread that looks stages up died.");
            }
        }
    }

    /// Notes that a stage was looked up.
    pub(super) fn looked(&self) {
        self.looked.fetch_add(1, Ordering::Relaxed);
    }

    /// The next stages to look up, an even share of them. Waits for some; none when the desk is closed.
    pub(super) fn next(&self) -> Option<VecDeque<Job>> {
        let mut state = self.state();
        loop {
            let share = state.queue.len().div_ceil(2 * state.threads.len().max(1)).min(BUNCH);
            if share > 0 {
                return Some(state.queue.drain(..share).collect());
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

impl State {
    /// Sees to it that stages are taken up: by another thread, or by one that watches whether the others wait.
    fn reinforce(&mut self, shared: &Arc<Shared>) {
        self.threads.retain(|thread| !thread.is_finished());
        if self.cores == 0 {
            self.cores = std::thread::available_parallelism().map_or(1, usize::from);
        }
        let shared = shared.clone();
        if self.threads.len() < self.cores.min(MOST) {
            self.threads.push(std::thread::spawn(move || serve(&shared)));
        } else if !self.watched && self.threads.len() < MOST {
            self.watched = true;
            self.threads.push(std::thread::spawn(move || {
                if shared.desk.is_stuck(&shared) {
                    serve(&shared);
                }
            }));
        }
    }
}

//! Keeps the values of secrets out of a command's log: its output passes through here and comes out with `***` instead.

use std::{
    io::{self, Read, Write},
    process::Child,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const MARK: &[u8] = b"***";
/// Shorter lines of a secret would mask ordinary words.
const SHORTEST: usize = 4;
/// How long output may take to drain once the command has ended; a process that escaped may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_secs(2);

/// What must not be seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Mask {
    hidden: Vec<Vec<u8>>,
}

impl Mask {
    /// Hides every line of the given values, longest first, so that a value inside another one leaves no rest.
    pub(super) fn of(secrets: &[String]) -> Self {
        let lines = secrets.iter().flat_map(|secret| secret.lines().map(str::trim));
        let mut hidden: Vec<Vec<u8>> = lines.filter(|line| line.len() >= SHORTEST).map(|line| line.as_bytes().to_vec()).collect();
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        hidden.dedup();
        Self { hidden }
    }

    /// Whether there is nothing to hide.
    pub(super) fn is_empty(&self) -> bool {
        self.hidden.is_empty()
    }

    /// Copies a stream to its end, masked. The end of what was read is held back while it may be the start of a secret.
    fn copy(&self, mut input: impl Read, mut output: impl Write) -> io::Result<()> {
        let held = self.hidden.first().map_or(0, |longest| longest.len() - 1);
        let mut pending = Vec::new();
        let mut chunk = vec![0_u8; 8192];
        loop {
            let read = input.read(&mut chunk)?;
            pending.extend_from_slice(chunk.get(..read).unwrap_or_default());
            for secret in &self.hidden {
                pending = replaced(&pending, secret);
            }
            let ready = if read == 0 { pending.len() } else { pending.len().saturating_sub(held) };
            output.write_all(pending.get(..ready).unwrap_or_default())?;
            output.flush()?;
            pending.drain(..ready);
            if read == 0 {
                return Ok(());
            }
        }
    }
}

fn replaced(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(secret.len()).position(|window| window == secret) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(MARK);
        rest = rest.get(at + secret.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// The threads that carry a command's output to the attempt's log.
pub(super) struct Carriers(Vec<JoinHandle<()>>);

impl Carriers {
    /// Starts carrying what the child has piped; a child without pipes needs none.
    pub(super) fn start(child: &mut Child, mask: &Mask) -> Self {
        let out = child.stdout.take().map(|pipe| carry(mask.clone(), pipe, io::stdout()));
        let err = child.stderr.take().map(|pipe| carry(mask.clone(), pipe, io::stderr()));
        Self(out.into_iter().chain(err).collect())
    }

    /// Waits until everything was written, but not for ever.
    pub(super) fn finish(self) {
        let since = Instant::now();
        while since.elapsed() < DRAIN && self.0.iter().any(|carrier| !carrier.is_finished()) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn carry(mask: Mask, pipe: impl Read + Send + 'static, log: impl Write + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || {
        // A log that cannot be written must not fail the command.
        mask.copy(pipe, log).ok();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a read: the worst way to be cut.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let (Some((first, rest)), Some(slot)) = (self.0.split_first(), buffer.first_mut()) else { return Ok(0) };
            (*slot, self.0) = (*first, rest);
            Ok(1)
        }
    }

    fn masked(text: &str, secrets: &[&str]) -> String {
        let mask = Mask::of(&secrets.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut out = Vec::new();
        mask.copy(Dripping(text.as_bytes()), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_masked_however_it_is_cut() {
        assert_eq!(masked("+ curl -H hunter2hunter2 x\nhunter2", &["hunter2hunter2"]), "+ curl -H *** x\nhunter2");
        assert_eq!(masked("a: hunter2hunter2", &["hunter2", "hunter2hunter2"]), "a: ******");
    }

    #[test]
    fn every_line_of_a_key_is_masked_and_short_ones_are_not() {
        assert_eq!(masked("x BEGIN-KEY y ab z", &["BEGIN-KEY\nab"]), "x *** y ab z");
    }
}

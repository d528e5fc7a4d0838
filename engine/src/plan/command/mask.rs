//! Keeps the values of secrets out of a command's log: its output passes through here and comes out with `***` instead.

use std::{
    io::{self, Read, Write},
    process::Child,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::forms::{Forms, Shortest};
use crate::StageError;

const MARK: &[u8] = b"***";
/// How long output may take to drain once the command has ended; a process that escaped may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_secs(2);

/// What must not be seen.
#[derive(Clone, Debug)]
pub(crate) struct Mask {
    /// None when there is nothing to hide.
    hidden: Option<Forms>,
}

impl Mask {
    /// Hides every form of every line of the given values.
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, StageError> {
        Ok(Self { hidden: Forms::of(secrets, Shortest::Word)? })
    }

    /// Whether there is nothing to hide.
    pub(super) fn is_empty(&self) -> bool {
        self.hidden.is_none()
    }

    /// Copies a stream to its end, masked. The end of what was read is held back while a secret may go on in it.
    fn copy(&self, mut input: impl Read, mut output: impl Write) -> io::Result<()> {
        let Some(forms) = &self.hidden else { return io::copy(&mut input, &mut output).map(drop) };
        let mut pending = Vec::new();
        let mut chunk = vec![0_u8; 8192];
        loop {
            let read = input.read(&mut chunk)?;
            pending.extend_from_slice(chunk.get(..read).unwrap_or_default());
            let settled = if read == 0 { pending.len() } else { pending.len().saturating_sub(forms.longest() - 1) };
            let mut done = 0;
            // Of two secrets that begin at one place, the longer counts; it is known whole before the settled part ends.
            for found in forms.find(&pending).take_while(|found| found.start < settled) {
                output.write_all(pending.get(done..found.start).unwrap_or_default())?;
                output.write_all(MARK)?;
                done = found.end;
            }
            output.write_all(pending.get(done..settled).unwrap_or_default())?;
            output.flush()?;
            pending.drain(..done.max(settled));
            if read == 0 {
                return Ok(());
            }
        }
    }
}

/// The threads that carry a command's output to where it is kept.
pub(crate) struct Carriers(Vec<JoinHandle<()>>);

/// Where the standard output of a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// Each stream to the one of its name.
    Apart,
    /// Both to the standard error, because the other carries an answer.
    Aside,
}

impl Carriers {
    /// Starts carrying what the child has piped; a child without pipes needs none.
    pub(super) fn start(child: &mut Child, mask: &Mask, log: Log) -> Self {
        let out = child.stdout.take().map(|pipe| match log {
            Log::Apart => carry(mask.clone(), pipe, io::stdout()),
            Log::Aside => carry(mask.clone(), pipe, io::stderr()),
        });
        let err = child.stderr.take().map(|pipe| carry(mask.clone(), pipe, io::stderr()));
        Self(out.into_iter().chain(err).collect())
    }

    /// Starts carrying what the child has piped, its output to the first place and its errors to the second.
    pub(crate) fn between<W: Write + Send + 'static>(child: &mut Child, mask: &Mask, (out, err): (W, W)) -> Self {
        let out = child.stdout.take().map(|pipe| carry(mask.clone(), pipe, out));
        let err = child.stderr.take().map(|pipe| carry(mask.clone(), pipe, err));
        Self(out.into_iter().chain(err).collect())
    }

    /// Waits until everything was written, but not for ever.
    pub(crate) fn finish(self) {
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
        let mask = Mask::of(secrets.iter().copied()).unwrap();
        let mut out = Vec::new();
        mask.copy(Dripping(text.as_bytes()), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_masked_however_it_is_cut() {
        assert_eq!(masked("+ curl -H hunter2hunter2 x\nhunter2", &["hunter2hunter2"]), "+ curl -H *** x\nhunter2");
        assert_eq!(masked("a: hunter2hunter2", &["hunter2", "hunter2hunter2"]), "a: ***");
        assert_eq!(masked("password123 pass", &["pass", "password123"]), "*** ***");
    }

    #[test]
    fn what_a_secret_becomes_in_a_header_or_a_url_is_masked_as_well() {
        assert_eq!(masked("Basic dXNlcjpodW50ZXIyaHVudGVyMg==", &["hunter2hunter2"]), "Basic dXNlcjp***g==");
        assert_eq!(masked("GET /?t=a%2Fb%2Fc%2Fd HTTP", &["a/b/c/d"]), "GET /?t=*** HTTP");
    }

    #[test]
    fn every_line_of_a_key_is_masked_and_short_ones_are_not() {
        assert_eq!(masked("x BEGIN-KEY y ab z", &["BEGIN-KEY\nab"]), "x *** y ab z");
    }
}

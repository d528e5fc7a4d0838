//! Waiting for work that another process does already: another run, or an attempt of this run that outlived its engine.

use super::{Executor, StageEnd, Step, Stop};
use crate::{
    Digest, StageError,
    run::{
        Event,
        attempt::TICK,
        segment::{Segment, SegmentReader},
        session,
    },
    store::{Owner, Vigil},
};

impl Executor {
    /// Watches the process that does the work already, and shows its progress.
    pub(super) async fn wait_for(&self, key: &Digest, owner: Owner) -> Result<Step, StageError> {
        self.shared.send(Event::StageWaiting { stage: self.name(), key: *key, owner: owner.clone() });
        let ours = owner.run == self.shared.run.to_string();
        let mut reader = SegmentReader::new(&owner.directory);
        let mut asked = Stop::No;
        let mut vigil = Vigil::default();
        loop {
            self.shared.store.reservations().watch(key, &owner, &mut vigil)?;
            for segment in reader.poll() {
                if let Segment::Progress(progress) = segment {
                    self.shared.send_progress(&self.name(), None, progress);
                }
            }
            let holder = self.shared.store.reservations().holder(key)?.filter(|holder| holder.token == owner.token);
            let Some(Owner { process, .. }) = holder else { return Ok(Step::Again) };
            let stop = *self.shared.stop.borrow();
            if stop != Stop::No && !ours {
                return Ok(Step::End(StageEnd::Interrupted));
            }
            if stop != Stop::No && !process.is_near() {
                // A process of another machine cannot be asked, and its number is a stranger's here.
                return Ok(Step::End(StageEnd::Interrupted));
            }
            if stop > asked {
                asked = stop;
                match stop {
                    Stop::Now => session::kill(process.pid),
                    Stop::Firmly => session::terminate(process.pid),
                    Stop::Gently | Stop::No => session::ask_to_stop(process.pid),
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }
}

//! What people are asked about stages that wait for them, and what they answer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use petgraph::graph::NodeIndex;

use super::Dispatcher;
use crate::{
    context::Decision,
    govern::{GovernError, Signatory},
    run::{
        AskRequest, RunError,
        approval::{self, Parked},
        event::Event,
        options::Ask,
        prepare::StageWork,
    },
};

/// Who may be asked, and what waits for them.
pub(super) struct People {
    /// Asks at the terminal.
    pub(super) ask: Option<Ask>,
    /// Stages that are approved in advance.
    pub(super) approve: BTreeSet<String>,
    /// Who approved them.
    pub(super) person: String,
    pub(super) signatory: Signatory,
    pub(super) parked: BTreeMap<NodeIndex, (StageWork, Parked)>,
}

impl Dispatcher {
    /// A stage waits for a person, unless it was approved in advance.
    pub(super) fn park(&mut self, work: StageWork, parked: Parked) -> Result<(), RunError> {
        if !self.people.approve.remove(&self.name(work.node)) {
            self.people.parked.insert(work.node, (work, parked));
            return Ok(());
        }
        let decision = Decision {
            approved: true,
            by: self.people.person.clone(),
            at: Timestamp::now().to_string(),
            comment: None,
            via: "flag".to_owned(),
            signed: Vec::new(),
        };
        self.decide(work, &parked, decision).map(|_| ())
    }

    /// Files a decision and looks at the stage again: others may have to approve too. False when it was refused.
    fn decide(&mut self, work: StageWork, parked: &Parked, decision: Decision) -> Result<bool, RunError> {
        let stage = self.name(work.node);
        match parked.asking(&self.shared, &stage).decide(decision, &self.people.signatory) {
            Ok(_) => {
                self.launch(StageWork { approved: false, ..work });
                Ok(true)
            }
            Err(refused @ GovernError::Refused { .. }) => {
                tracing::warn!("{refused}");
                if work.approved {
                    // It waits after all.
                    let (reviewed, asking) = (parked.reviewed.clone(), Some(Box::new(parked.terms.clone())));
                    self.record(Event::StageParked { stage, key: parked.key, reviewed, asking })?;
                }
                self.people.parked.insert(work.node, (work, parked.clone()));
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the person at the terminal about parked stages, one after the other. False when nothing was decided.
    pub(super) async fn ask_parked(&mut self) -> Result<bool, RunError> {
        let parked: Vec<NodeIndex> = self.people.parked.keys().copied().collect();
        let mut decided = false;
        for node in parked {
            let Some(request) = self.question(node)? else { continue };
            match self.answer(request).await {
                Some(decision) => {
                    if let Some((work, parked)) = self.people.parked.remove(&node) {
                        decided |= self.decide(work, &parked, decision)?;
                    }
                }
                None if self.stopped() => break,
                None => {}
            }
        }
        if !decided {
            // Nobody is asked twice about the same thing in one run.
            self.people.ask = None;
        }
        Ok(decided)
    }

    /// What the person at the terminal is asked; nothing when they answered before and others have to.
    fn question(&self, node: NodeIndex) -> Result<Option<AskRequest>, RunError> {
        let Some((work, parked)) = self.people.parked.get(&node).filter(|_| self.people.ask.is_some()) else { return Ok(None) };
        let plan = &self.shared.plan;
        let producers = plan.graph[work.node].inputs.iter().flat_map(|binding| &binding.from);
        let reports = producers.filter_map(|(producer, port)| self.reports.get(&plan.graph[*producer].name)?.get(port).cloned());
        let stage = self.name(node);
        let told = approval::for_person(&parked.asking(&self.shared, &stage), &self.people.signatory)?;
        let Some((question, objection)) = told else { return Ok(None) };
        let (key, reviewed) = (parked.key, parked.reviewed.clone());
        Ok(Some(AskRequest { stage, key, reviewed, reports: reports.collect(), question, objection }))
    }

    async fn answer(&mut self, request: AskRequest) -> Option<Decision> {
        let mut ask = self.people.ask.take()?;
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // A thread of its own: an interrupt must not wait for somebody to press Enter.
        std::thread::spawn(move || {
            let decision = ask(&request);
            if sender.send((ask, decision)).is_err() {
                tracing::debug!("The answer came too late.");
            }
        });
        tokio::select! {
            answer = receiver => {
                let (ask, decision) = answer.ok()?;
                self.people.ask = Some(ask);
                decision
            }
            request = self.interrupts.next() => {
                self.press(request);
                None
            }
        }
    }
}

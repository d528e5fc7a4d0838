//! One thread owns the model and answers one request after the other, so that a greedy answer never depends on who else
//! asks. Requests wait in a bounded queue; a full queue refuses at once.

use std::{
    ops::ControlFlow,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
};

use flow_text::{
    generate::{Finish, Generate, GenerateError, Sampling},
    record::Message,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{assembler::Assembler, error::ApiError, types::Usage};

/// Requests that may wait besides the one being answered.
const QUEUE: usize = 64;

/// What to continue.
pub(super) enum Input {
    Chat(Vec<Message>),
    Text(String),
    Ids(Vec<u32>),
}

/// One request for the model.
pub(super) struct Ask {
    pub(super) input: Input,
    pub(super) sampling: Sampling,
    pub(super) stops: Vec<String>,
}

/// What the model sends back, in order; [`Reply::Done`] or [`Reply::Failed`] is last.
#[derive(Debug)]
pub(super) enum Reply {
    Piece(String),
    Done {
        finish: Finish,
        usage: Usage,
    },
    /// The prompt does not fit or cannot be rendered: the client's fault.
    Refused(String),
    Failed(String),
}

struct Job {
    ask: Ask,
    reply: UnboundedSender<Reply>,
}

/// The way to the thread that owns the model.
#[derive(Clone)]
pub(super) struct Worker {
    jobs: SyncSender<Job>,
}

impl Worker {
    /// Moves the model into its thread, which ends with the last [`Worker`].
    pub(super) fn start(mut model: Box<dyn Generate>) -> Self {
        let (jobs, queue): (_, Receiver<Job>) = sync_channel(QUEUE);
        thread::spawn(move || {
            for job in queue {
                answer(model.as_mut(), job);
            }
        });
        Self { jobs }
    }

    /// Queues a request.
    pub(super) fn ask(&self, ask: Ask) -> Result<UnboundedReceiver<Reply>, ApiError> {
        let (reply, replies) = unbounded_channel();
        match self.jobs.try_send(Job { ask, reply }) {
            Ok(()) => Ok(replies),
            Err(TrySendError::Full(_)) => Err(ApiError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(ApiError::Failed("the model's thread ended".to_owned())),
        }
    }
}

fn answer(model: &mut dyn Generate, job: Job) {
    // A client that left while it waited is not worth a prefill.
    if job.reply.is_closed() {
        return;
    }
    let Job { ask, reply } = job;
    let last = match run(model, ask, &reply) {
        Ok(done) => done,
        Err(Fault::Refused(message)) => Reply::Refused(message),
        Err(Fault::Model(error)) => Reply::Failed(error.to_string()),
    };
    // The client may be gone; then nobody is left to tell.
    drop(reply.send(last));
}

enum Fault {
    Refused(String),
    Model(GenerateError),
}

impl From<GenerateError> for Fault {
    fn from(error: GenerateError) -> Self {
        Self::Model(error)
    }
}

fn run(model: &mut dyn Generate, ask: Ask, reply: &UnboundedSender<Reply>) -> Result<Reply, Fault> {
    let prompt = encode(model, ask.input)?;
    let context = model.card().context;
    if prompt.is_empty() || prompt.len() >= context {
        return Err(Fault::Refused(format!("the prompt has {} tokens; the model takes 1 to {}", prompt.len(), context - 1)));
    }
    let prompt_tokens = prompt.len();
    let mut assembler = Assembler::new(model.decoder(), ask.stops);
    let mut broken = None;
    let completions = model.generate(&[prompt], &ask.sampling, &mut |_, id| match assembler.push(id) {
        Ok(piece) => {
            let gone = if piece.is_empty() { reply.is_closed() } else { reply.send(Reply::Piece(piece)).is_err() };
            if gone || assembler.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        Err(error) => {
            broken = Some(error);
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = broken {
        return Err(error.into());
    }
    let rest = assembler.finish();
    if !rest.is_empty() {
        drop(reply.send(Reply::Piece(rest)));
    }
    let finish = if assembler.stopped() { Finish::Stop } else { completions.first().map_or(Finish::Stop, |c| c.finish) };
    Ok(Reply::Done { finish, usage: Usage::new(prompt_tokens, assembler.tokens()) })
}

fn encode(model: &dyn Generate, input: Input) -> Result<Vec<u32>, Fault> {
    match input {
        // What a template refuses (roles out of order, say) is the client's to mend.
        Input::Chat(messages) => {
            let messages = model.card().open_as_trained(messages);
            model.encode_chat(&messages).map_err(|error| Fault::Refused(error.to_string()))
        }
        Input::Text(text) => Ok(model.encode(&text)?),
        Input::Ids(ids) => Ok(ids),
    }
}

//! Talking with a model: one prompt, or a conversation at the terminal.

use std::{
    io::{BufRead, Write},
    ops::ControlFlow,
};

use flow_engine::StageError;
use flow_text::{
    generate::{Completion, Finish, Generate, GenerateError, Sampling},
    record::Message,
};

/// One answer and its token counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The whole text.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
    /// Why it ended.
    pub finish: Finish,
}

/// How a prompt is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompting {
    /// Rendered with the model's chat template.
    Chat,
    /// Continued as it stands.
    Raw,
}

/// Where a conversation reads and writes.
pub struct Console<'a> {
    /// What the person types, line by line.
    pub input: &'a mut dyn BufRead,
    /// What the person reads.
    pub output: &'a mut dyn Write,
    /// Printed before a line is read; empty where nobody sits.
    pub prompt: &'a str,
}

/// Answers one prompt, piece by piece in whole characters.
pub fn generate(
    model: &mut dyn Generate,
    (messages, prompting): (&[Message], Prompting),
    sampling: &Sampling,
    on_text: &mut dyn FnMut(&str),
) -> Result<Answer, StageError> {
    let prompt = match (prompting, messages.last()) {
        (Prompting::Raw, Some(last)) => model.encode(&last.content),
        _ => model.encode_chat(&model.card().open_as_trained(messages.to_vec())),
    }
    .map_err(|error| failed(&error))?;
    let context = model.card().context;
    if prompt.len() >= context {
        return Err(StageError::input(format!("the prompt has {} tokens, the model takes {context}", prompt.len())));
    }
    let prompt_tokens = prompt.len();
    let completion = stream(model, (prompt, sampling), on_text).map_err(|error| failed(&error))?;
    let text = model.decode(&completion.ids).map_err(|error| failed(&error))?;
    Ok(Answer { text, prompt_tokens, completion_tokens: completion.ids.len(), finish: completion.finish })
}

fn stream(
    model: &mut dyn Generate,
    (prompt, sampling): (Vec<u32>, &Sampling),
    on_text: &mut dyn FnMut(&str),
) -> Result<Completion, GenerateError> {
    let decoder = model.decoder();
    let (mut ids, mut sent) = (Vec::new(), 0);
    let completions = model.generate(&[prompt], sampling, &mut |_, id| {
        ids.push(id);
        if let Ok(text) = decoder(&ids) {
            // A trailing replacement character is the first part of one that is not whole yet.
            let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
            on_text(whole.get(sent..).unwrap_or_default());
            sent = sent.max(whole.len());
        }
        ControlFlow::Continue(())
    })?;
    completions.into_iter().next().ok_or_else(|| GenerateError { message: "the model gave no answer".to_owned(), help: None })
}

/// Holds a conversation until the input ends. A line `/reset` forgets it, `/quit` ends it.
pub fn converse(
    model: &mut dyn Generate,
    system: Option<&str>,
    sampling: &Sampling,
    console: &mut Console<'_>,
) -> Result<(), StageError> {
    let opening: Vec<Message> =
        system.map(|content| Message { role: "system".to_owned(), content: content.to_owned() }).into_iter().collect();
    let mut messages = opening.clone();
    loop {
        write!(console.output, "{}", console.prompt)?;
        console.output.flush()?;
        let mut line = String::new();
        if console.input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.trim() {
            "" => continue,
            "/quit" => return Ok(()),
            "/reset" => {
                messages.clone_from(&opening);
                continue;
            }
            text => messages.push(Message { role: "user".to_owned(), content: text.to_owned() }),
        }
        let answer = generate(model, (&messages, Prompting::Chat), sampling, &mut |piece| {
            // A broken pipe shows at the next line that is read or written.
            write!(console.output, "{piece}").and_then(|()| console.output.flush()).ok();
        })?;
        writeln!(console.output)?;
        messages.push(Message { role: "assistant".to_owned(), content: answer.text });
    }
}

fn failed(error: &GenerateError) -> StageError {
    let stage = StageError::input("the model cannot answer").because(error);
    match &error.help {
        Some(help) => stage.help(help.clone()),
        None => stage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parrot::Parrot;

    #[test]
    fn a_conversation_answers_every_line_and_obeys_its_commands() {
        let sampling = Sampling { max_tokens: 64, temperature: 0.0, top_p: 1.0, seed: 0 };
        let mut output = Vec::new();
        let mut console =
            Console { input: &mut "hi 🦜\n\n/reset\nthere\n/quit\nnever\n".as_bytes(), output: &mut output, prompt: "> " };
        converse(&mut Parrot::new("parrot"), Some("Be kind."), &sampling, &mut console).expect("converses");
        assert_eq!(String::from_utf8(output).expect("UTF-8"), "> hi 🦜\n> > > there\n> ");
    }
}

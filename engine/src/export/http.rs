//! Posting JSON to somebody's server: short, bounded, and never in the way of a run.

use std::{thread, time::Duration};

/// Longer than any receiver that works should need.
const TIMEOUT: Duration = Duration::from_secs(10);
const TRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(300);

/// A message that could not be delivered. The URL stays out of it: it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Undelivered {
    /// What happened last: lower case, no period.
    pub(crate) reason: String,
    /// How often it was tried.
    pub(crate) tries: u32,
}

/// Where messages go.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    /// How often a message is tried.
    pub(crate) tries: u32,
}

impl Receiver {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new(), tries: TRIES }
    }

    /// For messages that are not worth a wait at the end of a run.
    pub(crate) fn impatient(url: impl Into<String>, headers: Vec<(String, String)>) -> Self {
        Self { url: url.into(), headers, tries: 1 }
    }

    /// Posts a document. What may pass is tried again; what the receiver refuses is not.
    pub(crate) fn post(&self, body: &[u8]) -> Result<(), Undelivered> {
        let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build());
        let mut wait = FIRST_WAIT;
        let mut tries = 1;
        loop {
            match self.once(&agent, body) {
                Ok(()) => return Ok(()),
                Err(error) if tries >= self.tries || !may_pass(&error) => {
                    return Err(Undelivered { reason: reason(&error), tries });
                }
                Err(_) => {
                    thread::sleep(wait);
                    wait *= 3;
                    tries += 1;
                }
            }
        }
    }

    fn once(&self, agent: &ureq::Agent, body: &[u8]) -> Result<(), ureq::Error> {
        let mut request = agent.post(&self.url).header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.send(body).map(drop)
    }
}

/// Whether the same message may be taken a moment later.
fn may_pass(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::StatusCode(status) => matches!(status, 408 | 425 | 429 | 500..=599),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Tls(_) => false,
        _ => true,
    }
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(status) => format!("the receiver answered {status}"),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "the address is no URL".to_owned(),
        ureq::Error::HostNotFound => "the receiver's name is unknown".to_owned(),
        ureq::Error::Timeout(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        ureq::Error::Io(error) => format!("no connection: {}", error.kind()),
        other => format!("no delivery: {other}"),
    }
}

#[cfg(test)]
pub(crate) mod loopback;

#[cfg(test)]
mod tests {
    use super::{loopback::Loopback, *};

    #[test]
    fn a_message_arrives_with_its_headers() {
        let server = Loopback::answering(&[200]);
        let receiver = Receiver { headers: vec![("x-key".into(), "abc".into())], ..Receiver::new(server.url("/hook")) };
        receiver.post(b"{\"a\":1}").unwrap();
        let requests = server.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!((requests[0].path.as_str(), requests[0].body.as_slice()), ("/hook", b"{\"a\":1}".as_slice()));
        assert_eq!(requests[0].header("content-type"), Some("application/json"));
        assert_eq!(requests[0].header("x-key"), Some("abc"));
    }

    #[test]
    fn a_busy_receiver_is_tried_three_times_and_a_refusal_once() {
        let server = Loopback::answering(&[503, 503, 200]);
        Receiver::new(server.url("/")).post(b"{}").unwrap();
        assert_eq!(server.requests().len(), 3);
        let server = Loopback::answering(&[500, 502, 503]);
        let error = Receiver::new(server.url("/")).post(b"{}").unwrap_err();
        assert_eq!((error.tries, error.reason.as_str()), (3, "the receiver answered 503"));
        let server = Loopback::answering(&[404]);
        let error = Receiver::new(server.url("/secret")).post(b"{}").unwrap_err();
        assert_eq!((error.tries, error.reason.as_str()), (1, "the receiver answered 404"));
    }

    #[test]
    fn what_is_no_address_is_told_without_it() {
        let error = Receiver::new("http://").post(b"{}").unwrap_err();
        assert!(error.tries == 1 && !error.reason.contains("http://"), "{error:?}");
        // A port that nobody listens on.
        let gone = Loopback::answering(&[]).url("/token-abc");
        let error = Receiver::new(gone).post(b"{}").unwrap_err();
        assert!(error.tries == 3 && !error.reason.contains("token-abc"), "{error:?}");
    }
}

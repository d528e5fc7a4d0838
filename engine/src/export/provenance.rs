//! Provenance of results as in-toto statements with a SLSA predicate: which inputs and parameters made which bytes.

use serde_json::{Value, json};

use super::{Account, StageAccount};
use crate::govern::{Envelope, IN_TOTO, SecretKey};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// What the parameters of our builds mean.
const BUILD_TYPE: &str = "urn:flow:stage:v1";

/// One statement for every stage that has outputs, in topological order.
pub fn statements(account: &Account) -> Vec<Value> {
    account.stages.iter().filter(|stage| !stage.outputs.is_empty()).map(|stage| statement(account, stage)).collect()
}

/// Statements in signed envelopes, as DSSE has them.
pub fn signed(statements: &[Value], key: &SecretKey) -> Vec<Envelope> {
    statements.iter().map(|statement| Envelope::seal(IN_TOTO, statement.to_string().as_bytes(), key)).collect()
}

fn statement(account: &Account, stage: &StageAccount) -> Value {
    let subject = stage.outputs.iter().map(|(port, artifact)| {
        let annotations = json!({"kind": artifact.kind, "form": artifact.form, "bytes": artifact.bytes});
        json!({"name": format!("{}.{port}", stage.name), "digest": {"blake3": artifact.digest}, "annotations": annotations})
    });
    json!({
        "_type": STATEMENT,
        "subject": subject.collect::<Value>(),
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "workflow": account.state.workflow,
                    "stage": stage.name,
                    "kind": stage.kind,
                    "params": stage.params(),
                },
                "internalParameters": internal(stage),
                "resolvedDependencies": dependencies(account, stage),
            },
            "runDetails": {
                "builder": {"id": "urn:flow:engine", "version": {"flow": version(account)}},
                "metadata": metadata(account, stage),
            },
        },
    })
}

fn internal(stage: &StageAccount) -> Value {
    let field = |name: &str| stage.preimage.as_ref().and_then(|preimage| preimage.get(name)).cloned().unwrap_or_default();
    json!({
        "actionKey": stage.key,
        "revision": field("revision"),
        "seed": field("seed"),
        "limit": field("limit"),
        "platform": field("platform"),
    })
}

fn dependencies(account: &Account, stage: &StageAccount) -> Value {
    let inputs = stage.inputs().into_iter().map(|(port, digest)| {
        let from = account.producer(&digest).map(|(producer, port)| format!("{}.{port}", producer.name));
        json!({"name": from, "digest": {"blake3": digest}, "annotations": {"port": port}})
    });
    let sources = stage.sources().into_iter().flat_map(|(source, files)| {
        files.into_iter().map(move |(name, digest)| json!({"uri": source, "name": name, "digest": {"blake3": digest}}))
    });
    inputs.chain(sources).collect()
}

fn metadata(account: &Account, stage: &StageAccount) -> Value {
    // A cached result was made by the run that its record names.
    let made_by = stage.result.as_ref().map_or_else(|| account.run.to_string(), |result| result.run.clone());
    let own = made_by == account.run.to_string();
    let times = stage.times.filter(|_| own);
    json!({
        "invocationId": format!("{made_by}/{}", stage.name),
        "startedOn": times.map(|times| times.0),
        "finishedOn": times.map(|times| times.1),
    })
}

fn version(account: &Account) -> String {
    account.flow.clone().unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing;

    #[test]
    fn a_statement_names_outputs_inputs_and_parameters() {
        let account = testing::account();
        let statements = statements(&account);
        assert_eq!(statements.len(), 2);
        let train = &statements[1];
        assert_eq!((&train["_type"], &train["predicateType"]), (&json!(STATEMENT), &json!(PREDICATE)));
        assert_eq!(train["subject"][0]["name"], "train.out");
        assert_eq!(train["subject"][0]["digest"]["blake3"], "d".repeat(64));
        let build = &train["predicate"]["buildDefinition"];
        assert_eq!(build["externalParameters"]["params"], json!({"lr": 0.1}));
        assert_eq!(build["resolvedDependencies"][0]["name"], "data.out");
        assert_eq!(build["resolvedDependencies"][1]["uri"], "rows.txt");
        assert!(train["predicate"]["runDetails"]["metadata"]["startedOn"].is_string());
    }

    #[test]
    fn a_signed_statement_opens_to_what_was_signed_and_to_nothing_else() {
        let (statements, key) = (statements(&testing::account()), SecretKey::generate().unwrap());
        let sealed = signed(&statements, &key);
        assert_eq!(sealed.len(), statements.len());
        for (envelope, statement) in sealed.iter().zip(&statements) {
            let opened = envelope.open(IN_TOTO).unwrap();
            assert_eq!(
                (opened.key, serde_json::from_slice::<Value>(&opened.payload).unwrap()),
                (key.public(), statement.clone())
            );
        }
        let swapped = Envelope { payload: sealed[1].payload.clone(), ..sealed[0].clone() };
        assert!(swapped.open(IN_TOTO).is_err());
    }
}

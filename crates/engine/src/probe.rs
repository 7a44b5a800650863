//! Tries a credential out: asks the connector's check with it, and nothing else.

use std::path::Path;
use std::sync::Arc;

use sync_auth::{Credential, Signing, Source, Tokens};
use sync_connectors::{Bound, Method, Plan};
use sync_core::{Explain as _, Kind, Problem, Verdict};
use sync_spec::{Connector, Document};

use crate::account::Identity;
use crate::{Hands, Priority, wire};

/// What came of it.
#[derive(Clone, Debug)]
pub struct Probed {
    /// Whether the provider took it; nothing where the connector has no check.
    pub accepted: Option<bool>,
    /// What else is to be known.
    pub remarks: Vec<String>,
    /// What the token endpoint handed out meanwhile.
    pub tokens: Option<Tokens>,
    /// Why it was not taken, or could not be asked.
    pub problem: Option<Problem>,
}

/// A connector by its name, or by the path of its file.
pub fn connector(named: &str) -> Result<(Plan, Option<String>), Problem> {
    let is_path = named.contains(['/', '.']);
    let (document, file) = if is_path {
        let path = std::path::absolute(named).unwrap_or_else(|_| Path::new(named).to_owned());
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let message = format!("the connector file {named} cannot be read: {error}");
            Problem::new(Kind::Refused, "unreadable_file", message)
        })?;
        (Document::new(named, text), Some(path.to_string_lossy().into_owned()))
    } else {
        (sync_connectors::built_in_document(named).ok_or_else(|| unknown(named))?, None)
    };
    let connector = Connector::parse(&document).map_err(|findings| findings.problem())?;
    Ok((Plan::build(&connector).map_err(|findings| findings.problem())?, file))
}

fn unknown(named: &str) -> Problem {
    let known: Vec<_> = sync_connectors::built_in().iter().map(|b| b.name).collect();
    let hint = match sync_spec::nearest(named, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("built in are {}; a file of your own is named by its path", known.join(", ")),
    };
    Problem::new(Kind::Refused, "unknown_connector", format!("there is no connector `{named}`")).hint(hint)
}

/// Asks the check of a bound connector, signed in this way with secrets from there.
pub async fn probe(bound: &Bound, method: &Method, source: Source, hands: &Hands) -> Result<Probed, Problem> {
    let signing = Signing { signatures: method.signatures.clone(), tokens: method.tokens.clone() };
    let name = match &source {
        Source::Stored(name) => Some(name.clone()),
        Source::References(_) | Source::Given(..) => None,
    };
    let credential =
        Credential::open(source, signing, wire::hands(hands)).map_err(|error| error.problem())?;
    let mut probed = Probed {
        accepted: None,
        remarks: method.warn.iter().cloned().collect(),
        tokens: None,
        problem: None,
    };
    let Some(request) = bound.check() else { return Ok(probed) };
    // Few attempts: somebody is waiting at a terminal.
    let retry = sync_http::Policy { attempts: 2, max_wait: std::time::Duration::from_secs(20) };
    let store = hands.budgets.store();
    let identity = Identity::find(bound, None, name, &credential, store).await?;
    let budget = hands.budgets.open(wire::terms(bound, None, Priority::Interactive, &identity));
    let ask = wire::stairs(bound, &credential, budget.clone(), bound.plan().title(), retry, hands);
    let asked = ask.ask(&request).await;
    budget.close().await;
    match asked {
        Ok(answer) => {
            probed.accepted = Some(true);
            probed.remarks.extend(credential.notes().into_iter().map(|note| note.message).chain(answer.say));
        }
        Err(refusal) => {
            let refused = refusal.verdict == Some(Verdict::Auth) || refusal.code == "credential_refused";
            probed.accepted = refused.then_some(false);
            probed.problem = Some(refusal.problem());
        }
    }
    probed.tokens = credential.tokens().await;
    Ok(probed)
}

/// For those who need the transport alone, such as a sign-in.
pub fn learning(hands: &Hands) -> Arc<dyn Fn(&sync_core::Secret) + Send + Sync> {
    let scrubber = hands.scrubber.clone();
    Arc::new(move |secret| scrubber.add(secret))
}

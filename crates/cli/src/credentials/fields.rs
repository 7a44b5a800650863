//! What a credential is made of: which kind, which settings, and the secrets themselves.

use std::collections::BTreeMap;
use std::io::Read as _;

use sync_auth::{Environment as _, Secrets, Tokens, sendable};
use sync_connectors::{Bound, CLIENT_SECRETS, Method, Plan};
use sync_core::{Explain as _, Grant, Kind, Problem, Secret};
use sync_spec::ConfigKind;
use zeroize::Zeroizing;

use super::Desk;
use crate::args;
use crate::prompt;

/// More than any secret, and less than a device that never ends.
const STDIN_MAX: u64 = 64 << 10;

/// The name of the method that was asked for; the usual one without a word, unless somebody can be asked. Nothing
/// where there is only one.
pub fn method(
    plan: &Plan,
    asked: Option<&str>,
    config: &[(String, String)],
) -> Result<Option<String>, Problem> {
    let names: Vec<&str> = plan.method_names().collect();
    if let Some(asked) = asked {
        return match names.iter().find(|name| **name == asked) {
            Some(name) => Ok(Some((*name).to_owned())),
            None if names.is_empty() => {
                let message = format!("{} takes one kind of credential only", plan.title());
                Err(Problem::new(Kind::Refused, "unknown_method", message).hint("leave --method out"))
            }
            None => {
                let message = format!("{} knows no kind of credential `{asked}`", plan.title());
                let hint = format!("it knows {}", names.join(", "));
                Err(Problem::new(Kind::Refused, "unknown_method", message).hint(hint))
            }
        };
    }
    match names.first() {
        None => Ok(None),
        Some(first) if names.len() > 1 && prompt::anybody() && config.is_empty() => {
            let chosen =
                prompt::line(&format!("Which kind of credential ({})?", names.join(", ")), Some(first))?;
            method(plan, Some(&chosen), config)
        }
        Some(first) => Ok(Some((*first).to_owned())),
    }
}

impl Desk<'_> {
    /// The settings that belong to the account. What the connector cannot do without is asked for.
    pub fn settings(
        &self,
        plan: &Plan,
        args: &args::AddCredential,
        method: Option<&str>,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let mut config: BTreeMap<String, String> = args.config.iter().cloned().collect();
        let wanted = plan.config().iter().filter(|(name, field)| {
            let needed = args.base_url.is_none() && !field.optional && field.default.is_none();
            needed || (method.is_some() && plan.method_needs(method, name) && field.default.is_none())
        });
        for (name, field) in wanted {
            if config.contains_key(name) || !prompt::anybody() {
                continue;
            }
            if let Some(help) = &field.help {
                self.talk.say(help);
            }
            let values = match &field.kind {
                ConfigKind::Enum(values) => format!(" ({})", values.join(", ")),
                _ => String::new(),
            };
            config.insert(name.clone(), prompt::line(&format!("{name}{values}"), None)?);
        }
        Ok(config)
    }

    /// The secrets of a method, and the first token where a sign-in brought one.
    pub async fn secrets(
        &self,
        bound: &Bound,
        method: &Method,
        from: &args::SecretsFrom,
        before: &Secrets,
    ) -> Result<(Secrets, Option<Tokens>), Problem> {
        let signs_in = method.tokens.as_ref().filter(|tokens| tokens.grant == Grant::Code);
        let mut names = method.secret_names();
        if signs_in.is_some() {
            names.retain(|name| name != CLIENT_SECRETS[2]);
        }
        let nothing_given = !from.from_stdin && from.from_env.is_none();
        // Whoever signs in again does so with the client that is stored.
        let kept = signs_in.is_some() && nothing_given && before.get(CLIENT_SECRETS[0]).is_some();
        let given = match kept {
            true => names.iter().filter_map(|n| Some((n.clone(), before.get(n)?.clone()))).collect(),
            false => Self::given(bound.plan(), method, &names, from)?,
        };
        let learn = sync_engine::learning(&self.hands);
        given.iter().for_each(|(_, secret)| learn(secret));
        match signs_in {
            Some(endpoint) => {
                let (secrets, tokens) = self.sign_in(endpoint, &given, from).await?;
                Ok((secrets, Some(tokens)))
            }
            None => Ok((given, None)),
        }
    }

    fn given(
        plan: &Plan,
        method: &Method,
        names: &[String],
        from: &args::SecretsFrom,
    ) -> Result<Secrets, Problem> {
        let needless = |name: &str| method.tokens.is_some() && name == CLIENT_SECRETS[1];
        if from.from_stdin {
            return from_stdin(names, needless);
        }
        if let Some(variables) = &from.from_env {
            return from_env(plan, names, variables, needless);
        }
        if !prompt::anybody() {
            let message = format!("nobody can be asked for {}", names.join(", "));
            return Err(Problem::new(Kind::Refused, "no_terminal", message)
                .hint("use --from-stdin or --from-env; a secret is never an argument"));
        }
        let ask = |name: &String| -> Result<Option<(String, Secret)>, Problem> {
            let question =
                if needless(name) { format!("{name} (empty if there is none)") } else { name.clone() };
            let typed = prompt::secret(&question)?;
            if typed.expose().is_empty() && needless(name) {
                return Ok(None);
            }
            let fine = sendable(name, typed, "what was typed").map_err(|error| error.problem())?;
            Ok(Some((name.clone(), fine)))
        };
        names.iter().filter_map(|name| ask(name).transpose()).collect()
    }
}

/// A single secret is all of it; several are lines `NAME=VALUE`.
fn from_stdin(names: &[String], needless: impl Fn(&str) -> bool) -> Result<Secrets, Problem> {
    let mut text = Zeroizing::new(String::with_capacity(STDIN_MAX as usize));
    std::io::stdin().lock().take(STDIN_MAX).read_to_string(&mut text).map_err(|error| {
        Problem::new(Kind::Environment, "stdin", format!("standard input cannot be read: {error}"))
    })?;
    let fine = |name: &str, text: &str| {
        let secret = sendable(name, Secret::new(text.to_owned()), "standard input");
        secret.map(|secret| (name.to_owned(), secret)).map_err(|error| error.problem())
    };
    if let [name] = names {
        let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
        return fine(name, text).map(|pair| [pair].into_iter().collect());
    }
    let mut secrets = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        // What does not look like a name is not repeated: it may be a secret.
        let known = line.split_once('=').filter(|(name, _)| names.iter().any(|known| known == name.trim()));
        let (name, value) = known.ok_or_else(|| {
            let message = format!("standard input holds a line that is none of {}", names.join(", "));
            Problem::new(Kind::Refused, "unknown_secret", message)
                .hint("write each on a line of its own, NAME=VALUE")
        })?;
        secrets.push(fine(name.trim(), value)?);
    }
    complete(secrets.into_iter().collect(), names, needless, "standard input")
}

/// From the connector's own variables, or from those that were named.
fn from_env(
    plan: &Plan,
    names: &[String],
    variables: &[String],
    needless: impl Fn(&str) -> bool,
) -> Result<Secrets, Problem> {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for written in variables {
        let (secret, variable) = match (written.split_once('='), names) {
            (Some((secret, variable)), _) => (secret.to_owned(), variable.to_owned()),
            (None, [only]) => (only.clone(), written.clone()),
            (None, _) => {
                let message = format!("which of {} is in `{written}`?", names.join(", "));
                return Err(
                    Problem::new(Kind::Refused, "unknown_secret", message).hint("write SECRET=VARIABLE")
                );
            }
        };
        if !names.contains(&secret) {
            let message = format!("{} has no secret `{secret}`", plan.title());
            return Err(Problem::new(Kind::Refused, "unknown_secret", message)
                .hint(format!("it has {}", names.join(", "))));
        }
        named.insert(secret, variable);
    }
    let mut secrets = Vec::new();
    for name in names {
        let variable =
            named.get(name).cloned().unwrap_or_else(|| sync_auth::default_variable(plan.name(), name));
        let origin = format!("the environment variable `{variable}`");
        match sync_auth::System.var(&variable) {
            Some(text) => {
                let secret = sendable(name, Secret::new(text), &origin).map_err(|error| error.problem())?;
                secrets.push((name.clone(), secret));
            }
            None if needless(name) => {}
            None => {
                let error = sync_auth::CredentialError::NotSet { variables: vec![variable] };
                return Err(error.problem());
            }
        }
    }
    Ok(secrets.into_iter().collect())
}

fn complete(
    secrets: Secrets,
    names: &[String],
    needless: impl Fn(&str) -> bool,
    origin: &str,
) -> Result<Secrets, Problem> {
    let missing: Vec<_> =
        names.iter().filter(|name| secrets.get(name).is_none() && !needless(name)).cloned().collect();
    if missing.is_empty() {
        return Ok(secrets);
    }
    let message = format!("{} missing in {origin}", missing.join(", "));
    Err(Problem::new(Kind::Refused, "credential_missing", message))
}

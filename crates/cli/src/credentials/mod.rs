//! `sync credentials`: made once, tested, encrypted, changed, and never seen again.

mod fields;
mod shown;
mod sign_in;
mod uses;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sync_auth::{NewLock, Passphrase, Previous, Record, Secrets, Source, TestState, Tested, Tokens};
use sync_connectors::{Bound, Method, Plan};
use sync_core::{Explain as _, Kind, Problem, Status};
use sync_engine::{Hands, Probed};

use crate::args;
use crate::hands::Tools;
use crate::prompt;
use crate::run::worst;
use crate::signals;
use crate::talk::Talk;

/// Does what was asked.
pub async fn credentials(verb: args::Credentials, talk: &Talk, tools: &Tools) -> Result<u8, Problem> {
    if let Err(error) = signals::listen(talk.clone(), tools.stop.clone(), "stopping…") {
        tracing::warn!(%error, "signals cannot be heard");
    }
    let desk = Desk { talk, tools, hands: tools.hands(Arc::new(())) };
    match verb {
        args::Credentials::Add(args) => desk.add(args).await,
        args::Credentials::List { json } => desk.list(json).map(|()| 0),
        args::Credentials::Show { name, json } => desk.show(&name, json).map(|()| 0),
        args::Credentials::Test { names, all, json } => desk.test(names, all, json).await,
        args::Credentials::Rotate { name, from, overlap } => desk.rotate(&name, &from, overlap).await,
        args::Credentials::Remove { name, yes } => desk.remove(&name, yes).map(|()| 0),
        args::Credentials::Export { file, names } => desk.export(&file, names).map(|()| 0),
        args::Credentials::Import { file, replace } => desk.import(&file, replace).map(|()| 0),
        args::Credentials::Rekey { passphrase } => desk.rekey(passphrase).map(|()| 0),
    }
}

/// Where credentials are handled.
struct Desk<'a> {
    talk: &'a Talk,
    tools: &'a Tools,
    hands: Hands,
}

/// A credential that is being made or changed.
struct Made {
    secrets: Secrets,
    tokens: Option<Tokens>,
    tested: Option<Tested>,
}

impl Desk<'_> {
    async fn add(&self, args: args::AddCredential) -> Result<u8, Problem> {
        let name = &args.name;
        if !sync_spec::is_stored_name(name) {
            // It may be the key itself.
            let message =
                "a credential is called by small letters, digits, `-` and `_`, a letter first, at most 40";
            return Err(Problem::new(Kind::Refused, "invalid_name", message));
        }
        if self.tools.vault.names().map_err(|e| e.problem())?.contains(name) {
            return Err(sync_auth::VaultError::Taken { name: name.clone() }.problem());
        }
        let (plan, connector_file) = sync_engine::connector(&args.connector)?;
        let chosen = fields::method(&plan, args.method.as_deref(), &args.config)?;
        let config = self.settings(&plan, &args, chosen.as_deref())?;
        let bound = bound(&plan, &config, args.base_url.as_deref())?;
        let method = usable(&bound, chosen.as_deref())?;
        self.say_where(&plan, method, "make a key");
        let made = self.made(&bound, method, &args.from, &Secrets::default()).await?;
        let now = self.tools.clock.now();
        let record = Record {
            connector: plan.name().to_owned(),
            connector_file,
            description: args.description,
            method: chosen,
            config,
            base_url: args.base_url,
            home: bound.base_url().origin().ascii_serialization(),
            account: args.account,
            secrets: made.secrets,
            changed: now,
            created: now,
            max_age_days: args.max_age,
            previous: None,
            tokens: made.tokens,
            tested: made.tested,
        };
        self.tools.vault.add(name, &record).map_err(|e| e.problem())?;
        self.talk.say(&format!("stored as `{name}`; a pipeline names it: `credential: {name}`"));
        self.done(name, &record, args.from.json)
    }

    async fn rotate(
        &self,
        name: &str,
        from: &args::SecretsFrom,
        overlap: Option<Duration>,
    ) -> Result<u8, Problem> {
        let record = self.tools.vault.get(name).map_err(|e| e.problem())?;
        let (plan, bound) = bound_of(&record)?;
        let method = usable(&bound, record.method.as_deref())?;
        self.say_where(&plan, method, "make the new key");
        let made = self.made(&bound, method, from, &record.secrets).await?;
        let now = self.tools.clock.now();
        let overlap = overlap.or(method.overlap).filter(|_| method.tokens.is_none());
        let until = overlap.filter(|overlap| !overlap.is_zero()).map(|overlap| now.plus(overlap));
        let changed = self.tools.vault.change(name, |record| {
            let old = std::mem::replace(&mut record.secrets, made.secrets);
            record.previous = until.map(|until| Previous { secrets: old, until });
            record.changed = now;
            record.tokens = made.tokens;
            record.tested = made.tested;
        });
        changed.map_err(|e| e.problem())?;
        self.talk.say(&match until {
            Some(until) => {
                format!("`{name}` has a new secret; the old one is kept until {until}, when it ends")
            }
            None => format!("`{name}` has a new secret; the old one is forgotten"),
        });
        self.done(name, &self.tools.vault.get(name).map_err(|e| e.problem())?, from.json)
    }

    async fn test(&self, names: Vec<String>, all: bool, json: bool) -> Result<u8, Problem> {
        let names = if all { self.tools.vault.names().map_err(|e| e.problem())? } else { names };
        let mut codes = Vec::new();
        let mut lines = Vec::new();
        for name in names {
            let record = self.tools.vault.get(&name).map_err(|e| e.problem())?;
            let (_, bound) = bound_of(&record)?;
            let method = usable(&bound, record.method.as_deref())?;
            let probed =
                sync_engine::probe(&bound, method, Source::Stored(name.clone()), &self.hands).await?;
            let tested = self.tested(&probed);
            if let Some(tested) = &tested {
                let kept = self.tools.vault.change(&name, |record| record.tested = Some(tested.clone()));
                kept.map_err(|e| e.problem())?;
            }
            if let Some(problem) = &probed.problem {
                self.talk.problem(problem);
            }
            let code = probed.problem.as_ref().map_or(0, |problem| Status::from(problem.kind).exit_code());
            codes.push(code);
            let state = shown::state(tested.as_ref());
            lines.push(json!({ "name": name, "state": state, "remarks": probed.remarks, "exit_code": code }));
            if !json {
                let words: Vec<_> =
                    std::iter::once(state).chain(probed.remarks.iter().map(String::as_str)).collect();
                self.talk.data(&format!("{name}: {}\n", words.join("; ")))?;
            }
        }
        if json {
            self.talk.json(&lines)?;
        }
        Ok(worst(codes))
    }

    fn remove(&self, name: &str, yes: bool) -> Result<(), Problem> {
        let names = self.tools.vault.names().map_err(|e| e.problem())?;
        if !names.iter().any(|known| known == name) {
            let error = sync_auth::VaultError::Unknown { name: name.to_owned(), known: names };
            return Err(error.problem());
        }
        let uses = uses::of(name, &self.tools.vault)?;
        for pipeline in &uses {
            self.talk.say(&format!("{} uses `{name}`", pipeline.display()));
        }
        if !yes
            && prompt::anybody()
            && !prompt::yes(&format!("Forget `{name}`? Its secret cannot be had back."))?
        {
            self.talk.say("nothing was changed");
            return Ok(());
        }
        self.tools.vault.remove(name).map_err(|e| e.problem())?;
        self.talk.say(&match uses.len() {
            0 => format!("`{name}` is forgotten; no pipeline was seen to use it"),
            1 => format!("`{name}` is forgotten; the pipeline above is refused from now on"),
            n => format!("`{name}` is forgotten; the {n} pipelines above are refused from now on"),
        });
        Ok(())
    }

    fn export(&self, file: &Path, names: Vec<String>) -> Result<(), Problem> {
        let names = match names.is_empty() {
            true => self.tools.vault.names().map_err(|e| e.problem())?,
            false => names,
        };
        if names.is_empty() {
            return Err(Problem::new(Kind::Refused, "nothing_stored", "there is nothing to export"));
        }
        let passphrase = transfer_passphrase(Passphrase::New)?;
        self.tools.vault.export(&names, passphrase, file).map_err(|e| e.problem())?;
        self.talk.say(&format!("{} written to {}", names.join(", "), file.display()));
        Ok(())
    }

    fn import(&self, file: &Path, replace: bool) -> Result<(), Problem> {
        let passphrase = transfer_passphrase(Passphrase::Open)?;
        let done = self.tools.vault.import(file, || Ok(passphrase), replace).map_err(|e| e.problem())?;
        for (list, what) in [(&done.added, "stored"), (&done.replaced, "replaced")] {
            if !list.is_empty() {
                self.talk.say(&format!("{what}: {}", list.join(", ")));
            }
        }
        if !done.left.is_empty() {
            self.talk.say(&format!("left as they are: {}; `--replace` replaces them", done.left.join(", ")));
        }
        Ok(())
    }

    fn rekey(&self, passphrase: bool) -> Result<(), Problem> {
        let lock = if passphrase { NewLock::Passphrase } else { NewLock::KeyFile };
        self.tools.vault.rekey(lock).map_err(|e| e.problem())?;
        self.talk.say(match passphrase {
            true => "the vault is locked with the passphrase from now on; the old key opens nothing any more",
            false => "the vault is locked with a new key beside it; the old one opens nothing any more",
        });
        Ok(())
    }

    /// The secrets, asked for and tested.
    async fn made(
        &self,
        bound: &Bound,
        method: &Method,
        from: &args::SecretsFrom,
        before: &Secrets,
    ) -> Result<Made, Problem> {
        let (secrets, tokens) = self.secrets(bound, method, from, before).await?;
        if from.no_test {
            return Ok(Made { secrets, tokens, tested: None });
        }
        let source = Source::Given(secrets.clone(), tokens.clone());
        let probed = sync_engine::probe(bound, method, source, &self.hands).await?;
        for remark in &probed.remarks {
            self.talk.say(&format!("{}: {remark}", self.talk.paint.odd("note")));
        }
        if let Some(problem) = &probed.problem {
            let refused = probed.accepted == Some(false);
            let anyway = if refused { None } else { self.store_untested(problem)? };
            if anyway == Some(false) {
                let declined = Problem::new(problem.kind, "not_stored", "nothing was stored");
                return Err(declined);
            }
            if anyway.is_none() {
                let hint = match (refused, &problem.hint) {
                    (true, _) => "nothing was stored; check the key and where it belongs".to_owned(),
                    (false, Some(hint)) => {
                        format!("nothing was stored: {hint}; `--no-test` stores it without asking")
                    }
                    (false, None) => "nothing was stored; `--no-test` stores it without asking".to_owned(),
                };
                return Err(problem.clone().hint(hint));
            }
        }
        let tested = self.tested(&probed);
        match (probed.accepted, &probed.problem) {
            (Some(true), _) => self.talk.say(&self.talk.paint.good("the provider accepts it")),
            (None, None) => self.talk.say("not tested: the connector has no check"),
            _ => {}
        }
        Ok(Made { secrets, tokens: probed.tokens.or(tokens), tested })
    }

    /// Whether somebody at the terminal wants it all the same, although the provider could not be asked; nothing, where
    /// nobody can be asked.
    fn store_untested(&self, problem: &Problem) -> Result<Option<bool>, Problem> {
        if !prompt::anybody() {
            return Ok(None);
        }
        self.talk.problem(problem);
        prompt::yes("It could not be tested. Store it all the same?").map(Some)
    }

    fn tested(&self, probed: &Probed) -> Option<Tested> {
        let state = match (probed.accepted, &probed.problem) {
            (Some(true), _) => TestState::Accepted,
            (Some(false), _) => TestState::Refused,
            (None, Some(_)) => TestState::Unreachable,
            (None, None) => return None,
        };
        Some(Tested { at: self.tools.clock.now(), state })
    }

    fn say_where(&self, plan: &Plan, method: &Method, what: &str) {
        if let Some(help) = &method.help {
            self.talk.say(&format!("Where to {what} for {}: {help}", plan.title()));
        }
    }

    fn done(&self, name: &str, record: &Record, json: bool) -> Result<u8, Problem> {
        if json {
            self.talk.json(&shown::of(name, record, self.tools.clock.now(), &[]))?;
        }
        Ok(0)
    }

    fn list(&self, json: bool) -> Result<(), Problem> {
        let all = self.tools.vault.all().map_err(|e| e.problem())?;
        let now = self.tools.clock.now();
        let all: Vec<_> = all.iter().map(|(name, record)| shown::of(name, record, now, &[])).collect();
        if json { self.talk.json(&all) } else { self.talk.data(&shown::list(&all)) }
    }

    fn show(&self, name: &str, json: bool) -> Result<(), Problem> {
        let record = self.tools.vault.get(name).map_err(|e| e.problem())?;
        let uses = uses::of(name, &self.tools.vault)?;
        let one = shown::of(name, &record, self.tools.clock.now(), &uses);
        if json { self.talk.json(&one) } else { self.talk.data(&shown::page(&one)) }
    }
}

/// The passphrase of an exported file; not that of the vault, which travels with nobody.
fn transfer_passphrase(what: Passphrase) -> Result<zeroize::Zeroizing<String>, Problem> {
    use sync_auth::Environment as _;
    let set = sync_auth::System.var("SYNC_EXPORT_PASSPHRASE").filter(|text| !text.is_empty());
    let asked = set.map(zeroize::Zeroizing::new).or_else(|| prompt::passphrase(what));
    asked.filter(|passphrase| !passphrase.is_empty()).ok_or_else(|| {
        let message = "an exported file is locked with a passphrase, and none was given";
        Problem::new(Kind::Refused, "no_passphrase", message)
            .hint("set SYNC_EXPORT_PASSPHRASE, or run this on a terminal, which asks for it")
    })
}

/// The method of that name that can be used with the settings.
fn usable<'b>(bound: &'b Bound, name: Option<&str>) -> Result<&'b Method, Problem> {
    let methods = bound.methods();
    let method = match name {
        None => methods.first(),
        Some(name) => methods.iter().find(|method| method.name.as_deref() == Some(name)),
    };
    let unknown = || {
        Problem::new(Kind::Refused, "unknown_method", "the connector no longer knows this kind of credential")
    };
    let method = method.ok_or_else(unknown)?;
    if method.is_none() {
        let message = format!("{} takes no credential", bound.plan().title());
        return Err(Problem::new(Kind::Refused, "no_credential", message));
    }
    match &method.unusable {
        None => Ok(method),
        Some(unusable) => Err(Problem::new(Kind::Refused, "missing_config", unusable.message.clone()).hint(
            unusable.config.as_ref().map_or_else(String::new, |name| format!("give it: --config {name}=…")),
        )),
    }
}

/// The connector of a stored credential, with what belongs to its account.
fn bound_of(record: &Record) -> Result<(Plan, Bound), Problem> {
    let (plan, _) = sync_engine::connector(record.connector_file.as_ref().unwrap_or(&record.connector))?;
    let bound = bound(&plan, &record.config, record.base_url.as_deref())?;
    Ok((plan, bound))
}

fn bound(plan: &Plan, config: &BTreeMap<String, String>, base_url: Option<&str>) -> Result<Bound, Problem> {
    let config: Vec<(String, String)> = config.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    plan.bind(&config, base_url).map_err(|error| error.problem())
}

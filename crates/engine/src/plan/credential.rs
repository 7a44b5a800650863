//! Which credential a source signs with, and in which of the connector's ways.

use std::path::Path;

use sync_auth::{Record, Reference, Signing, Source, VaultError};
use sync_connectors::{Bound, CLIENT_SECRETS, Method, Plan};
use sync_core::{Explain as _, Note, Problem, Timestamp};
use sync_spec::{self as spec, CredentialRef};

use super::Complaints;
use crate::Hands;

/// How the requests of a run are signed.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    /// Where its secrets are.
    pub source: Source,
    /// What is signed, and with what.
    pub signing: Signing,
    /// The account whose limits it spends, where somebody named one.
    pub account: Option<String>,
    /// What the run should say about it.
    pub notes: Vec<Note>,
}

/// The stored credential that a source names, or that is named like its connector. `None` after a complaint, and where
/// there is none.
pub(crate) fn stored(
    source: &spec::Source,
    connector: &str,
    hands: &Hands,
    complaints: &mut Complaints,
) -> Result<Option<(String, Record)>, Problem> {
    let (name, span) = if let Some(credential) = &source.credential {
        let CredentialRef::Stored(name) = &credential.value else { return Ok(None) };
        (name.clone(), credential.span)
    } else {
        let names = hands.vault.names().map_err(|error| error.problem())?;
        let Some(name) = names.into_iter().find(|name| name == connector) else { return Ok(None) };
        (name, source.connector.span)
    };
    let record = match hands.vault.get(&name) {
        Ok(record) => record,
        Err(VaultError::Unknown { known, .. }) => {
            // It may be a key that somebody put there, so it is not repeated.
            let stored = match spec::nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "none are stored yet".to_owned(),
                None => format!("stored are {}", known.join(", ")),
            };
            let help = format!("{stored}; a new one: `sync credentials add NAME --connector {connector}`");
            complaints.add(span, "there is no stored credential of this name".to_owned(), Some(help));
            return Ok(None);
        }
        Err(error) => return Err(error.problem()),
    };
    if record.connector != connector {
        let message = format!("this credential is for `{}`, not for `{connector}`", record.connector);
        complaints.add(span, message, None);
        return Ok(None);
    }
    Ok(Some((name, record)))
}

impl Credential {
    /// Joins what the source says with what the connector takes.
    pub(super) fn of(
        source: &spec::Source,
        stored: Option<(String, Record)>,
        plan: &Plan,
        bound: &Bound,
        folder: &Path,
        hands: &Hands,
        complaints: &mut Complaints,
    ) -> Option<Self> {
        let choice = Choice { source, plan, bound, folder, hands };
        match stored {
            Some((name, record)) => choice.stored(name, &record, complaints),
            None => choice.references(complaints),
        }
    }

    fn new(source: Source, method: &Method) -> Self {
        let signing = Signing { signatures: method.signatures.clone(), tokens: method.tokens.clone() };
        let notes = method.warn.iter().map(|warn| Note::new("credential_warning", warn.clone())).collect();
        Self { source, signing, account: None, notes }
    }

    /// What it is called, if it has a name; it keeps it when its secret changes.
    pub(crate) fn name(&self) -> Option<String> {
        match &self.source {
            Source::Stored(name) => Some(name.clone()),
            Source::References(_) | Source::Given(..) => None,
        }
    }
}

struct Choice<'a> {
    source: &'a spec::Source,
    plan: &'a Plan,
    bound: &'a Bound,
    folder: &'a Path,
    hands: &'a Hands,
}

impl Choice<'_> {
    fn span(&self) -> spec::Span {
        self.source.credential.as_ref().map_or(self.source.connector.span, |credential| credential.span)
    }

    fn stored(&self, name: String, record: &Record, complaints: &mut Complaints) -> Option<Credential> {
        let methods = self.bound.methods();
        let method = match &record.method {
            None => methods.first(),
            Some(wanted) => methods.iter().find(|method| method.name.as_ref() == Some(wanted)),
        };
        let Some(method) = method else {
            let message = format!("{} no longer knows this kind of credential", self.plan.title());
            complaints.add(self.span(), message, Some("make it again: `sync credentials add`".to_owned()));
            return None;
        };
        if !self.is_at_home(record) {
            let home = self.bound.base_url().origin().ascii_serialization();
            let message = format!("this credential belongs to {}, and this source asks {home}", record.home);
            let help =
                "a credential for another host is made with `sync credentials add NAME --base-url URL`";
            let span = self.source.base_url.as_ref().map_or(self.source.connector.span, |url| url.span);
            complaints.add(span, message, Some(help.to_owned()));
            return None;
        }
        let mut credential = Credential::new(Source::Stored(name.clone()), self.usable(method, complaints)?);
        credential.account.clone_from(&record.account);
        credential.notes.extend(old(&name, record, self.hands.clock.now()));
        Some(credential)
    }

    /// A secret goes to the host it was made for, to one that the built-in connector itself names, and to this very
    /// machine; not wherever a pipeline file points.
    fn is_at_home(&self, record: &Record) -> bool {
        let base = self.bound.base_url();
        let own = self.source.base_url.is_none()
            && sync_connectors::built_in_document(&self.source.connector.value).is_some();
        own || base.origin().ascii_serialization() == record.home || sync_http::is_loopback(base)
    }

    fn references(&self, complaints: &mut Complaints) -> Option<Credential> {
        let (method, given) = match self.source.credential.as_ref().map(|credential| &credential.value) {
            Some(CredentialRef::One(reference)) => self.with_one(reference, complaints)?,
            Some(CredentialRef::Many(many)) => self.with_many(many, complaints)?,
            Some(CredentialRef::Stored(_)) => return None,
            None => (self.with_environment(), Vec::new()),
        };
        let method = self.usable(method, complaints)?;
        let references = method.secret_names().into_iter().filter_map(|name| {
            let written = given.iter().find(|(n, _)| *n == name).map(|(_, reference)| reference.clone());
            let default = || Reference::Env(self.variable(&name));
            // A client without a secret is a public one; nothing is asked for where nothing is there.
            let needless = method.tokens.is_some() && name == CLIENT_SECRETS[1] && !self.is_set(&name);
            match written {
                None if needless => None,
                written => Some((name.clone(), written.unwrap_or_else(default))),
            }
        });
        Some(Credential::new(Source::References(references.collect()), method))
    }

    /// A single reference fills the only secret of the first method that has one only.
    fn with_one(
        &self,
        reference: &spec::SecretRef,
        complaints: &mut Complaints,
    ) -> Option<(&Method, Vec<(String, Reference)>)> {
        let methods = self.bound.methods();
        let single = methods.iter().find_map(|method| match method.secret_names().as_slice() {
            [name] => Some((method, vec![(name.clone(), Reference::of(reference, self.folder))])),
            _ => None,
        });
        if single.is_none() && methods.iter().all(Method::is_none) {
            return methods.first().map(|method| (method, Vec::new()));
        }
        if single.is_none() {
            let message = format!("{} wants several secrets: {}", self.plan.title(), self.known());
            let help = "give each a reference: `credential: { NAME: \"${env:…}\" }`";
            complaints.add(self.span(), message, Some(help.to_owned()));
        }
        single
    }

    /// A map chooses the method by its names.
    fn with_many(
        &self,
        many: &[(spec::Spanned<String>, spec::SecretRef)],
        complaints: &mut Complaints,
    ) -> Option<(&Method, Vec<(String, Reference)>)> {
        let given: Vec<_> =
            many.iter().map(|(name, r)| (name.value.clone(), Reference::of(r, self.folder))).collect();
        let methods = self.bound.methods();
        let knows_all = |method: &&Method| {
            let names = method.secret_names();
            given.iter().all(|(name, _)| names.contains(name))
        };
        let is_whole =
            |method: &&Method| method.secret_names().iter().all(|n| given.iter().any(|(g, _)| g == n));
        let fitting = || methods.iter().filter(knows_all);
        if let Some(method) = fitting().find(is_whole).or_else(|| fitting().next()) {
            return Some((method, given));
        }
        let every: Vec<String> = methods.iter().flat_map(Method::secret_names).collect();
        let strange: Vec<_> = many.iter().filter(|(name, _)| !every.contains(&name.value)).collect();
        for (name, _) in &strange {
            let message = format!("{} has no secret `{}`", self.plan.title(), name.value);
            complaints.add(name.span, message, Some(format!("it has {}", self.known())));
        }
        if strange.is_empty() {
            let message = format!("no kind of credential of {} has all of these secrets", self.plan.title());
            complaints.add(self.span(), message, Some(format!("its kinds have {}", self.known())));
        }
        None
    }

    /// The first method whose every variable is set, else the usual one, whose variables are then named as missing.
    fn with_environment(&self) -> &Method {
        let methods = self.bound.methods();
        let set = |method: &&Method| {
            let names = method.secret_names();
            !names.is_empty() && names.iter().all(|name| self.is_set(name))
        };
        methods.iter().find(set).unwrap_or(&methods[0])
    }

    fn variable(&self, secret: &str) -> String {
        sync_auth::default_variable(self.plan.name(), secret)
    }

    fn is_set(&self, secret: &str) -> bool {
        self.hands.environment.var(&self.variable(secret)).is_some()
    }

    /// The secrets of every method.
    fn known(&self) -> String {
        let kinds: Vec<_> =
            self.bound.methods().iter().map(|method| method.secret_names().join(", ")).collect();
        kinds.join("; or ")
    }

    fn usable<'m>(&self, method: &'m Method, complaints: &mut Complaints) -> Option<&'m Method> {
        let Some(unusable) = &method.unusable else { return Some(method) };
        let setting = unusable.config.as_ref();
        let written = self.source.config.iter().find(|(name, _)| Some(&name.value) == setting);
        let span = written.map_or_else(|| self.span(), |(_, value)| value.span);
        let help = setting.map(|name| format!("write `config: {{ {name}: … }}`"));
        complaints.add(span, unusable.message.clone(), help);
        None
    }
}

/// A secret older than somebody wants it to be.
fn old(name: &str, record: &Record, now: Timestamp) -> Option<Note> {
    let days = now.since(record.changed).as_secs() / 86_400;
    let most = u64::from(record.max_age_days?);
    (days >= most).then(|| {
        let message = format!(
            "the secret of `{name}` is {days} days old, and {most} were wanted; `sync credentials rotate {name}` changes it"
        );
        Note::new("credential_old", message)
    })
}

//! A credential while requests are signed with it: it takes up a changed secret, falls back on the key before it while
//! that still works, and changes an access token for a new one before it ends.

use std::sync::{Arc, Mutex as Quick, PoisonError, Weak};

use futures_util::lock::Mutex;
use sync_core::{
    BoxFuture, Clock, Fetch, FetchError, FetchErrorKind, Note, Part, Renew, Renewal, Request, Secret,
    Signature, TokenEndpoint,
};

use crate::sign::{missing, parts};
use crate::vault::{Previous, Stamp, Tokens, Vault, VaultError};
use crate::{CredentialError, Environment, Reference, Secrets, resolve};

mod tokens;

use tokens::needed;
pub(crate) use tokens::{client, seed};

/// The secret that a token endpoint hands out, as signatures look it up.
const ACCESS_TOKEN: &str = "access_token";

/// Where a credential's secrets are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In the vault, under this name.
    Stored(String),
    /// Each at a reference.
    References(Vec<(String, Reference)>),
    /// Here: those of a credential that is being made, with what a sign-in brought.
    Given(Secrets, Option<Tokens>),
}

impl Source {
    /// What it is called in messages.
    pub fn title(&self) -> String {
        match self {
            Self::Stored(name) => format!("the credential `{name}`"),
            Self::References(list) => match list.as_slice() {
                [(_, one)] => format!("the secret from {}", one.origin()),
                _ => "the credential".to_owned(),
            },
            Self::Given(..) => "the credential".to_owned(),
        }
    }

    /// What tells it from others, and stays when its secret changes.
    pub fn identity(&self) -> String {
        match self {
            Self::Stored(name) => format!("stored {name}"),
            Self::References(list) => {
                list.iter().map(|(_, reference)| format!("{reference:?}")).collect::<Vec<_>>().join(" ")
            }
            Self::Given(..) => "given".to_owned(),
        }
    }
}

/// How requests are signed.
#[derive(Clone, Debug)]
pub struct Signing {
    /// What is added to every request.
    pub signatures: Vec<Signature>,
    /// Where the access token comes from, if that is what signs.
    pub tokens: Option<TokenEndpoint>,
}

/// What a credential needs from the process around it.
#[derive(Clone)]
pub struct Hands {
    /// Tells how old a key is and when a token ends.
    pub clock: Arc<dyn Clock>,
    /// Carries token requests. Nothing stands between it and the network: a token costs no permit, there is one in half
    /// an hour.
    pub fetch: Arc<dyn Fetch>,
    /// Where references are looked up.
    pub environment: Arc<dyn Environment>,
    /// Where credentials are stored, and tokens kept.
    pub vault: Arc<Vault>,
    /// Is told of every secret before it is used.
    pub learn: Arc<dyn Fn(&Secret) + Send + Sync>,
}

/// A credential in use. Shared by everything that signs with it.
pub struct Credential {
    source: Source,
    signing: Signing,
    hands: Hands,
    state: Mutex<State>,
    notes: Quick<Vec<Note>>,
    /// For work that goes on when whoever asked for it is gone.
    own: Weak<Self>,
}

/// What is signed with now.
struct State {
    /// Grows with every change. 0 is nobody's, so that a request that was never signed matches none.
    version: u64,
    /// The secrets as they were read last.
    secrets: Secrets,
    /// Those before them.
    previous: Option<Previous>,
    /// Which of the two signs.
    on_previous: bool,
    tokens: Option<Tokens>,
    parts: Vec<Part>,
    /// The vault's file as it was when it was read.
    stamp: Option<Stamp>,
    /// What was tried since a request was taken last, so that nothing is tried twice.
    tried: Tried,
    /// What to say once a request is taken.
    pending: Option<Note>,
    /// Secrets that a token endpoint refused, and its words, so that it is not asked again by everybody who waits.
    dead: Option<(String, FetchError)>,
}

/// What was tried after a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tried {
    /// The source was read again.
    reread: bool,
    /// The token was changed for another than that of this version.
    renewed: Option<u64>,
    /// The other of two keys.
    other: bool,
}

/// What a source gave.
struct Read {
    secrets: Secrets,
    previous: Option<Previous>,
    tokens: Option<Tokens>,
    stamp: Option<Stamp>,
}

impl Credential {
    /// Reads the secrets, and checks that nothing that is signed with is missing.
    pub fn open(source: Source, signing: Signing, hands: Hands) -> Result<Arc<Self>, OpenError> {
        let state = State {
            version: 1,
            secrets: Secrets::default(),
            previous: None,
            on_previous: false,
            tokens: None,
            parts: Vec::new(),
            stamp: None,
            tried: Tried::default(),
            pending: None,
            dead: None,
        };
        let credential = Arc::new_cyclic(|own| Self {
            source,
            signing,
            hands,
            state: Mutex::new(state),
            notes: Quick::default(),
            own: own.clone(),
        });
        let read = credential.read()?;
        credential.check(&read.secrets)?;
        let mut state = credential.state.try_lock().expect("nobody else knows it yet");
        credential.take(&mut state, read)?;
        drop(state);
        Ok(credential)
    }

    /// What a run should say about it.
    pub fn notes(&self) -> Vec<Note> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the token endpoint handed out last.
    pub async fn tokens(&self) -> Option<Tokens> {
        self.state.lock().await.tokens.clone()
    }

    /// Feeds the names and values of its secrets, in their order, to a keyed hash, which is all that may become of them:
    /// who draws on a budget is told by it.
    pub async fn digest(&self, mut feed: impl FnMut(&str)) {
        let state = self.state.lock().await;
        for (name, secret) in state.secrets.iter() {
            feed(name);
            feed(secret.expose());
        }
    }

    /// What signs the next request, and its version.
    pub(crate) async fn parts(&self) -> Result<(Vec<Part>, u64), FetchError> {
        let mut state = self.state.lock().await;
        self.take_up_changes(&mut state)?;
        if self.signing.tokens.is_some() && !self.token_is_good(&state) {
            let version = state.version;
            drop(state);
            self.refreshed(version).await?;
            state = self.state.lock().await;
        }
        Ok((state.parts.clone(), state.version))
    }

    /// A secret that was changed in the vault signs from the next request on.
    fn take_up_changes(&self, state: &mut State) -> Result<(), FetchError> {
        let Source::Stored(_) = &self.source else { return Ok(()) };
        let now = self.hands.vault.stamp();
        if now == state.stamp {
            return Ok(());
        }
        let read = match self.read() {
            Ok(read) => read,
            // Removed, or locked meanwhile: what is in memory goes on until the provider refuses it.
            Err(error) => {
                tracing::warn!(error = %sync_core::Explain::problem(&error), "the vault changed and cannot be read");
                state.stamp = now;
                return Ok(());
            }
        };
        if self.is_news(state, &read) {
            tracing::info!("{} was changed; the new secret is used from now on", self.source.title());
            self.take(state, read).map_err(cannot_sign)?;
            state.version += 1;
            state.tried = Tried::default();
        } else {
            state.stamp = read.stamp;
            state.previous = read.previous;
        }
        Ok(())
    }

    /// Whether something that signs is another than before.
    fn is_news(&self, state: &State, read: &Read) -> bool {
        let token = |tokens: &Option<Tokens>| tokens.as_ref().map(|tokens| tokens.access.clone());
        let other_token = match (token(&state.tokens), token(&read.tokens)) {
            (Some(old), Some(new)) => !old.is(&new),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        !same(&state.secrets, &read.secrets) || (self.signing.tokens.is_some() && other_token)
    }

    fn read(&self) -> Result<Read, OpenError> {
        let read = match &self.source {
            Source::Stored(name) => {
                let stamp = self.hands.vault.stamp();
                let record = self.hands.vault.get(name)?;
                Read { secrets: record.secrets, previous: record.previous, tokens: record.tokens, stamp }
            }
            Source::References(list) => {
                let secrets = resolve(list, &*self.hands.environment)?;
                let kept =
                    self.signing.tokens.as_ref().map(|_| self.hands.vault.kept_tokens(&seed(&secrets)));
                Read { secrets, previous: None, tokens: kept.transpose()?.flatten(), stamp: None }
            }
            Source::Given(secrets, tokens) => {
                Read { secrets: secrets.clone(), previous: None, tokens: tokens.clone(), stamp: None }
            }
        };
        let previous = read.previous.iter().flat_map(|previous| previous.secrets.iter());
        for (_, secret) in read.secrets.iter().chain(previous) {
            (self.hands.learn)(secret);
        }
        if let Some(tokens) = &read.tokens {
            (self.hands.learn)(&tokens.access);
            tokens.refresh.iter().for_each(|refresh| (self.hands.learn)(refresh));
        }
        Ok(read)
    }

    /// Nothing that signs may be missing; all of it is named at once.
    fn check(&self, secrets: &Secrets) -> Result<(), CredentialError> {
        let mut missing = missing(&self.signing.signatures, secrets);
        if let Some(endpoint) = &self.signing.tokens {
            missing.retain(|name| name != ACCESS_TOKEN);
            missing.extend(needed(endpoint).filter(|name| secrets.get(name).is_none()).map(str::to_owned));
        }
        if missing.is_empty() { Ok(()) } else { Err(CredentialError::NotGiven { secrets: missing }) }
    }

    /// Signs with what was read from now on.
    fn take(&self, state: &mut State, read: Read) -> Result<(), CredentialError> {
        let seed = seed(&read.secrets);
        state.secrets = read.secrets;
        state.previous = read.previous;
        state.on_previous = false;
        // Tokens that began with other secrets are not of this sign-in.
        state.tokens = read.tokens.filter(|tokens| tokens.seed == seed);
        state.stamp = read.stamp;
        self.prepare(state)
    }

    fn prepare(&self, state: &mut State) -> Result<(), CredentialError> {
        let previous =
            state.previous.as_ref().filter(|_| state.on_previous).map(|previous| &previous.secrets);
        let secrets = previous.unwrap_or(&state.secrets).clone();
        let secrets = match &state.tokens {
            Some(tokens) => secrets.with(ACCESS_TOKEN, tokens.access.clone()),
            None => secrets,
        };
        state.parts = parts(&self.signing.signatures, &secrets)?;
        Ok(())
    }

    /// The provider refused this version: what else is there?
    async fn next(&self, seen: u64) -> Renewal {
        let mut state = self.state.lock().await;
        if state.version != seen {
            return Renewal::Again;
        }
        if self.signing.tokens.is_some() {
            return self.next_token(state).await;
        }
        if !state.tried.reread {
            state.tried.reread = true;
            if let Ok(read) = self.read()
                && self.check(&read.secrets).is_ok()
                && self.is_news(&state, &read)
                && self.take(&mut state, read).is_ok()
            {
                state.version += 1;
                let message = format!(
                    "{} was refused and read again: there was a new one, and it worked",
                    self.source.title()
                );
                state.pending = Some(Note::new("credential_reread", message));
                return Renewal::Again;
            }
        }
        let now = self.hands.clock.now();
        let there = state.previous.as_ref().filter(|previous| state.on_previous || previous.until > now);
        let Some(until) = there.filter(|_| !state.tried.other).map(|previous| previous.until) else {
            return Renewal::Spent { tried: Self::tried(&state), hint: self.advice() };
        };
        state.tried.other = true;
        state.on_previous = !state.on_previous;
        if self.prepare(&mut state).is_err() {
            return Renewal::Spent { tried: None, hint: self.advice() };
        }
        state.version += 1;
        let title = self.source.title();
        let message = match state.on_previous {
            true => format!(
                "the current key of {title} was refused; the one before it worked, which ends at {until}"
            ),
            false => format!("the older key of {title} was refused; the current one worked"),
        };
        state.pending = Some(Note::new("credential_other_key", message));
        Renewal::Again
    }

    fn tried(state: &State) -> Option<String> {
        match &state.previous {
            _ if state.tried.other => Some("the other key was refused, too".to_owned()),
            Some(previous) => Some(format!("the key before it ended at {}", previous.until)),
            None => None,
        }
    }

    fn advice(&self) -> Option<String> {
        let Source::Stored(name) = &self.source else { return None };
        Some(match &self.signing.tokens {
            Some(_) => self.sign_in_again(),
            None => format!("give it another secret: `sync credentials rotate {name}`"),
        })
    }

    fn tell(&self, note: Note) {
        tracing::warn!("{}", note.message);
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }
}

impl Renew for Credential {
    fn refused<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Renewal> {
        Box::pin(self.next(request.sent.signed_with()))
    }

    fn taken(&self, request: &Request) {
        // Whoever holds the lock is changing the secret, and will be told by the next answer.
        let Some(mut state) = self.state.try_lock() else { return };
        if state.version != request.sent.signed_with() {
            return;
        }
        state.tried = Tried::default();
        if let Some(note) = state.pending.take() {
            drop(state);
            self.tell(note);
        }
    }
}

/// A credential that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A secret that cannot be had or used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl sync_core::Explain for OpenError {
    fn kind(&self) -> sync_core::Kind {
        match self {
            Self::Credential(error) => error.kind(),
            Self::Vault(error) => error.kind(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Credential(error) => error.code(),
            Self::Vault(error) => error.code(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Credential(error) => error.hint(),
            Self::Vault(error) => error.hint(),
        }
    }
}

fn cannot_sign(error: CredentialError) -> FetchError {
    FetchError { kind: FetchErrorKind::Credential, message: error.to_string() }
}

fn same(a: &Secrets, b: &Secrets) -> bool {
    let pairs = || a.iter().zip(b.iter());
    a.iter().count() == b.iter().count() && pairs().all(|((an, a), (bn, b))| an == bn && a.is(b))
}

#[cfg(test)]
mod tests;

//! A credential while requests are signed with it: it takes up a changed secret, falls back on the key before it while
//! that still works, and changes an access token for a new one before it ends.

use std::sync::{Arc, Mutex as Quick, PoisonError, Weak};
use std::time::Duration;

use futures_util::lock::{Mutex, MutexGuard};
use ring::digest::{SHA256, digest};
use sync_core::{
    BoxFuture, Clock, Fetch, FetchError, FetchErrorKind, Note, Part, Renew, Renewal, Request, Secret,
    Signature, TokenEndpoint,
};

use crate::oauth::{self, Client, TokenError, With};
use crate::sign::{missing, parts};
use crate::vault::{Previous, Stamp, Tokens, Vault, VaultError, hex};
use crate::{CredentialError, Environment, Reference, Secrets, resolve};

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

    fn token_is_good(&self, state: &State) -> bool {
        let early = self.signing.tokens.as_ref().map_or(Duration::ZERO, |endpoint| endpoint.refresh_before);
        state
            .tokens
            .as_ref()
            .is_some_and(|tokens| tokens.expires.is_none_or(|end| self.hands.clock.now().plus(early) < end))
    }

    /// Gets another token than the one of this version, once, whoever else wants it: others in this process wait here,
    /// those of other processes at the lock.
    ///
    /// It is done on a task of its own, because whoever waits may be dropped at any moment, and an answer that
    /// nobody hears may hold the only refresh token there is.
    async fn refreshed(&self, seen: u64) -> Result<(), FetchError> {
        let own = self.own.upgrade().expect("it lives as long as it is borrowed");
        let done = tokio::spawn(async move { own.refresh(seen).await }).await;
        done.unwrap_or_else(|_| {
            Err(FetchError { kind: FetchErrorKind::Stopped, message: "stopped".to_owned() })
        })
    }

    async fn refresh(&self, seen: u64) -> Result<(), FetchError> {
        let mut state = self.state.lock().await;
        if state.version != seen && self.token_is_good(&state) {
            return Ok(()); // somebody else did it while we waited
        }
        let endpoint = self.signing.tokens.as_ref().expect("only credentials with an endpoint are refreshed");
        let alone = self.hands.vault.refresh_lock(&self.source, &*self.hands.clock).await;
        let held = alone.map(Some).or_else(|error| dispensable(endpoint, error))?;
        // Another process may have done it while we waited for the lock.
        let read = self.read().map_err(cannot_read)?;
        let refused = state.tokens.as_ref().map(|tokens| tokens.access.clone());
        let theirs = read.tokens.as_ref().filter(|tokens| tokens.seed == seed(&read.secrets));
        let another =
            theirs.is_some_and(|tokens| refused.as_ref().is_none_or(|refused| !tokens.access.is(refused)));
        self.take(&mut state, read).map_err(cannot_sign)?;
        if another && self.token_is_good(&state) {
            state.version += 1;
            return Ok(());
        }
        let asked_with = format!(
            "{} {}",
            seed(&state.secrets),
            state
                .tokens
                .as_ref()
                .map(|tokens| hex(&digest(&SHA256, tokens.access.expose().as_bytes()).as_ref()[..8]))
                .unwrap_or_default()
        );
        if let Some((with, error)) = &state.dead
            && *with == asked_with
        {
            return Err(error.clone());
        }
        let tokens = match self.ask(endpoint, &state.secrets, state.tokens.as_ref()).await {
            Ok(tokens) => tokens,
            Err(error) => {
                let error = self.explained(error);
                if error.kind == FetchErrorKind::Credential {
                    state.dead = Some((asked_with, error.clone()));
                }
                return Err(error);
            }
        };
        // Durable before it is used: whoever dies now has lost nothing.
        let kept = self.hands.vault.keep_tokens(&self.source, &tokens);
        kept.map(Some).or_else(|error| dispensable(endpoint, error))?;
        drop(held);
        state.tokens = Some(tokens);
        state.stamp = self.hands.vault.stamp();
        state.version += 1;
        self.prepare(&mut state).map_err(cannot_sign)
    }

    async fn ask(
        &self,
        endpoint: &TokenEndpoint,
        secrets: &Secrets,
        kept: Option<&Tokens>,
    ) -> Result<Tokens, TokenError> {
        let client =
            client(secrets).ok_or_else(|| TokenError::Refused("there is no client id".to_owned()))?;
        let refresh =
            kept.and_then(|tokens| tokens.refresh.as_ref()).or_else(|| secrets.get("refresh_token"));
        let with = match refresh {
            Some(token) => With::Refresh(token),
            None => With::Client,
        };
        let answer = oauth::ask(endpoint, &client, with, &*self.hands.fetch).await?;
        (self.hands.learn)(&answer.access);
        answer.refresh.iter().for_each(|token| (self.hands.learn)(token));
        let expires = answer.expires_in.map(|life| self.hands.clock.now().plus(life));
        let refresh = answer.refresh.or_else(|| kept.and_then(|tokens| tokens.refresh.clone()));
        Ok(Tokens { access: answer.access, expires, refresh, seed: seed(secrets) })
    }

    fn explained(&self, error: TokenError) -> FetchError {
        let mut error = error.into_fetch_error();
        if error.kind == FetchErrorKind::Credential {
            error.message = format!("{}; {}", error.message, self.sign_in_again());
        }
        error
    }

    fn sign_in_again(&self) -> String {
        match &self.source {
            Source::Stored(name) => format!("sign in again: `sync credentials rotate {name}`"),
            Source::References(_) => "sign in again, and give the new refresh token".to_owned(),
            Source::Given(..) => "sign in again".to_owned(),
        }
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

    /// A token that was refused before its time is changed once for another.
    async fn next_token(&self, mut state: MutexGuard<'_, State>) -> Renewal {
        let version = state.version;
        if state.tried.renewed.is_some_and(|renewed| renewed != version) {
            let tried = Some("with a new access token, too".to_owned());
            return Renewal::Spent { tried, hint: self.advice() };
        }
        state.tried.renewed = Some(version);
        drop(state);
        match self.refreshed(version).await {
            Ok(()) => Renewal::Again,
            Err(error) => Renewal::Spent { tried: Some(error.message), hint: self.advice() },
        }
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

/// A client that can ask again at any time can do without the vault; whoever holds a refresh token cannot.
fn dispensable<T>(endpoint: &TokenEndpoint, error: VaultError) -> Result<Option<T>, FetchError> {
    if endpoint.grant != sync_core::Grant::Client {
        return Err(cannot_keep(error));
    }
    tracing::debug!(error = %sync_core::Explain::problem(&error), "the access token is kept in memory only");
    Ok(None)
}

fn cannot_keep(error: VaultError) -> FetchError {
    let message = sync_core::Explain::problem(&error).to_string();
    FetchError {
        kind: FetchErrorKind::Credential,
        message: format!("the new token cannot be kept: {message}"),
    }
}

fn cannot_read(error: OpenError) -> FetchError {
    FetchError { kind: FetchErrorKind::Credential, message: sync_core::Explain::problem(&error).to_string() }
}

/// What an endpoint cannot do without. A client without a secret is a public one.
fn needed(endpoint: &TokenEndpoint) -> impl Iterator<Item = &'static str> {
    let names: &[&str] = match endpoint.grant {
        sync_core::Grant::Client => &["client_id", "client_secret"],
        sync_core::Grant::Code | sync_core::Grant::Refresh => &["client_id", "refresh_token"],
    };
    names.iter().copied()
}

pub(crate) fn client(secrets: &Secrets) -> Option<Client> {
    Some(Client { id: secrets.get("client_id")?.clone(), secret: secrets.get("client_secret").cloned() })
}

fn same(a: &Secrets, b: &Secrets) -> bool {
    let pairs = || a.iter().zip(b.iter());
    a.iter().count() == b.iter().count() && pairs().all(|((an, a), (bn, b))| an == bn && a.is(b))
}

/// A hash of secrets, which tells others from these. The refresh token in it has more entropy than anybody can try.
pub(crate) fn seed(secrets: &Secrets) -> String {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(4096));
    for (name, secret) in secrets.iter() {
        text.push_str(name);
        text.push('\n');
        text.push_str(secret.expose());
        text.push('\n');
    }
    hex(&digest(&SHA256, text.as_bytes()).as_ref()[..16])
}

#[cfg(test)]
mod tests;

//! Access tokens: changed for new ones before they end, once for everybody who signs with them.

use std::time::Duration;

use futures_util::lock::MutexGuard;
use ring::digest::{SHA256, digest};
use sync_core::{FetchError, FetchErrorKind, Renewal, TokenEndpoint};

use super::{Credential, OpenError, Source, State, cannot_sign};
use crate::Secrets;
use crate::oauth::{self, Client, TokenError, With};
use crate::vault::{Tokens, VaultError, hex};

impl Credential {
    pub(super) fn token_is_good(&self, state: &State) -> bool {
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
    pub(super) async fn refreshed(&self, seen: u64) -> Result<(), FetchError> {
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

    pub(super) fn sign_in_again(&self) -> String {
        match &self.source {
            Source::Stored(name) => format!("sign in again: `sync credentials rotate {name}`"),
            Source::References(_) => "sign in again, and give the new refresh token".to_owned(),
            Source::Given(..) => "sign in again".to_owned(),
        }
    }

    /// A token that was refused before its time is changed once for another.
    pub(super) async fn next_token(&self, mut state: MutexGuard<'_, State>) -> Renewal {
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
pub(super) fn needed(endpoint: &TokenEndpoint) -> impl Iterator<Item = &'static str> {
    let names: &[&str] = match endpoint.grant {
        sync_core::Grant::Client => &["client_id", "client_secret"],
        sync_core::Grant::Code | sync_core::Grant::Refresh => &["client_id", "refresh_token"],
    };
    names.iter().copied()
}

pub(crate) fn client(secrets: &Secrets) -> Option<Client> {
    Some(Client { id: secrets.get("client_id")?.clone(), secret: secrets.get("client_secret").cloned() })
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

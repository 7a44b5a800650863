//! Whose budget a run draws on.
//!
//! An account is what the pipeline says; else what the provider's check call answers, remembered for each credential;
//! else the setting that names a tenant in the host; else the credential's name; else a keyed hash of its secrets. So
//! two keys of one account share a budget where that can be known, and a rotated key keeps it where it has a name.

use std::sync::{Arc, Mutex, PoisonError};

use ring::hmac;
use sync_auth::Credential;
use sync_connectors::Bound;
use sync_core::{Ask, BudgetStore, Explain as _, Figures, Problem};
use sync_spec::Scope;

/// Under this name the store keeps the key of the hashes, which never leaves the machine.
const KEY: &str = ".key";

/// Whose figures are drawn on, by scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Connector and host.
    host: String,
    credential: String,
    account: String,
    /// Whether the account is only known by its credential, and the provider could tell.
    pub guessed: bool,
}

impl Identity {
    /// The name of the figures of a scope.
    pub fn of(&self, scope: Scope) -> String {
        match scope {
            Scope::Account => format!("{} account {}", self.host, self.account),
            Scope::Credential => format!("{} credential {}", self.host, self.credential),
            Scope::Host => format!("{} host", self.host),
        }
    }

    /// As far as it can be told without asking the provider. `named` is what somebody said the account is, `name` what the
    /// credential is called.
    pub async fn find(
        bound: &Bound,
        named: Option<String>,
        name: Option<String>,
        credential: &Credential,
        store: &dyn BudgetStore,
    ) -> Result<Self, Problem> {
        let host = bound.identity();
        let credential = match name {
            Some(name) => name,
            None => fingerprint(store, credential).await?,
        };
        let known = [named, answered(store, &host, &credential).await?, bound.tenant()];
        let known = known.into_iter().flatten().next();
        let guessed = known.is_none() && bound.account().is_some();
        let account = known.unwrap_or_else(|| credential.clone());
        Ok(Self { host, credential, account, guessed })
    }

    /// Asks the provider, and remembers what it says. An answer that names no account leaves the guess as it is.
    pub async fn ask(
        mut self,
        bound: &Bound,
        ask: &dyn Ask,
        store: &dyn BudgetStore,
    ) -> Result<Self, Problem> {
        let Some(request) = bound.check() else { return Ok(self) };
        let answer = ask.ask(&request).await.map_err(|refusal| refusal.problem())?;
        if let Some(account) = bound.account_in(&answer.response) {
            remember(store, &self.host, &self.credential, &account).await?;
            self.account = account;
        }
        self.guessed = false;
        Ok(self)
    }
}

/// What the provider answered when this credential was last asked about.
async fn answered(store: &dyn BudgetStore, host: &str, credential: &str) -> Result<Option<String>, Problem> {
    read(store, &alias(host, credential)).await
}

async fn remember(
    store: &dyn BudgetStore,
    host: &str,
    credential: &str,
    account: &str,
) -> Result<(), Problem> {
    let account = account.to_owned();
    let change = move |kept: &mut [Figures], _: &dyn Fn(u64) -> bool| kept[0] = Some(account.clone());
    store.change(&[alias(host, credential)], Box::new(change)).await
}

fn alias(host: &str, credential: &str) -> String {
    format!("{host} is {credential}")
}

async fn read(store: &dyn BudgetStore, name: &str) -> Result<Option<String>, Problem> {
    let found = Arc::new(Mutex::new(None));
    let seen = found.clone();
    let change = move |kept: &mut [Figures], _: &dyn Fn(u64) -> bool| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&kept[0]);
    };
    store.change(&[name.to_owned()], Box::new(change)).await?;
    Ok(found.lock().unwrap_or_else(PoisonError::into_inner).take())
}

/// A hash of the secrets that says nothing about them to whoever has not the machine's key.
async fn fingerprint(store: &dyn BudgetStore, credential: &Credential) -> Result<String, Problem> {
    let fresh: [u8; 32] = ring::rand::generate(&ring::rand::SystemRandom::new())
        .map_err(|_| {
            Problem::new(sync_core::Kind::Environment, "no_random", "this machine has no random numbers")
        })?
        .expose();
    let key = Arc::new(Mutex::new(String::new()));
    let seen = key.clone();
    let change = move |kept: &mut [Figures], _: &dyn Fn(u64) -> bool| {
        let key = kept[0].get_or_insert_with(|| hex(&fresh));
        seen.lock().unwrap_or_else(PoisonError::into_inner).clone_from(key);
    };
    store.change(&[KEY.to_owned()], Box::new(change)).await?;
    let key = std::mem::take(&mut *key.lock().unwrap_or_else(PoisonError::into_inner));
    let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
    let mut some = false;
    credential
        .digest(|part| {
            some = true;
            signing.update(&(part.len() as u64).to_le_bytes());
            signing.update(part.as_bytes());
        })
        .await;
    Ok(if some { hex(&signing.sign().as_ref()[..12]) } else { "nobody".to_owned() })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

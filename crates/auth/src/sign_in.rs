//! A person signs in, in a browser: the authorization code grant (RFC 6749, section 4.1) with a code challenge
//! (RFC 7636), for programs on a person's own machine (RFC 8252).

use sync_core::{Clock, Fetch, Secret, TokenEndpoint};
use url::{Url, form_urlencoded};

use crate::credential::{client, seed};
use crate::oauth::{self, With};
use crate::{Secrets, Tokens};

/// A sign-in under way. It ends with [`SignIn::finish`], or is dropped.
pub struct SignIn {
    endpoint: TokenEndpoint,
    secrets: Secrets,
    redirect: Url,
    begun: oauth::SignIn,
}

/// A sign-in that came to nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignInError {
    /// The connector names no page, or the client has no id.
    #[error("this kind of credential has no page to sign in at")]
    NoPage,
    /// An answer of a sign-in that is not this one: an old page, or somebody else's doing.
    #[error("the answer belongs to another sign-in")]
    Foreign,
    /// The person or the provider said no.
    #[error("the provider answered `{0}`")]
    Denied(String),
    /// The answer has no code.
    #[error("the answer holds no code")]
    NoCode,
    /// The code was not taken.
    #[error("{0}")]
    Refused(String),
    /// The token endpoint handed out no refresh token, so that the credential would end with its first token.
    #[error("the provider handed out no refresh token")]
    NoRefreshToken,
}

impl SignIn {
    /// Begins one. `redirect` is where the page sends the browser in the end.
    pub fn begin(endpoint: &TokenEndpoint, secrets: &Secrets, redirect: Url) -> Result<Self, SignInError> {
        let client = client(secrets).ok_or(SignInError::NoPage)?;
        let begun = oauth::sign_in(endpoint, &client, &redirect).ok_or(SignInError::NoPage)?;
        Ok(Self { endpoint: endpoint.clone(), secrets: secrets.clone(), redirect, begun })
    }

    /// The page to open.
    pub fn page(&self) -> &Url {
        &self.begun.page
    }

    /// What must not be shown while it is under way.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.begun.verifier.iter()
    }

    /// The code in what the browser was sent back with: the query of the redirect, or all of its URL.
    pub fn code(&self, answer: &str) -> Result<Secret, SignInError> {
        let query = answer.trim().split_once('?').map_or(answer.trim(), |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let find = |name: &str| {
            form_urlencoded::parse(query.as_bytes())
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.into_owned())
        };
        let state = find("state").map(Secret::new);
        if !state.is_some_and(|state| state.is(&self.begun.state)) {
            return Err(SignInError::Foreign);
        }
        if let Some(error) = find("error") {
            let words = find("error_description").map_or_else(String::new, |words| format!(": {words}"));
            let said: String =
                format!("{error}{words}").chars().filter(|c| !c.is_control()).take(200).collect();
            return Err(SignInError::Denied(said));
        }
        find("code").filter(|code| !code.is_empty()).map(Secret::new).ok_or(SignInError::NoCode)
    }

    /// Changes the code for tokens: the secrets of the credential, and the first access token.
    pub async fn finish(
        self,
        code: &Secret,
        fetch: &dyn Fetch,
        clock: &dyn Clock,
        learn: &(dyn Fn(&Secret) + Send + Sync),
    ) -> Result<(Secrets, Tokens), SignInError> {
        let client = client(&self.secrets).ok_or(SignInError::NoPage)?;
        self.secrets.iter().for_each(|(_, secret)| learn(secret));
        learn(code);
        self.begun.verifier.iter().for_each(learn);
        let with = With::Code { code, redirect: &self.redirect, verifier: self.begun.verifier.as_ref() };
        let asked = oauth::ask(&self.endpoint, &client, with, fetch).await;
        let answer = asked.map_err(|error| SignInError::Refused(error.to_string()))?;
        learn(&answer.access);
        let refresh = answer.refresh.ok_or(SignInError::NoRefreshToken)?;
        learn(&refresh);
        let secrets = self.secrets.with("refresh_token", refresh);
        let expires = answer.expires_in.map(|life| clock.now().plus(life));
        let seed = seed(&secrets);
        Ok((secrets, Tokens { access: answer.access, expires, refresh: None, seed }))
    }
}

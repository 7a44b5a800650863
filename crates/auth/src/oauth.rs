//! Asking a token endpoint (RFC 6749).
//!
//! The crate `oauth2` makes the sign-in page's address, its state, the code challenge and the token requests. What it
//! does not fit is done here: the transport is our own [`Fetch`], so that redaction, https and the proxy hold for token
//! requests too; answers are read leniently, because providers put tokens deeper, call them otherwise, or write
//! `expires_in` as text; and what an error means is the connector's word. The secrets of a request pass through texts
//! of that crate which are not overwritten when dropped.

use std::cell::Cell;
use std::time::Duration;

use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, Scope, TokenUrl,
};
use serde_json::{Value, json};
use sync_core::{
    ClientIn, Fetch, FetchError, FetchErrorKind, Method, Operation, Outcome, Part, Place, Request, Response,
    Secret, SendAs, Sent, TokenEndpoint, Verdict,
};
use url::{Url, form_urlencoded};

/// The client: this program, as the provider knows it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub id: Secret,
    /// A public client has none (RFC 8252, section 8.5).
    pub secret: Option<Secret>,
}

/// What a token is asked with.
pub(crate) enum With<'a> {
    /// The client's own id and secret.
    Client,
    /// A refresh token.
    Refresh(&'a Secret),
    /// What the sign-in page sent back.
    Code { code: &'a Secret, redirect: &'a Url, verifier: Option<&'a Secret> },
}

/// What the endpoint handed out.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub access: Secret,
    pub expires_in: Option<Duration>,
    pub refresh: Option<Secret>,
}

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// Only signing in again helps, or another client secret.
    #[error("{0}")]
    Refused(String),
    /// Another attempt may help.
    #[error("{0}")]
    Passing(String),
    /// Another attempt will not help: the transport's or the endpoint's reason.
    #[error("{1}")]
    Broken(FetchErrorKind, String),
}

impl TokenError {
    pub fn into_fetch_error(self) -> FetchError {
        let (kind, message) = match self {
            Self::Refused(message) => (FetchErrorKind::Credential, message),
            Self::Passing(message) => (FetchErrorKind::Token, message),
            Self::Broken(kind, message) => (kind, message),
        };
        FetchError { kind, message }
    }
}

/// A sign-in under way.
pub(crate) struct SignIn {
    /// The page to open.
    pub page: Url,
    /// What the page sends back, to be compared: a sign-in that somebody else began is not ours.
    pub state: Secret,
    /// What proves that we began it.
    pub verifier: Option<Secret>,
}

/// Asks for a token, once.
pub(crate) async fn ask(
    endpoint: &TokenEndpoint,
    client: &Client,
    with: With<'_>,
    fetch: &dyn Fetch,
) -> Result<Answer, TokenError> {
    let request = own(endpoint, request(endpoint, client, &with)?);
    let response = fetch.fetch(&request).await.map_err(|error| lost(endpoint, &error))?;
    let outcome = endpoint.classify.classify(&request, &response);
    if outcome.verdict != Verdict::Ok {
        return Err(refusal(endpoint, &response, &outcome));
    }
    answer(endpoint, &response.body).ok_or_else(|| {
        let message = format!("the answer of {} holds no access token", place(&endpoint.token));
        TokenError::Broken(FetchErrorKind::Credential, message)
    })
}

/// The request, as `oauth2` would send it: a client that takes it down and sends nothing is handed to it. Its own
/// asynchronous calls cannot be awaited on another task, because they borrow for longer than the compiler can see.
fn request(endpoint: &TokenEndpoint, client: &Client, with: &With<'_>) -> Result<HttpRequest, TokenError> {
    #[derive(Debug, thiserror::Error)]
    #[error("taken down")]
    struct TakenDown;
    let taken = Cell::new(None);
    let take_down = |request: HttpRequest| -> Result<HttpResponse, TakenDown> {
        taken.set(Some(request));
        Err(TakenDown)
    };
    let mut oauth = BasicClient::new(ClientId::new(client.id.expose().to_owned()))
        .set_token_uri(TokenUrl::from_url(endpoint.token.clone()))
        .set_auth_type(match endpoint.client_in {
            ClientIn::Body => AuthType::RequestBody,
            ClientIn::Basic => AuthType::BasicAuth,
        });
    if let Some(secret) = &client.secret {
        oauth = oauth.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
    }
    let sent = match with {
        With::Client => {
            let scopes = endpoint.scopes.iter().cloned().map(Scope::new);
            oauth.exchange_client_credentials().add_scopes(scopes).request(&take_down)
        }
        With::Refresh(token) => {
            oauth.exchange_refresh_token(&RefreshToken::new(token.expose().to_owned())).request(&take_down)
        }
        With::Code { code, redirect, verifier } => {
            let oauth = oauth.set_redirect_uri(RedirectUrl::from_url((*redirect).clone()));
            let mut asking = oauth.exchange_code(AuthorizationCode::new(code.expose().to_owned()));
            if let Some(verifier) = verifier {
                asking = asking.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()));
            }
            asking.request(&take_down)
        }
    };
    drop(sent);
    let none =
        || TokenError::Broken(FetchErrorKind::Credential, "the token request cannot be built".to_owned());
    taken.into_inner().ok_or_else(none)
}

/// The page where a person signs in, and what its answer must carry. `None` where the connector names no page.
pub(crate) fn sign_in(endpoint: &TokenEndpoint, client: &Client, redirect: &Url) -> Option<SignIn> {
    let page = AuthUrl::from_url(endpoint.authorize.clone()?);
    let oauth = BasicClient::new(ClientId::new(client.id.expose().to_owned()))
        .set_auth_uri(page)
        .set_redirect_uri(RedirectUrl::from_url(redirect.clone()));
    let scopes = endpoint.scopes.iter().cloned().map(Scope::new);
    let mut asking = oauth.authorize_url(CsrfToken::new_random).add_scopes(scopes);
    let verifier = endpoint.pkce.then(|| {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        (challenge, Secret::new(verifier.into_secret()))
    });
    let (challenge, verifier) = verifier.unzip();
    if let Some(challenge) = challenge {
        asking = asking.set_pkce_challenge(challenge);
    }
    let (page, state) = asking.url();
    Some(SignIn { page, state: Secret::new(state.into_secret()), verifier })
}

/// The request as our transport takes it: whatever it says is secret.
fn own(endpoint: &TokenEndpoint, request: HttpRequest) -> Request {
    let (parts, body) = request.into_parts();
    let mut secrets = Vec::new();
    if let Some(value) = parts.headers.get("authorization").and_then(|value| value.to_str().ok()) {
        let value = Secret::new(value.to_owned());
        secrets.push(Part { place: Place::Header, name: "authorization".to_owned(), value });
    }
    let (media, text) = match endpoint.send {
        SendAs::Form => ("application/x-www-form-urlencoded", String::from_utf8(body).unwrap_or_default()),
        SendAs::Json => {
            let fields = form_urlencoded::parse(&body).map(|(name, value)| (name.into_owned(), json!(value)));
            ("application/json", Value::Object(fields.collect()).to_string())
        }
    };
    secrets.push(Part { place: Place::Body, name: media.to_owned(), value: Secret::new(text) });
    Request {
        method: Method::Post,
        url: endpoint.token.clone(),
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: None,
        secrets,
        operation: Operation::Check,
        repeatable: false,
        follow_redirects: false,
        sent: Sent::default(),
    }
}

/// The tokens of an answer (RFC 6749, section 5.1). `None` where there is no access token.
fn answer(endpoint: &TokenEndpoint, body: &[u8]) -> Option<Answer> {
    let mut whole: Value = serde_json::from_slice(body).ok()?;
    let mut found = &mut whole;
    for field in &endpoint.token_path {
        found = found.get_mut(field)?;
    }
    let mut called = |name: &str| {
        let own = endpoint.names.iter().find(|(standard, _)| standard == name).map(|(_, own)| own.as_str());
        found.get_mut(own.unwrap_or(name)).map(Value::take)
    };
    let mut secret = |name: &str| match called(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(Secret::new(text)),
        _ => None,
    };
    let (access, refresh) = (secret("access_token")?, secret("refresh_token"));
    let expires_in = called("expires_in").and_then(|value| match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    });
    let expires_in = expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Some(Answer { access, expires_in, refresh })
}

fn lost(endpoint: &TokenEndpoint, error: &FetchError) -> TokenError {
    let message = format!("no token from {}: {}", place(&endpoint.token), error.message);
    match error.temporary() {
        true => TokenError::Passing(message),
        false => TokenError::Broken(error.kind, message),
    }
}

fn refusal(endpoint: &TokenEndpoint, response: &Response, outcome: &Outcome) -> TokenError {
    let words = if outcome.words.is_empty() { String::new() } else { format!(": {}", outcome.words) };
    let message = format!("{} answered HTTP {}{words}", place(&endpoint.token), response.status);
    match outcome.verdict {
        Verdict::Auth => TokenError::Refused(message),
        Verdict::Retry | Verdict::Limited => TokenError::Passing(message),
        _ => TokenError::Broken(FetchErrorKind::Credential, message),
    }
}

fn place(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

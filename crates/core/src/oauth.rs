//! Where access tokens come from: a token endpoint as RFC 6749 describes it, with the ways in which providers differ.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::Classify;

/// How the first token is had (RFC 6749, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A person signs in.
    Code,
    /// The program's own id and secret are enough.
    Client,
    /// Somebody signed in elsewhere and brings the refresh token.
    Refresh,
}

/// Where id and secret of the client go in a token request (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientIn {
    /// In the body.
    #[default]
    Body,
    /// In the header.
    Basic,
}

/// How a token request is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendAs {
    /// As a form, which is the standard.
    #[default]
    Form,
    /// As a JSON object.
    Json,
}

/// A token endpoint, ready to be asked.
#[derive(Clone)]
pub struct TokenEndpoint {
    /// How the first token is had.
    pub grant: Grant,
    /// Where a person signs in.
    pub authorize: Option<Url>,
    /// Where tokens are asked for.
    pub token: Url,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Whether the sign-in carries a code challenge (RFC 7636).
    pub pkce: bool,
    /// Where id and secret of the client go.
    pub client_in: ClientIn,
    /// How a token request is written.
    pub send: SendAs,
    /// Standard name to the answer's own, for `access_token`, `refresh_token` and `expires_in`.
    pub names: Vec<(String, String)>,
    /// The fields on the way to the tokens; empty where they stand at the top.
    pub token_path: Vec<String>,
    /// How long before its end a token is changed for a new one.
    pub refresh_before: Duration,
    /// What an answer means: [`crate::Verdict::Auth`] where only signing in again helps.
    pub classify: Arc<dyn Classify>,
}

impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("grant", &self.grant)
            .field("token", &self.token.as_str())
            .finish_non_exhaustive()
    }
}

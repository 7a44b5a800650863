//! The ways in which a bound connector's requests can be signed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sync_core::{
    Classify, Outcome, Place, Request, Response, Signature, SignatureForm, SignaturePiece, TokenEndpoint,
    Verdict,
};
use sync_spec::{At, Auth, AuthKind, AuthMethod, Condition, Hole, OAuth, Piece, Root, Template};
use url::Url;

use crate::classify::{excerpt, look_up, text};
use crate::condition::holds;
use crate::json::{self, Value};
use crate::plan::Plan;
use crate::request::{Settings, fill, setting};

/// The secrets of a token endpoint, in the order in which people are asked for them.
pub const CLIENT_SECRETS: [&str; 3] = ["client_id", "client_secret", "refresh_token"];
/// What a token endpoint hands out, as signatures look it up.
pub const ACCESS_TOKEN: &str = "access_token";

/// One way in which requests are signed.
#[derive(Clone, Debug)]
pub struct Method {
    /// Its name under `one_of`; nothing where there is only one.
    pub name: Option<String>,
    /// What is added to every request.
    pub signatures: Vec<Signature>,
    /// Where the secret [`ACCESS_TOKEN`] comes from, if one of the signatures looks it up.
    pub tokens: Option<TokenEndpoint>,
    /// How long an old key still works after a new one was made.
    pub overlap: Option<Duration>,
    /// What to tell whoever uses it.
    pub warn: Option<String>,
    /// Where to make the credential, and with which role or scopes.
    pub help: Option<String>,
    /// Why it cannot be used with these settings.
    pub unusable: Option<Unusable>,
}

/// Why a method cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The setting that is missing or wrong, where it is one.
    pub config: Option<String>,
    /// What is wrong, as a sentence.
    pub message: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Method {
    /// The secrets that it takes from a credential, each once.
    pub fn secret_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if let Some(tokens) = &self.tokens {
            let own = match tokens.grant {
                sync_core::Grant::Client => &CLIENT_SECRETS[..2],
                _ => &CLIENT_SECRETS[..],
            };
            names.extend(own.iter().map(|&name| name.to_owned()));
        }
        for signature in &self.signatures {
            let pieces = match &signature.form {
                SignatureForm::Text(pieces) => pieces.iter().chain(&[]),
                SignatureForm::Basic { username, password } => username.iter().chain(password),
            };
            for piece in pieces {
                match piece {
                    SignaturePiece::Secret(name) if self.tokens.is_some() && name == ACCESS_TOKEN => {}
                    SignaturePiece::Secret(name) if !names.contains(name) => names.push(name.clone()),
                    _ => {}
                }
            }
        }
        names
    }

    /// Whether requests are sent as they are.
    pub fn is_none(&self) -> bool {
        self.signatures.is_empty()
    }
}

/// Every method of a connector, the usual one first; at least one.
pub(crate) fn methods(plan: &Plan, settings: &Settings) -> Vec<Method> {
    let signed =
        plan.headers.iter().filter(|(_, t)| crate::plan::holes_of(t).any(|h| h.root == Root::Secret));
    let headers: Vec<Signature> = signed
        .map(|(name, template)| text_of(Place::Header, name, pieces(template, &settings.config)))
        .collect();
    let one = |name: Option<&str>, method: &AuthMethod| {
        let mut one = bound(name, method, settings);
        one.signatures.extend(headers.iter().cloned());
        one
    };
    let mut methods: Vec<Method> = match &plan.auth {
        Auth::None => vec![Method {
            name: None,
            signatures: headers,
            tokens: None,
            overlap: None,
            warn: None,
            help: None,
            unusable: None,
        }],
        Auth::One(method) => vec![one(None, method)],
        Auth::OneOf(list) => list.iter().map(|(name, method)| one(Some(&name.value), method)).collect(),
    };
    // What is said of a key holds wherever the key is given: under its own method, or as any header or parameter.
    let warnings: Vec<_> =
        methods.iter().filter_map(|m| Some((m.signatures.clone(), m.warn.clone()?))).collect();
    for method in methods.iter_mut().filter(|m| m.warn.is_none()) {
        let same = |a: &Signature, b: &Signature| a.place == b.place && a.name.eq_ignore_ascii_case(&b.name);
        let about = |signatures: &[Signature]| {
            signatures.iter().any(|a| method.signatures.iter().any(|b| same(a, b)))
        };
        method.warn = warnings.iter().find(|(signatures, _)| about(signatures)).map(|(_, warn)| warn.clone());
    }
    methods
}

fn bound(name: Option<&str>, method: &AuthMethod, settings: &Settings) -> Method {
    let mut bound = Method {
        name: name.map(str::to_owned),
        signatures: Vec::new(),
        tokens: None,
        overlap: method.overlap,
        warn: method.warn.clone(),
        help: method.help.clone(),
        unusable: None,
    };
    match &method.kind {
        AuthKind::Bearer(token) => bound.signatures.push(bearer(pieces(token, &[]))),
        AuthKind::Header(list) => bound.signatures.extend(texts(Place::Header, list)),
        AuthKind::Query(list) => bound.signatures.extend(texts(Place::Query, list)),
        AuthKind::Basic { username, password } => bound.signatures.push(Signature {
            place: Place::Header,
            name: "authorization".to_owned(),
            form: SignatureForm::Basic { username: pieces(username, &[]), password: pieces(password, &[]) },
        }),
        AuthKind::At(at) => match at_of(at, settings) {
            Ok(signature) => bound.signatures.push(signature),
            Err(unusable) => bound.unusable = Some(unusable),
        },
        AuthKind::OAuth(oauth) => {
            bound.signatures.push(bearer(vec![SignaturePiece::Secret(ACCESS_TOKEN.to_owned())]));
            match endpoint(oauth, settings) {
                Ok(endpoint) => bound.tokens = Some(endpoint),
                Err(unusable) => bound.unusable = Some(unusable),
            }
        }
    }
    bound
}

fn bearer(token: Vec<SignaturePiece>) -> Signature {
    let mut value = vec![SignaturePiece::Text("Bearer ".to_owned())];
    value.extend(token);
    text_of(Place::Header, "authorization", value)
}

fn texts(place: Place, list: &[(String, Template)]) -> impl Iterator<Item = Signature> {
    list.iter().map(move |(name, template)| text_of(place, name, pieces(template, &[])))
}

fn text_of(place: Place, name: &str, pieces: Vec<SignaturePiece>) -> Signature {
    Signature { place, name: name.to_owned(), form: SignatureForm::Text(pieces) }
}

fn at_of(at: &At, settings: &Settings) -> Result<Signature, Unusable> {
    let name = filled(&at.name, settings)?;
    let place = match filled(&at.place, settings)?.as_str() {
        "header" => Place::Header,
        "query" => Place::Query,
        other => {
            let message = format!("a key stands in `header` or in `query`, not in `{other}`");
            return Err(Unusable { config: setting_of(&at.place), message });
        }
    };
    Ok(text_of(place, &name, pieces(&at.value, &[])))
}

fn endpoint(oauth: &OAuth, settings: &Settings) -> Result<TokenEndpoint, Unusable> {
    let authorize = oauth.authorize.as_ref().map(|template| url_of(template, settings)).transpose()?;
    Ok(TokenEndpoint {
        grant: oauth.grant,
        authorize,
        token: url_of(&oauth.token, settings)?,
        scopes: oauth.scopes.clone(),
        pkce: oauth.pkce,
        client_in: oauth.client_in,
        send: oauth.send,
        names: oauth.names.clone(),
        token_path: oauth.token_path.as_ref().map(|path| path.0.clone()).unwrap_or_default(),
        refresh_before: oauth.refresh_before,
        classify: Arc::new(TokenRules { fatal: oauth.refresh_fatal.clone() }),
    })
}

/// A path goes behind the base URL, as every path of the connector does.
fn url_of(template: &Template, settings: &Settings) -> Result<Url, Unusable> {
    let wrong = |message| Unusable { config: setting_of(template), message };
    let text = filled(template, settings)?;
    if text.starts_with('/') {
        let mut url = settings.base.clone();
        url.set_path(&format!("{}{text}", settings.base.path().trim_end_matches('/')));
        return Ok(url);
    }
    let url = Url::parse(&text).map_err(|error| wrong(format!("`{text}` is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("`{text}` is neither http nor https")));
    }
    Ok(url)
}

fn filled(template: &Template, settings: &Settings) -> Result<String, Unusable> {
    let missing = || {
        let config = setting_of(template);
        let message = match &config {
            Some(name) => format!("this kind of credential needs the setting `{name}`"),
            None => "a setting is missing".to_owned(),
        };
        Unusable { config, message }
    };
    fill(template, |hole| setting(&settings.config, hole)).ok_or_else(missing)
}

fn setting_of(template: &Template) -> Option<String> {
    let named = |hole: &Hole| hole.path.0.first().cloned();
    crate::plan::holes_of(template).find(|hole| hole.root == Root::Config).and_then(named)
}

fn pieces(template: &Template, config: &[(String, String)]) -> Vec<SignaturePiece> {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => SignaturePiece::Text(text.clone()),
        Piece::Hole(hole) if hole.root == Root::Secret => SignaturePiece::Secret(hole.path.0.join(".")),
        Piece::Hole(hole) => {
            let name = hole.path.0.first();
            let value = config.iter().find(|(n, _)| Some(n) == name).map(|(_, value)| value.clone());
            SignaturePiece::Text(value.unwrap_or_default())
        }
    };
    template.0.iter().map(piece).collect()
}

/// The grant was revoked, has run out or was given to somebody else; the client is not known (RFC 6749, section 5.2).
const FATAL: [&str; 3] = ["invalid_grant", "invalid_client", "unauthorized_client"];

/// What the answers of a token endpoint mean.
struct TokenRules {
    fatal: Option<Condition>,
}

impl Classify for TokenRules {
    fn classify(&self, _request: &Request, response: &Response) -> Outcome {
        let body = text(&response.body);
        let fatal = match &self.fatal {
            Some(condition) => holds(condition, |path| look_up(response, &body, &path.0)),
            None => FATAL
                .iter()
                .any(|word| json::get(&body, &["error".to_owned()]) == Some(Value::Text((*word).into()))),
        };
        let verdict = match response.status {
            200..=299 => Verdict::Ok,
            429 => Verdict::Limited,
            408 | 425 | 500..=599 => Verdict::Retry,
            300..=399 => Verdict::Config,
            _ if fatal => Verdict::Auth,
            // HubSpot's 403 on a refresh is a refusal too (Singer's tap-hubspot treats it so).
            401 | 403 => Verdict::Auth,
            _ => Verdict::Fail,
        };
        Outcome { verdict, wait: response.wait_in("retry-after"), say: None, words: excerpt(&body) }
    }
}

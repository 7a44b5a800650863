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

#[cfg(test)]
mod tests {
    use sync_spec::{Connector, Document};

    use super::*;

    fn bound(auth: &str, config: &[(&str, &str)]) -> Vec<Method> {
        let text = format!(
            "connector: acme\nconfig: {{ place: {{ enum: [header, query, body], default: header }}, key_name: {{ optional: true }}, \
             sign_in: {{ type: url, optional: true }} }}\nbase_url: https://api.acme.test/v2\nauth: {auth}\nstreams: {{ rows: {{ get: /rows }} }}\n"
        );
        let connector = Connector::parse(&Document::new("acme.yaml", text)).unwrap_or_else(|e| panic!("{e}"));
        let plan = Plan::build(&connector).unwrap_or_else(|e| panic!("{e}"));
        let config: Vec<_> = config.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        plan.bind(&config, None).unwrap_or_else(|e| panic!("{e}")).methods().to_vec()
    }

    #[test]
    fn a_key_stands_where_settings_say() {
        const AT: &str =
            r#"{ at: { place: "${config.place}", name: "${config.key_name}", value: "${secret.key}" } }"#;
        let methods = bound(AT, &[("place", "query"), ("key_name", "token")]);
        let [signature] = methods[0].signatures.as_slice() else { panic!("one signature") };
        assert_eq!((signature.place, signature.name.as_str()), (Place::Query, "token"));
        assert_eq!(methods[0].secret_names(), ["key"]);
        assert!(methods[0].unusable.is_none());
        let missing = bound(AT, &[])[0].unusable.clone().expect("the name is missing");
        assert_eq!(missing.config.as_deref(), Some("key_name"));
        assert_eq!(missing.message, "this kind of credential needs the setting `key_name`");
        let wrong = bound(AT, &[("place", "body"), ("key_name", "token")])[0]
            .unusable
            .clone()
            .expect("no such place");
        assert_eq!(wrong.message, "a key stands in `header` or in `query`, not in `body`");
    }

    #[test]
    fn what_is_said_of_a_key_holds_however_it_is_given() {
        let auth = r#"{ one_of: { token: { bearer: "${secret.token}" }, old: { query: { hapikey: "${secret.h}" }, warn: retired }, any: { at: { place: query, name: "${config.key_name}", value: "${secret.v}" } } } }"#;
        let warns = |name: &str| {
            let methods = bound(auth, &[("key_name", name)]);
            methods.iter().map(|method| method.warn.clone()).collect::<Vec<_>>()
        };
        assert_eq!(warns("HapiKey"), [None, Some("retired".to_owned()), Some("retired".to_owned())]);
        assert_eq!(warns("other"), [None, Some("retired".to_owned()), None]);
    }

    #[test]
    fn a_token_endpoint_lies_behind_the_base_or_at_its_own_address() {
        let tokens =
            |auth: &str| bound(auth, &[("sign_in", "https://app.acme.test/authorize")])[0].tokens.clone();
        let own =
            tokens(r#"{ oauth: { grant: code, authorize: "${config.sign_in}", token: /oauth/token } }"#);
        let own = own.expect("an endpoint");
        assert_eq!(own.token.as_str(), "https://api.acme.test/v2/oauth/token");
        assert_eq!(own.authorize.expect("a page").as_str(), "https://app.acme.test/authorize");
        let far =
            tokens(r#"{ oauth: { grant: client, token: "https://id.acme.test/t" } }"#).expect("an endpoint");
        assert_eq!(far.token.as_str(), "https://id.acme.test/t");
        let methods = bound("{ oauth: { grant: refresh, token: /t } }", &[]);
        assert_eq!(methods[0].secret_names(), CLIENT_SECRETS);
    }

    #[test]
    fn the_answers_of_a_token_endpoint_are_told_apart() {
        #[track_caller]
        fn check(auth: &str, status: u16, body: &str, expect: Verdict) {
            let endpoint = bound(auth, &[])[0].tokens.clone().expect("an endpoint");
            let request = sync_testkit::fetch::get("https://api.acme.test/t");
            let response = sync_testkit::fetch::response(status, body.to_owned());
            assert_eq!(endpoint.classify.classify(&request, &response).verdict, expect, "{status} {body}");
        }
        let plain = "{ oauth: { grant: refresh, token: /t } }";
        check(plain, 200, "{}", Verdict::Ok);
        check(plain, 400, r#"{"error":"invalid_grant"}"#, Verdict::Auth);
        check(plain, 400, r#"{"error":"invalid_request"}"#, Verdict::Fail);
        check(plain, 401, r#"{"error":"invalid_client"}"#, Verdict::Auth);
        check(plain, 403, "", Verdict::Auth);
        check(plain, 429, "", Verdict::Limited);
        check(plain, 503, "<html>", Verdict::Retry);
        check(plain, 302, "", Verdict::Config);
        let own =
            "{ oauth: { grant: refresh, token: /t, refresh_fatal: { body.status: BAD_REFRESH_TOKEN } } }";
        check(own, 400, r#"{"status":"BAD_REFRESH_TOKEN"}"#, Verdict::Auth);
        check(own, 400, r#"{"error":"invalid_grant"}"#, Verdict::Fail);
    }
}

//! A person signs in, in a browser, which ends at a page of our own on this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sync_auth::{Environment as _, Secrets, SignIn, SignInError, Tokens};
use sync_core::{BoxFuture, Kind, Problem, Secret, TokenEndpoint};
use sync_http::serve::{Handler, Incoming, Reply, Server};
use tokio::sync::Notify;
use url::{Host, Url};

use super::Desk;
use crate::args;
use crate::prompt;

/// How long somebody may take to sign in.
const PATIENCE: Duration = Duration::from_mins(10);

impl Desk<'_> {
    /// Signs in and changes the answer for tokens.
    pub async fn sign_in(
        &self,
        endpoint: &TokenEndpoint,
        client: &Secrets,
        from: &args::SecretsFrom,
    ) -> Result<(Secrets, Tokens), Problem> {
        let wanted = from.redirect.as_deref().map(redirect).transpose()?;
        let landing = match from.paste {
            true => None,
            false => Some(Landing::new(wanted.as_ref())?),
        };
        let redirect = match (&wanted, &landing) {
            (Some(url), None) => url.clone(),
            (url, Some(landing)) => landing.url(url.as_ref()),
            (None, None) => Url::parse("http://127.0.0.1/callback").expect("a URL"),
        };
        let sign_in = SignIn::begin(endpoint, client, redirect).map_err(problem)?;
        let learn = sync_engine::learning(&self.hands);
        sign_in.secrets().for_each(|secret| learn(secret));
        let code = match landing {
            Some(landing) => self.watched(&sign_in, landing, from.no_browser).await?,
            None => self.pasted(&sign_in)?,
        };
        let hands = &self.hands;
        let finished = sign_in.finish(&code, &*hands.fetch, &*hands.clock, &*learn).await;
        finished.map_err(problem)
    }

    /// Waits for the browser to come back.
    async fn watched(&self, sign_in: &SignIn, landing: Landing, no_browser: bool) -> Result<Secret, Problem> {
        let page = sign_in.page().as_str();
        if no_browser || !opened(page) {
            self.talk.say(&format!("Sign in here, in a browser of this machine:\n\n  {page}\n"));
        } else {
            self.talk.say(&format!("A browser opens to sign in. If none does:\n\n  {page}\n"));
        }
        loop {
            let query = tokio::select! {
                biased;
                () = self.tools.stop.wait() => {
                    return Err(Problem::new(Kind::Stopped, "stopped", "stopped before anybody signed in"));
                }
                query = landing.query() => query,
                () = self.tools.clock.sleep(PATIENCE) => {
                    let message = format!("nobody signed in within {} minutes", PATIENCE.as_secs() / 60);
                    return Err(Problem::new(Kind::Refused, "sign_in_failed", message).hint("begin again"));
                }
            };
            match sign_in.code(&query) {
                Ok(code) => return Ok(code),
                // Anything on this machine can knock at the door; only the answer to our own question opens it.
                Err(SignInError::Foreign) => {
                    self.talk.say("an answer that belongs to another sign-in was passed over");
                }
                Err(error) => return Err(problem(error)),
            }
        }
    }

    fn pasted(&self, sign_in: &SignIn) -> Result<Secret, Problem> {
        self.talk.say(&format!(
            "Open this page in any browser and sign in:\n\n  {}\n\nIt ends at a page that cannot be shown. Copy its \
             address and paste it here; it is not shown.",
            sign_in.page()
        ));
        let answer = match prompt::anybody() {
            true => prompt::secret("Address")?,
            // The client came from the environment, so standard input is free for the answer.
            false => Secret::new(prompt::line("Address", None)?),
        };
        sign_in.code(answer.expose()).map_err(problem)
    }
}

/// The redirect that somebody registered: a loopback address, because anybody else would get the code.
fn redirect(text: &str) -> Result<Url, Problem> {
    let refused = |why: &str| {
        Problem::new(Kind::Refused, "invalid_redirect", format!("--redirect {why}"))
            .hint("such as http://localhost:8765/callback, as it is registered at the provider")
    };
    let url = Url::parse(text).map_err(|error| refused(&format!("is not a URL: {error}")))?;
    if url.scheme() != "http" || !sync_http::is_loopback(&url) {
        return Err(refused("must be http on this machine: anybody else would be handed the sign-in"));
    }
    if url.port().is_none() {
        return Err(refused("needs a port"));
    }
    Ok(url)
}

fn problem(error: SignInError) -> Problem {
    let hint = match &error {
        SignInError::NoRefreshToken => {
            Some("the app must be allowed offline access; see its scopes at the provider")
        }
        SignInError::Foreign | SignInError::NoCode => Some("begin again, and paste the whole address"),
        SignInError::Denied(_) => Some("sign in again and allow the access, or ask who may"),
        SignInError::Refused(_) => Some("check the client's id, secret and registered redirect address"),
        SignInError::NoPage => None,
    };
    let problem = Problem::new(Kind::Refused, "sign_in_failed", error.to_string());
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// The page of our own that a browser ends at.
struct Landing {
    server: Server,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    queries: Mutex<Vec<String>>,
    come: Notify,
    path: String,
}

impl Landing {
    fn new(wanted: Option<&Url>) -> Result<Self, Problem> {
        let port = wanted.and_then(Url::port).unwrap_or(0);
        let ip = match wanted.and_then(Url::host) {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
            _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let path = wanted.map_or("/callback", Url::path).to_owned();
        let seen = Arc::new(Seen { path, ..Seen::default() });
        let server = Server::start(SocketAddr::new(ip, port), seen.clone()).map_err(|error| {
            let message = format!("the page that the browser comes back to cannot be served: {error}");
            Problem::new(Kind::Environment, "sign_in_failed", message)
                .hint("another program may hold that port; `--paste` needs none")
        })?;
        Ok(Self { server, seen })
    }

    fn url(&self, wanted: Option<&Url>) -> Url {
        let own =
            || Url::parse(&format!("http://{}/callback", self.server.addr())).expect("an address is a host");
        wanted.cloned().unwrap_or_else(own)
    }

    /// The query of the next browser that comes back.
    async fn query(&self) -> String {
        loop {
            let come = self.seen.come.notified();
            if let Some(query) = self.seen.queries.lock().expect("nobody panics with it").pop() {
                return query;
            }
            come.await;
        }
    }
}

impl Handler for Seen {
    fn answer(&self, incoming: Incoming) -> BoxFuture<'_, Reply> {
        let page = |status, text: &str| {
            let headers = [
                ("content-type", "text/html; charset=utf-8"),
                // The address holds the code; nobody else is to be told where this browser comes from.
                ("referrer-policy", "no-referrer"),
                ("cache-control", "no-store"),
            ];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            let body = format!("<!doctype html><title>sync</title><p>{text}</p>");
            Reply::Whole { status, headers, body: body.into() }
        };
        let ours =
            incoming.method == "GET" && incoming.path == self.path && incoming.query.contains("state=");
        if ours {
            self.queries.lock().expect("nobody panics with it").insert(0, incoming.query);
            self.come.notify_one();
        }
        Box::pin(std::future::ready(match ours {
            true => page(200, "Done here. Close this page and go back to the terminal."),
            false => page(404, "There is nothing here."),
        }))
    }
}

/// Opens a page in the browser of `BROWSER`, else in the usual one. False where none could be started.
fn opened(page: &str) -> bool {
    let own = sync_auth::System.var("BROWSER").filter(|browser| !browser.is_empty());
    let (program, arguments): (&str, &[&str]) = match &own {
        Some(browser) => (browser, &[]),
        None if cfg!(target_os = "macos") => ("open", &[]),
        None if cfg!(windows) => ("rundll32", &["url.dll,FileProtocolHandler"]),
        None => ("xdg-open", &[]),
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

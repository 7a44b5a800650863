//! Signing in and staying signed in: a provider with sign-in page, code challenge and refresh tokens that work once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sync_http::serve::{Incoming, Reply, Server};
use tokio::runtime::Runtime;

use crate::stage::Stage;
use crate::support::{Said, said};

#[derive(Default)]
struct Tokens {
    /// Code to challenge and redirect.
    codes: BTreeMap<String, (String, String)>,
    access: String,
    refresh: String,
    /// The refresh token before the last: it works until the one after it was used, as with providers that know of
    /// answers that were lost.
    graced: String,
    issued: u32,
    expires_in: u64,
    /// Grants as they were asked for.
    asked: Vec<String>,
    refused: u32,
}

/// The provider.
struct Provider {
    tokens: Arc<Mutex<Tokens>>,
    server: Server,
    _runtime: Runtime,
}

fn fields(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

impl Provider {
    fn new(expires_in: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread can be had");
        let tokens = Arc::new(Mutex::new(Tokens { expires_in, ..Tokens::default() }));
        let own = tokens.clone();
        let answer =
            move |incoming: Incoming| answer(&mut own.lock().expect("no test panics in here"), &incoming);
        let server = {
            let _inside = runtime.enter();
            Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(answer)).expect("a free port")
        };
        Self { tokens, server, _runtime: runtime }
    }

    fn base(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    fn asked(&self) -> Vec<String> {
        self.tokens.lock().expect("no test panics in here").asked.clone()
    }
}

fn answer(tokens: &mut Tokens, incoming: &Incoming) -> Reply {
    match incoming.path.as_str() {
        "/authorize" => {
            let asked = fields(&incoming.query);
            assert_eq!(
                (asked["response_type"].as_str(), asked["code_challenge_method"].as_str()),
                ("code", "S256")
            );
            assert_eq!(
                (asked["client_id"].as_str(), asked["scope"].as_str()),
                ("id-1", "things.read offline")
            );
            let code = format!("code-{}", tokens.codes.len() + 1);
            let redirect = asked["redirect_uri"].clone();
            tokens.codes.insert(code.clone(), (asked["code_challenge"].clone(), redirect.clone()));
            let location = format!("{redirect}?code={code}&state={}", asked["state"]);
            Reply::Whole { status: 302, headers: vec![("location".to_owned(), location)], body: "".into() }
        }
        "/oauth/token" => token(tokens, &fields(std::str::from_utf8(&incoming.body).expect("a form"))),
        path if path.starts_with("/things") || path == "/me" => {
            if incoming.header("authorization") != Some(&format!("Bearer {}", tokens.access)) {
                tokens.refused += 1;
                return Reply::json(401, r#"{"error":"invalid_token"}"#);
            }
            Reply::json(200, r#"[{"id":1},{"id":2}]"#)
        }
        _ => Reply::json(404, "{}"),
    }
}

fn token(tokens: &mut Tokens, asked: &BTreeMap<String, String>) -> Reply {
    let grant = asked["grant_type"].clone();
    tokens.asked.push(grant.clone());
    let invalid = || Reply::json(400, r#"{"error":"invalid_grant","error_description":"no longer valid"}"#);
    if asked.get("client_secret").map(String::as_str) != Some("s-1") {
        return Reply::json(401, r#"{"error":"invalid_client"}"#);
    }
    let good = if grant == "authorization_code" {
        tokens.codes.remove(&asked["code"]).is_some_and(|(challenge, redirect)| {
            let hashed = ring::digest::digest(&ring::digest::SHA256, asked["code_verifier"].as_bytes());
            URL_SAFE_NO_PAD.encode(hashed) == challenge && redirect == asked["redirect_uri"]
        })
    } else {
        let given = &asked["refresh_token"];
        given == &tokens.refresh || (!tokens.graced.is_empty() && given == &tokens.graced)
    };
    if !good {
        return invalid();
    }
    tokens.issued += 1;
    if asked.get("refresh_token") == Some(&tokens.refresh) {
        tokens.graced = tokens.refresh.clone();
    }
    tokens.access = format!("access-{}", tokens.issued);
    tokens.refresh = format!("refresh-{}", tokens.issued);
    let Tokens { access, refresh, expires_in, .. } = &*tokens;
    Reply::json(
        200,
        format!(
            r#"{{"access_token":"{access}","refresh_token":"{refresh}","expires_in":{expires_in},"token_type":"bearer"}}"#
        ),
    )
}

/// A stage with a connector of eight streams and a browser that signs in by itself.
fn stage(provider: &Provider) -> Stage {
    let stage = Stage::new();
    let base = provider.base();
    let streams: Vec<_> = (1..=8).map(|n| format!("  things{n}: {{ get: /things{n}, key: id }}")).collect();
    let streams = streams.join("\n");
    stage.write(
        "acme.yaml",
        &format!(
            "connector: acme\nbase_url: {base}\nauth:\n  oauth: {{ grant: code, authorize: {base}/authorize, token: /oauth/token, \
             scopes: [things.read, offline], refresh_before: 1s }}\ncheck: {{ get: /me }}\nstreams:\n{streams}\n"
        ),
    );
    let pipeline = |file: &str, database: &str| {
        let text = format!(
            "source: {{ connector: ./acme.yaml, credential: acme }}\nstreams: \"*\"\ndestination: sqlite://./{database}\n"
        );
        stage.write(file, &text);
    };
    pipeline("one.yaml", "one.db");
    pipeline("two.yaml", "two.db");
    stage.write(
        "browser.py",
        "import sys, urllib.request\nurllib.request.urlopen(sys.argv[1], timeout=20).read()\n",
    );
    stage.write("browser", "#!/bin/sh\nexec python3 \"$(dirname \"$0\")/browser.py\" \"$1\"\n");
    #[cfg(unix)]
    std::fs::set_permissions(stage.path("browser"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("set");
    stage
}

#[track_caller]
fn signed_in(stage: &Stage, words: &[&str]) -> Said {
    let mut command = stage.sync(words);
    command.env("BROWSER", stage.path("browser")).env("ID", "id-1").env("SECRET", "s-1");
    said(&mut command)
}

const ADD: [&str; 9] = [
    "credentials",
    "add",
    "acme",
    "--connector",
    "./acme.yaml",
    "--from-env",
    "client_id=ID",
    "client_secret=SECRET",
    "--json",
];

#[test]
fn a_person_signs_in_and_stays_signed_in() {
    let provider = Provider::new(1800);
    let stage = stage(&provider);
    let added = signed_in(&stage, &ADD);
    assert_eq!(added.code, Some(0), "{}\n{}", added.out, added.err);
    assert!(added.out.contains("\"state\":\"accepted\""), "{}", added.out);
    assert!(!added.err.contains("access-1") && !added.out.contains("refresh-1"));
    assert_eq!(provider.asked(), ["authorization_code"]);
    stage.run(&["one.yaml"]).done();
    assert_eq!(provider.asked(), ["authorization_code"], "the first token is still good");

    // The provider forgets the access token: refused once, changed once, and the run goes on.
    provider.tokens.lock().expect("no test panics in here").access = "gone".to_owned();
    stage.run(&["one.yaml"]).done();
    assert_eq!(provider.asked(), ["authorization_code", "refresh_token"]);

    // Eight streams in two processes, after another one was forgotten.
    provider.tokens.lock().expect("no test panics in here").access = "gone".to_owned();
    let runs: Vec<_> =
        ["one.yaml", "two.yaml"].map(|file| stage.start(&[file], &format!("{file}.txt"))).into();
    for mut run in runs {
        assert!(run.wait().expect("it ends").success());
    }
    assert_eq!(provider.asked().len(), 3, "{:?}", provider.asked());

    // Revoked: the run says to sign in again, and doing so mends it.
    {
        let mut tokens = provider.tokens.lock().expect("no test panics in here");
        tokens.access = "gone".to_owned();
        tokens.refresh = "revoked".to_owned();
        tokens.graced = String::new();
    }
    let report = stage.run(&["one.yaml"]);
    assert_eq!(report.code, Some(2), "{}", report.err);
    assert!(report.err.contains("sign in again: `sync credentials rotate acme`"), "{}", report.err);
    let again = signed_in(&stage, &["credentials", "rotate", "acme"]);
    assert_eq!(again.code, Some(0), "{}", again.err);
    stage.run(&["one.yaml"]).done();
}

#[test]
fn a_process_that_dies_around_a_refresh_loses_no_sign_in() {
    // Tokens end at once, so every run begins with a refresh.
    let provider = Provider::new(1);
    let stage = stage(&provider);
    let added = signed_in(&stage, &ADD);
    assert_eq!(added.code, Some(0), "{}\n{}", added.out, added.err);
    let mut kills = 0;
    for seam in 1..=9 {
        std::thread::sleep(Duration::from_millis(1100));
        let fault = format!("kill@{seam}");
        let killed = said(stage.sync(&["run", "one.yaml", "--stream", "things1"]).env("SYNC_FAULT", &fault));
        kills += u32::from(killed.code.is_none());
        let report = stage.run(&["one.yaml", "--stream", "things1"]);
        assert_eq!(report.code, Some(0), "after {fault}: {}\n{}", killed.err, report.err);
    }
    assert!(kills >= 6, "{kills}");
}

#[test]
fn the_address_can_be_pasted_and_a_foreign_answer_is_refused() {
    let provider = Provider::new(1800);
    let stage = stage(&provider);
    let paste = |answer: &str| {
        stage.write("answer", answer);
        let file = std::fs::File::open(stage.path("answer")).expect("just written");
        let mut command = stage
            .sync(&[ADD.as_slice(), &["--paste", "--redirect", "http://localhost:8765/callback"]].concat());
        command.env("ID", "id-1").env("SECRET", "s-1").stdin(file);
        said(&mut command)
    };
    let foreign = paste("http://localhost:8765/callback?code=code-1&state=of-another\n");
    assert_eq!(foreign.code, Some(2), "{}", foreign.err);
    assert!(foreign.err.contains("belongs to another sign-in"), "{}", foreign.err);
    let page = foreign.err.lines().find(|line| line.contains("/authorize?")).expect("the page is printed");
    assert!(page.contains("redirect_uri=http%3A%2F%2Flocalhost%3A8765%2Fcallback"), "{page}");
    let mut command = stage.sync(&[ADD.as_slice(), &["--redirect", "https://evil.test/callback"]].concat());
    let elsewhere = said(command.env("ID", "id-1").env("SECRET", "s-1"));
    assert_eq!(elsewhere.code, Some(2));
    assert!(elsewhere.err.contains("must be http on this machine"), "{}", elsewhere.err);
}

//! Canaries: secrets of every kind go through every command and every fault, at the most verbose log level, past a
//! provider that repeats whatever it is told. None may be seen again, in any spelling.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sync_http::serve::{Incoming, Reply, Server};
use tokio::runtime::Runtime;

use crate::stage::Stage;
use crate::support::{Said, files, said};

/// What each secret begins with: what must not be found is each of them, and each spelling of each.
const CANARIES: [&str; 8] = [
    "canary-key/1+<&\"x\">?=~",
    "canary-query/2+<&'y'>?=~",
    "canary-client-id-3",
    "canary-client-secret/4+&=",
    "canary-refresh-5/+&=",
    "canary-access-6/+&=",
    "canary passphrase 7/+&=",
    "canary-user-8/+&=",
];

/// A provider that repeats all it was told: in bodies, in headers, in rows that cannot be taken.
struct Parrot {
    server: Server,
    _runtime: Runtime,
}

impl Parrot {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread can be had");
        let asked = AtomicU32::new(0);
        let answer = move |incoming: Incoming| parrot(&incoming, asked.fetch_add(1, Ordering::SeqCst));
        let server = {
            let _inside = runtime.enter();
            Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(answer)).expect("a free port")
        };
        Self { server, _runtime: runtime }
    }
}

/// Whatever was said, in every spelling that providers are known to use.
fn echo(incoming: &Incoming) -> String {
    let told = incoming
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect::<Vec<_>>()
        .join("; ");
    let query = url::form_urlencoded::parse(incoming.query.as_bytes());
    let query: Vec<String> = query.map(|(name, value)| format!("{name}={value}")).collect();
    let body = String::from_utf8_lossy(&incoming.body);
    let raw = format!("{told} {} {} {} {body}", incoming.path, incoming.query, query.join(" "));
    let html = raw
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;");
    let percent: String = url::form_urlencoded::byte_serialize(raw.as_bytes()).collect();
    format!("{raw} {} {percent} {html}", STANDARD.encode(&raw))
}

fn parrot(incoming: &Incoming, n: u32) -> Reply {
    let told = echo(incoming);
    let json = |text: &str| serde_json::to_string(text).expect("text");
    match incoming.path.as_str() {
        "/oauth/token" if n.is_multiple_of(2) => {
            let body = format!(
                r#"{{"access_token":{},"refresh_token":{},"expires_in":1}}"#,
                json(CANARIES[5]),
                json(CANARIES[4])
            );
            Reply::json(200, body)
        }
        "/check" if n % 3 == 1 => Reply::json(200, "{}"),
        // Rows that cannot be taken, and say why.
        "/rows" if n % 4 != 3 => Reply::json(
            200,
            format!(r#"[{{"id":1,"n":1}},{{"id":null,"note":{}}},{{"id":2,"n":2}}]"#, json(&told)),
        ),
        "/moved" => {
            let location = format!(
                "https://elsewhere.test/?{}&{}",
                incoming.query,
                url::form_urlencoded::byte_serialize(told.as_bytes()).collect::<String>()
            );
            Reply::Whole { status: 302, headers: vec![("location".to_owned(), location)], body: "".into() }
        }
        "/page" => {
            let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
            Reply::Whole { status: 200, headers, body: format!("<html>{told}</html>").into() }
        }
        "/broken" => Reply::json(200, format!(r#"{{"rows": {}"#, json(&told))),
        _ => {
            let status = [401, 403, 400, 500, 429, 404][(n % 6) as usize];
            Reply::json(
                status,
                format!(
                    r#"{{"error":{{"message":{}}},"also":{}}}"#,
                    json(&told),
                    json(&told.chars().take(80).collect::<String>())
                ),
            )
        }
    }
}

const CONNECTOR: &str = r#"connector: parrot
base_url: http://127.0.0.1:1
auth:
  one_of:
    key: { header: { X-Key: "${secret.key}" } }
    query: { query: { key: "${secret.q}" } }
    basic: { basic: { username: "${secret.user}", password: "${secret.key}" } }
    client: { oauth: { grant: client, token: /oauth/token } }
    app: { oauth: { grant: refresh, token: /oauth/token, client_in: basic } }
errors:
  - { status: [400, 401], is: auth, say: "it said ${body.error.message}" }
check: { get: /check }
streams:
  rows: { get: /rows, key: id }
  moved: { get: /moved, key: id }
  page: { get: /page, key: id }
  broken: { get: /broken, key: id }
  refused: { get: /refused, key: id }
"#;

/// Every spelling of a canary that is looked for.
fn spellings(canary: &str) -> Vec<String> {
    let percent: String = url::form_urlencoded::byte_serialize(canary.as_bytes()).collect();
    let rfc3986 = percent.replace('+', "%20");
    let twice: String = url::form_urlencoded::byte_serialize(rfc3986.as_bytes()).collect();
    let json = serde_json::to_string(canary).expect("text");
    let core = |before: &str| {
        // What no byte beside it takes part in.
        let encoded = STANDARD.encode(format!("{before}{canary}"));
        let from = (before.len() * 4).div_ceil(3) + 1;
        encoded[from..encoded.len() - 4].to_owned()
    };
    vec![
        canary.to_owned(),
        canary.to_lowercase(),
        percent.clone(),
        percent.to_lowercase(),
        rfc3986,
        twice,
        json.trim_matches('"').to_owned(),
        canary
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;"),
        STANDARD.encode(canary),
        URL_SAFE_NO_PAD.encode(canary),
        core("a"),
        core("ab"),
        core("abc"),
    ]
}

#[track_caller]
fn clean(what: &str, text: &[u8]) {
    for canary in CANARIES {
        for spelling in spellings(canary) {
            let found = text.windows(spelling.len()).position(|window| window == spelling.as_bytes());
            if let Some(at) = found {
                let near = &text[at.saturating_sub(60)..(at + 60).min(text.len())];
                panic!("{what} shows {spelling}: …{}…", String::from_utf8_lossy(near));
            }
        }
    }
}

#[test]
fn no_secret_is_seen_again_whatever_happens() {
    let (stage, parrot) = (Stage::new(), Parrot::new());
    stage.write("parrot.yaml", CONNECTOR);
    stage.write("key", &format!("{}\n", CANARIES[0]));
    let base = format!("http://{}", parrot.server.addr());
    let covered = std::cell::Cell::new(0);
    let run = |words: &[&str], stdin: Option<&str>| -> Said {
        let mut command: Command = stage.sync(words);
        command
            .env("SYNC_LOG", "trace")
            .env("RUST_BACKTRACE", "1")
            .env("CANARY", CANARIES[0])
            .env("CANARY_Q", CANARIES[1])
            .env("CANARY_USER", CANARIES[7])
            .env("ID", CANARIES[2])
            .env("SECRET", CANARIES[3])
            .env("REFRESH", CANARIES[4])
            .env("SYNC_VAULT_PASSPHRASE", CANARIES[6])
            .env("SYNC_EXPORT_PASSPHRASE", CANARIES[6]);
        let said = match stdin {
            None => said(&mut command),
            Some(text) => {
                stage.write("stdin", text);
                let file = std::fs::File::open(stage.path("stdin")).expect("just written");
                let said = said(command.stdin(Stdio::from(file)));
                std::fs::remove_file(stage.path("stdin")).expect("removed");
                said
            }
        };
        clean(&format!("stdout of {words:?}"), said.out.as_bytes());
        clean(&format!("stderr of {words:?}"), said.err.as_bytes());
        assert!(!said.err.contains("panicked"), "{words:?}: {}", said.err);
        covered.set(covered.get() + said.err.matches("***").count() + said.out.matches("***").count());
        said
    };
    let kinds: [(&str, &str, &str); 5] = [
        ("key", "{ key: \"${env:CANARY}\" }", "canary-key/1+<&\"x\">?=~"),
        ("query", "{ q: \"${env:CANARY_Q}\" }", "canary-query/2+<&'y'>?=~"),
        (
            "basic",
            "{ user: \"${env:CANARY_USER}\", key: \"${file:./key}\" }",
            "user=canary-user-8/+&=\nkey=canary-key/1+<&\"x\">?=~\n",
        ),
        (
            "client",
            "{ client_id: \"${env:ID}\", client_secret: \"${env:SECRET}\" }",
            "client_id=canary-client-id-3\nclient_secret=canary-client-secret/4+&=\n",
        ),
        (
            "app",
            "{ client_id: \"${env:ID}\", client_secret: \"${env:SECRET}\", refresh_token: \"${env:REFRESH}\" }",
            "client_id=canary-client-id-3\nclient_secret=canary-client-secret/4+&=\nrefresh_token=canary-refresh-5/+&=\n",
        ),
    ];
    for (kind, references, given) in kinds {
        let mut credentials = vec![references.to_owned()];
        let add = [
            "credentials",
            "add",
            kind,
            "--connector",
            "./parrot.yaml",
            "--base-url",
            &base,
            "--method",
            kind,
            "--from-stdin",
        ];
        for _ in 0..3 {
            run(&add, Some(given)); // tested: accepted or not as the parrot likes
        }
        run(&[add.as_slice(), &["--no-test"]].concat(), Some(given));
        run(&["credentials", "test", kind], None);
        run(&["credentials", "rotate", kind, "--from-stdin", "--no-test", "--overlap", "1h"], Some(given));
        run(&["credentials", "show", kind, "--json"], None);
        credentials.push(kind.to_owned());
        if kind == "key" {
            credentials.push("\"${cmd:cat key}\"".to_owned());
        }
        for (which, credential) in credentials.iter().enumerate() {
            for destination in ["sqlite://./lake.db", "parquet://./lake"] {
                let name = format!("{kind}-{which}-{}.yaml", &destination[..4]);
                let text = format!(
                    "source: {{ connector: ./parrot.yaml, base_url: \"{base}\", credential: {credential}, retry: {{ attempts: 2, max_wait: 1s }} }}\n\
                     streams: [rows, moved, page, broken, refused]\n\
                     destination: {}\n",
                    destination.replace("lake", &format!("{kind}-{which}"))
                );
                stage.write(&name, &text);
                run(&["run", &name], None);
                run(&["run", "--json", &name, "--stream", "rows"], None);
                run(&["rejects", "list", &name, "--json"], None);
                run(&["rejects", "export", &name], None);
            }
            let name = format!("{kind}-{which}-sqli.yaml");
            run(&["check", &name], None);
            run(&["state", "show", &name], None);
            run(&["state", "export", &name], None);
        }
    }
    run(&["runs"], None);
    run(&["credentials", "list"], None);
    run(&["credentials", "export", "out.vault"], None);
    run(&["credentials", "import", "out.vault", "--replace"], None);
    run(&["credentials", "rekey"], None);
    run(&["credentials", "remove", "key"], None);
    // A secret where a name or a reference belongs, and a key on the command line by mistake.
    stage.write("bad.yaml", &format!("source: {{ connector: ./parrot.yaml, credential: '{}' }}\nstreams: [rows]\ndestination: sqlite://x.db\n", CANARIES[0]));
    run(&["check", "bad.yaml"], None);
    run(&["credentials", "add", CANARIES[2], "--connector", "./parrot.yaml"], None);

    // Everything that was left on the disk, but for the file the key was put into by hand.
    std::fs::remove_file(stage.path("key")).expect("removed");
    std::fs::remove_file(stage.path("bad.yaml")).expect("removed");
    let seen = everything(stage.folder());
    assert!(seen > 40, "{seen} files were looked through");
    let database = stage.database("key-0.db");
    let rows: i64 =
        database.query_row("select count(*) from rows", [], |row| row.get(0)).expect("rows landed");
    assert!(rows > 0);
    // The canaries did sing: what the parrot said was shown, with them covered.
    assert!(covered.get() > 200, "{}", covered.get());
}

/// The test itself must be able to fail: each spelling is found where it stands.
#[test]
fn a_canary_that_is_shown_is_seen() {
    for canary in CANARIES {
        let headers = vec![("x-key".to_owned(), canary.to_owned())];
        let incoming = Incoming {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            headers,
            body: bytes::Bytes::new(),
        };
        let told = echo(&incoming);
        for word in [canary.to_owned(), told.clone(), told.replace(canary, "")] {
            let shown = std::panic::catch_unwind(|| clean("a test", word.as_bytes()));
            assert!(shown.is_err(), "{canary} was not seen in {word}");
        }
    }
    clean("a test", b"nothing of it");
}

/// Looks through every file below a folder, hidden ones too; how many there were.
fn everything(folder: &Path) -> usize {
    let mut seen = files(folder, "").len();
    for hidden in [".home", ".sync"] {
        seen += files(&folder.join(hidden), "").len();
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("it can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                clean(&path.display().to_string(), &bytes);
            }
        }
    }
    seen
}

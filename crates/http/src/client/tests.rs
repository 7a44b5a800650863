use std::io::Write;
use std::process::{Command, Stdio};

use sync_core::{Body, Part, Secret};
use sync_testkit::clock::{EPOCH, Manual};
use sync_testkit::fetch::get;
use tokio::sync::mpsc;

use super::*;
use crate::serve::{Chunk, Handler, Incoming, Reply, Server};

struct House {
    client: Client,
    clock: Arc<Manual>,
    stop: Stop,
    scrubber: Arc<Scrubber>,
}

fn house() -> House {
    let (clock, stop, scrubber) = (Arc::new(Manual::new()), Stop::default(), Arc::new(Scrubber::new()));
    let client = Client::new(clock.clone(), scrubber.clone(), stop.clone(), Timeouts::default());
    House { client: client.expect("a client for loopback"), clock, stop, scrubber }
}

fn start(handler: impl Handler) -> Server {
    Server::start((Ipv4Addr::LOCALHOST, 0).into(), Arc::new(handler)).expect("a free port")
}

fn at(server: &Server, path: &str) -> Request {
    get(&format!("http://{}{path}", server.addr()))
}

/// A server that tells what it was asked.
fn telling(
    answer: impl Fn(&Incoming) -> Reply + Send + Sync + 'static,
) -> (Server, mpsc::UnboundedReceiver<Incoming>) {
    let (tell, told) = mpsc::unbounded_channel();
    let server = start(move |incoming: Incoming| {
        let reply = answer(&incoming);
        let _ = tell.send(incoming);
        reply
    });
    (server, told)
}

fn part(place: Place, name: &str, value: &str) -> Part {
    Part { place, name: name.to_owned(), value: Secret::new(value.to_owned()) }
}

fn to(location: String) -> Reply {
    Reply::Whole { status: 302, headers: vec![("location".to_owned(), location)], body: Bytes::new() }
}

async fn fails(house: &House, request: &Request) -> (FetchErrorKind, String) {
    let error = house.client.fetch(request).await.expect_err("no response");
    (error.kind, error.message)
}

#[tokio::test]
async fn a_request_arrives_as_it_was_written_with_its_secrets_in_place() {
    let (server, mut told) = telling(|_| Reply::json(201, "[1]"));
    let house = house();
    let request = Request {
        method: Method::Post,
        headers: vec![("X-One".to_owned(), "1".to_owned()), ("x-one".to_owned(), "2".to_owned())],
        body: Some(Body { content_type: "application/json", bytes: Bytes::from_static(b"{}") }),
        secrets: vec![
            part(Place::Header, "Authorization", "Bearer tok-1"),
            part(Place::Query, "key", "k&1 ü"),
        ],
        ..at(&server, "/a%20b?x=%5B1%5D&y")
    };
    let response = house.client.fetch(&request).await.expect("a response");
    assert_eq!((response.status, response.header("content-type")), (201, Some("application/json")));
    assert_eq!((&response.body[..], response.first_byte_at), (&b"[1]"[..], EPOCH));
    let seen = told.recv().await.expect("a request");
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/a%20b"));
    assert_eq!(seen.query, "x=%5B1%5D&y&key=k%261+%C3%BC");
    assert_eq!(&seen.body[..], b"{}");
    let values =
        |name| seen.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
    assert_eq!(values("x-one"), ["1", "2"]);
    assert_eq!(values("authorization"), ["Bearer tok-1"]);
    assert_eq!(values("accept"), ["application/json"]);
    assert_eq!(values("content-type"), ["application/json"]);
    assert_eq!(values("user-agent"), [concat!("sync/", env!("CARGO_PKG_VERSION"))]);
    assert!(values("accept-encoding")[0].contains("gzip"));
    assert_eq!(house.scrubber.scrub("tok-1 and k%261+%C3%BC"), "*** and ***");
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = start(|_: Incoming| Reply::json(200, "{}"));
    let house = house();
    for _ in 0..3 {
        house.client.fetch(&at(&server, "/")).await.expect("a response");
    }
    assert_eq!(server.connections(), 1);
    let named = get(&format!("http://localhost:{}/", server.addr().port()));
    house.client.fetch(&named).await.expect("this machine by its name");
}

#[tokio::test]
async fn bodies_come_whole_or_not_at_all() {
    let large = Bytes::from((0..3_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    let body = large.clone();
    let server = start(move |incoming: Incoming| {
        let (status, headers, body) = (200, Vec::new(), body.clone());
        let chunk = |from: usize, to: usize| Chunk { after: None, bytes: body.slice(from..to) };
        match incoming.path.as_str() {
            "/whole" => Reply::Whole { status, headers, body },
            "/cut" => Reply::Cut { status, headers, body, sent: 1_000 },
            "/cut/chunks" => Reply::Chunks { status, headers, chunks: vec![chunk(0, 1_000)], whole: false },
            "/chunks" => {
                let chunks = (0..100).map(|n| chunk(n * 30_000, (n + 1) * 30_000)).collect();
                Reply::Chunks { status, headers, chunks, whole: true }
            }
            "/empty" => Reply::Whole { status, headers, body: Bytes::new() },
            _ => Reply::Reset,
        }
    });
    let house = house();
    for path in ["/whole", "/chunks"] {
        assert_eq!(house.client.fetch(&at(&server, path)).await.expect(path).body, large);
    }
    assert!(house.client.fetch(&at(&server, "/empty")).await.expect("no bytes").body.is_empty());
    for path in ["/cut", "/cut/chunks"] {
        let (kind, message) = fails(&house, &at(&server, path)).await;
        assert_eq!(kind, FetchErrorKind::Broken, "{message}");
        assert!(
            message.starts_with(&format!("the answer of {}{path} broke off after ", server.addr())),
            "{message}"
        );
    }
    let (kind, message) = fails(&house, &at(&server, "/reset?key=hidden")).await;
    assert_eq!(kind, FetchErrorKind::Broken, "{message}");
    assert!(message.contains("broke before an answer came") && !message.contains("hidden"), "{message}");
}

/// `{"ok":true}`, compressed.
const GZIP: [u8; 31] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xab, 0x56, 0xca, 0xcf, 0x56, 0xb2, 0x2a,
    0x29, 0x2a, 0x4d, 0xad, 0x05, 0x00, 0x90, 0x5f, 0xd4, 0xa7, 0x0b, 0x00, 0x00, 0x00,
];

#[tokio::test]
async fn gzip_is_decoded_and_must_be_whole() {
    let gzip = || vec![("content-encoding".to_owned(), "gzip".to_owned())];
    let server = start(move |incoming: Incoming| {
        let end = if incoming.path == "/cut" { 24 } else { GZIP.len() };
        Reply::Whole { status: 200, headers: gzip(), body: Bytes::copy_from_slice(&GZIP[..end]) }
    });
    let mut house = house();
    assert_eq!(house.client.fetch(&at(&server, "/")).await.expect("a response").body, r#"{"ok":true}"#);
    assert_eq!(fails(&house, &at(&server, "/cut")).await.0, FetchErrorKind::Broken);
    house.client.body_max = 10;
    let (kind, message) = fails(&house, &at(&server, "/")).await;
    assert_eq!(kind, FetchErrorKind::Broken);
    assert_eq!(message, format!("the answer of {}/ is larger than 0 MB", server.addr()));
}

#[tokio::test]
async fn a_redirect_is_returned_unless_it_leads_to_another_host() {
    let server = start(|incoming: Incoming| match incoming.path.as_str() {
        "/old" => to("/new?a=1&key=k-12345".to_owned()),
        "/away" => to("https://evil.test/take?key=k-12345".to_owned()),
        "/port" => to("http://127.0.0.1:1/".to_owned()),
        _ => Reply::json(200, format!("{} {}", incoming.method, incoming.query)),
    });
    let house = house();
    let follow = |path| Request {
        follow_redirects: true,
        sent: sync_core::Sent::default(),
        secrets: vec![part(Place::Query, "key", "k-12345")],
        ..at(&server, path)
    };
    let stay = house.client.fetch(&at(&server, "/old")).await.expect("a response");
    assert_eq!((stay.status, stay.header("location")), (302, Some("/new?a=1&key=k-12345")));
    let post = Request { method: Method::Post, ..follow("/old") };
    assert_eq!(house.client.fetch(&post).await.expect("a response").status, 302);
    assert_eq!(house.client.fetch(&follow("/old")).await.expect("a response").status, 302);
    // A place that echoes the secret gets it once all the same.
    let echoed = house.client.fetch(&follow("/new?a=1&key=k-12345")).await.expect("a response");
    assert_eq!(echoed.body, "GET a=1&key=k-12345");
    for (path, expect) in [
        ("/away", "/away redirects to https://evil.test:443, which is not followed"),
        ("/port", "/port redirects to http://127.0.0.1:1, which is not followed"),
    ] {
        let (kind, message) = fails(&house, &follow(path)).await;
        assert_eq!(kind, FetchErrorKind::Redirect);
        assert!(message.contains(expect) && !message.contains("k-12345"), "{message}");
    }
}

#[tokio::test]
async fn secrets_are_only_sent_over_https_or_to_this_machine() {
    let house = house();
    for url in
        ["http://api.acme.test/", "http://10.0.0.1/", "http://127.0.0.1.acme.test/", "ftp://127.0.0.1/"]
    {
        assert_eq!(fails(&house, &get(url)).await.0, FetchErrorKind::Forbidden, "{url}");
    }
    let (_, message) = fails(&house, &get("http://api.acme.test/x?key=hidden")).await;
    assert_eq!(
        message,
        "plain http to api.acme.test:80 is refused: anyone on the way could read it; use https"
    );
    let (kind, message) = fails(&house, &get("https://me:hidden@127.0.0.1/")).await;
    assert_eq!(kind, FetchErrorKind::Forbidden);
    assert!(!message.contains("hidden"), "{message}");
    let odd = Request { secrets: vec![part(Place::Header, "x-key", "a\nb")], ..get("http://127.0.0.1:1/") };
    let expect = (FetchErrorKind::Forbidden, "the header `x-key` cannot be sent as it is".to_owned());
    assert_eq!(fails(&house, &odd).await, expect);
}

/// A name server that knows nobody.
struct Nobody;

impl reqwest::dns::Resolve for Nobody {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(std::future::ready(Err("no such host".into())))
    }
}

#[tokio::test]
async fn nobody_listening_and_nobody_of_that_name_are_told_apart() {
    let house = house();
    let server = start(|_: Incoming| Reply::Hang);
    let addr = server.addr();
    server.shutdown().await;
    let expect = (FetchErrorKind::Refused, format!("cannot reach {addr}: connection refused"));
    assert_eq!(fails(&house, &get(&format!("http://{addr}/x?key=hidden"))).await, expect);
    let nobody = builder(Timeouts::default()).dns_resolver(Nobody).build().expect("a client");
    *house.client.secure.lock().expect("no holder panics") = Some(nobody);
    let expect =
        (FetchErrorKind::Unresolved, "cannot find the host of api.acme.test:443: no such host".to_owned());
    assert_eq!(fails(&house, &get("https://api.acme.test/x?key=hidden")).await, expect);
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_error() {
    let server = start(|_: Incoming| Reply::json(200, "{}"));
    let request = get(&format!("https://{}/?key=hidden", server.addr()));
    let (kind, message) = fails(&house(), &request).await;
    assert_eq!(kind, FetchErrorKind::Tls, "{message}");
    assert!(message.starts_with(&format!("no secure channel to {}: ", server.addr())), "{message}");
}

/// A certificate that names the right host, and that nobody vouches for.
#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_ends_it_before_a_word_was_said() {
    let certificate = include_bytes!("self-signed.der").to_vec().into();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(include_bytes!("self-signed-key.der").to_vec());
    tls::install_tls();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![certificate], key.into()).expect("a pair"));
    #[expect(clippy::disallowed_methods, reason = "a server of a test's own")]
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let mut connection = rustls::ServerConnection::new(config).expect("a connection");
        let mut said = Vec::new();
        // Up to the client's refusal, or to its first words.
        while connection.complete_io(&mut stream).is_ok() {
            if connection.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0) {
                let _ = std::io::Read::read_to_end(&mut connection.reader(), &mut said);
                break;
            }
        }
        said
    });
    let secrets = vec![part(Place::Header, "authorization", "Bearer hidden-1")];
    let request = Request { secrets, ..get(&format!("https://localhost:{port}/rows")) };
    let (kind, message) = fails(&house(), &request).await;
    assert_eq!(kind, FetchErrorKind::Tls, "{message}");
    let expect = format!("no secure channel to localhost:{port}: invalid peer certificate");
    assert!(message.starts_with(&expect), "{message}");
    assert!(heard.join().expect("it ends").is_empty(), "nothing was said");
}

#[tokio::test]
async fn silence_is_a_time_out_before_the_first_byte_and_in_the_middle() {
    let never: fn() -> BoxFuture<'static, ()> = || Box::pin(std::future::pending());
    let (server, mut told) = telling(move |incoming| {
        if incoming.path == "/hang" {
            return Reply::Hang;
        }
        let bytes = Bytes::from_static(b"x");
        let chunks = vec![Chunk { after: None, bytes: bytes.clone() }, Chunk { after: Some(never()), bytes }];
        Reply::Chunks { status: 200, headers: Vec::new(), chunks, whole: true }
    });
    for path in ["/hang", "/middle"] {
        let house = house();
        let request = at(&server, path);
        let ((kind, message), ()) = tokio::join!(fails(&house, &request), async {
            told.recv().await.expect("the request arrived");
            tokio::task::yield_now().await;
            // More than once, because in the second case the first byte starts the wait anew.
            for _ in 0..2 {
                house.clock.advance(Duration::from_mins(1));
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
            }
        });
        assert_eq!(
            (kind, message),
            (FetchErrorKind::Timeout, format!("no answer of {}{path} within 60s", server.addr()))
        );
    }
}

#[tokio::test]
async fn an_endless_drip_meets_the_total_time_out() {
    let house = house();
    let clock = house.clock.clone();
    let server = start(move |_: Incoming| {
        // Every chunk moves the clock on by less than the wait between two bytes allows.
        let drip = |clock: Arc<Manual>| -> BoxFuture<'static, ()> {
            Box::pin(async move {
                clock.advance(Duration::from_secs(30));
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
            })
        };
        let chunk = |_| Chunk { after: Some(drip(clock.clone())), bytes: Bytes::from_static(b"x") };
        Reply::Chunks {
            status: 200,
            headers: Vec::new(),
            chunks: (0..1_000).map(chunk).collect(),
            whole: true,
        }
    });
    let (kind, message) = fails(&house, &at(&server, "/drip")).await;
    assert_eq!(kind, FetchErrorKind::Timeout);
    assert_eq!(message, format!("no answer of {}/drip within 300s", server.addr()));
}

#[tokio::test]
async fn stopping_and_dropping_end_a_request_at_once() {
    let (server, mut told) = telling(|_| Reply::Hang);
    let house = house();
    let request = at(&server, "/");
    let ((kind, _), ()) = tokio::join!(fails(&house, &request), async {
        told.recv().await.expect("the request arrived");
        house.stop.ask();
    });
    assert_eq!(kind, FetchErrorKind::Stopped);
    assert_eq!(fails(&house, &request).await.0, FetchErrorKind::Stopped);
    assert!(told.try_recv().is_err(), "nothing is sent after the stop");
}

#[tokio::test]
async fn the_server_plays_on_loopback_only_and_shuts_down() {
    let everywhere = Server::start((Ipv4Addr::UNSPECIFIED, 0).into(), Arc::new(|_: Incoming| Reply::Hang));
    assert_eq!(everywhere.err().expect("refused").kind(), std::io::ErrorKind::InvalidInput);
    let server = start(|_: Incoming| Reply::Whole { status: 9, headers: Vec::new(), body: Bytes::new() });
    let house = house();
    assert_eq!(house.client.fetch(&at(&server, "/")).await.expect("our own fault").status, 500);
    let request = at(&server, "/");
    server.shutdown().await;
    assert_eq!(fails(&house, &request).await.0, FetchErrorKind::Refused);
}

const NO_CERTIFICATES: &str = "SYNC_TEST_NO_CERTIFICATES";

/// Runs itself once more, as a process that finds no certificate authorities.
#[tokio::test]
async fn a_machine_without_certificates_still_talks_to_itself() {
    if std::env::var_os(NO_CERTIFICATES).is_none() {
        let name = "client::tests::a_machine_without_certificates_still_talks_to_itself";
        let output = Command::new(std::env::current_exe().expect("this very program"))
            .args(["--exact", name, "--nocapture"])
            .env(NO_CERTIFICATES, "1")
            .env("SSL_CERT_FILE", "/dev/null")
            .env_remove("SSL_CERT_DIR")
            .stdin(Stdio::null())
            .output()
            .expect("a second process");
        let _ = std::io::stderr().write_all(&output.stderr);
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        return;
    }
    let server = start(|_: Incoming| Reply::json(200, "{}"));
    let house = house();
    house.client.fetch(&at(&server, "/")).await.expect("plain http on loopback");
    let (kind, message) = fails(&house, &get("https://api.acme.test/")).await;
    assert_eq!(kind, FetchErrorKind::Tls);
    assert_eq!(
        message,
        "https is not possible on this machine: no CA certificates were loaded from the system"
    );
}

use std::net::{Ipv4Addr, SocketAddr};

use sync_core::{Method, Operation, Part, Secret, Stop};
use sync_http::{Client, Scrubber, Timeouts};
use sync_testkit::clock::{Manual, Virtual};
use url::Url;

use super::*;
use crate::{Astray, Fault, Options, What, When};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn sandbox(clock: Arc<dyn Clock>) -> Arc<Sandbox> {
    Sandbox::new(Options::new(clock)).expect("options that can be")
}

fn request(base: &str, path: &str) -> Request {
    let (place, name, value) = if path.starts_with("crm") {
        (Place::Query, "api_key", "flowlu-sandbox-key")
    } else {
        (Place::Header, "Authorization", "Bearer planhat-sandbox-token")
    };
    Request {
        method: Method::Get,
        url: Url::parse(&format!("{base}/{path}")).expect("a URL"),
        headers: Vec::new(),
        body: None,
        secrets: vec![Part { place, name: name.to_owned(), value: Secret::new(value.to_owned()) }],
        operation: Operation::Read,
        repeatable: true,
        follow_redirects: false,
        sent: sync_core::Sent::default(),
    }
}

fn fault(sandbox: &Sandbox, what: What) {
    let fault = Fault { on: String::new(), when: When::Next(1), what };
    sandbox.fault(fault).expect("no stream is named");
}

#[tokio::test]
async fn a_socket_and_the_trait_tell_the_same() {
    let clock = Arc::new(Manual::new());
    let sandbox = sandbox(clock.clone());
    let running = sandbox.start(ANY).await.expect("a free port");
    let client = Client::new(clock, Arc::new(Scrubber::new()), Stop::default(), Timeouts::default());
    let client = client.expect("a client");
    let direct = InProcess::new(sandbox.clone());

    for (provider, path) in [
        ("planhat", "companies?limit=3&sort=-updatedAt"),
        ("planhat", "nothing"),
        ("flowlu", "crm/account/list?order_by%5Basc%5D%5B%5D=id"),
    ] {
        let request = request(&running.base_url(provider), path);
        let by_socket = client.fetch(&request).await.expect("an answer");
        let directly = direct.fetch(&request).await.expect("an answer");
        assert_eq!((by_socket.status, &by_socket.body), (directly.status, &directly.body), "{path}");
        assert_eq!(by_socket.header("content-type"), directly.header("content-type"), "{path}");
    }

    let request = request(&running.base_url("planhat"), "companies");
    for what in [What::Cut, What::Reset] {
        fault(&sandbox, what.clone());
        let by_socket = client.fetch(&request).await.expect_err("no answer");
        fault(&sandbox, what);
        let directly = direct.fetch(&request).await.expect_err("no answer");
        assert_eq!((by_socket.kind, directly.kind), (FetchErrorKind::Broken, FetchErrorKind::Broken));
    }
    running.stop().await;
    assert_eq!(client.fetch(&request).await.expect_err("gone").kind, FetchErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn time_passes_by_the_clock_alone() {
    let clock = Arc::new(Virtual::new());
    let sandbox = sandbox(clock.clone());
    let direct = InProcess::new(sandbox.clone());
    let request = request("http://127.0.0.1:1/planhat", "companies?limit=1");

    fault(&sandbox, What::Latency(Duration::from_secs(3)));
    let answer = direct.fetch(&request).await.expect("an answer");
    assert_eq!((answer.elapsed, clock.monotonic()), (Duration::from_secs(3), Duration::from_secs(3)));

    fault(&sandbox, What::Hang);
    assert_eq!(direct.fetch(&request).await.expect_err("no answer").kind, FetchErrorKind::Timeout);
    assert_eq!(clock.monotonic(), Duration::from_secs(63));
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_at_once_are_counted_and_counted_out() {
    let sandbox = sandbox(Arc::new(Virtual::new()));
    let direct = InProcess::new(sandbox.clone());
    let request = request("http://127.0.0.1:1/planhat", "companies?limit=1");
    let late = What::Latency(Duration::from_secs(1));
    sandbox.fault(Fault { on: String::new(), when: When::Every(1), what: late }).expect("no stream is named");
    let three = tokio::join!(direct.fetch(&request), direct.fetch(&request), direct.fetch(&request));
    assert!(three.0.is_ok() && three.1.is_ok() && three.2.is_ok());
    assert_eq!(sandbox.counters().providers["planhat"].most_at_once, 3);
    // A client that leaves is counted out too.
    let left = tokio::time::timeout(Duration::from_millis(10), direct.fetch(&request)).await;
    assert!(left.is_err());
    sandbox.reset();
    direct.fetch(&request).await.expect("an answer");
    assert_eq!(sandbox.counters().providers["planhat"].most_at_once, 1);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let to = Astray::Redirect("https://www.flowlu.example/".to_owned());
    let options = Options { flowlu_astray: Some(to), ..Options::new(Arc::new(Manual::new())) };
    let direct = InProcess::new(Sandbox::new(options).expect("options that can be"));
    let request = request("http://127.0.0.1:1/flowlu", "crm/account/list");
    assert_eq!(direct.fetch(&request).await.expect_err("astray").kind, FetchErrorKind::Redirect);
}

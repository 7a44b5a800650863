use std::sync::Mutex;

use sync_core::{Method, Secret};
use sync_testkit::clock::Virtual;
use sync_testkit::fetch::{Reply, Scripted, failure, get, header, response};

use super::*;

/// Reads the verdict from the status, and the words from the body.
struct ByStatus;

impl Classify for ByStatus {
    fn classify(&self, _: &Request, response: &Response) -> Outcome {
        let verdict = match response.status {
            200 => Verdict::Ok,
            204 => Verdict::Empty,
            410 => Verdict::Gone,
            401 => Verdict::Auth,
            404 | 302 | 203 => Verdict::Config,
            402 => Verdict::Quota,
            403 => Verdict::SkipStream,
            413 => Verdict::SmallerPage,
            422 => Verdict::Reject,
            429 => Verdict::Limited,
            500.. => Verdict::Retry,
            _ => Verdict::Fail,
        };
        let say = (response.status == 401).then(|| "the key was refused".to_owned());
        let words = String::from_utf8_lossy(&response.body).into_owned();
        Outcome { verdict, wait: None, say, words }
    }
}

#[derive(Default)]
struct Pauses(Mutex<Vec<Duration>>);

impl Pause for Pauses {
    fn limited<'a>(&'a self, _: &'a Request, wait: Duration) -> BoxFuture<'a, ()> {
        self.0.lock().expect("no holder panics").push(wait);
        Box::pin(std::future::ready(()))
    }

    fn spent(&self, wait: Option<Duration>) -> BoxFuture<'_, sync_core::Timestamp> {
        let until = sync_testkit::clock::EPOCH.plus(wait.unwrap_or(Duration::from_hours(24)));
        Box::pin(std::future::ready(until))
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<(String, Duration)>>);

impl Watch for Told {
    fn event(&self, event: Event) {
        let Event::Waiting { reason, duration } = event else { panic!("{event:?}") };
        self.0.lock().expect("no holder panics").push((reason, duration));
    }
}

struct House {
    retry: Retry,
    inner: Arc<Scripted>,
    clock: Arc<Virtual>,
    pauses: Arc<Pauses>,
    told: Arc<Told>,
    stop: Stop,
}

impl House {
    fn reasons(&self) -> Vec<String> {
        self.told.0.lock().expect("no holder panics").iter().map(|(reason, _)| reason.clone()).collect()
    }
    fn waits(&self) -> Vec<Duration> {
        self.told.0.lock().expect("no holder panics").iter().map(|(_, wait)| *wait).collect()
    }
    fn pauses(&self) -> Vec<Duration> {
        self.pauses.0.lock().expect("no holder panics").clone()
    }
}

fn house_with(inner: Scripted, clock: Arc<Virtual>) -> House {
    let (inner, pauses, told, stop) =
        (Arc::new(inner), Arc::new(Pauses::default()), Arc::new(Told::default()), Stop::default());
    let scrubber = Arc::new(Scrubber::new());
    scrubber.add(&Secret::new("s3cr3t".to_owned()));
    let context = Context { clock: clock.clone(), stop: stop.clone(), watch: told.clone(), scrubber };
    let retry = Retry::new(
        inner.clone(),
        Arc::new(ByStatus),
        pauses.clone(),
        Arc::new(()),
        Policy::default(),
        context,
    );
    House { retry, inner, clock, pauses, told, stop }
}

fn house(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> House {
    house_with(Scripted::with(script), Arc::new(Virtual::new()))
}

fn listed(replies: Vec<Reply>) -> House {
    house_with(Scripted::new(replies), Arc::new(Virtual::new()))
}

fn companies() -> Request {
    get("https://api.acme.test/companies?limit=5")
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A status that is not tried again: `kind code: message`.
#[track_caller]
fn check(status: u16, body: &'static str, expect: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let house = house(move |_| Ok(response(status, body)));
        let refusal = house.retry.ask(&companies()).await.expect_err("a refusal");
        assert_eq!(format!("{:?} {}: {}", refusal.kind, refusal.code, refusal.message), expect);
        assert_eq!((refusal.attempts, refusal.status), (1, Some(status)));
        assert_eq!(house.inner.requests().len(), 1);
    });
}

#[test]
fn what_will_not_change_is_asked_once() {
    check(
        401,
        "{\n \"error\":\t\"bad token s3cr3t\"\n}",
        "Refused credential_refused: GET /companies: HTTP 401: the key was refused \
         (the server said: { \"error\": \"bad token ***\" })",
    );
    check(401, "", "Refused credential_refused: GET /companies: HTTP 401: the key was refused");
    check(404, "<html>", "Refused wrong_address: GET /companies: HTTP 404: <html>");
    check(302, "", "Refused wrong_address: GET /companies: HTTP 302");
    check(203, "<html>", "Refused not_an_api: GET /companies: HTTP 203: <html>");
    check(
        402,
        "spent",
        "Quota quota_exhausted: GET /companies: HTTP 402: spent; the quota is free again at 2026-01-02 00:00:00 UTC",
    );
    check(403, "no", "Unavailable stream_unavailable: GET /companies: HTTP 403: no");
    check(413, "big", "Failed page_too_large: GET /companies: HTTP 413: big");
    check(422, "odd", "Failed provider_error: GET /companies: HTTP 422: odd");
    check(400, "odd", "Failed provider_error: GET /companies: HTTP 400: odd");
}

#[tokio::test(start_paused = true)]
async fn long_words_are_cut() {
    let house = house(|_| Ok(response(400, "ä".repeat(5_000))));
    let refusal = house.retry.ask(&companies()).await.expect_err("a refusal");
    assert_eq!(refusal.message, format!("GET /companies: HTTP 400: {}…", "ä".repeat(300)));
}

#[tokio::test(start_paused = true)]
async fn answers_come_with_what_they_cost() {
    for status in [200, 204, 410] {
        let waited = |r: Response| Ok(Response { waited: s(3), ..r });
        let house = listed(vec![
            waited(response(503, "")),
            Err(failure(FetchErrorKind::Broken)),
            waited(response(status, "rows")),
        ]);
        let answer = house.retry.ask(&companies()).await.expect("an answer");
        assert_eq!((answer.response.status, answer.retries), (status, 2));
        // Each wait ends at the next whole millisecond.
        let told: Duration = house.waits().iter().sum();
        assert!(answer.waited >= s(6) + told && answer.waited <= s(6) + told + Duration::from_millis(4));
        assert_eq!(house.reasons(), ["HTTP 503, attempt 2 of 6", "broken connection, attempt 3 of 6"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_passing_fault_is_tried_six_times_with_longer_and_longer_waits() {
    let house = house(|_| Ok(response(502, "<h1>Bad\nGateway</h1>")));
    let refusal = house.retry.ask(&companies()).await.expect_err("a refusal");
    assert_eq!((refusal.kind, refusal.code, refusal.attempts), (Kind::Failed, "provider_failed", 6));
    assert_eq!(refusal.message, "GET /companies: HTTP 502: <h1>Bad Gateway</h1> (6 attempts)");
    for (wait, ceiling) in house.waits().iter().zip([500, 1_000, 2_000, 4_000, 8_000]) {
        assert!(*wait <= Duration::from_millis(ceiling), "{wait:?} of {ceiling} ms");
    }
    assert_eq!(house.waits().len(), 5);
    assert!(house.pauses().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fault_may_name_its_own_wait() {
    let busy = || Ok(header(response(503, ""), "retry-after", "40"));
    let house = listed(vec![busy(), busy(), Ok(response(200, ""))]);
    house.retry.ask(&companies()).await.expect("an answer");
    assert_eq!(house.clock.monotonic(), s(80));
    let house = listed(vec![Ok(header(response(503, ""), "retry-after", "7200"))]);
    let refusal = house.retry.ask(&companies()).await.expect_err("two hours are too long");
    assert_eq!(refusal.message, "GET /companies: HTTP 503 (1 attempt; the next would have to wait 2 h)");
    assert_eq!(house.clock.monotonic(), s(0));
}

#[tokio::test(start_paused = true)]
async fn too_fast_is_waited_out_beyond_six_attempts() {
    let house = listed((0..10).map(|_| Ok(response(429, ""))).chain([Ok(response(200, ""))]).collect());
    let answer = house.retry.ask(&companies()).await.expect("patience is rewarded");
    let waits = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60].map(s);
    assert_eq!(house.waits(), waits);
    assert_eq!(house.pauses(), waits);
    assert_eq!((answer.retries, answer.waited), (10, waits.iter().sum()));
    assert_eq!(house.reasons()[9], "HTTP 429, attempt 11");
}

#[tokio::test(start_paused = true)]
async fn too_fast_for_ever_ends_with_a_word_about_the_time() {
    let house = house(|_| Ok(response(429, "slow down")));
    let refusal = house.retry.ask(&companies()).await.expect_err("a refusal");
    assert_eq!((refusal.kind, refusal.code), (Kind::Quota, "rate_limited"));
    assert_eq!(
        refusal.message,
        "GET /companies: HTTP 429: slow down; the next attempt would have to wait 60 s, after 10 min of waiting"
    );
    assert!(house.clock.monotonic() <= s(600));
}

#[tokio::test(start_paused = true)]
async fn a_longer_wait_than_ours_is_a_quota_and_pauses_everyone() {
    let house = listed(vec![Ok(header(response(429, ""), "retry-after", "3600"))]);
    let refusal = house.retry.ask(&companies()).await.expect_err("a refusal");
    assert_eq!((refusal.kind, refusal.code), (Kind::Quota, "rate_limited"));
    assert_eq!(refusal.message, "GET /companies: HTTP 429; the next attempt would have to wait 60 min");
    assert_eq!((house.pauses(), house.clock.monotonic()), (vec![s(3_600)], s(0)));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_never_answered_is_given_up_within_seconds() {
    for (kind, code) in
        [(FetchErrorKind::Refused, "unreachable"), (FetchErrorKind::Unresolved, "unknown_host")]
    {
        let house = house(move |_| Err(failure(kind)));
        let refusal = house.retry.ask(&companies()).await.expect_err("a refusal");
        assert_eq!((refusal.kind, refusal.code, refusal.attempts), (Kind::Environment, code, 3));
        assert_eq!(refusal.message, format!("GET /companies: scripted: {kind:?} (3 attempts)"));
        assert!(house.clock.monotonic() < s(5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_answered_before_is_given_its_six_attempts() {
    let first = AtomicBool::new(true);
    let house = house(move |_| {
        let first = first.swap(false, Ordering::Relaxed);
        if first { Ok(response(200, "")) } else { Err(failure(FetchErrorKind::Refused)) }
    });
    house.retry.ask(&companies()).await.expect("the first page");
    let refusal = house.retry.ask(&companies()).await.expect_err("a refusal");
    assert_eq!((refusal.kind, refusal.attempts), (Kind::Environment, 6));
}

#[tokio::test(start_paused = true)]
async fn what_another_attempt_cannot_mend_is_not_attempted() {
    for (kind, run, code) in [
        (FetchErrorKind::Tls, Kind::Environment, "tls"),
        (FetchErrorKind::Forbidden, Kind::Refused, "request_forbidden"),
        (FetchErrorKind::Redirect, Kind::Refused, "wrong_address"),
        (FetchErrorKind::Quota, Kind::Quota, "quota_exhausted"),
        (FetchErrorKind::Stopped, Kind::Stopped, "stopped"),
    ] {
        let house = listed(vec![Err(failure(kind))]);
        let refusal = house.retry.ask(&companies()).await.expect_err("a refusal");
        assert_eq!((refusal.kind, refusal.code, refusal.verdict), (run, code, None));
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_carried_out_is_not_sent_twice() {
    let request = Request { repeatable: false, method: Method::Post, ..companies() };
    let lost =
        [Err(failure(FetchErrorKind::Timeout)), Err(failure(FetchErrorKind::Broken)), Ok(response(502, ""))];
    for reply in lost {
        let house = listed(vec![reply]);
        let refusal = house.retry.ask(&request).await.expect_err("a refusal");
        assert!(refusal.message.ends_with("(not sent again, because it may have been carried out)"));
        assert_eq!((refusal.kind, refusal.code), (Kind::Failed, "provider_failed"));
    }
    // These were certainly not carried out.
    let house =
        listed(vec![Err(failure(FetchErrorKind::Refused)), Ok(response(429, "")), Ok(response(200, ""))]);
    assert_eq!(house.retry.ask(&request).await.expect("an answer").retries, 2);
}

#[tokio::test(start_paused = true)]
async fn slow_failures_are_bounded_in_time() {
    let clock = Arc::new(Virtual::new());
    let inner = Scripted::timed(clock.clone(), |_| (s(300), Err(failure(FetchErrorKind::Timeout))));
    let house = house_with(inner, clock);
    let refusal = house.retry.ask(&companies()).await.expect_err("a refusal");
    assert_eq!((refusal.kind, refusal.attempts), (Kind::Failed, 2));
    assert!(house.clock.monotonic() < s(602));
}

#[tokio::test(start_paused = true)]
async fn time_spent_on_permits_is_not_time_spent_on_faults() {
    let clock = Arc::new(Virtual::new());
    let inner =
        Scripted::timed(clock.clone(), |_| (s(400), Ok(Response { waited: s(400), ..response(500, "") })));
    let house = house_with(inner, clock);
    let refusal = house.retry.ask(&companies()).await.expect_err("a refusal");
    assert_eq!(refusal.attempts, 6);
    assert!(refusal.waited >= s(2_400));
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_the_wait_and_prevents_the_next_attempt() {
    let house = house(|_| Ok(header(response(429, ""), "retry-after", "60")));
    let request = companies();
    let (result, ()) = tokio::join!(house.retry.ask(&request), async {
        house.clock.sleep(s(5)).await;
        house.stop.ask();
    });
    let refusal = result.expect_err("stopped");
    assert_eq!((refusal.kind, refusal.code, refusal.attempts), (Kind::Stopped, "stopped", 1));
    assert_eq!((house.clock.monotonic(), refusal.waited), (s(5), s(5)));
    let refusal = house.retry.ask(&request).await.expect_err("stopped");
    assert_eq!((refusal.attempts, house.inner.requests().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_a_request_of_its_own() {
    fn moved(to: &str) -> Response {
        header(response(302, ""), "location", to)
    }
    let follow = Request { follow_redirects: true, ..companies() };
    let house = listed(vec![Ok(moved("/v2/companies")), Ok(response(200, "[]"))]);
    let answer = house.retry.ask(&follow).await.expect("an answer");
    assert_eq!((answer.response.body.as_ref(), answer.retries), (&b"[]"[..], 0));
    let asked = house.inner.requests();
    let asked: Vec<_> = asked.iter().map(|request| request.url.as_str()).collect();
    assert_eq!(asked, ["https://api.acme.test/companies?limit=5", "https://api.acme.test/v2/companies"]);

    let house = self::house(move |_| Ok(moved("/companies")));
    let refusal = house.retry.ask(&follow).await.expect_err("a circle");
    assert!(refusal.message.contains("/companies redirects in circles"), "{}", refusal.message);
    assert_eq!(house.inner.requests().len(), 6);

    let house = self::house(move |_| Ok(moved("https://evil.test/")));
    let refusal = house.retry.ask(&follow).await.expect_err("another host");
    assert!(refusal.message.contains("which is not followed"), "{}", refusal.message);
    assert_eq!(house.inner.requests().len(), 1);
}

//! The order of the stairs: retry, quota, auth, transport. Each attempt pays its own permit and is signed afresh.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sync_auth::{Credential, Hands, Secrets, Signed, Signing, Source, System, Vault};
use sync_core::{
    Ask, BoxFuture, Classify, Clock, Fetch, FetchError, Outcome, Place, Request, Response, Secret, Signature,
    SignatureForm, SignaturePiece, Stop, Verdict,
};
use sync_http::{Context, Policy, Retry, Scrubber};
use sync_quota::{Budgets, Paced, Period, Rule, Terms};
use sync_testkit::clock::Virtual;
use sync_testkit::fetch::{get, header, response};

/// The lowest step: notes when each attempt came, and with which signature.
struct Provider {
    clock: Arc<Virtual>,
    seen: Mutex<Vec<(Duration, Vec<String>)>>,
}

impl Fetch for Provider {
    fn fetch<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, FetchError>> {
        let secrets = request.secrets.iter().map(|part| part.value.expose().to_owned()).collect();
        let mut seen = self.seen.lock().expect("no holder panics");
        seen.push((self.clock.monotonic(), secrets));
        let reply = match seen.len() {
            1 => response(503, ""),
            2 => header(response(429, ""), "retry-after", "25"),
            _ => response(200, "[]"),
        };
        let first_byte_at = self.clock.now();
        Box::pin(std::future::ready(Ok(Response { first_byte_at, ..reply })))
    }
}

struct ByStatus;

impl Classify for ByStatus {
    fn classify(&self, _: &Request, response: &Response) -> Outcome {
        let verdict = match response.status {
            429 => Verdict::Limited,
            503 => Verdict::Retry,
            _ => Verdict::Ok,
        };
        Outcome { verdict, wait: None, say: None, words: String::new() }
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_pays_its_own_permit_and_is_signed_afresh() {
    let (clock, stop) = (Arc::new(Virtual::new()), Stop::default());
    let provider = Arc::new(Provider { clock: clock.clone(), seen: Mutex::default() });
    let bearer = vec![SignaturePiece::Text("Bearer ".to_owned()), SignaturePiece::Secret("token".to_owned())];
    let signature = Signature {
        place: Place::Header,
        name: "authorization".to_owned(),
        form: SignatureForm::Text(bearer),
    };
    let secrets: Secrets = [("token".to_owned(), Secret::new("t-1".to_owned()))].into_iter().collect();
    let origin = "https://api.acme.test".parse().expect("a URL");
    let hands = Hands {
        clock: clock.clone(),
        fetch: provider.clone(),
        environment: Arc::new(System),
        vault: Arc::new(Vault::new(None, Arc::new(System), None)),
        learn: Arc::new(|_: &Secret| {}),
    };
    let signing = Signing { signatures: vec![signature], tokens: None };
    let credential = Credential::open(Source::Given(secrets, None), signing, hands);
    let credential = credential.expect("the token is given");
    let signed = Signed::new(provider.clone(), credential.clone(), &origin);
    let period = Period::Sliding(Duration::from_secs(10));
    let rules = vec![Rule { count: 1, period, account: 0, ceiling: false }];
    let terms = Terms { accounts: vec!["acme".to_owned()], rules, ..Terms::default() };
    let budget = Budgets::new(clock.clone()).open(terms);
    let watch = Arc::new(());
    let label = "Acme".to_owned();
    let paced =
        Paced::new(Arc::new(signed), budget.clone(), label, watch.clone(), stop.clone(), clock.clone());
    let context = Context { clock: clock.clone(), stop, watch, scrubber: Arc::new(Scrubber::new()) };
    let retry =
        Retry::new(Arc::new(paced), Arc::new(ByStatus), budget, credential, Policy::default(), context);

    let answer = retry.ask(&get("https://api.acme.test/rows")).await.expect("an answer");
    assert_eq!((answer.verdict, answer.retries), (Verdict::Ok, 2));

    let seen = provider.seen.lock().expect("no holder panics");
    let ms = Duration::from_millis;
    // The second attempt waits for a permit, the third for the pause that the provider asked for.
    assert_eq!(seen.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [ms(0), ms(10_002), ms(35_002)]);
    // Never twice signed, never unsigned.
    assert!(seen.iter().all(|(_, secrets)| *secrets == ["Bearer t-1"]));
    assert_eq!(answer.waited, ms(35_002));
}

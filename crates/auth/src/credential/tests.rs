use std::sync::atomic::{AtomicU32, Ordering};

use sync_core::{
    Classify, ClientIn, Grant, Outcome, Place, Response, SendAs, SignatureForm, SignaturePiece, Verdict,
};
use sync_testkit::clock::Virtual;
use sync_testkit::fetch::{Scripted, get, response};

use std::time::Duration;

use super::*;
use crate::testing::{World, folder, hands, vault};
use crate::vault::{Record, Vault};
use crate::{Signed, TestState, Tested};

fn bearer(secret: &str) -> Vec<Signature> {
    let pieces = vec![SignaturePiece::Text("Bearer ".to_owned()), SignaturePiece::Secret(secret.to_owned())];
    let form = SignatureForm::Text(pieces);
    vec![Signature { place: Place::Header, name: "authorization".to_owned(), form }]
}

fn secrets(pairs: &[(&str, &str)]) -> Secrets {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), Secret::new((*text).to_owned()))).collect()
}

fn record(given: &[(&str, &str)], clock: &Virtual) -> Record {
    Record {
        connector: "acme".to_owned(),
        connector_file: None,
        description: None,
        method: None,
        config: std::collections::BTreeMap::new(),
        base_url: None,
        home: "https://api.acme.test".to_owned(),
        account: None,
        secrets: secrets(given),
        changed: clock.now(),
        created: clock.now(),
        max_age_days: None,
        previous: None,
        tokens: None,
        tested: Some(Tested { at: clock.now(), state: TestState::Accepted }),
    }
}

/// A vault, a clock, and a provider that takes certain keys.
struct Stage {
    clock: Arc<Virtual>,
    vault: Arc<Vault>,
    world: Arc<World>,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let (folder, world) = (folder(), World::with(&[]));
        Self { clock: Arc::new(Virtual::new()), vault: vault(folder.path(), world.clone()), world, folder }
    }

    fn open(&self, source: Source, tokens: Option<TokenEndpoint>, fetch: &Arc<Scripted>) -> Arc<Credential> {
        let hands = hands(fetch.clone(), self.world.clone(), self.vault.clone(), self.clock.clone());
        let name = if tokens.is_some() { ACCESS_TOKEN } else { "token" };
        let opened = Credential::open(source, Signing { signatures: bearer(name), tokens }, hands);
        opened.unwrap_or_else(|error| panic!("{error}"))
    }
}

/// What signs the next request.
async fn signs(credential: &Credential) -> (String, u64) {
    let (parts, version) = credential.parts().await.expect("there is something to sign with");
    (parts[0].value.expose().to_owned(), version)
}

/// The provider refuses what was signed with this version.
async fn refused(credential: &Credential, version: u64) -> Renewal {
    let request = get("https://api.acme.test/rows");
    request.sent.sign(version);
    credential.refused(&request).await
}

fn taken(credential: &Credential, version: u64) {
    let request = get("https://api.acme.test/rows");
    request.sent.sign(version);
    credential.taken(&request);
}

fn stored() -> Source {
    Source::Stored("acme".to_owned())
}

#[tokio::test]
async fn a_secret_that_was_changed_in_the_vault_signs_the_next_request() {
    let stage = Stage::new();
    stage.vault.add("acme", &record(&[("token", "old")], &stage.clock)).expect("added");
    let credential = stage.open(stored(), None, &Arc::new(Scripted::new([])));
    assert_eq!(signs(&credential).await, ("Bearer old".to_owned(), 1));
    stage.vault.change("acme", |record| record.secrets = secrets(&[("token", "new")])).expect("changed");
    assert_eq!(signs(&credential).await, ("Bearer new".to_owned(), 2));
    // A test of it changes the file, and nothing that signs.
    stage.vault.change("acme", |record| record.tested = None).expect("changed");
    assert_eq!(signs(&credential).await, ("Bearer new".to_owned(), 2));
    // Removed: what is in memory goes on until the provider refuses it.
    stage.vault.remove("acme").expect("removed");
    assert_eq!(signs(&credential).await, ("Bearer new".to_owned(), 2));
    assert!(matches!(refused(&credential, 2).await, Renewal::Spent { .. }));
}

#[tokio::test]
async fn while_the_overlap_lasts_the_other_key_is_tried() {
    let stage = Stage::new();
    let until = stage.clock.now().plus(Duration::from_hours(24));
    let mut rotated = record(&[("token", "new")], &stage.clock);
    rotated.previous = Some(Previous { secrets: secrets(&[("token", "old")]), until });
    stage.vault.add("acme", &rotated).expect("added");
    let credential = stage.open(stored(), None, &Arc::new(Scripted::new([])));
    assert_eq!(signs(&credential).await, ("Bearer new".to_owned(), 1));
    // Two requests of the same version are refused at once; the second finds what the first found.
    assert_eq!(refused(&credential, 1).await, Renewal::Again);
    assert_eq!(refused(&credential, 1).await, Renewal::Again);
    assert_eq!(signs(&credential).await, ("Bearer old".to_owned(), 2));
    assert!(credential.notes().is_empty(), "nothing is said before it worked");
    taken(&credential, 2);
    let notes = credential.notes();
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0]
            .message
            .starts_with("the current key of the credential `acme` was refused; the one before it worked"),
        "{notes:?}"
    );
    // The day is over: the provider takes only the new one.
    assert_eq!(refused(&credential, 2).await, Renewal::Again);
    assert_eq!(signs(&credential).await, ("Bearer new".to_owned(), 3));
    // Both are refused: it ends, and says what was tried.
    let Renewal::Spent { tried, hint } = refused(&credential, 3).await else { panic!("nothing is left") };
    assert_eq!(tried.as_deref(), Some("the other key was refused, too"));
    assert!(hint.expect("advice").contains("sync credentials rotate acme"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_ended_is_not_tried() {
    let stage = Stage::new();
    let until = stage.clock.now().plus(Duration::from_secs(10));
    let mut rotated = record(&[("token", "new")], &stage.clock);
    rotated.previous = Some(Previous { secrets: secrets(&[("token", "old")]), until });
    stage.vault.add("acme", &rotated).expect("added");
    let credential = stage.open(stored(), None, &Arc::new(Scripted::new([])));
    stage.clock.sleep(Duration::from_secs(11)).await;
    let Renewal::Spent { tried, .. } = refused(&credential, 1).await else { panic!("it has ended") };
    assert!(tried.expect("what was tried").starts_with("the key before it ended at "));
}

#[tokio::test]
async fn a_reference_is_read_again_once() {
    let stage = Stage::new();
    stage.world.set("TOKEN", "old");
    let source = Source::References(vec![("token".to_owned(), Reference::Env("TOKEN".to_owned()))]);
    let credential = stage.open(source, None, &Arc::new(Scripted::new([])));
    stage.world.set("TOKEN", "new");
    assert_eq!(signs(&credential).await.0, "Bearer old", "nothing is read behind the provider's back");
    assert_eq!(refused(&credential, 1).await, Renewal::Again);
    assert_eq!(signs(&credential).await.0, "Bearer new");
    taken(&credential, 2);
    assert!(credential.notes()[0].message.contains("read again"), "{:?}", credential.notes());
    assert_eq!(refused(&credential, 2).await, Renewal::Spent { tried: None, hint: None });
}

/// A token endpoint as the standard has it: whatever is not good is a refusal.
struct Standard;

impl Classify for Standard {
    fn classify(&self, _: &Request, response: &Response) -> Outcome {
        let verdict = match response.status {
            200 => Verdict::Ok,
            503 => Verdict::Retry,
            _ => Verdict::Auth,
        };
        let words = String::from_utf8_lossy(&response.body).into_owned();
        Outcome { verdict, wait: None, say: None, words }
    }
}

fn endpoint(grant: Grant) -> TokenEndpoint {
    TokenEndpoint {
        grant,
        authorize: None,
        token: "https://api.acme.test/oauth/token".parse().expect("a URL"),
        scopes: vec!["read".to_owned()],
        pkce: true,
        client_in: ClientIn::Body,
        send: SendAs::Form,
        names: Vec::new(),
        token_path: Vec::new(),
        refresh_before: Duration::from_mins(5),
        classify: Arc::new(Standard),
    }
}

/// Hands out `a-1`, `a-2` … and with each another refresh token; only the last one is taken.
fn rotating() -> Arc<Scripted> {
    let count = AtomicU32::new(0);
    Arc::new(Scripted::with(move |request| {
        let body = request.secrets.iter().find(|part| part.place == Place::Body).expect("a token request");
        let n = count.load(Ordering::SeqCst);
        if !body.value.expose().contains(&format!("refresh_token=r-{n}")) {
            return Ok(response(400, r#"{"error":"invalid_grant"}"#));
        }
        count.store(n + 1, Ordering::SeqCst);
        let n = n + 1;
        Ok(response(
            200,
            format!(r#"{{"access_token":"a-{n}","refresh_token":"r-{n}","expires_in":"1800"}}"#),
        ))
    }))
}

const CLIENT: [(&str, &str); 3] = [("client_id", "id-1"), ("client_secret", "s-1"), ("refresh_token", "r-0")];

#[tokio::test(start_paused = true)]
async fn eight_streams_and_two_processes_ask_for_one_token() {
    let stage = Stage::new();
    stage.vault.add("acme", &record(&CLIENT, &stage.clock)).expect("added");
    let endpoint_fetch = rotating();
    let credentials: Vec<_> = (0..2)
        .map(|_| {
            // As another process has it: a vault of its own over the same folder.
            let vault = vault(stage.folder.path(), stage.world.clone());
            let hands = hands(endpoint_fetch.clone(), stage.world.clone(), vault, stage.clock.clone());
            let signing = Signing { signatures: bearer(ACCESS_TOKEN), tokens: Some(endpoint(Grant::Code)) };
            Credential::open(stored(), signing, hands).unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();
    let all = credentials.iter().flat_map(|credential| (0..8).map(move |_| signs(credential)));
    let signed = futures_util::future::join_all(all).await;
    assert!(signed.iter().all(|(value, _)| value == "Bearer a-1"), "{signed:?}");
    assert_eq!(endpoint_fetch.requests().len(), 1);
    // Nothing of it may be printed: the body is a secret part.
    let sent = &endpoint_fetch.requests()[0];
    assert!(sent.body.is_none() && !format!("{sent:?}").contains("r-0"));

    // 25 minutes later it is within five minutes of its end.
    stage.clock.sleep(Duration::from_mins(26)).await;
    let all = credentials.iter().flat_map(|credential| (0..8).map(move |_| signs(credential)));
    let signed = futures_util::future::join_all(all).await;
    assert!(signed.iter().all(|(value, _)| value == "Bearer a-2"), "{signed:?}");
    assert_eq!(
        endpoint_fetch.requests().len(),
        2,
        "the second refresh used the token that came with the first"
    );

    // Refused before its time: one more, whoever is refused.
    let versions: Vec<u64> = signed.iter().map(|(_, version)| *version).collect();
    let renewals = credentials.iter().enumerate().flat_map(|(i, credential)| {
        let version = versions[i * 8];
        (0..8).map(move |_| refused(credential, version))
    });
    let renewals = futures_util::future::join_all(renewals).await;
    assert!(renewals.iter().all(|renewal| *renewal == Renewal::Again));
    for credential in &credentials {
        assert_eq!(signs(credential).await.0, "Bearer a-3");
    }
    assert_eq!(endpoint_fetch.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_changed_refresh_token_is_on_the_disk_before_the_access_token_is_used() {
    let stage = Stage::new();
    stage.vault.add("acme", &record(&CLIENT, &stage.clock)).expect("added");
    let fetch = rotating();
    let credential = stage.open(stored(), Some(endpoint(Grant::Code)), &fetch);
    // Nobody waits for the answer; the work goes on, and what it brought is kept.
    tokio::select! {
        biased;
        _ = credential.parts() => panic!("a token takes its time"),
        () = std::future::ready(()) => {}
    }
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let kept = stage.vault.get("acme").expect("there").tokens.expect("kept");
    assert_eq!((kept.access.expose(), kept.refresh.as_ref().map(Secret::expose)), ("a-1", Some("r-1")));
    // A process that begins anew goes on with it.
    let again = stage.open(stored(), Some(endpoint(Grant::Code)), &fetch);
    assert_eq!(signs(&again).await.0, "Bearer a-1");
    assert_eq!(fetch.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_token_says_to_sign_in_again() {
    let stage = Stage::new();
    stage
        .vault
        .add("acme", &record(&[CLIENT[0], CLIENT[1], ("refresh_token", "stale")], &stage.clock))
        .expect("added");
    let credential = stage.open(stored(), Some(endpoint(Grant::Code)), &rotating());
    let error = credential.parts().await.expect_err("it is refused");
    assert_eq!(error.kind, FetchErrorKind::Credential);
    assert!(error.message.ends_with("sign in again: `sync credentials rotate acme`"), "{error}");
    assert!(error.message.contains("HTTP 400") && !error.message.contains("stale"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_fails_may_do_better_the_next_time() {
    let stage = Stage::new();
    stage.vault.add("acme", &record(&CLIENT[..2], &stage.clock)).expect("added");
    let fetch = Arc::new(Scripted::new([
        Ok(response(503, "busy")),
        Ok(response(200, r#"{"access_token":"a-1","token_type":"Bearer"}"#)),
    ]));
    let credential = stage.open(stored(), Some(endpoint(Grant::Client)), &fetch);
    let error = credential.parts().await.expect_err("it is busy");
    assert!(error.kind == FetchErrorKind::Token && error.temporary(), "{error}");
    assert_eq!(signs(&credential).await.0, "Bearer a-1");
    let body = |n: usize| fetch.requests()[n].secrets[0].value.expose().to_owned();
    assert_eq!(body(1), "grant_type=client_credentials&scope=read&client_id=id-1&client_secret=s-1");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_references_are_kept_too_and_belong_to_them_alone() {
    let stage = Stage::new();
    for (name, value) in CLIENT {
        stage.world.set(&name.to_uppercase(), value);
    }
    let source = || {
        let reference = |name: &str| (name.to_owned(), Reference::Env(name.to_uppercase()));
        Source::References(CLIENT.iter().map(|(name, _)| reference(name)).collect())
    };
    let fetch = rotating();
    let credential = stage.open(source(), Some(endpoint(Grant::Refresh)), &fetch);
    assert_eq!(signs(&credential).await.0, "Bearer a-1");
    // The next process finds the same variable, whose token the provider takes no more, and the kept one.
    stage.clock.sleep(Duration::from_mins(40)).await;
    let next = stage.open(source(), Some(endpoint(Grant::Refresh)), &fetch);
    assert_eq!(signs(&next).await.0, "Bearer a-2");
    assert!(stage.vault.names().expect("listed").is_empty(), "nobody stored a credential");
    // Somebody signed in anew elsewhere: what was kept is not theirs.
    stage.world.set("REFRESH_TOKEN", "r-2");
    let anew = stage.open(source(), Some(endpoint(Grant::Refresh)), &fetch);
    assert_eq!(signs(&anew).await.0, "Bearer a-3");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_standard_are_read_and_requests_are_written_as_wanted() {
    let stage = Stage::new();
    let fetch = Arc::new(Scripted::new([Ok(response(
        200,
        r#"{"data":{"auth":{"accessToken":"a-9","ttl":"60"}},"access_token":"wrong"}"#,
    ))]));
    let endpoint = TokenEndpoint {
        client_in: ClientIn::Basic,
        send: SendAs::Json,
        names: vec![
            ("access_token".to_owned(), "accessToken".to_owned()),
            ("expires_in".to_owned(), "ttl".to_owned()),
        ],
        token_path: vec!["data".to_owned(), "auth".to_owned()],
        ..endpoint(Grant::Client)
    };
    let given = Source::Given(secrets(&CLIENT[..2]), None);
    let credential = stage.open(given, Some(endpoint), &fetch);
    let signed = Signed::new(
        Arc::new(Scripted::with(|_| Ok(response(200, "")))),
        credential.clone(),
        &"https://api.acme.test".parse().expect("a URL"),
    );
    signed.fetch(&get("https://api.acme.test/rows")).await.expect("signed");
    let sent = &fetch.requests()[0];
    assert_eq!(sent.secrets[0].value.expose(), "Basic aWQtMTpzLTE=");
    assert_eq!(sent.secrets[1].name, "application/json");
    assert_eq!(sent.secrets[1].value.expose(), r#"{"grant_type":"client_credentials","scope":"read"}"#);
    let tokens = credential.tokens().await.expect("one");
    assert_eq!(tokens.access.expose(), "a-9");
    assert_eq!(tokens.expires, Some(stage.clock.now().plus(Duration::from_mins(1))));
}

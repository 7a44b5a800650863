//! The vault under many processes, some of which are killed: never unreadable, never an older secret after a newer one
//! was confirmed. And its file as others read it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sync_auth::Vault;

use crate::stage::Stage;
use crate::support::said;

const HANDS: u64 = 8;
const ROUNDS: u64 = 125;

fn vault(stage: &Stage) -> Vault {
    Vault::new(Some(stage.path(".home/vault")), Arc::new(sync_auth::System), None)
}

fn with_input(stage: &Stage, words: &[&str], input: &str, file: &str) -> Command {
    stage.write(file, input);
    let mut command = stage.sync(&[&["credentials"], words].concat());
    let input = std::fs::File::open(stage.path(file)).expect("just written");
    command.stdin(Stdio::from(input)).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_thousand_operations_and_kills_never_lose_a_confirmed_secret() {
    let stage = Stage::new();
    let confirmed: Vec<AtomicU64> = (0..HANDS).map(|_| AtomicU64::new(0)).collect();
    let (kills, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for hand in 0..HANDS {
            let (stage, confirmed, kills, reads) = (&stage, &confirmed, &kills, &reads);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(hand);
                let (name, file) = (format!("own-{hand}"), format!("in-{hand}"));
                let add = ["add", &name, "--connector", "planhat", "--from-stdin", "--no-test"];
                assert!(with_input(stage, &add, "secret-1", &file).status().expect("it ran").success());
                confirmed[hand as usize].store(1, Ordering::SeqCst);
                for round in 2..=ROUNDS {
                    if random.u8(..) < 200 {
                        // Somebody else's secret: not older than what was confirmed before we looked.
                        let other = random.u64(0..HANDS);
                        let before = confirmed[other as usize].load(Ordering::SeqCst);
                        if before == 0 {
                            continue;
                        }
                        let record = vault(stage).get(&format!("own-{other}")).expect("never unreadable");
                        let secret = record.secrets.get("token").expect("it has one").expose().to_owned();
                        let seen: u64 = secret.trim_start_matches("secret-").parse().expect("a number");
                        assert!(seen >= before, "{seen} after {before} had been confirmed");
                        reads.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    let rotate = ["rotate", &name, "--from-stdin", "--no-test"];
                    let mut child = with_input(stage, &rotate, &format!("secret-{round}"), &file)
                        .spawn()
                        .expect("it starts");
                    if random.bool() {
                        std::thread::sleep(Duration::from_micros(random.u64(0..60_000)));
                        child.kill().expect("it can be killed");
                        kills.fetch_add(1, Ordering::Relaxed);
                    }
                    if child.wait().expect("it ends").success() {
                        confirmed[hand as usize].store(round, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    for (hand, confirmed) in confirmed.iter().enumerate() {
        let record = vault(&stage).get(&format!("own-{hand}")).expect("never unreadable");
        let secret = record.secrets.get("token").expect("it has one").expose().to_owned();
        let seen: u64 = secret.trim_start_matches("secret-").parse().expect("a number");
        assert!(seen >= confirmed.load(Ordering::SeqCst));
    }
    assert!(kills.into_inner() > 50 && reads.into_inner() > 300);
}

/// At every step that makes something durable.
#[test]
fn a_process_that_dies_at_any_seam_leaves_a_vault_that_opens() {
    let stage = Stage::new();
    let add = ["add", "a", "--connector", "planhat", "--from-stdin", "--no-test"];
    assert!(with_input(&stage, &add, "secret-1", "in").status().expect("it ran").success());
    for words in [
        ["rotate", "a", "--from-stdin", "--no-test"].as_slice(),
        &["rekey"],
        &["add", "b", "--connector", "planhat", "--from-stdin", "--no-test"],
    ] {
        let mut done = false;
        for seam in 1..20 {
            let mut command = with_input(&stage, words, "secret-1", "in");
            let ended = command.env("SYNC_FAULT", format!("kill@{seam}")).status().expect("it ran");
            let record = vault(&stage).get("a").expect("it opens");
            assert_eq!(record.secrets.get("token").expect("it has one").expose(), "secret-1");
            if ended.success() {
                done = true;
                break;
            }
            if words[0] == "add" && vault(&stage).names().expect("listed").len() == 2 {
                done = true; // it died after it was stored
                break;
            }
        }
        assert!(done, "{words:?} was never let alone");
    }
}

/// The format as `docs/security.md` describes it, read by somebody else's cipher.
#[test]
fn the_file_is_what_its_description_says() {
    let stage = Stage::new();
    let add = [
        "add",
        "planhat-prod",
        "--connector",
        "planhat",
        "--from-stdin",
        "--no-test",
        "--description",
        "CRM",
    ];
    assert!(with_input(&stage, &add, "secret-1", "in").status().expect("it ran").success());
    let export = said(
        stage.sync(&["credentials", "export", "out.vault"]).env("SYNC_EXPORT_PASSPHRASE", "correct horse"),
    );
    assert_eq!(export.code, Some(0), "{}", export.err);
    let script = r#"
import base64, hashlib, json, sys
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as decrypt
def opened(file, master):
    v = json.load(open(file)); lock = v["lock"]
    def un(text, key, *bound):
        raw = base64.b64decode(text)
        return decrypt(raw[24:], "\0".join(("sync-vault 1",) + bound).encode(), raw[:24], key)
    extra = ""
    if lock["by"] == "key":
        assert hashlib.sha256(b"sync-vault key id" + master).digest()[:8].hex() == lock["key_id"]
    else:
        a = lock["argon2id"]
        import argon2.low_level as low
        master = low.hash_secret_raw(master, base64.b64decode(a["salt"]), a["passes"], a["memory_kib"], a["lanes"], 32, low.Type.ID)
        extra = "\0".join((a["salt"], str(a["memory_kib"]), str(a["passes"]), str(a["lanes"])))
    data = un(lock["wrapped"], master, "data key", v["vault"], lock["by"], lock.get("key_id", ""), extra)
    index = json.loads(un(v["index"], data, "index", v["vault"], str(v["generation"])))
    assert index == [[n, r["version"]] for n, r in sorted(v["records"].items())], index
    return {n: json.loads(un(v["records"][n]["sealed"], data, "record", v["vault"], n, str(w))) for n, w in index}
folder = sys.argv[1]
mine = opened(folder + "/vault.json", base64.b64decode(open(folder + "/master.key").read()))
out = opened(sys.argv[2], b"correct horse")
assert mine == out
print(mine["planhat-prod"]["secrets"]["token"], mine["planhat-prod"]["description"], mine["planhat-prod"]["home"])
"#;
    let paths: [PathBuf; 2] = [stage.path(".home/vault"), stage.path("out.vault")];
    let printed = crate::support::python(script, &[&paths[0], &paths[1]]);
    assert_eq!(printed.trim(), "secret-1 CRM https://api.planhat.com");
}

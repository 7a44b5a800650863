use std::sync::atomic::{AtomicU64, Ordering};

use sync_core::{Explain as _, Secret, Timestamp};

use super::*;
use crate::testing::{World, folder, vault};

fn record(secret: &str) -> Record {
    let now = Timestamp::from_micros(1_764_000_000_000_000);
    Record {
        connector: "acme".to_owned(),
        connector_file: None,
        description: None,
        method: None,
        config: BTreeMap::new(),
        base_url: None,
        home: "https://api.acme.test".to_owned(),
        account: None,
        secrets: [("token".to_owned(), Secret::new(secret.to_owned()))].into_iter().collect(),
        changed: now,
        created: now,
        max_age_days: None,
        previous: None,
        tokens: None,
        tested: None,
    }
}

fn token(record: &Record) -> String {
    record.secrets.get("token").expect("it has one").expose().to_owned()
}

#[test]
fn a_credential_is_stored_changed_listed_and_forgotten() {
    let (folder, world) = (folder(), World::with(&[]));
    let vault = vault(folder.path(), world.clone());
    assert!(vault.names().expect("nothing there").is_empty());
    assert_eq!(vault.get("a").expect_err("nothing there").code(), "unknown_credential");
    assert!(!vault.path().exists(), "looking makes nothing");
    vault.add("a", &record("s-1")).expect("added");
    vault.add("b", &record("s-2")).expect("added");
    assert_eq!(vault.add("a", &record("s-3")).expect_err("taken").code(), "credential_taken");
    vault
        .change("a", |record| {
            record.secrets = record.secrets.clone().with("token", Secret::new("s-4".into()));
        })
        .expect("changed");
    // Another process.
    let other = Vault::new(Some(folder.path().join("vault")), world, None);
    assert_eq!(other.names().expect("listed"), ["a", "b"]);
    assert_eq!(token(&other.get("a").expect("there")), "s-4");
    let near = other.get("bb").expect_err("unknown");
    assert_eq!(near.hint().as_deref(), Some("did you mean `b`?"));
    other.remove("a").expect("removed");
    assert_eq!(vault.names().expect("listed"), ["b"]);
    let text = std::fs::read_to_string(vault.path()).expect("text");
    assert!(!text.contains("s-2") && !text.contains("acme"), "{text}");
    assert!(format!("{:?}", vault.get("b").expect("there")).contains(r#""token": ***"#));
}

#[cfg(unix)]
#[test]
fn what_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, world) = (folder(), World::with(&[]));
    let vault = vault(folder.path(), world);
    vault.add("a", &record("s-1")).expect("added");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    let key = folder.path().join("vault/master.key");
    assert_eq!((mode(&key), mode(vault.path()), mode(&folder.path().join("vault"))), (0o600, 0o600, 0o700));
    let fresh = || Vault::new(Some(folder.path().join("vault")), World::with(&[]), None);
    for path in [key.as_path(), vault.path()] {
        set(path, 0o640);
        let error = fresh().get("a").expect_err("open to others");
        assert_eq!(error.code(), "vault_permissive");
        assert!(error.to_string().contains("(mode 0640)"), "{error}");
        assert_eq!(error.hint(), Some(format!("chmod 600 {}", path.display())));
        set(path, 0o600);
    }
    set(&folder.path().join("vault"), 0o755);
    assert_eq!(fresh().add("b", &record("s")).expect_err("open to others").code(), "vault_permissive");
}

#[test]
fn the_key_comes_from_where_it_is_said() {
    let key = "ab".repeat(32);
    let world = World::with(&[("SYNC_VAULT_KEY", key.as_str())]);
    let folder = folder();
    vault(folder.path(), world).add("a", &record("s-1")).expect("added");
    assert!(!folder.path().join("vault/master.key").exists(), "the key is elsewhere");
    let get = |variables: &[(&str, &str)]| {
        vault(folder.path(), World::with(variables)).get("a").map(|r| token(&r)).map_err(|e| e.problem())
    };
    assert_eq!(
        get(&[("SYNC_VAULT_KEY", "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=")]).expect("base64"),
        "s-1"
    );
    assert_eq!(
        get(&[
            ("SYNC_VAULT_KEY", "${cmd:secret-tool lookup service sync}"),
            ("secret-tool lookup service sync", &key)
        ])
        .expect("a command"),
        "s-1"
    );
    let none = get(&[]).expect_err("no key");
    assert_eq!(none.code, "vault_locked");
    assert!(none.hint.expect("a hint").contains("SYNC_VAULT_KEY"));
    let wrong = get(&[("SYNC_VAULT_KEY", "cd".repeat(32).as_str())]).expect_err("another key");
    assert_eq!(wrong.code, "vault_wrong_key");
    assert!(wrong.message.starts_with("the variable SYNC_VAULT_KEY does not open the vault"), "{wrong}");
    assert_eq!(get(&[("SYNC_VAULT_KEY", "too short")]).expect_err("no key").code, "vault_wrong_key");
    let systemd = folder.path().join("systemd");
    std::fs::create_dir(&systemd).expect("made");
    master::write(&systemd.join("sync-vault-key"), &Key::of(&[0xab; 32]).expect("32 bytes"))
        .expect("written");
    assert_eq!(get(&[("CREDENTIALS_DIRECTORY", systemd.to_str().expect("text"))]).expect("systemd"), "s-1");
    let file = systemd.join("sync-vault-key");
    assert_eq!(get(&[("SYNC_VAULT_KEY_FILE", file.to_str().expect("text"))]).expect("a file"), "s-1");
}

#[test]
fn the_lock_can_be_changed_and_a_half_changed_one_still_opens() {
    let (folder, world) = (folder(), World::with(&[]));
    let first = vault(folder.path(), world.clone());
    first.add("a", &record("s-1")).expect("added");
    let at = folder.path().join("vault");
    let old = std::fs::read_to_string(at.join("master.key")).expect("a key");
    first.rekey(NewLock::KeyFile).expect("relocked");
    let new = std::fs::read_to_string(at.join("master.key")).expect("a key");
    assert_ne!(old, new);
    let again = || token(&vault(folder.path(), world.clone()).get("a").expect("it opens"));
    assert_eq!(again(), "s-1");
    // Died before the new key took the place of the old one, the vault locked with the new one already.
    master::write(
        &at.join("master.key.next"),
        &Key::of(&cipher::unhex(&"00".repeat(32)).expect("hex")).expect("32"),
    )
    .expect("written");
    assert_eq!(again(), "s-1", "a next key that is not in use does no harm");
    std::fs::rename(at.join("master.key"), at.join("master.key.next")).expect("renamed");
    std::fs::write(at.join("master.key"), &old).expect("written");
    #[cfg(unix)]
    std::fs::set_permissions(at.join("master.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("set");
    assert_eq!(again(), "s-1");
    // To a passphrase, and back.
    let ask: Box<AskPassphrase> = Box::new(|_| Some(Zeroizing::new("correct horse".to_owned())));
    let asked = Vault::new(Some(at.clone()), world.clone(), Some(ask));
    asked.rekey(NewLock::Passphrase).expect("relocked");
    assert_eq!(vault(folder.path(), world.clone()).get("a").expect_err("locked").code(), "vault_locked");
    world.set("SYNC_VAULT_PASSPHRASE", "correct horse");
    assert_eq!(again(), "s-1");
}

#[test]
fn credentials_travel_in_a_file_that_a_passphrase_locks() {
    let (here, there) = (folder(), folder());
    let from = vault(here.path(), World::with(&[]));
    from.add("a", &record("s-1")).expect("added");
    from.add("b", &record("s-2")).expect("added");
    let file = here.path().join("out.vault");
    let phrase = || Zeroizing::new("correct horse".to_owned());
    from.export(&["a".to_owned(), "b".to_owned()], phrase(), &file).expect("exported");
    assert!(from.export(&["a".to_owned()], phrase(), &file).is_err(), "nothing is overwritten");
    let to = vault(there.path(), World::with(&[]));
    to.add("b", &record("own")).expect("added");
    let wrong =
        to.import(&file, || Ok(Zeroizing::new("x".to_owned())), false).expect_err("another passphrase");
    assert_eq!(wrong.code(), "vault_wrong_key");
    let done = to.import(&file, || Ok(phrase()), false).expect("imported");
    assert_eq!((done.added, done.left), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert_eq!(token(&to.get("b").expect("there")), "own");
    let done = to.import(&file, || Ok(phrase()), true).expect("imported");
    assert_eq!(done.replaced, ["a", "b"]);
    assert_eq!(token(&to.get("b").expect("there")), "s-2");
    assert!(
        to.import(to.path(), || Ok(phrase()), false)
            .expect_err("a vault")
            .to_string()
            .contains("not an export")
    );
}

/// Many hands at once: each writer confirms a number, and no reader may see a smaller one afterwards.
#[test]
fn a_confirmed_secret_is_never_followed_by_an_older_one() {
    let (folder, world) = (folder(), World::with(&[]));
    let first = vault(folder.path(), world.clone());
    first.add("shared", &record("0")).expect("added");
    let confirmed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for hand in 0..8 {
            let (world, confirmed) = (world.clone(), &confirmed);
            let own = vault(folder.path(), world);
            scope.spawn(move || {
                for round in 0..40 {
                    let before = confirmed.load(Ordering::SeqCst);
                    let seen: u64 =
                        token(&own.get("shared").expect("never unreadable")).parse().expect("a number");
                    assert!(seen >= before, "{seen} was read after {before} had been confirmed");
                    let mut mine = 0;
                    own.change("shared", |record| {
                        mine = token(record).parse::<u64>().expect("a number") + 1;
                        record.secrets = record.secrets.clone().with("token", Secret::new(mine.to_string()));
                    })
                    .expect("changed");
                    confirmed.fetch_max(mine, Ordering::SeqCst);
                    if round % 10 == 0 {
                        own.add(&format!("own-{hand}-{round}"), &record("x")).expect("added");
                    }
                }
            });
        }
    });
    assert_eq!(token(&first.get("shared").expect("there")), "320");
    assert_eq!(first.names().expect("listed").len(), 33);
}

#[test]
fn where_a_credential_is_used_is_remembered_while_the_file_is_there() {
    let (folder, world) = (folder(), World::with(&[]));
    let vault = vault(folder.path(), world);
    let (one, two) = (folder.path().join("one.yaml"), folder.path().join("two.yaml"));
    std::fs::write(&one, "").expect("written");
    for path in [&one, &two, &one] {
        vault.note_use("a", path).expect("noted");
    }
    assert_eq!(vault.uses("a").expect("read"), [one]);
    assert!(vault.uses("b").expect("read").is_empty());
}

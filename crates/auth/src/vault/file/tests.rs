use super::*;
use crate::vault::cipher::Key;

fn path() -> &'static Path {
    Path::new("vault.json")
}

fn master() -> Master {
    Master::Key(Key::of(&[7; 32]).expect("32 bytes"))
}

fn sample() -> String {
    let mut open = Open::new(&master()).expect("made");
    for (name, text) in [("one", "first"), ("two", "second"), ("~tokens", "kept")] {
        open.put(name, text.as_bytes()).expect("sealed");
    }
    open.close().expect("closed");
    open.file().text()
}

fn read(text: &str) -> Result<Open, VaultError> {
    File::parse(text.as_bytes(), path())?.open(&master(), path())
}

#[track_caller]
fn refused(text: &str) -> String {
    match read(text) {
        Ok(open) => {
            let names: Vec<_> = open.file().records.keys().cloned().collect();
            let error = names.iter().find_map(|name| open.get(name, path()).err());
            error.unwrap_or_else(|| panic!("it was taken:\n{text}")).to_string()
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_was_put_is_there_and_only_stored_names_are_shown() {
    let open = read(&sample()).expect("it opens");
    assert_eq!(open.file().names().collect::<Vec<_>>(), ["one", "two"]);
    let text = |name| {
        open.get(name, path()).expect("it opens").map(|p| String::from_utf8(p.to_vec()).expect("text"))
    };
    assert_eq!(text("one").as_deref(), Some("first"));
    assert_eq!(text("~tokens").as_deref(), Some("kept"));
    assert_eq!(text("three"), None);
    assert!(!sample().contains("first") && !sample().contains("Zmlyc3Q"));
}

#[test]
fn every_byte_that_is_changed_is_found() {
    let text = sample();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 2;
        let Ok(bent) = String::from_utf8(bytes) else { continue };
        // Blanks between the words carry nothing.
        if bent.as_bytes()[at].is_ascii_whitespace() || text.as_bytes()[at].is_ascii_whitespace() {
            continue;
        }
        refused(&bent);
    }
    for end in 0..text.len() - 1 {
        let message = refused(&text[..end]);
        assert!(message.contains("damaged"), "cut at {end}: {message}");
    }
}

/// The file as JSON, changed, as somebody would who has no key.
#[track_caller]
fn forged(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut json: serde_json::Value = serde_json::from_str(&sample()).expect("it is JSON");
    change(&mut json);
    refused(&json.to_string())
}

#[test]
fn records_cannot_be_moved_left_out_or_put_back() {
    let index = "was tampered with: the record `one` is not the one of its index";
    let swapped = forged(|json| {
        let (one, two) = (json["records"]["one"].clone(), json["records"]["two"].clone());
        json["records"]["one"]["sealed"] = two["sealed"].clone();
        json["records"]["two"]["sealed"] = one["sealed"].clone();
    });
    assert!(swapped.contains("the record `one` does not open"), "{swapped}");
    let left_out = forged(|json| _ = json["records"].as_object_mut().expect("a map").remove("one"));
    assert!(left_out.contains(index), "{left_out}");
    let renamed = forged(|json| {
        let records = json["records"].as_object_mut().expect("a map");
        let one = records.remove("one").expect("it is there");
        records.insert("other".to_owned(), one);
    });
    assert!(renamed.contains("tampered"), "{renamed}");
    // An older record of the same name, as of a copy from before a rotation.
    let mut open = read(&sample()).expect("it opens");
    let old = open.file.records["one"].clone();
    open.put("one", b"newer").expect("sealed");
    open.close().expect("closed");
    open.file.records.insert("one".to_owned(), old);
    let put_back = refused(&open.file().text());
    assert!(put_back.contains(index), "{put_back}");
    let generation = forged(|json| json["generation"] = 7.into());
    assert!(generation.contains("its index does not belong to it"), "{generation}");
    let other = forged(|json| json["vault"] = "00000000000000000000000000000000".into());
    assert!(other.contains("its data key does not open"), "{other}");
}

#[test]
fn strangers_are_told_apart() {
    assert_eq!(refused(""), "the vault vault.json is damaged: it is empty");
    assert_eq!(refused("{"), "the vault vault.json is damaged: it is cut short");
    assert_eq!(
        refused("x"),
        "the vault vault.json is damaged: line 1, column 1 is not what a vault has there"
    );
    assert_eq!(
        refused(r#"{"format":"sync-vault 2","more":[]}"#),
        "the vault vault.json has the format `sync-vault 2`, which this version cannot read"
    );
    let more = forged(|json| json["more"] = 1.into());
    assert!(more.contains("damaged"), "{more}");
}

#[test]
fn a_passphrase_opens_and_another_does_not() {
    let phrase = |text: &str| Master::Passphrase(Zeroizing::new(text.to_owned()));
    let mut open = Open::new(&phrase("correct horse")).expect("made");
    open.put("one", b"first").expect("sealed");
    open.close().expect("closed");
    let file = || File::parse(open.file().text().as_bytes(), path()).expect("well-formed");
    assert!(file().open(&phrase("correct horse"), path()).is_ok());
    let error = file().open(&phrase("Correct horse"), path()).err().expect("another passphrase");
    assert_eq!(error.to_string(), "the passphrase does not open the vault vault.json");
    // A file that asks for gigabytes is an attack on whoever opens it.
    let mut greedy = file();
    greedy.lock.argon2id.as_mut().expect("a derivation").cost.memory_kib = 1 << 30;
    assert!(matches!(greedy.open(&phrase("x"), path()), Err(VaultError::Cost)));
    let other = open.relocked(&master(), path()).expect("relocked");
    assert_eq!(
        other.get("one", path()).expect("it opens").as_deref().map(Vec::as_slice),
        Some(&b"first"[..])
    );
    assert_ne!(other.data().id(), open.data().id(), "a new data key");
}

const PIECES: &[&[u8]] =
    &[b"{", b"}", b"\"", b":", b",", b"null", b"-1", b"1e999", b"\\u0000", b"[", b"\xff", b"=="];

/// Whatever the bytes, reading ends in a vault or in an error.
#[test]
fn no_bytes_are_too_strange_to_be_read() {
    let sample = sample().into_bytes();
    let mut seed = 0x5eed_u64;
    let mut dice = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below.max(1) as u64).unwrap_or(0)
    };
    for _ in 0..20_000 {
        let mut bytes = sample.clone();
        for _ in 0..=dice(4) {
            let at = dice(bytes.len() + 1);
            match dice(4) {
                0 => bytes.truncate(at),
                1 => _ = bytes.get_mut(at).map(|byte| *byte = u8::try_from(dice(256)).unwrap_or(0)),
                2 => {
                    let piece = PIECES[dice(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                _ => {
                    let end = (at + dice(40)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
        // Opened for those that are still a vault's form; damage never passes for a vault.
        if let Ok(file) = File::parse(&bytes, path())
            && let Ok(open) = file.open(&master(), path())
        {
            assert_eq!(open.file().names().collect::<Vec<_>>(), ["one", "two"]);
        }
    }
}

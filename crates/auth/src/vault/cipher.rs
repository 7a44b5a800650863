//! XChaCha20-Poly1305, and keys for it.
//!
//! The 24-byte nonce is why this cipher and not its shorter sister: it is drawn at random for every message, and
//! no number of messages makes a repetition likely (draft-irtf-cfrg-xchacha-03, section 3.1).

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::vault::VaultError;

/// Bytes of a key.
pub(crate) const KEY: usize = 32;
const NONCE: usize = 24;

/// A key. Does not print, and is overwritten when dropped.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<[u8; KEY]>);

impl Key {
    /// A key that nobody knows.
    pub fn random() -> Result<Self, VaultError> {
        let mut key = Zeroizing::new([0; KEY]);
        fill(&mut key[..])?;
        Ok(Self(key))
    }

    /// A key of these bytes; nothing, if they are not as many.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    /// The key that a passphrase stands for.
    pub fn derived(passphrase: &str, salt: &[u8], cost: Cost) -> Result<Self, VaultError> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY));
        let params = params.map_err(|_| VaultError::Cost)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = Zeroizing::new([0; KEY]);
        argon.hash_password_into(passphrase.as_bytes(), salt, &mut key[..]).map_err(|_| VaultError::Cost)?;
        Ok(Self(key))
    }

    /// What a key is called: tells which one is meant, and nothing about it.
    pub fn id(&self) -> String {
        let named = Zeroizing::new([b"sync-vault key id".as_slice(), &self.0[..]].concat());
        hex(&digest(&SHA256, &named).as_ref()[..8])
    }

    /// The bytes, for where a key is wrapped or written down.
    pub fn expose(&self) -> &[u8] {
        &self.0[..]
    }

    /// Nonce and ciphertext, its tag at the end. `bound` is not in it, but must be the same to open it.
    pub fn seal(&self, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE];
        fill(&mut nonce)?;
        let payload = Payload { msg: plain, aad: bound };
        let cipher = self.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Random)?;
        Ok([nonce.as_slice(), &cipher].concat())
    }

    /// What was sealed; nothing, if the key, the bound text or a single bit is another.
    pub fn open(&self, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, cipher) = sealed.split_at_checked(NONCE)?;
        let nonce = XNonce::from(<[u8; NONCE]>::try_from(nonce).ok()?);
        let plain = self.cipher().decrypt(&nonce, Payload { msg: cipher, aad: bound }).ok()?;
        Some(Zeroizing::new(plain))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.0).into())
    }
}

/// What it costs to try a passphrase (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// The second recommendation of RFC 9106, section 4: for machines that have no 2 GiB to spare.
    pub const USUAL: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };

    /// Whether a file may ask for it: more would be an attack on whoever opens it, less would be one on the secret.
    pub fn is_sane(self) -> bool {
        (8 << 10..=1 << 20).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }
}

/// Fills it with random bytes of the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), VaultError> {
    SystemRandom::new().fill(bytes).map_err(|_| VaultError::Random)
}

/// So many random bytes as hex.
pub(crate) fn random_hex<const N: usize>() -> Result<String, VaultError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(hex(&bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|n| char::from(b"0123456789abcdef"[usize::from(n)]))
        .collect()
}

/// The bytes of a text of hex digits.
pub(crate) fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect();
    bytes.map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        unhex(hex).expect("the test's own digits").to_vec()
    }

    /// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    #[test]
    fn the_cipher_is_the_one_of_the_draft() {
        let key: Vec<u8> = (0x80..0xa0).collect();
        let nonce: Vec<u8> = (0x40..0x58).collect();
        let bound = bytes("50515253c0c1c2c3c4c5c6c7");
        let cipher = bytes(concat!(
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb",
            "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452",
            "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9",
            "21f9664c97637da9768812f615c68b13b52e",
            "c0875924c1c7987947deafd8780acf49",
        ));
        let key = Key::of(&key).expect("32 bytes");
        let plain = key.open(&bound, &[nonce, cipher].concat()).expect("the vector opens");
        assert_eq!(
            std::str::from_utf8(&plain).expect("it is English"),
            "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
             sunscreen would be it."
        );
    }

    /// The test of the reference implementation (phc-winner-argon2, src/test.c) with 2 passes over 64 MiB.
    #[test]
    fn a_passphrase_is_derived_as_the_reference_does() {
        let cost = Cost { memory_kib: 1 << 16, passes: 2, lanes: 1 };
        let key = Key::derived("password", b"somesalt", cost).expect("a sane cost");
        assert_eq!(hex(key.expose()), "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_words_only() {
        let (key, other) = (Key::random().expect("random"), Key::random().expect("random"));
        assert_ne!(key.id(), other.id());
        let sealed = key.seal(b"name", b"secret").expect("sealed");
        assert_ne!(sealed, key.seal(b"name", b"secret").expect("sealed"), "no nonce comes twice");
        assert_eq!(key.open(b"name", &sealed).as_deref().map(Vec::as_slice), Some(&b"secret"[..]));
        assert!(key.open(b"nam", &sealed).is_none());
        assert!(other.open(b"name", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(key.open(b"name", &bent).is_none(), "byte {at}");
            assert!(key.open(b"name", &sealed[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn hex_goes_both_ways() {
        assert_eq!(hex(&[0, 0x9f, 0xff]), "009fff");
        assert_eq!(unhex("009FfF").as_deref().map(Vec::as_slice), Some(&[0, 0x9f, 0xff][..]));
        for wrong in ["0", "0g", "é"] {
            assert!(unhex(wrong).is_none(), "{wrong}");
        }
    }
}

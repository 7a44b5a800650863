//! A stored credential, as it lies inside the vault.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sync_core::{Secret, Timestamp};
use zeroize::Zeroizing;

use crate::Secrets;

/// A stored credential. Its secrets print as `***`; only the vault can write them, sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The connector it is for.
    pub connector: String,
    /// The connector's file, where it is not a built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector_file: Option<String>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Which of the connector's methods it signs with; nothing where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Settings that belong to the account rather than to a pipeline, such as a sub-domain.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Replaces the connector's base where the credential is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Scheme, host and port it was made for: `https://api.example.com`.
    pub home: String,
    /// The account whose limits it spends; nothing where its name stands for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The secrets, by name.
    #[serde(with = "plain")]
    pub secrets: Secrets,
    /// When these secrets came.
    pub changed: Timestamp,
    /// When the credential was made.
    pub created: Timestamp,
    /// Days after which the secrets are old enough to be warned about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_days: Option<u32>,
    /// The secrets before these, while they still work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// What the token endpoint handed out last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// The last test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Tested>,
}

/// Secrets that still work for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// The secrets, by name.
    #[serde(with = "plain")]
    pub secrets: Secrets,
    /// Until then.
    pub until: Timestamp,
}

/// What a token endpoint handed out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// The token that signs requests.
    #[serde(with = "one")]
    pub access: Secret,
    /// When it ends; unknown where the endpoint does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The refresh token that came with it, if it was another than the one it was asked with.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe")]
    pub refresh: Option<Secret>,
    /// A hash of the secrets that this began with: with others, it is not theirs.
    pub seed: String,
}

/// A test of a credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tested {
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub state: TestState,
}

/// What came of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestState {
    /// The provider took it.
    Accepted,
    /// The provider refused it.
    Refused,
    /// The provider could not be asked.
    Unreachable,
}

impl Record {
    /// As bytes to be sealed.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let secrets = self.secrets.iter().chain(self.previous.iter().flat_map(|p| p.secrets.iter()));
        let lengths: usize = secrets.map(|(name, secret)| name.len() + secret.expose().len()).sum();
        // Large enough from the start, so that growing leaves no copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(6 * lengths + (32 << 10)));
        serde_json::to_writer(&mut *bytes, self).expect("a record has text keys, and memory does not fail");
        bytes
    }

    /// From bytes that were sealed.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// Secrets as text, for the inside of the vault only.
mod plain {
    use super::{BTreeMap, Deserialize as _, Deserializer, Secret, Secrets, Serializer};

    pub fn serialize<S: Serializer>(secrets: &Secrets, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(secrets.iter().map(|(name, secret)| (name, secret.expose())))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secrets, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(from)?;
        Ok(texts.into_iter().map(|(name, text)| (name, Secret::new(text))).collect())
    }
}

mod one {
    use super::{Deserialize as _, Deserializer, Secret, Serializer};

    pub fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

mod maybe {
    use super::{Deserialize as _, Deserializer, Secret, Serializer};

    #[expect(clippy::ref_option, reason = "serde asks for this form")]
    pub fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => to.serialize_some(secret.expose()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

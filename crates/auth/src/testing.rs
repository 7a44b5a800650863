//! Hands for the tests of this crate: an environment in a list, a vault in a folder of its own, a clock that stands.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sync_core::{Clock, Fetch, Secret, Signature, TokenEndpoint};
use sync_testkit::clock::Virtual;
use sync_testkit::fetch::Scripted;

use crate::{Credential, Environment, Hands, OpenError, Reference, Signing, Source, Vault};

/// Variables that a test may change.
#[derive(Default)]
pub struct World {
    pub variables: Mutex<BTreeMap<String, String>>,
}

impl World {
    pub fn with(variables: &[(&str, &str)]) -> Arc<Self> {
        let world = Self::default();
        for (name, value) in variables {
            world.set(name, value);
        }
        Arc::new(world)
    }

    pub fn set(&self, name: &str, value: &str) {
        self.variables.lock().expect("no holder panics").insert(name.to_owned(), value.to_owned());
    }
}

impl Environment for World {
    fn var(&self, name: &str) -> Option<String> {
        self.variables.lock().expect("no holder panics").get(name).cloned()
    }
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }
    fn run(&self, words: &[String], _: &Path) -> io::Result<String> {
        self.var(&words.join(" ")).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A folder that is gone when the test is.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A vault in that folder.
pub fn vault(folder: &Path, world: Arc<World>) -> Arc<Vault> {
    Arc::new(Vault::new(Some(folder.join("vault")), world, None))
}

/// Hands that learn nothing.
pub fn hands(fetch: Arc<dyn Fetch>, world: Arc<World>, vault: Arc<Vault>, clock: Arc<Virtual>) -> Hands {
    let clock: Arc<dyn Clock> = clock;
    Hands { clock, fetch, environment: world, vault, learn: Arc::new(|_: &Secret| {}) }
}

/// A credential whose secrets are variables of their own name in capitals.
pub fn opened(
    signatures: Vec<Signature>,
    tokens: Option<TokenEndpoint>,
    given: &[(&str, &str)],
) -> Result<Arc<Credential>, OpenError> {
    let names: Vec<String> = given.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = if names.is_empty() { vec!["key".to_owned(), "token".to_owned()] } else { names };
    let world = World::with(&[]);
    for (name, value) in given {
        world.set(&name.to_uppercase(), value);
    }
    let references = names.into_iter().map(|name| {
        let variable = name.to_uppercase();
        (name, Reference::Env(variable))
    });
    let nowhere = Arc::new(Vault::new(None, world.clone(), None));
    let hands = hands(Arc::new(Scripted::new([])), world, nowhere, Arc::new(Virtual::new()));
    Credential::open(Source::References(references.collect()), Signing { signatures, tokens }, hands)
}

pub fn credential(
    signatures: Vec<Signature>,
    tokens: Option<TokenEndpoint>,
    given: &[(&str, &str)],
) -> Arc<Credential> {
    opened(signatures, tokens, given).unwrap_or_else(|error| panic!("{error}"))
}

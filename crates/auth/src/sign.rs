//! The step of the stairs that signs: adds the credential's parts to a request, if it goes where they belong.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sync_core::{
    BoxFuture, Fetch, FetchError, FetchErrorKind, Part, Request, Response, Secret, Signature, SignatureForm,
    SignaturePiece,
};
use url::{Origin, Url};

use crate::{Credential, CredentialError, Secrets};

/// Signs every request, afresh at every attempt. A request to another origin than the credential's is refused
/// before it is sent.
pub struct Signed {
    inner: Arc<dyn Fetch>,
    credential: Arc<Credential>,
    origin: Origin,
    /// Scheme, host and port, for messages.
    home: String,
}

impl Signed {
    /// Signs for the scheme, host and port of `origin`.
    pub fn new(inner: Arc<dyn Fetch>, credential: Arc<Credential>, origin: &Url) -> Self {
        Self { inner, credential, origin: origin.origin(), home: origin.origin().ascii_serialization() }
    }
}

impl Fetch for Signed {
    fn fetch<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, FetchError>> {
        Box::pin(async move {
            let origin = request.url.origin();
            if origin != self.origin {
                return Err(FetchError {
                    kind: FetchErrorKind::Forbidden,
                    message: format!(
                        "a request to {} is refused: the credential belongs to {}",
                        origin.ascii_serialization(),
                        self.home
                    ),
                });
            }
            let mut signed = request.clone();
            let (parts, version) = self.credential.parts().await?;
            signed.secrets.extend(parts);
            request.sent.sign(version);
            self.inner.fetch(&signed).await
        })
    }
}

/// The pieces of a form, those of user name and password one after the other.
fn pieces(form: &SignatureForm) -> impl Iterator<Item = &SignaturePiece> {
    let (first, second): (&[_], &[_]) = match form {
        SignatureForm::Text(pieces) => (pieces, &[]),
        SignatureForm::Basic { username, password } => (username, password),
    };
    first.iter().chain(second)
}

fn names<'a>(pieces: impl IntoIterator<Item = &'a SignaturePiece>) -> impl Iterator<Item = &'a String> {
    pieces.into_iter().filter_map(|piece| match piece {
        SignaturePiece::Secret(name) => Some(name),
        SignaturePiece::Text(_) => None,
    })
}

/// What is added to a request.
pub(crate) fn parts(signatures: &[Signature], secrets: &Secrets) -> Result<Vec<Part>, CredentialError> {
    let part = |signature: &Signature| {
        let value = value(&signature.form, secrets)?;
        Ok(Part { place: signature.place, name: signature.name.clone(), value })
    };
    signatures.iter().map(part).collect()
}

/// The secrets that are signed with and not there.
pub(crate) fn missing(signatures: &[Signature], secrets: &Secrets) -> Vec<String> {
    let needed = signatures.iter().flat_map(|signature| names(pieces(&signature.form)));
    let mut missing: Vec<_> = needed.filter(|name| secrets.get(name).is_none()).cloned().collect();
    missing.sort();
    missing.dedup();
    missing
}

fn value(form: &SignatureForm, secrets: &Secrets) -> Result<Secret, CredentialError> {
    let (username, password) = match form {
        SignatureForm::Text(pieces) => return Ok(joined(pieces, secrets)),
        SignatureForm::Basic { username, password } => (username, password),
    };
    let (user, password) = (joined(username, secrets), joined(password, secrets));
    if user.expose().contains(':') {
        return Err(CredentialError::ColonInUser { secrets: names(username).cloned().collect() });
    }
    let pair = Secret::new(format!("{}:{}", user.expose(), password.expose()));
    Ok(Secret::new(format!("Basic {}", STANDARD.encode(pair.expose()))))
}

fn joined(pieces: &[SignaturePiece], secrets: &Secrets) -> Secret {
    let texts = || pieces.iter().map(|piece| text(piece, secrets));
    // Sized before it is filled, so that growing leaves no copy behind.
    let mut value = String::with_capacity(texts().map(str::len).sum());
    value.extend(texts());
    Secret::new(value)
}

fn text<'a>(piece: &'a SignaturePiece, secrets: &'a Secrets) -> &'a str {
    match piece {
        SignaturePiece::Text(text) => text,
        SignaturePiece::Secret(name) => secrets.get(name).map_or("", Secret::expose),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::Place;
    use sync_testkit::fetch::{Scripted, get, response};

    fn secrets(given: &[(&str, &str)]) -> Secrets {
        given.iter().map(|(name, text)| ((*name).to_owned(), Secret::new((*text).to_owned()))).collect()
    }

    fn text(text: &str) -> SignaturePiece {
        SignaturePiece::Text(text.to_owned())
    }

    fn secret(name: &str) -> SignaturePiece {
        SignaturePiece::Secret(name.to_owned())
    }

    fn signature(place: Place, name: &str, form: SignatureForm) -> Signature {
        Signature { place, name: name.to_owned(), form }
    }

    #[track_caller]
    fn check(form: &SignatureForm, expect: Result<&str, &str>) {
        let given = secrets(&[("user", "Aladdin"), ("password", "open sesame"), ("pair", "a:b")]);
        let value = value(form, &given).map_err(|error| error.to_string());
        assert_eq!(value.as_ref().map(Secret::expose).map_err(String::as_str), expect);
    }

    #[test]
    fn values_are_made_of_their_pieces() {
        check(&SignatureForm::Text(vec![text("Bearer "), secret("user")]), Ok("Bearer Aladdin"));
        check(&SignatureForm::Text(vec![secret("password")]), Ok("open sesame"));
        // The example of RFC 7617, section 2.
        check(
            &SignatureForm::Basic { username: vec![secret("user")], password: vec![secret("password")] },
            Ok("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        );
        check(
            &SignatureForm::Basic { username: vec![secret("user")], password: vec![] },
            Ok("Basic QWxhZGRpbjo="),
        );
        check(
            &SignatureForm::Basic { username: vec![secret("pair")], password: vec![text("x")] },
            Err("the user name, made of `pair`, holds a colon, which Basic authentication does not allow"),
        );
    }

    fn signatures() -> Vec<Signature> {
        vec![
            signature(
                Place::Header,
                "authorization",
                SignatureForm::Text(vec![text("Bearer "), secret("token")]),
            ),
            signature(Place::Query, "key", SignatureForm::Text(vec![secret("key")])),
        ]
    }

    fn signed(inner: Arc<Scripted>) -> Signed {
        let origin = "https://api.acme.test/v2".parse().expect("a URL");
        let given = [("token", "t-1"), ("key", "k-1")];
        Signed::new(inner, crate::testing::credential(signatures(), None, &given), &origin)
    }

    #[tokio::test]
    async fn requests_to_the_origin_are_signed_and_the_callers_request_is_left_alone() {
        let inner = Arc::new(Scripted::with(|_| Ok(response(200, ""))));
        let signed = signed(inner.clone());
        let request = get("https://api.acme.test:443/v1/rows?page=2");
        for _ in 0..2 {
            signed.fetch(&request).await.expect("scripted");
        }
        assert!(request.secrets.is_empty());
        assert_eq!(request.sent.signed_with(), 1);
        for sent in inner.requests() {
            let parts = sent.secrets.iter().map(|part| (part.place, part.name.as_str(), part.value.expose()));
            let expect = [(Place::Header, "authorization", "Bearer t-1"), (Place::Query, "key", "k-1")];
            assert_eq!(parts.collect::<Vec<_>>(), expect);
            assert_eq!(sent.url.as_str(), "https://api.acme.test/v1/rows?page=2");
        }
    }

    #[tokio::test]
    async fn another_origin_gets_neither_the_secret_nor_the_request() {
        let inner = Arc::new(Scripted::new([]));
        let signed = signed(inner.clone());
        for url in [
            "http://api.acme.test/rows",
            "https://api.acme.test:8443/rows",
            "https://evil.test/rows",
            "https://api.acme.test.evil.test/rows",
            "https://x.api.acme.test/rows",
        ] {
            let error = signed.fetch(&get(url)).await.expect_err(url);
            assert_eq!(error.kind, FetchErrorKind::Forbidden);
            assert!(error.message.ends_with("the credential belongs to https://api.acme.test"), "{error}");
        }
        assert!(inner.requests().is_empty());
    }

    #[test]
    fn missing_secrets_are_all_named() {
        let error = crate::testing::opened(signatures(), None, &[]).err().expect("nothing was given");
        assert_eq!(error.to_string(), "the environment variables `KEY` and `TOKEN` are not set");
        assert_eq!(missing(&signatures(), &secrets(&[("key", "k")])), ["token"]);
    }
}

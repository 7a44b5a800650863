//! Where a redirect leads, and whether it may be followed.

use sync_core::{FetchError, FetchErrorKind, Method, Request};
use url::Url;

use crate::failure;

/// Redirects that are followed in a row.
pub(crate) const HOPS_MAX: u32 = 5;

/// Where to ask next, if the answer is a redirect that may be followed. One to another host is an error: the
/// credential does not belong there.
pub(crate) fn next(
    request: &Request,
    status: u16,
    location: Option<&str>,
) -> Result<Option<Url>, FetchError> {
    let moved = matches!(status, 301 | 302 | 303 | 307 | 308);
    if !moved || !request.follow_redirects || request.method != Method::Get {
        return Ok(None);
    }
    let from = &request.url;
    let Some(next) = location.and_then(|location| from.join(location).ok()) else { return Ok(None) };
    if next.origin() == from.origin() {
        return Ok(Some(next));
    }
    Err(FetchError {
        kind: FetchErrorKind::Redirect,
        message: format!(
            "{}{} redirects to {}://{}, which is not followed, because the credential does not belong there",
            failure::place(from),
            from.path(),
            next.scheme(),
            failure::place(&next)
        ),
    })
}

/// It leads nowhere.
pub(crate) fn in_circles(request: &Request) -> FetchError {
    let (place, path) = (failure::place(&request.url), request.url.path());
    FetchError { kind: FetchErrorKind::Redirect, message: format!("{place}{path} redirects in circles") }
}

#[cfg(test)]
mod tests {
    use sync_testkit::fetch::get;

    use super::*;

    #[test]
    fn a_redirect_is_followed_inside_its_origin_only() {
        let request = Request { follow_redirects: true, ..get("https://api.acme.test/v1/rows") };
        let to = |location: &str| next(&request, 307, Some(location)).map(|url| url.map(String::from));
        assert_eq!(to("/v2/rows").expect("inside"), Some("https://api.acme.test/v2/rows".to_owned()));
        for elsewhere in [
            "http://api.acme.test/v1/rows", // the same host without encryption
            "https://api.acme.test:8443/v1/rows",
            "//evil.test/v1/rows",
            "https://api.acme.test@evil.test/",
            "https://api.acme.test.evil.test/",
        ] {
            let error = to(elsewhere).expect_err(elsewhere);
            assert_eq!(error.kind, FetchErrorKind::Redirect);
            assert!(error.message.contains("is not followed"), "{error}");
        }
    }
}

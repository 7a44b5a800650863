//! Why no response came, told apart by what lies at the bottom of the HTTP library's error chain.
//!
//! The library's own messages are not used: they quote the whole URL, secrets included.

use std::error::Error;
use std::io;

use sync_core::FetchErrorKind;
use url::Url;

/// Host and port, such as `api.example.com:443`.
pub(crate) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or("no host");
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Kind and message of a request that could not be sent, or was not answered.
pub(crate) fn of_sending(error: &reqwest::Error, url: &Url) -> (FetchErrorKind, String) {
    let place = place(url);
    let why = root(error);
    if let Some(tls) = find::<rustls::Error>(error) {
        return (FetchErrorKind::Tls, format!("no secure channel to {place}: {tls}"));
    }
    if error.is_dns() {
        return (FetchErrorKind::Unresolved, format!("cannot find the host of {place}: {why}"));
    }
    if error.is_timeout() {
        return (FetchErrorKind::Timeout, format!("cannot reach {place}: no connection in time"));
    }
    if error.is_connect() {
        let kind = match find::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => FetchErrorKind::Broken,
            _ => FetchErrorKind::Refused,
        };
        return (kind, format!("cannot reach {place}: {why}"));
    }
    (FetchErrorKind::Broken, format!("the connection to {place} broke before an answer came: {why}"))
}

/// Message of a body that ended before its end.
pub(crate) fn of_body(error: &reqwest::Error, url: &Url, received: usize) -> String {
    let place = place(url);
    format!("the answer of {place}{} broke off after {received} bytes: {}", url.path(), root(error))
}

/// The text of the last cause, without the ornaments of the library it came from.
pub(crate) fn root(error: &reqwest::Error) -> String {
    let mut last: &dyn Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    // An error of the library itself, with nothing below it, is the only one that would quote the URL.
    let text = match last.downcast_ref::<reqwest::Error>() {
        Some(_) => "the HTTP library refused the request".to_owned(),
        None => last.to_string(),
    };
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.strip_prefix("unexpected error: ").unwrap_or(text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => "no reason given".to_owned(),
    }
}

/// The first cause of that type. An [`io::Error`] hides what it wraps from `source`, so it is opened.
fn find<'a, E: Error + 'static>(error: &'a reqwest::Error) -> Option<&'a E> {
    let mut next: Option<&'a (dyn Error + 'static)> = error.source();
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<E>() {
            return Some(found);
        }
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}

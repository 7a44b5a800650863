//! A request taken apart, and the page that answers it.

use bytes::Bytes;
use sync_http::serve::{Incoming, Reply};

/// A request taken apart.
pub(crate) struct Request<'a> {
    pub(crate) incoming: &'a Incoming,
    /// The path without the provider.
    pub(crate) path: Vec<String>,
    /// The query, decoded, in the order it came.
    pub(crate) query: Vec<(String, String)>,
}

impl Request<'_> {
    /// The last value of a parameter: names are compared to the letter.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is a whole number; absent if it is not one.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.param(name)?.parse().ok()
    }
}

/// A query, decoded. Pairs without a name are left out.
pub(crate) fn query(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Percent-encoded text of a query, `+` being a blank. What is no valid code stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match (byte, code.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (_, Some(code)) => {
                out.push(code);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An answer before anything goes wrong with it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// Rows in it.
    pub(crate) rows: u64,
}

impl Page {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: body.into(), rows: 0 }
    }

    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json; charset=utf-8", body)
    }

    pub(crate) fn text(status: u16, body: &'static str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub(crate) fn html(status: u16) -> Self {
        let body = format!(
            "<!DOCTYPE html>\n<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n"
        );
        Self::new(status, "text/html; charset=utf-8", body)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn reply(self) -> Reply {
        Reply::Whole { status: self.status, headers: self.headers, body: self.body }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_as_servers_do() {
        let expect =
            [("filter[id]", r#"{"type":"more","value":42}"#), ("a b", "c&d"), ("flag", ""), ("x", "%zz")];
        let found =
            query("filter%5Bid%5D=%7B%22type%22%3A%22more%22%2C%22value%22:42%7D&&a+b=c%26d&flag&x=%zz");
        let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(found, expect);
        assert_eq!(decode("%C3%A9%"), "é%");
    }
}

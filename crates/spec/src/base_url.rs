//! Base URLs: what stands before every relative path.

use crate::Template;
use crate::mask;
use crate::node::Node;
use crate::read::{Form, Reader};
use crate::reference::Referring;
use crate::schema::{self, Defs, Json};
use crate::template::{self, InBase};

/// The base of a pipeline: a URL, in which references may stand.
pub(crate) struct PipelineBase;

impl Form for PipelineBase {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let text = Referring::read(node, reader)?;
        check(node, &text, reader).then_some(text)
    }

    fn schema(defs: &mut Defs) -> Json {
        schema::described(Referring::schema(defs), "https, or http on loopback.")
    }
}

/// The base of a connector: a URL, in which settings may stand.
pub(crate) struct ConnectorBase;

impl Form for ConnectorBase {
    type Value = Template;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
        let text = reader.text(node, "a URL")?;
        let template = template::read::<InBase>(node, text, reader);
        let fine = mask::check_url(node, text, reader) && check(node, text, reader);
        template.filter(|_| fine)
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::described(schema::text(), "https, or http on loopback. May have holes: `${config.NAME}`.")
    }
}

/// Refuses what cannot be a base. What a hole or a reference stands for is checked once it is filled.
fn check(node: &Node, text: &str, reader: &mut Reader<'_>) -> bool {
    let Some((message, help)) = fault(text) else { return true };
    reader.find(node.span, message, help);
    false
}

pub(crate) fn fault(text: &str) -> Option<(&'static str, &'static str)> {
    const WHOLE: &str = "write it whole: `https://api.example.com/v1`";
    let plain = outside_holes(text);
    if plain.contains(['?', '#']) {
        return Some(("a base URL has no query", "parameters go into `query` of the connector"));
    }
    if plain.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some(("a URL has no blanks", ""));
    }
    if text.starts_with("${") {
        return None;
    }
    let Some((scheme, rest)) =
        text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
    else {
        return Some(("a base URL begins with `https://`", WHOLE));
    };
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    if authority.is_empty() {
        return Some(("a URL without a host", WHOLE));
    }
    (scheme == "http" && !may_be_loopback(authority)).then_some((
        "a credential must not travel over plain http",
        "write `https://`; http is for 127.0.0.1, localhost and [::1]",
    ))
}

/// A text without its holes, in which a `?` means something else.
fn outside_holes(text: &str) -> String {
    let parts = template::parts(text).unwrap_or_default();
    let texts = parts.into_iter().filter_map(|part| match part {
        template::Part::Text(range) => Some(&text[range]),
        template::Part::Hole(_) => None,
    });
    texts.collect()
}

/// Whether a host is this machine, or nothing but a hole.
fn may_be_loopback(authority: &str) -> bool {
    let written = outside_holes(authority);
    if written.is_empty() || written.starts_with(':') {
        return true;
    }
    let host = match written.find(']') {
        Some(end) => &written[..=end],
        None => written.split(':').next().unwrap_or_default(),
    };
    // A hole behind the name would make another name of it; behind the colon it is the port.
    let whole = authority.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    let v4 = host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
    whole && (v4 || matches!(host, "localhost" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(fault(text).map_or("", |(message, _)| message), expect, "{text}");
    }

    #[test]
    fn a_base_is_https_or_loopback() {
        check("https://api.example.com/v1", "");
        check("https://${config.subdomain}.example.com", "");
        check("${config.base_url}", "");
        check("${env:BASE}/v1", "");
        check("http://127.0.0.1:9310/planhat", "");
        check("http://127.8.9.1", "");
        check("http://localhost", "");
        check("http://[::1]:80/x", "");
        check("http://${config.host}", "");
        check("http://${env:HOST}:8080/x", "");
        check("http://localhost:${env:PORT}/x", "");
        let plain = "a credential must not travel over plain http";
        check("http://example.com", plain);
        check("http://localhost.example.com", plain);
        check("http://127.0.0.1.example.com", plain);
        check("http://${config.sub}.example.com", plain);
        check("http://localhost${config.sub}", plain);
        check("http://[::2]", plain);
        check("https://", "a URL without a host");
        check("https:///x", "a URL without a host");
        check("ftp://x", "a base URL begins with `https://`");
        check("example.com", "a base URL begins with `https://`");
        check("", "a base URL begins with `https://`");
        check("https://h?x", "a base URL has no query");
        check("${config.x?}?y", "a base URL has no query");
        check("https://h#", "a base URL has no query");
        check("https://a b", "a URL has no blanks");
    }
}

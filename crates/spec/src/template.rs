//! Texts with holes: `/companies/${config.region}`. A hole looks up and never computes; what it may look up
//! depends on the place the text stands in.

use std::marker::PhantomData;
use std::ops::Range;

use crate::node::Node;
use crate::path::{closing_quote, read_part};
use crate::read::{Form, Reader, listed, nearest, shown};
use crate::schema::{self, Defs, Json};
use crate::{FieldPath, Hole, HoleFormat, Piece, Root, Template};

/// A part of a text, as byte ranges: what stands between holes, and what stands inside one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(Range<usize>),
    Hole(Range<usize>),
}

/// The parts of a text, in order. The error is where a hole is opened that nothing closes.
pub(crate) fn parts(text: &str) -> Result<Vec<Part>, usize> {
    let (mut parts, mut at) = (Vec::new(), 0);
    while let Some(found) = text[at..].find("${") {
        let open = at + found;
        if open > at {
            parts.push(Part::Text(at..open));
        }
        let inside = open + 2;
        let length = hole_length(&text[inside..]).ok_or(open)?;
        parts.push(Part::Hole(inside..inside + length));
        at = inside + length + 1;
    }
    if at < text.len() {
        parts.push(Part::Text(at..text.len()));
    }
    Ok(parts)
}

/// Up to the brace that closes a hole; braces in quotes do not.
fn hole_length(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + text[at..].find(['}', '"'])?;
        match text.as_bytes()[found] {
            b'}' => return Some(found),
            _ => at = found + closing_quote(&text[found..])?,
        }
    }
}

/// Where a template stands, and so what its holes may look up.
pub(crate) trait Place {
    const ROOTS: &'static [Root];
    /// What to say where another root is looked up.
    const RULE: &'static str;
    /// Whether a missing value may leave the entry out.
    const OPTIONAL: bool;
}

macro_rules! places {
    ($( $(#[doc = $doc:literal])+ $name:ident $roots:tt $optional:literal $rule:literal; )+) => { $(
        $(#[doc = $doc])+
        pub(crate) struct $name;
        impl Place for $name {
            const ROOTS: &'static [Root] = &$roots;
            const OPTIONAL: bool = $optional;
            const RULE: &'static str = $rule;
        }
    )+ };
}

places! {
    /// A base URL.
    InBase [Root::Config] false "a URL is logged, so only `config` can be looked up in it";
    /// The path of a request.
    InUrl [Root::Config, Root::Parent, Root::Item, Root::Kind, Root::Stream] false "a URL is logged, so no secret can be looked up in it; what a page or a window gives stands in `query` or `body`";
    /// A value of `query`, of a stream's `headers`, or in a body.
    InRequest [Root::Config, Root::Columns, Root::Cursor, Root::Window, Root::Page, Root::Parent, Root::Item, Root::Kind, Root::Stream] true "this cannot be looked up in a request; a secret stands in `auth` or in the connector's `headers`";
    /// A value of `set`.
    InSet [Root::Config, Root::Parent, Root::Item, Root::Kind, Root::Stream] true "only what stays the same for a whole slice can be set in its rows";
    /// A header of every request.
    InHeaders [Root::Config, Root::Secret] true "only `config` and `secret` can be looked up here";
    /// A part of `auth`.
    InAuth [Root::Secret] false "only `secret` can be looked up in `auth`";
    /// The place or the name of a part of `auth`.
    InAuthName [Root::Config] false "only `config` can be looked up in a name; a secret is a value";
    /// What is said about an error.
    InSay [Root::Body, Root::Headers, Root::Status, Root::Stream] false "only `body`, `headers`, `status` and `stream` can be looked up in `say`";
}

/// A text with holes, for one place.
pub(crate) struct Filled<P>(PhantomData<P>);

impl<P: Place> Form for Filled<P> {
    type Value = Template;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
        let text = reader.text(node, "a text")?;
        read::<P>(node, text, reader)
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::described(schema::text(), &format!("May have holes: {}.", holes(P::ROOTS)))
    }
}

fn holes(roots: &[Root]) -> String {
    let hole = |root: &Root| match root {
        Root::Status | Root::Stream => format!("`${{{}}}`", name_of(*root)),
        Root::Columns => "`${columns:comma}`".to_owned(),
        Root::Cursor => "`${cursor?}`".to_owned(),
        Root::Window => "`${window.start}`".to_owned(),
        root => format!("`${{{}.NAME}}`", name_of(*root)),
    };
    roots.iter().map(hole).collect::<Vec<_>>().join(", ")
}

fn name_of(root: Root) -> &'static str {
    ROOTS.iter().find(|(_, r)| *r == root).map_or("", |(name, _)| name)
}

const ROOTS: &[(&str, Root)] = &[
    ("config", Root::Config),
    ("secret", Root::Secret),
    ("body", Root::Body),
    ("headers", Root::Headers),
    ("status", Root::Status),
    ("columns", Root::Columns),
    ("cursor", Root::Cursor),
    ("window", Root::Window),
    ("page", Root::Page),
    ("parent", Root::Parent),
    ("item", Root::Item),
    ("kind", Root::Kind),
    ("stream", Root::Stream),
];

/// The text of a scalar as a template.
pub(crate) fn read<P: Place>(node: &Node, text: &str, reader: &mut Reader<'_>) -> Option<Template> {
    let parts = match parts(text) {
        Ok(parts) => parts,
        Err(open) => {
            let span = reader.stretch(node, open..text.len());
            reader.find(span, "a hole is not closed", "end it with `}`");
            return None;
        }
    };
    let mut whole = Some(Vec::new());
    for part in parts {
        let piece = match part {
            Part::Text(range) => Some(Piece::Text(text[range].to_owned())),
            Part::Hole(range) => hole::<P>(node, text, range, reader).map(Piece::Hole),
        };
        match (&mut whole, piece) {
            (Some(pieces), Some(piece)) => pieces.push(piece),
            _ => whole = None,
        }
    }
    whole.map(Template)
}

fn hole<P: Place>(node: &Node, text: &str, range: Range<usize>, reader: &mut Reader<'_>) -> Option<Hole> {
    let inside = &text[range.clone()];
    let span = reader.stretch(node, range.clone());
    if ["env:", "file:", "cmd:"].iter().any(|kind| inside.starts_with(kind)) {
        let help = "a connector names its secrets, `${secret.NAME}`; a pipeline says where they are";
        reader.find(span, format!("`${{{}}}` belongs in a pipeline", shown(inside)), help);
        return None;
    }
    let (wanted, word) = match colon(inside) {
        Some(at) => (&inside[..at], Some(&inside[at + 1..])),
        None => (inside, None),
    };
    let (wanted, optional) = match wanted.strip_suffix('?') {
        Some(wanted) => (wanted, true),
        None => (wanted, false),
    };
    let path = read_part(node, range.start, FieldPath::parse(wanted), reader)?;
    let (first, rest) = path.0.split_first()?;
    let at_first = reader.stretch(node, range.start..range.start + first.len());
    let Some((_, root)) = ROOTS.iter().find(|(name, _)| name == first) else {
        let known: Vec<&str> = P::ROOTS.iter().map(|root| name_of(*root)).collect();
        let help = match nearest(first, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("holes here: {}", holes(P::ROOTS)),
        };
        reader.find(at_first, format!("nothing is called `{}` here", shown(first)), help);
        return None;
    };
    if !P::ROOTS.contains(root) {
        reader.find(at_first, format!("`{first}` cannot be looked up here"), P::RULE);
        return None;
    }
    if optional && !P::OPTIONAL {
        reader.find(span, "nothing can be left out here", "leave the `?` out");
        return None;
    }
    let path = names::<P>(*root, rest, span, reader)?;
    let format = match word {
        None => None,
        Some(word) => {
            let at = reader.stretch(node, range.end - word.len()..range.end);
            Some(format_word(*root, word, at, reader)?)
        }
    };
    Some(Hole { root: *root, path, optional, format })
}

/// Where the format word of a hole begins; a colon in quotes is part of a name.
fn colon(inside: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, c) in inside.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ':' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// How the value of a root may be written.
fn format_word(root: Root, word: &str, span: crate::Span, reader: &mut Reader<'_>) -> Option<HoleFormat> {
    match root {
        Root::Columns | Root::Parent if word == "comma" => Some(HoleFormat::Comma),
        Root::Cursor | Root::Window => match crate::CursorFormat::parse(word) {
            Ok(format) => Some(HoleFormat::Moment(format)),
            Err((message, help)) => {
                reader.find(span, message, help);
                None
            }
        },
        Root::Columns | Root::Parent => {
            reader.unknown(span, format!("`{}` is not a format of a list", shown(word)), word, &["comma"])
        }
        root => {
            let message = format!("`{}` is written as it is", name_of(root));
            reader.find(span, message, format!("leave `:{}` out", shown(word)));
            None
        }
    }
}

/// What a hole looks for under its root.
fn names<P: Place>(
    root: Root,
    names: &[String],
    span: crate::Span,
    reader: &mut Reader<'_>,
) -> Option<FieldPath> {
    match (root, names) {
        (Root::Status | Root::Columns | Root::Cursor | Root::Stream, []) => Some(FieldPath(Vec::new())),
        (Root::Status | Root::Columns | Root::Cursor | Root::Stream, _) => {
            let root = name_of(root);
            reader.find(span, format!("`{root}` has nothing inside"), format!("write `${{{root}}}`"));
            None
        }
        (Root::Window, [name]) if matches!(name.as_str(), "start" | "end") => Some(FieldPath(names.to_vec())),
        (Root::Window, _) => {
            reader.find(
                span,
                "a window has a start and an end",
                "write `${window.start}` or `${window.end}`",
            );
            None
        }
        (_, []) => {
            let root = name_of(root);
            reader.find(span, format!("`{root}` needs a name"), format!("write `${{{root}.NAME}}`"));
            None
        }
        (Root::Headers, [name]) => Some(FieldPath(vec![name.to_ascii_lowercase()])),
        (Root::Config, [name]) if !reader.settings.contains(name) => {
            let known = reader.settings.clone();
            let help = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "declare it under `config`".to_owned(),
                None => format!("declared under `config`: {}", listed(known.iter().map(String::as_str))),
            };
            reader.find(span, format!("there is no setting `{}`", shown(name)), help);
            None
        }
        (Root::Secret, [name]) if !<crate::forms::SettingName as crate::forms::Name>::fits(name) => {
            let help = "small letters, digits and `_`, with a letter first";
            reader.find(span, format!("`{}` cannot be the name of a secret", shown(name)), help);
            None
        }
        (Root::Body | Root::Parent | Root::Item, _) | (_, [_]) => Some(FieldPath(names.to_vec())),
        (root, _) => {
            let root = name_of(root);
            reader.find(span, format!("`{root}` has no levels"), format!("write `${{{root}.NAME}}`"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    #[track_caller]
    fn check<P: Place>(text: &str, expect: &str) {
        let document = Document::new("a.yaml", format!("'{text}'"));
        let mut reader = Reader::new(&document, Vec::new());
        reader.settings = vec!["host".into(), "region".into()];
        let (node, _) = crate::node::load(&document);
        let read = Filled::<P>::read(&node.expect("it is YAML"), &mut reader);
        let shown = match reader.finish(read) {
            Ok(template) => {
                let piece = |piece: &Piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Hole(h) => {
                        format!("<{:?} {}{}>", h.root, h.path, if h.optional { "?" } else { "" })
                    }
                };
                template.0.iter().map(piece).collect()
            }
            Err(findings) => {
                let finding = &findings.list[0];
                let stretch = &document.text[finding.span.start..finding.span.end];
                let help = finding.help.as_deref().unwrap_or_default();
                format!("{stretch} | {} | {help}", finding.message)
            }
        };
        assert_eq!(shown, expect);
    }

    #[test]
    fn holes_are_roots_and_names() {
        check::<InUrl>("https://${config.host}/v1", "https://<Config host>/v1");
        check::<InAuth>("Token ${secret.key}", "Token <Secret key>");
        check::<InRequest>("${config.region?}", "<Config region?>");
        check::<InRequest>("a,${columns?:comma}", "a,<Columns ?>");
        check::<InRequest>("${window.start:%Y-%m-%dT%H:%M:%SZ}", "<Window start>");
        check::<InRequest>("${cursor?:epoch_ms}", "<Cursor ?>");
        check::<InUrl>("/orders/${parent.\"a:b\".id}/x", "/orders/<Parent \"a:b\".id>/x");
        check::<InSay>(
            "${body.error.\"a}b\"} ${headers.X-Id} ${status}",
            "<Body error.\"a}b\"> <Headers x-id> <Status >",
        );
        check::<InRequest>("no holes, $5 and {x}", "no holes, $5 and {x}");
    }

    #[test]
    fn a_hole_that_cannot_be_filled_says_why() {
        check::<InUrl>("${confg.host}", "confg | nothing is called `confg` here | did you mean `config`?");
        check::<InUrl>("${config.hots}", "config.hots | there is no setting `hots` | did you mean `host`?");
        check::<InUrl>(
            "${cursor}",
            "cursor | `cursor` cannot be looked up here | a URL is logged, so no secret can be looked up in it; what a page or a window gives stands in `query` or `body`",
        );
        check::<InUrl>(
            "/x/${secret.key}",
            "secret | `secret` cannot be looked up here | a URL is logged, so no secret can be looked up in it; what a page or a window gives stands in `query` or `body`",
        );
        check::<InUrl>("${config.host?}", "config.host? | nothing can be left out here | leave the `?` out");
        check::<InUrl>("a${config.host", "${config.host | a hole is not closed | end it with `}`");
        check::<InUrl>("${config}", "config | `config` needs a name | write `${config.NAME}`");
        check::<InUrl>("${}", " | `` has an empty name | names stand between the dots: `a.b`");
        check::<InAuth>("${secret.a.b}", "secret.a.b | `secret` has no levels | write `${secret.NAME}`");
        check::<InRequest>(
            "${window.begin}",
            "window.begin | a window has a start and an end | write `${window.start}` or `${window.end}`",
        );
        check::<InRequest>(
            "${cursor:epoch_sm}",
            "epoch_sm | `epoch_sm` is not a format | did you mean `epoch_ms`?",
        );
        check::<InRequest>(
            "${config.host:comma}",
            "comma | `config` is written as it is | leave `:comma` out",
        );
        check::<InAuth>(
            "${env:KEY}",
            "env:KEY | `${env:KEY}` belongs in a pipeline | a connector names its secrets, `${secret.NAME}`; a pipeline says where they are",
        );
    }
}

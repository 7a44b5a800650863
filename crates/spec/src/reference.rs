//! References: `${env:NAME}`, `${file:PATH}` and `${cmd:PROGRAM ARGS}`, where a pipeline says that a text is kept
//! elsewhere.

use serde_json::json;

use crate::forms::{MapOf, SettingName};
use crate::mask;
use crate::node::{Node, Value};
use crate::read::{Form, Reader};
use crate::schema::{self, Defs, Json};
use crate::template::{Part, parts};
use crate::{CredentialRef, SecretRef};

const FORMS: &str = "a reference is `${env:NAME}`, `${file:PATH}` or `${cmd:PROGRAM ARGS}`";

/// The text with every reference replaced by what `lookup` finds there. Texts without references stay as
/// they are. The error is the lookup's own, or says that a reference has no known form.
pub fn expand(
    text: &str,
    lookup: &mut dyn FnMut(&SecretRef) -> Result<String, String>,
) -> Result<String, String> {
    let mut whole = String::with_capacity(text.len());
    for part in parts(text).map_err(|_| "a `${` is not closed".to_owned())? {
        match part {
            Part::Text(range) => whole.push_str(&text[range]),
            Part::Hole(range) => {
                let reference = inside(&text[range]).ok_or_else(|| FORMS.to_owned())?;
                whole.push_str(&lookup(&reference)?);
            }
        }
    }
    Ok(whole)
}

/// What stands between `${` and `}` of a reference.
fn inside(text: &str) -> Option<SecretRef> {
    match text.split_once(':')? {
        ("env", name) if is_variable(name) => Some(SecretRef::Env(name.to_owned())),
        ("file", path) if !path.trim().is_empty() && path == path.trim() => {
            Some(SecretRef::File(path.to_owned()))
        }
        ("cmd", line) => command(line).map(SecretRef::Cmd),
        _ => None,
    }
}

/// A program and its arguments, parted by blanks. Quotes keep blanks, as in a shell; nothing else of a shell is
/// known here, so nothing in a file can be run that does not stand there. `None` for an open quote, or nothing.
fn command(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut letters = line.trim().chars().peekable();
    while letters.peek().is_some() {
        let mut word = String::new();
        while let Some(letter) = letters.next_if(|c| !c.is_whitespace()) {
            match letter {
                '\'' => word.extend(quoted(&mut letters, '\'')?),
                '"' => word.extend(quoted(&mut letters, '"')?),
                letter => word.push(letter),
            }
        }
        while letters.next_if(|c| c.is_whitespace()).is_some() {}
        words.push(word);
    }
    words.first().is_some_and(|program| !program.is_empty()).then_some(words)
}

/// Up to the closing quote; behind a backslash, a double quote and a backslash stand for themselves.
fn quoted(letters: &mut impl Iterator<Item = char>, quote: char) -> Option<Vec<char>> {
    let mut inside = Vec::new();
    loop {
        match letters.next()? {
            letter if letter == quote => return Some(inside),
            '\\' if quote == '"' => match letters.next()? {
                letter @ ('"' | '\\') => inside.push(letter),
                letter => inside.extend(['\\', letter]),
            },
            letter => inside.push(letter),
        }
    }
}

/// Whether a shell can set an environment variable of that name (POSIX, 3.231).
fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The reference that a text is, if it is one and nothing else: `${env:NAME}`, `${file:PATH}`, `${cmd:PROGRAM ARGS}`.
pub fn reference(text: &str) -> Option<SecretRef> {
    match parts(text).ok()?.as_slice() {
        [Part::Hole(range)] => inside(&text[range.clone()]),
        _ => None,
    }
}

/// Finds references of no known form. True where there are none.
pub(crate) fn check_references(node: &Node, text: &str, reader: &mut Reader<'_>) -> bool {
    let parts = match parts(text) {
        Ok(parts) => parts,
        Err(open) => {
            let span = reader.stretch(node, open..text.len());
            reader.find(span, "a reference is not closed", "end it with `}`");
            return false;
        }
    };
    let mut fine = true;
    for part in parts {
        let Part::Hole(range) = part else { continue };
        if inside(&text[range.clone()]).is_some() {
            continue;
        }
        let span = reader.stretch(node, range.start - 2..range.end + 1);
        reader.find(span, "this is not a reference", FORMS);
        fine = false;
    }
    fine
}

/// A text that may have references, kept as it was written.
pub(crate) struct Referring;

impl Form for Referring {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let text = reader.text(node, "a text")?;
        (check_references(node, text, reader) & mask::check_url(node, text, reader)).then(|| text.to_owned())
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::described(schema::text(), "May hold `${env:NAME}`, `${file:PATH}` and `${cmd:PROGRAM ARGS}`.")
    }
}

/// Where one secret is. Whatever else stands there may be the secret itself, so nothing of it is repeated.
pub(crate) struct OneSecret;

impl Form for OneSecret {
    type Value = SecretRef;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<SecretRef> {
        let Some(written) = node.scalar() else { return reader.refuse(node, "a reference", FORMS) };
        if written.is_null() {
            return reader.refuse(node, "a reference", FORMS);
        }
        if let Some(reference) = reference(&written.text) {
            return Some(reference);
        }
        if is_stored_name(&written.text) {
            let help = "a stored credential stands for all of a connector's secrets: `credential: NAME`";
            reader.find(node.span, "a single secret is a reference, not a name", format!("{help}; {FORMS}"));
        } else if written.text.starts_with("${") && written.text.ends_with('}') {
            reader.find(node.span, "this is not a reference", FORMS);
        } else {
            let help = "put it into an environment variable or a file, and write `${env:NAME}` or `${file:PATH}` here";
            reader.find(
                node.span,
                "a literal secret; a file is read by more people than should know it",
                help,
            );
        }
        None
    }

    fn schema(_defs: &mut Defs) -> Json {
        let pattern = r"^\$\{(env:[A-Za-z_][A-Za-z0-9_]*|file:[^}]+|cmd:.+)\}$";
        schema::pattern(pattern, "`${env:NAME}`, `${file:PATH}` or `${cmd:PROGRAM ARGS}`.")
    }
}

/// What a stored credential is called.
pub fn is_stored_name(text: &str) -> bool {
    text.len() <= STORED_NAME_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// A key pasted where a name belongs is longer, as a rule, or has capitals or dots.
const STORED_NAME_MAX: usize = 40;

/// `credential:`: the name of a stored credential, a reference, or one for each secret.
pub(crate) struct Credential;

impl Form for Credential {
    type Value = CredentialRef;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<CredentialRef> {
        match &node.value {
            Value::Map(_) => MapOf::<SettingName, OneSecret>::read(node, reader).map(CredentialRef::Many),
            Value::Scalar(written) if !written.is_null() && is_stored_name(&written.text) => {
                Some(CredentialRef::Stored(written.text.clone()))
            }
            _ => OneSecret::read(node, reader).map(CredentialRef::One),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        let many = MapOf::<SettingName, OneSecret>::schema(defs);
        let stored = schema::pattern("^[a-z][a-z0-9_-]{0,39}$", "The name of a stored credential.");
        json!({
            "oneOf": [stored, OneSecret::schema(defs), schema::described(many, "A reference for each secret.")]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<&str, &str>) {
        let mut lookup = |reference: &SecretRef| match reference {
            SecretRef::Env(name) if name == "GONE" => Err("GONE is not set".to_owned()),
            SecretRef::Env(name) => Ok(format!("<{name}>")),
            SecretRef::File(path) => Ok(format!("[{path}]")),
            SecretRef::Cmd(words) => Ok(words.join("|")),
        };
        assert_eq!(expand(text, &mut lookup), expect.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn references_are_replaced_and_nothing_else() {
        check("", Ok(""));
        check("plain $5 {x}", Ok("plain $5 {x}"));
        check("https://${env:HOST}/${file:./a b.txt}?", Ok("https://<HOST>/[./a b.txt]?"));
        check("${env:A}${env:B_2}", Ok("<A><B_2>"));
        check("${env:GONE}", Err("GONE is not set"));
        check("${env:}", Err(FORMS));
        check("${env:A B}", Err(FORMS));
        check("${file:}", Err(FORMS));
        check("${cmd:}", Err(FORMS));
        check("${cmd:''}", Err(FORMS));
        check("${cmd:pass 'x}", Err(FORMS));
        check("${cmd:pass show crm/key}", Ok("pass|show|crm/key"));
        check(r#"${cmd: op  read "op://a b/c\"d\e" 'x y'z ''}"#, Ok(r#"op|read|op://a b/c"d\e|x yz|"#));
        check(r#"${cmd:jq "{a}" f}"#, Ok("jq|{a}|f"));
        check("${HOME}", Err(FORMS));
        check("a ${env:A", Err("a `${` is not closed"));
        // What a lookup gives is not looked at again.
        let mut twice = |_: &SecretRef| Ok("${env:B}".to_owned());
        assert_eq!(expand("${env:A}", &mut twice), Ok("${env:B}".to_owned()));
    }
}

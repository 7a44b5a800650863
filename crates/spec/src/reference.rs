//! References: `${env:NAME}` and `${file:PATH}`, where a pipeline says that a text is kept elsewhere.

use serde_json::json;

use crate::forms::{MapOf, SettingName};
use crate::mask;
use crate::node::{Node, Value};
use crate::read::{Form, Reader};
use crate::schema::{self, Defs, Json};
use crate::template::{Part, parts};
use crate::{CredentialRef, SecretRef};

const FORMS: &str = "a reference is `${env:NAME}` or `${file:PATH}`";

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
        _ => None,
    }
}

/// Whether a shell can set an environment variable of that name (POSIX, 3.231).
fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The reference that a text is, if it is one and nothing else.
pub(crate) fn whole_reference(text: &str) -> Option<SecretRef> {
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
        schema::described(schema::text(), "May hold `${env:NAME}` and `${file:PATH}`.")
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
        if let Some(reference) = whole_reference(&written.text) {
            return Some(reference);
        }
        if is_vault_name(&written.text) {
            reader.find(node.span, "there is no credential vault yet; write ${env:NAME} or ${file:PATH}", "");
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
        let pattern = r"^\$\{(env:[A-Za-z_][A-Za-z0-9_]*|file:[^}]+)\}$";
        schema::pattern(pattern, "`${env:NAME}` or `${file:PATH}`.")
    }
}

fn is_vault_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// `credential:`: a reference, or one for each secret.
pub(crate) struct Credential;

impl Form for Credential {
    type Value = CredentialRef;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<CredentialRef> {
        match &node.value {
            Value::Map(_) => MapOf::<SettingName, OneSecret>::read(node, reader).map(CredentialRef::Many),
            _ => OneSecret::read(node, reader).map(CredentialRef::One),
        }
    }

    fn schema(defs: &mut Defs) -> Json {
        let many = MapOf::<SettingName, OneSecret>::schema(defs);
        json!({ "oneOf": [OneSecret::schema(defs), schema::described(many, "A reference for each secret.")] })
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
        check("${cmd:pass x}", Err(FORMS));
        check("${HOME}", Err(FORMS));
        check("a ${env:A", Err("a `${` is not closed"));
        // What a lookup gives is not looked at again.
        let mut twice = |_: &SecretRef| Ok("${env:B}".to_owned());
        assert_eq!(expand("${env:A}", &mut twice), Ok("${env:B}".to_owned()));
    }
}

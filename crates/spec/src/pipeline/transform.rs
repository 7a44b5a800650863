//! `transform:`: what is done to a row before it is written anywhere.

use crate::forms::{AnyName, MapOf, Text};
use crate::node::Node;
use crate::read::{Form, Located, Reader, record, shown, words};
use crate::schema::{self, Defs, Json};
use crate::{FieldPath, Mask, Spanned, Step};

use crate::types::path_of;

record! {
    /// One step; the word names the kind. Steps are taken in the order of the list, each on what those before left.
    StepMap -> Step, "step" {
        /// Rows for which this CEL expression is false are left out.
        may keep_if: Located<Text>,
        /// Columns and the CEL expressions that make them.
        may set: Located<MapOf<AnyName, Located<Text>>>,
        /// Paths and how their values are made unreadable.
        may mask: Located<MapOf<AnyName, Mask>>,
        /// Fields and what they are called from here on.
        may rename: Located<MapOf<AnyName, NewName>>,
    }
    Exactly["keep_if", "set", "mask", "rename"]
    |reader, fields| step(keep_if, set, mask, rename, reader)
}

type Entries<T> = Option<Spanned<Vec<(Spanned<String>, T)>>>;

fn step(
    keep_if: Option<Spanned<String>>,
    set: Entries<Spanned<String>>,
    mask: Entries<Mask>,
    rename: Entries<Spanned<String>>,
    reader: &mut Reader<'_>,
) -> Option<Step> {
    if let Some(expression) = keep_if {
        return Some(Step::KeepIf(expression));
    }
    if let Some(set) = set {
        let columns =
            set.value.into_iter().map(|(name, expression)| Some((column(&name, reader)?, expression)));
        return columns.collect::<Option<_>>().map(Step::Set);
    }
    if let Some(mask) = mask {
        let paths = mask.value.into_iter().map(|(name, mask)| Some((path_of(&name, reader)?, mask)));
        return paths.collect::<Option<_>>().map(Step::Mask);
    }
    let names = rename?.value.into_iter().map(|(name, new)| Some((column(&name, reader)?, new)));
    names.collect::<Option<_>>().map(Step::Rename)
}

/// A key that is the name of one top-level field.
fn column(name: &Spanned<String>, reader: &mut Reader<'_>) -> Option<Spanned<String>> {
    let path = path_of(name, reader)?;
    if let Ok([value]) = <[String; 1]>::try_from(path.value.0) {
        return Some(Spanned { value, span: name.span });
    }
    let message = format!("`{}` is a path, and this must be one name", shown(&name.value));
    let help = "a name with dots in it stands in double quotes inside single ones: `'\"a.b\"'`";
    reader.find(name.span, message, help);
    None
}

/// What a field is called from here on.
struct NewName;

impl Form for NewName {
    type Value = Spanned<String>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Spanned<String>> {
        let name = reader.text(node, "the name of a column")?;
        if name.is_empty() || name.contains('\0') {
            return reader.refuse(node, "the name of a column", "");
        }
        Some(Spanned { value: name.to_owned(), span: node.span })
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::text()
    }
}

words!(Mask, "a mask" {
    "redact" => Mask::Redact, "`***` stands for every value.";
    "hmac" => Mask::Hmac, "HMAC-SHA256 with the key of the pipeline, as hexadecimal digits: the same value gives the same mask.";
    "partial" => Mask::Partial, "the last four characters stay, if there are at least nine.";
});

impl Step {
    /// The paths that a step masks.
    pub fn masks(&self) -> &[(Spanned<FieldPath>, Mask)] {
        match self {
            Self::Mask(masks) => masks,
            _ => &[],
        }
    }
}

//! `types:`: column types that are given, not found. A word of both languages.

use sync_core::Type;

use crate::forms::{AnyName, MapOf};
use crate::node::{Node, Value};
use crate::read::{Form, Reader, shown};
use crate::schema::{self, Defs, Json};
use crate::{FieldPath, Spanned};

/// `types:`, from path to type.
pub(crate) struct TypesWord;

impl Form for TypesWord {
    type Value = Vec<(Spanned<FieldPath>, Type)>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let entries = MapOf::<AnyName, TypeWord>::read(node, reader)?;
        let mut types: Vec<(Spanned<FieldPath>, Type)> = Vec::with_capacity(entries.len());
        for (name, ty) in entries {
            let path = path_of(&name, reader)?;
            if types.iter().any(|(before, _)| before.value == path.value) {
                reader.find(
                    name.span,
                    format!("`{}` is named twice", shown(&name.value)),
                    "keep one of them",
                );
            }
            types.push((path, ty));
        }
        Some(types)
    }

    fn schema(defs: &mut Defs) -> Json {
        MapOf::<AnyName, TypeWord>::schema(defs)
    }
}

/// A key that is a path.
pub(crate) fn path_of(name: &Spanned<String>, reader: &mut Reader<'_>) -> Option<Spanned<FieldPath>> {
    match FieldPath::parse(&name.value) {
        Ok(value) => Some(Spanned { value, span: name.span }),
        Err(error) => {
            reader.find(name.span, error.message, error.help);
            None
        }
    }
}

/// One type, with the digits of a decimal.
pub(crate) struct TypeWord;

const TYPES: &[&str] = &["text", "int", "float", "decimal", "bool", "date", "timestamp", "local", "json"];

impl Form for TypeWord {
    type Value = Type;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Type> {
        if let Value::Scalar(written) = &node.value
            && written.text == "decimal"
        {
            return reader.refuse(
                node,
                "a type",
                "write its digits, those in all and those behind the point: `decimal(18,2)`",
            );
        }
        let text = reader.text(node, "a type")?;
        match text.parse() {
            Ok(ty) => Some(ty),
            Err(message) if text.starts_with("decimal(") => {
                reader.find(node.span, message, "such as `decimal(18,2)`");
                None
            }
            Err(message) => reader.unknown(node.span, message, text, TYPES),
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        let words = "text|int|float|bool|date|timestamp|local|json";
        schema::pattern(
            &format!(r"^({words}|decimal\([0-9]+, *[0-9]+\))$"),
            "`text`, `int`, `float`, `decimal(PRECISION,SCALE)`, `bool`, `date`, `timestamp`, `local` or `json`.",
        )
    }
}

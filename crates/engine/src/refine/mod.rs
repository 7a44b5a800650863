//! What the pipeline does to a row before anything of it is written anywhere: `select`, then `transform` step by
//! step, then `types` for what lies inside nested values. Text in, text out; a row that nobody wants changed is
//! never looked at here.
//!
//! A row that a step cannot take goes through the steps behind it all the same, so that what is set aside of it
//! is masked, too.

mod expression;
mod mask;
mod select;

use ring::hmac;
use sync_connectors::json::JsonError;
use sync_core::Type;
use sync_spec::{FieldPath, Mask, Span, Spanned, Step as Word};

use expression::{Expression, to_json};
use mask::Masking;
pub(crate) use select::Selection;
use sync_connectors::fields::{Edit, Fields};

/// Everything that is done to the rows of a stream.
#[derive(Debug, Default)]
pub(crate) struct Refinery {
    selection: Option<Selection>,
    steps: Vec<Step>,
    /// Paths of several names that become columns, with the names of these.
    lifts: Vec<(Vec<String>, String)>,
    masks: bool,
}

enum Step {
    KeepIf(Expression),
    Set(Vec<(String, Expression)>),
    Mask(Vec<Masking>),
    Rename(Vec<(String, String)>),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::KeepIf(_) => "KeepIf",
            Self::Set(_) => "Set",
            Self::Mask(_) => "Mask",
            Self::Rename(_) => "Rename",
        })
    }
}

/// What comes of a row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It lands.
    Lands,
    /// A `keep_if` leaves it out.
    LeftOut,
    /// A step could not take it, for this reason.
    Bad(String),
}

/// Something wrong in the pipeline's words.
pub(crate) struct Wrong {
    pub span: Span,
    /// The byte of the text in `span`; absent for all of it.
    pub at: Option<usize>,
    pub message: String,
    pub help: Option<String>,
}

impl Refinery {
    /// Compiles the words of a stream. Everything that is wrong with them goes to `find`.
    pub fn new(
        selection: Option<Selection>,
        steps: &[Word],
        types: &[(Spanned<FieldPath>, Type)],
        mask_key: Option<&hmac::Key>,
        find: &mut dyn FnMut(Wrong),
    ) -> Self {
        let mut compile = Compile { selection: selection.as_ref(), made: Vec::new(), mask_key, find };
        let compiled: Vec<_> = steps.iter().map(|step| compile.step(step)).collect();
        let lifts = types.iter().filter(|(path, _)| path.value.0.len() > 1);
        Self {
            masks: steps.iter().any(|step| !step.masks().is_empty()),
            selection,
            steps: compiled,
            lifts: lifts.map(|(path, _)| (path.value.0.clone(), path.value.to_string())).collect(),
        }
    }

    /// Whether it leaves every row as it is.
    pub fn is_idle(&self) -> bool {
        self.selection.is_none() && self.steps.is_empty() && self.lifts.is_empty()
    }

    /// Whether something in a row is masked, so that a row that cannot be read must not be shown.
    pub fn masks(&self) -> bool {
        self.masks
    }

    /// What a field of the row as it is sent is called behind the last step.
    pub fn name_of(&self, field: &str) -> String {
        let mut name = field.to_owned();
        for step in &self.steps {
            if let Step::Rename(names) = step
                && let Some((_, new)) = names.iter().find(|(old, _)| *old == name)
            {
                name.clone_from(new);
            }
        }
        name
    }

    /// How a field of the row as it is sent is masked, if it is.
    pub fn mask_of(&self, field: &str) -> Option<Mask> {
        let mut name = field.to_owned();
        let mut found = None;
        for step in &self.steps {
            match step {
                Step::Rename(names) => {
                    if let Some((_, new)) = names.iter().find(|(old, _)| *old == name) {
                        name.clone_from(new);
                    }
                }
                Step::Mask(masks) => {
                    found = masks.iter().find(|m| m.path == [name.as_str()]).map(|m| m.mask).or(found);
                }
                Step::KeepIf(_) | Step::Set(_) => {}
            }
        }
        found
    }

    /// Whether a field of the row as it is sent is left out altogether.
    pub fn drops(&self, field: &str) -> bool {
        self.selection.as_ref().is_some_and(|selection| selection.drops(field))
    }

    /// Whether a step makes a field of this name, or makes it anew.
    pub fn sets(&self, field: &str) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step, Step::Set(set) if set.iter().any(|(name, _)| name == field)))
    }

    /// Writes what is left of a row to `out`. The error: it is not one JSON object.
    ///
    /// `keep_if` does not count for a tombstone, which has to find its row whatever became of it; nor does a step
    /// that cannot take it.
    pub fn row(&self, row: &str, tombstone: bool, out: &mut String) -> Result<Fate, JsonError> {
        let mut fields = Fields::of(row)?;
        if let Some(selection) = &self.selection {
            selection.apply(&mut fields)?;
        }
        let mut fate = Fate::Lands;
        for step in &self.steps {
            match step.apply(&mut fields)? {
                Fate::LeftOut if !tombstone && fate == Fate::Lands => return Ok(Fate::LeftOut),
                bad @ Fate::Bad(_) if !tombstone && fate == Fate::Lands => fate = bad,
                Fate::Lands | Fate::LeftOut | Fate::Bad(_) => {}
            }
        }
        for (path, name) in &self.lifts {
            if let Some(value) = fields.take(path)? {
                fields.set(name, value);
            }
        }
        fields.write(out);
        Ok(fate)
    }

    /// Writes the fields of these names alone.
    pub fn only(row: &str, names: &[String], out: &mut String) -> Result<(), JsonError> {
        let mut fields = Fields::of(row)?;
        fields.edit(|name, _| if names.iter().any(|n| n == name) { Edit::Keep } else { Edit::Drop });
        fields.write(out);
        Ok(())
    }
}

impl Step {
    fn apply(&self, fields: &mut Fields<'_>) -> Result<Fate, JsonError> {
        match self {
            Self::KeepIf(expression) => Ok(match expression.value(fields) {
                Ok(cel::Value::Bool(true)) => Fate::Lands,
                Ok(cel::Value::Bool(false)) => Fate::LeftOut,
                Ok(other) => {
                    Fate::Bad(format!("`keep_if` gave {}, not true or false", expression::kind(&other)))
                }
                Err(why) => Fate::Bad(format!("`keep_if`: {why}")),
            }),
            Self::Set(columns) => {
                // All of them see the row as it was before this step.
                let values: Vec<_> =
                    columns.iter().map(|(_, e)| e.value(fields).and_then(|value| to_json(&value))).collect();
                let mut fate = Fate::Lands;
                for ((name, _), value) in columns.iter().zip(values) {
                    match value {
                        Ok(text) => fields.set(name, text),
                        Err(why) => fate = Fate::Bad(format!("`set` {name}: {why}")),
                    }
                }
                Ok(fate)
            }
            Self::Mask(masks) => masks.iter().try_for_each(|mask| mask.apply(fields)).map(|()| Fate::Lands),
            Self::Rename(names) => {
                for (from, to) in names {
                    fields.rename(from, to);
                }
                Ok(Fate::Lands)
            }
        }
    }
}

/// The words of a stream while they are compiled.
struct Compile<'a> {
    selection: Option<&'a Selection>,
    /// Fields that steps so far have made, and so are there whatever is selected.
    made: Vec<String>,
    mask_key: Option<&'a hmac::Key>,
    find: &'a mut dyn FnMut(Wrong),
}

impl Compile<'_> {
    fn step(&mut self, word: &Word) -> Step {
        match word {
            Word::KeepIf(text) => Step::KeepIf(self.expression(text)),
            Word::Set(columns) => {
                let set = columns.iter().map(|(name, text)| (name.value.clone(), self.expression(text)));
                let set: Vec<_> = set.collect();
                self.made.extend(set.iter().map(|(name, _)| name.clone()));
                Step::Set(set)
            }
            Word::Mask(masks) => {
                let masking = |(path, mask): &(Spanned<FieldPath>, Mask)| {
                    self.known(&path.value.0[0], path.span);
                    if *mask == Mask::Hmac && self.mask_key.is_none() {
                        let help = "set SYNC_MASK_KEY, or write `mask_key: \"${env:NAME}\"` or `${file:PATH}` at the top of the file";
                        self.wrong(path.span, "`hmac` needs a key, and there is none".to_owned(), help);
                    }
                    Masking { path: path.value.0.clone(), mask: *mask, key: self.mask_key.cloned() }
                };
                Step::Mask(masks.iter().map(masking).collect())
            }
            Word::Rename(names) => {
                for (index, (from, to)) in names.iter().enumerate() {
                    self.known(&from.value, from.span);
                    if names[..index].iter().any(|(_, other)| other.value == to.value) {
                        self.wrong(
                            to.span,
                            format!("two fields cannot both be called `{}`", to.value),
                            "name them apart",
                        );
                    }
                }
                self.made.extend(names.iter().map(|(_, to)| to.value.clone()));
                Step::Rename(names.iter().map(|(from, to)| (from.value.clone(), to.value.clone())).collect())
            }
        }
    }

    fn expression(&mut self, text: &Spanned<String>) -> Expression {
        match Expression::new(&text.value) {
            Ok(expression) => {
                expression.fields().to_vec().iter().for_each(|field| self.known(field, text.span));
                expression
            }
            Err(wrong) => {
                let help = Some("expressions are CEL: https://cel.dev".to_owned());
                (self.find)(Wrong { span: text.span, at: Some(wrong.at), message: wrong.message, help });
                Expression::new("null").expect("a constant")
            }
        }
    }

    /// A step that looks at a field that is never there is a slip of the finger.
    fn known(&mut self, field: &str, span: Span) {
        let dropped = self.selection.is_some_and(|s| s.drops(field));
        if dropped && !self.made.iter().any(|made| made == field) {
            self.wrong(span, format!("`{field}` is left out by `select`"), "select it, or leave it out here");
        }
    }

    fn wrong(&mut self, span: Span, message: String, help: &str) {
        (self.find)(Wrong { span, at: None, message, help: Some(help.to_owned()) });
    }
}

#[cfg(test)]
mod tests;

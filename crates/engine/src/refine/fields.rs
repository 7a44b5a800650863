//! A row as a list of fields, each the JSON text of its value, and what is done inside nested ones.

use std::borrow::Cow;

use sync_connectors::json::{self, JsonError};

/// A row whose fields can be taken out, renamed and replaced. Values are JSON text, as they were sent where
/// nothing touched them.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    list: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Fields<'a> {
    /// The fields of an object, in order. Of a name that comes twice the last value counts.
    pub fn of(object: &'a str) -> Result<Self, JsonError> {
        let mut fields = Self::default();
        json::each_raw(object, |name, raw| {
            match fields.place(name) {
                Some(place) => fields.list[place].1 = Cow::Borrowed(raw),
                None => fields.list.push((Cow::Owned(name.to_owned()), Cow::Borrowed(raw))),
            }
            true
        })?;
        Ok(fields)
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|(n, _)| n == name)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.place(name).map(|place| self.list[place].1.as_ref())
    }

    /// Gives a field a value, at its place or at the end.
    pub fn set(&mut self, name: &str, value: String) {
        match self.place(name) {
            Some(place) => self.list[place].1 = Cow::Owned(value),
            None => self.list.push((Cow::Owned(name.to_owned()), Cow::Owned(value))),
        }
    }

    /// Renames a field; one that had the new name gives way.
    pub fn rename(&mut self, from: &str, to: &str) {
        let Some(place) = self.place(from) else { return };
        self.list[place].0 = Cow::Owned(to.to_owned());
        let mut index = 0;
        self.list.retain(|(name, _)| {
            index += 1;
            name != to || index == place + 1
        });
    }

    /// Keeps the fields for which a value comes back, with that value.
    pub fn edit(&mut self, mut edit: impl FnMut(&str, &str) -> Edit) {
        self.list.retain_mut(|(name, value)| match edit(name, value) {
            Edit::Keep => true,
            Edit::Drop => false,
            Edit::Replace(text) => {
                *value = Cow::Owned(text);
                true
            }
        });
    }

    /// Writes the object.
    pub fn write(&self, out: &mut String) {
        out.push('{');
        for (index, (name, value)) in self.list.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            sync_core::form::json_string(name, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
    }
}

/// What becomes of a field.
pub(super) enum Edit {
    Keep,
    Drop,
    Replace(String),
}

/// The elements of a list, each as JSON text.
pub(super) fn elements(list: &str) -> Result<Vec<&str>, JsonError> {
    let mut elements = Vec::new();
    json::each_element(list, |raw| elements.push(raw))?;
    Ok(elements)
}

//! A row as a list of fields, each the JSON text of its value, and what is done inside nested ones.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::json::{self, JsonError};

/// Fields that are looked at one by one to find one; of more the places are remembered.
const MANY: usize = 32;

/// An object whose fields can be taken out, renamed and replaced. Values are JSON text, as they were sent where
/// nothing touched them.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    list: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Fields<'a> {
    /// The fields of an object, in order. Of a name that comes twice the last value counts.
    pub fn of(object: &'a str) -> Result<Self, JsonError> {
        let mut list: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        // Where each name is, once there are too many to look at one by one.
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::new();
        json::each_raw(object, |name, raw| {
            if list.len() == MANY {
                places = list.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
            }
            let place = match list.len() < MANY {
                true => list.iter().position(|(n, _)| *n == name),
                false => places.get(&name).copied(),
            };
            if let Some(place) = place {
                list[place].1 = Cow::Borrowed(raw);
                return true;
            }
            if list.len() >= MANY {
                places.insert(name.clone(), list.len());
            }
            list.push((name, Cow::Borrowed(raw)));
            true
        })?;
        Ok(Self { list })
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|(n, _)| n == name)
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.place(name).map(|place| self.list[place].1.as_ref())
    }

    /// Name and value of each field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Gives a field a value, at its place or at the end.
    pub fn set(&mut self, name: &str, value: String) {
        match self.place(name) {
            Some(place) => self.list[place].1 = Cow::Owned(value),
            None => self.list.push((Cow::Owned(name.to_owned()), Cow::Owned(value))),
        }
    }

    /// Adds a field of a name that is not there.
    pub(crate) fn push(&mut self, name: String, value: String) {
        self.list.push((Cow::Owned(name), Cow::Owned(value)));
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

    /// The value at a path, which the row loses. What is on the way stays, be it empty then.
    pub fn take(&mut self, path: &[String]) -> Result<Option<String>, JsonError> {
        let Some((first, rest)) = path.split_first() else { return Ok(None) };
        let Some(place) = self.place(first) else { return Ok(None) };
        if rest.is_empty() {
            return Ok(Some(self.list.remove(place).1.into_owned()));
        }
        let value = &self.list[place].1;
        if !value.starts_with('{') {
            return Ok(None);
        }
        let mut inner = Fields::of(value)?;
        let Some(found) = inner.take(rest)? else { return Ok(None) };
        let mut text = String::with_capacity(value.len());
        inner.write(&mut text);
        self.list[place].1 = Cow::Owned(text);
        Ok(Some(found))
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
pub enum Edit {
    /// It stays as it is.
    Keep,
    /// It goes.
    Drop,
    /// It has this value from now on, as JSON text.
    Replace(String),
}

/// The elements of a list, each as JSON text.
pub fn elements(list: &str) -> Result<Vec<&str>, JsonError> {
    let mut elements = Vec::new();
    json::each_element(list, |raw| elements.push(raw))?;
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_name_that_comes_twice_the_last_value_counts_at_the_first_place() {
        for wide in [0, MANY - 1, MANY, 3 * MANY] {
            let names =
                |mark: usize| (0..wide).map(|n| format!("\"f{n}\":{mark},")).collect::<Vec<_>>().concat();
            let row = format!("{{\"a\":1,{}\"\\u0061\":2,{}\"z\":0}}", names(1), names(2));
            let mut out = String::new();
            Fields::of(&row).expect("JSON").write(&mut out);
            assert_eq!(out, format!("{{\"a\":2,{}\"z\":0}}", names(2)));
        }
    }
}

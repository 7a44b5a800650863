//! What is done to an answer before its rows are looked at: unpacked, decoded, exploded, and given what its slice
//! sets. What is done to a row on its way out is [`crate::mold`]'s.
//!
//! Rows stay text. One that changes is written anew from the raw texts of its fields, so that every number keeps its
//! digits.

use std::borrow::Cow;
use std::io::Read as _;
use std::ops::Range;

use bytes::Bytes;
use serde_json::Value as Json;
use sync_spec::{Decode, FieldPath};

use crate::json::{self, JsonError, RowsError};
use crate::plan::Rewrite;

/// A body that is unpacked takes no more than this: a small file can be made to unpack without end.
const UNPACKED_MAX: u64 = 1 << 30;

/// The rows of an answer, written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// A list of all of them.
    pub body: String,
    /// Which record of the answer each row is from.
    pub owners: Vec<usize>,
    /// Records whose list was not whole.
    pub cut: u64,
}

impl Rewrite {
    /// Whether rows are written anew.
    pub fn writes(&self) -> bool {
        self.explode.is_some() || !self.set.is_empty()
    }

    /// The body as one JSON text. The error continues "the provider".
    pub fn decoded(&self, body: Bytes) -> Result<Bytes, String> {
        let body = if self.gzip { unpacked(&body)? } else { body };
        match self.decode {
            Decode::Json => Ok(body),
            Decode::Jsonl => Ok(lines(utf8(&body)?).into()),
            Decode::Csv => table(utf8(&body)?).map(Bytes::from),
        }
    }

    /// The rows of an answer, written anew with what the slice sets.
    pub fn apply(
        &self,
        body: &str,
        rows: &[Range<u32>],
        set: &[(String, Json)],
    ) -> Result<Rewritten, JsonError> {
        let mut out = Rewritten { body: "[".to_owned(), owners: Vec::with_capacity(rows.len()), cut: 0 };
        for (owner, range) in rows.iter().enumerate() {
            let row = &body[range.start as usize..range.end as usize];
            if !row.starts_with('{') {
                out.enter(owner, row); // no object: whoever loads it sets it aside
                continue;
            }
            match &self.explode {
                None => out.enter(owner, &written(row, &[], set)?),
                Some(explode) => {
                    let more = explode.more.as_ref().and_then(|path| raw_at(row, path));
                    out.cut += u64::from(more.is_some_and(|raw| raw != "null"));
                    let carried: Vec<(&str, String)> = explode
                        .carry
                        .iter()
                        .filter_map(|(name, path)| Some((name.as_str(), raw_at(row, path)?.to_owned())))
                        .collect();
                    let Some(list) = raw_at(row, &explode.path).filter(|raw| raw.starts_with('[')) else {
                        continue;
                    };
                    let mut elements = Vec::new();
                    json::each_element(list, |element| elements.push(element))?;
                    for element in elements {
                        // An element that is no object is the value of a field called as its list is.
                        let last = explode.path.0.last().map_or("value", String::as_str);
                        let wrapped = match element.trim_start().starts_with('{') {
                            true => Cow::Borrowed(element),
                            false => Cow::Owned(format!("{{{}:{element}}}", Json::from(last))),
                        };
                        out.enter(owner, &written(&wrapped, &carried, set)?);
                    }
                }
            }
        }
        out.body.push(']');
        Ok(out)
    }
}

impl Rewritten {
    fn enter(&mut self, owner: usize, row: &str) {
        if !self.owners.is_empty() {
            self.body.push(',');
        }
        self.body.push_str(row);
        self.owners.push(owner);
    }
}

/// One row: its own fields, those it takes along, and those that are set, which win over its own.
fn written(row: &str, carried: &[(&str, String)], set: &[(String, Json)]) -> Result<String, JsonError> {
    let mut out = String::with_capacity(row.len() + 64);
    let given = |name: &str| set.iter().any(|(n, _)| n == name) || carried.iter().any(|(n, _)| *n == name);
    let mut field = |name: &str, raw: &str| {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&Json::from(name).to_string());
        out.push(':');
        out.push_str(raw);
    };
    json::each_raw(row, |name, raw| {
        if !given(&name) {
            field(&name, raw);
        }
        true
    })?;
    for (name, raw) in carried {
        field(name, raw);
    }
    for (name, value) in set {
        field(name, &value.to_string());
    }
    if out.is_empty() {
        out.push('{');
    }
    out.push('}');
    Ok(out)
}

/// The raw text of the value at a path.
pub(crate) fn raw_at<'a>(object: &'a str, path: &FieldPath) -> Option<&'a str> {
    let mut text = object;
    for name in &path.0 {
        let mut found = None;
        json::each_raw(text, |n, raw| {
            found = (n == *name).then_some(raw);
            found.is_none()
        })
        .ok()?;
        text = found?.trim();
    }
    Some(text)
}

/// Two objects as one: fields of the second that the first lacks come after its own, objects in both are joined in the
/// same way, and else the first wins.
pub(crate) fn joined(first: &str, second: &str) -> Result<String, JsonError> {
    let mut theirs: Vec<(String, &str)> = Vec::new();
    json::each_raw(second, |name, raw| {
        theirs.push((name.into_owned(), raw));
        true
    })?;
    let (mut out, mut broken) = (String::with_capacity(first.len() + second.len()), None);
    let mut entries: Vec<(String, String)> = Vec::new();
    json::each_raw(first, |name, raw| {
        let both = theirs.iter().position(|(n, _)| *n == name).map(|at| theirs.swap_remove(at).1);
        let value = match both {
            Some(other) if raw.trim_start().starts_with('{') && other.trim_start().starts_with('{') => {
                joined(raw, other).map_err(|error| broken = Some(error)).unwrap_or_default()
            }
            _ => raw.to_owned(),
        };
        entries.push((name.into_owned(), value));
        true
    })?;
    if let Some(error) = broken {
        return Err(error);
    }
    entries.extend(theirs.into_iter().map(|(name, raw)| (name, raw.to_owned())));
    for (name, raw) in entries {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&Json::from(name).to_string());
        out.push(':');
        out.push_str(&raw);
    }
    if out.is_empty() {
        out.push('{');
    }
    out.push('}');
    Ok(out)
}

/// A page whose rows came in pieces, joined by their key: the first piece with the fields of the others. Nothing where a
/// row of one piece is in no other.
pub(crate) fn merged(
    pieces: &[&str],
    records: &[FieldPath],
    on: &FieldPath,
) -> Result<Option<String>, RowsError> {
    let Some((first, others)) = pieces.split_first() else { return Ok(None) };
    let rows = json::rows(first, records)?;
    let key = |row: &str| raw_at(row, on).map(str::to_owned);
    let mut by_key = Vec::new();
    for other in others {
        let ranges = json::rows(other, records)?;
        if ranges.len() != rows.len() {
            return Ok(None);
        }
        let texts = ranges.iter().map(|r| &other[r.start as usize..r.end as usize]);
        by_key.push(texts.map(|row| (key(row), row)).collect::<std::collections::HashMap<_, _>>());
    }
    let (mut out, mut at) = (String::with_capacity(first.len() * pieces.len()), 0);
    for range in &rows {
        let (start, end) = (range.start as usize, range.end as usize);
        let own = &first[start..end];
        let mut row = own.to_owned();
        for other in &by_key {
            let Some(more) = other.get(&key(own)) else { return Ok(None) };
            row = joined(&row, more)?;
        }
        out.push_str(&first[at..start]);
        out.push_str(&row);
        at = end;
    }
    out.push_str(&first[at..]);
    Ok(Some(out))
}

fn utf8(body: &[u8]) -> Result<&str, String> {
    simdutf8::basic::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
        .map_err(|_| "answered with a text that is not UTF-8".to_owned())
}

/// The content of a compressed file. A body that is none, because a proxy unpacked it on its way, stays as it is.
fn unpacked(body: &Bytes) -> Result<Bytes, String> {
    if !body.starts_with(b"\x1f\x8b") {
        return Ok(body.clone());
    }
    let mut out = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(&body[..]).take(UNPACKED_MAX + 1);
    match reader.read_to_end(&mut out) {
        Ok(_) if out.len() as u64 > UNPACKED_MAX => {
            Err("answered with a file that unpacks to more than 1 GiB".into())
        }
        Ok(_) => Ok(out.into()),
        Err(error) => Err(format!("answered with a file that is not whole: {error}")),
    }
}

/// A value a line, as one list. Empty lines are none.
fn lines(text: &str) -> String {
    let values: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    format!("[{}]", values.join(","))
}

/// Comma-separated values (RFC 4180) as a list of objects; every value is a text. Errors: a line with more values than
/// there are names, a name that is there twice.
fn table(text: &str) -> Result<String, String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let names: Vec<String> = match reader.headers() {
        Ok(names) => names.iter().map(str::to_owned).collect(),
        Err(error) => return Err(format!("answered with a table that cannot be read: {error}")),
    };
    if let Some((at, name)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(format!(
            "answered with a table whose column {} is called `{name}` as another is",
            at + 1
        ));
    }
    let mut out = String::from("[");
    for (line, record) in reader.records().enumerate() {
        let record = record.map_err(|error| format!("answered with a table that cannot be read: {error}"))?;
        if record.len() > names.len() {
            let message = "answered with a table that has more values than names";
            return Err(format!("{message}, in line {}", line + 2));
        }
        let fields: Vec<String> = names
            .iter()
            .zip(&record)
            .map(|(name, value)| format!("{}:{}", Json::from(name.as_str()), Json::from(value)))
            .collect();
        out.push_str(if line == 0 { "{" } else { ",{" });
        out.push_str(&fields.join(","));
        out.push('}');
    }
    out.push(']');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sync_spec::Explode;

    use super::*;

    fn path(text: &str) -> FieldPath {
        FieldPath(text.split('.').map(str::to_owned).collect())
    }

    #[track_caller]
    fn check(rewrite: &Rewrite, body: &str, set: &[(String, Json)], expect: &str) {
        let rows = json::rows(body, &[]).expect("a list");
        assert_eq!(rewrite.apply(body, &rows, set).expect("objects").body, expect);
    }

    #[test]
    fn rows_take_what_is_set() {
        let rewrite = Rewrite::default();
        let set = [("order".to_owned(), json!(7)), ("a".to_owned(), json!("x"))];
        check(
            &rewrite,
            r#"[{"a":1,"b":2,"c":{"d":1,"e":9007199254740993.10},"n":1e2},{}]"#,
            &set,
            r#"[{"b":2,"c":{"d":1,"e":9007199254740993.10},"n":1e2,"order":7,"a":"x"},{"order":7,"a":"x"}]"#,
        );
    }

    #[test]
    fn elements_of_a_list_become_rows() {
        let carry = vec![("from_id".to_owned(), path("from.id"))];
        let rewrite =
            Rewrite { explode: Some(Explode { path: path("to"), carry, more: None }), ..Rewrite::default() };
        let body = r#"[{"from":{"id":"1"},"to":[{"id":2},{"id":3}]},{"from":{"id":"4"},"to":[]},{"to":[5]},{"x":1}]"#;
        let rows = json::rows(body, &[]).expect("a list");
        let rewritten = rewrite.apply(body, &rows, &[]).expect("objects");
        assert_eq!(rewritten.body, r#"[{"id":2,"from_id":"1"},{"id":3,"from_id":"1"},{"to":5}]"#);
        assert_eq!(rewritten.owners, [0, 0, 2]);
    }

    #[test]
    fn pieces_of_a_page_are_joined_by_key() {
        let a = r#"{"results":[{"id":"1","p":{"a":1.50}},{"id":"2","p":{"a":null}}],"paging":{"next":3}}"#;
        let b = r#"{"results":[{"id":"2","p":{"b":"x"}},{"id":"1","p":{"b":"y"},"late":true}]}"#;
        let records = [path("results")];
        let whole = merged(&[a, b], &records, &path("id")).expect("lists").expect("the same rows");
        assert_eq!(
            whole,
            r#"{"results":[{"id":"1","p":{"a":1.50,"b":"y"},"late":true},{"id":"2","p":{"a":null,"b":"x"}}],"paging":{"next":3}}"#
        );
        let c = r#"{"results":[{"id":"2"},{"id":"3"}]}"#;
        assert_eq!(merged(&[a, c], &records, &path("id")), Ok(None));
        let d = r#"{"results":[{"id":"2"}]}"#;
        assert_eq!(merged(&[a, d], &records, &path("id")), Ok(None));
    }

    #[test]
    fn tables_and_lines_become_lists() {
        assert_eq!(
            table("id,name\n1,\"a, \"\"b\"\"\"\n\"2\",\n").as_deref(),
            Ok(r#"[{"id":"1","name":"a, \"b\""},{"id":"2","name":""}]"#)
        );
        assert_eq!(table("id,name\n").as_deref(), Ok("[]"));
        assert!(table("id\n1,2\n").is_err());
        assert!(table("id,id\n1,2\n").is_err());
        assert_eq!(lines("{\"a\":1}\r\n\n{\"a\":2}\n"), r#"[{"a":1},{"a":2}]"#);
    }

    #[test]
    fn compressed_files_are_unpacked() {
        use std::io::Write as _;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"{\"a\":1}\n").expect("memory");
        let packed = Bytes::from(packed.finish().expect("memory"));
        let rewrite = Rewrite { gzip: true, decode: Decode::Jsonl, ..Rewrite::default() };
        assert_eq!(rewrite.decoded(packed.clone()).as_deref(), Ok(&br#"[{"a":1}]"#[..]));
        assert!(rewrite.decoded(packed.slice(..packed.len() - 4)).is_err(), "cut short");
        assert_eq!(
            rewrite.decoded(Bytes::from_static(b"{}")).as_deref(),
            Ok(&b"[{}]"[..]),
            "unpacked on its way"
        );
    }
}

//! JSON pages, read in place: where the rows are, and what one row holds.
//!
//! The only file that names the JSON reader. It drives the reader's token scanner directly: no value tree is
//! built, no text is copied unless it has escapes, and nested values stay the exact text that was sent.
//!
//! Two speeds, on purpose. Finding rows and looking up a few fields skips over everything else by counting
//! brackets, several gigabytes a second, and proves only that strings and brackets close. [`each_field`], which
//! sees every row that is loaded, checks every token.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use sonic_rs::Read;
use sonic_rs::parser::{Parser, Reference};
use sonic_rs::reader::Reader;
use sync_spec::FieldPath;

/// Objects and lists inside each other, at most. More is an error: it would be a stack's worth of recursion.
const DEPTH_MAX: u32 = 128;

/// A value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number: its digits as they were sent.
    Number(&'a str),
    /// A text, borrowed unless it had escapes.
    Text(Cow<'a, str>),
    /// An object or a list: the exact text that was sent.
    Nested(&'a str),
}

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The byte at which it stops being JSON, about.
    pub at: usize,
    /// What is wrong there.
    pub message: &'static str,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON at byte {}: {}", self.at, self.message)
    }
}

impl std::error::Error for JsonError {}

/// Why a page has no rows to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsError {
    /// It is not JSON.
    Json(JsonError),
    /// There is no list where one was due. Holds what the whole answer is: `an object`, `a text`, …
    NoList(&'static str),
    /// The list holds no object, but others.
    NotAnObject {
        /// What the first of them is: `a number`, `a list`, …
        found: &'static str,
    },
    /// It has 4 GiB or more.
    TooLarge,
}

impl From<JsonError> for RowsError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// Calls `visit` with the fields of an object, in order. Every token is checked.
///
/// Errors: what `visit` returns; text that is not one JSON object, with more than 128 levels, or with a lone
/// surrogate. Fields before the error have been visited by then.
pub fn each_field<'a, E: From<JsonError>>(
    row: &'a str,
    mut visit: impl FnMut(&str, Value<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut scan = Scan::new(row);
    let (mut name_buffer, mut text_buffer) = (Vec::new(), Vec::new());
    scan.expect(b'{', "an object begins with {")?;
    let mut token = scan.token()?;
    if token != b'}' {
        loop {
            let name = scan.name(token, &mut name_buffer)?;
            let value = scan.value(&mut text_buffer)?;
            visit(&name, value)?;
            match scan.token()? {
                b',' => token = scan.token()?,
                b'}' => break,
                _ => return Err(scan.wrong("a field is followed by , or }").into()),
            }
        }
    }
    scan.end().map_err(E::from)
}

/// The byte ranges of the rows of a page: the objects in the first of `paths` that leads to a list. An empty
/// path is the whole answer, and no paths are that one. Elements that are no objects are among them, for whoever
/// loads the rows to set them aside.
///
/// Strings and brackets are proven to close to the end of the answer; what is inside a row is not looked at.
pub fn rows(body: &str, paths: &[FieldPath]) -> Result<Vec<Range<u32>>, RowsError> {
    if u32::try_from(body.len()).is_err() {
        return Err(RowsError::TooLarge);
    }
    let (start, depth) = find_list(body, paths)?.ok_or_else(|| RowsError::NoList(kind_of(body)))?;
    let mut scan = Scan::at(body, start);
    let rows = scan.rows()?;
    scan.close(depth)?;
    Ok(rows)
}

/// Whether a page that has rows has one that is an object. Where none is, the list is of something else.
pub fn objects(body: &str, rows: &[Range<u32>]) -> Result<(), RowsError> {
    let first = |row: &Range<u32>| body.as_bytes()[row.start as usize];
    match rows.first() {
        Some(row) if rows.iter().all(|row| first(row) != b'{') => {
            Err(RowsError::NotAnObject { found: kind_of(&body[row.start as usize..]) })
        }
        _ => Ok(()),
    }
}

/// Whether a page is worth reading as a page: it holds a list where one is due and ends as its beginning
/// promises. A glance, for an answer that [`rows`] reads properly afterwards.
pub fn glance(body: &str, paths: &[FieldPath]) -> Result<(), RowsError> {
    let (_, depth) = find_list(body, paths)?.ok_or_else(|| RowsError::NoList(kind_of(body)))?;
    let last = if depth == 0 { ']' } else { '}' };
    if body.trim_end().ends_with(last) {
        return Ok(());
    }
    Err(JsonError { at: body.len(), message: ENDS_EARLY }.into())
}

/// The value at a path of an object, if it is there. Anything on the way that is not JSON is as good as absent.
pub fn get<'a>(object: &'a str, path: &[String]) -> Option<Value<'a>> {
    let mut text = object;
    for name in path {
        let mut found = None;
        each_raw(text, |n, raw| {
            found = (n == *name).then_some(raw);
            found.is_none()
        })
        .ok()?;
        text = found?;
    }
    value(text).ok()
}

/// The values at several paths of one row, in one pass that ends as soon as all are found. `out` gets one
/// entry a path.
pub fn pick<'a>(
    row: &'a str,
    paths: &[FieldPath],
    out: &mut Vec<Option<Value<'a>>>,
) -> Result<(), JsonError> {
    out.clear();
    out.resize(paths.len(), None);
    let mut missing = paths.len();
    if missing == 0 {
        return Ok(());
    }
    let mut broken = None;
    each_raw(row, |name, raw| {
        for (path, slot) in paths.iter().zip(out.iter_mut()) {
            let Some((first, rest)) = path.0.split_first() else { continue };
            if slot.is_some() || *first != name {
                continue;
            }
            *slot = if rest.is_empty() {
                value(raw).map_err(|error| broken = Some(error)).ok()
            } else {
                get(raw, rest)
            };
            missing -= usize::from(slot.is_some());
        }
        missing > 0 && broken.is_none()
    })?;
    broken.map_or(Ok(()), Err)
}

/// What a JSON text is, by its first character.
pub fn kind_of(text: &str) -> &'static str {
    match text.trim_start().as_bytes().first() {
        None => "nothing",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b'n') => "null",
        Some(b't' | b'f') => "true or false",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(_) => "not JSON",
    }
}

const ENDS_EARLY: &str = "it ends too early";

/// One JSON value that is the whole text, every token of it checked.
pub fn value(text: &str) -> Result<Value<'_>, JsonError> {
    let mut scan = Scan::new(text);
    let value = scan.value(&mut Vec::new())?;
    scan.end()?;
    Ok(value)
}

/// Calls `visit` with the text of each element of a list. Inside them only strings and brackets are proven.
pub fn each_element<'a>(list: &'a str, mut visit: impl FnMut(&'a str)) -> Result<(), JsonError> {
    let mut scan = Scan::new(list);
    scan.expect(b'[', "a list begins with [")?;
    if scan.token()? == b']' {
        return Ok(());
    }
    let at = scan.parser.read.index() - 1;
    scan.parser.read.set_index(at);
    loop {
        visit(scan.skip()?);
        match scan.token()? {
            b',' => {}
            b']' => return Ok(()),
            _ => return Err(scan.wrong("an element is followed by , or ]")),
        }
    }
}

/// Calls `visit` with name and raw value of each field until it returns false. Inside values only strings and
/// brackets are proven.
pub fn each_raw<'a>(
    object: &'a str,
    mut visit: impl FnMut(Cow<'a, str>, &'a str) -> bool,
) -> Result<(), JsonError> {
    let mut scan = Scan::new(object);
    let mut buffer = Vec::new();
    scan.expect(b'{', "an object begins with {")?;
    let mut token = scan.token()?;
    while token != b'}' {
        let name = match scan.name(token, &mut buffer)? {
            Reference::Borrowed(name) => Cow::Borrowed(name),
            Reference::Copied(name) => Cow::Owned(name.to_owned()),
        };
        let raw = scan.skip()?;
        if !visit(name, raw) {
            return Ok(());
        }
        token = match scan.token()? {
            b',' => scan.token()?,
            b'}' => break,
            _ => return Err(scan.wrong("a field is followed by , or }")),
        };
    }
    Ok(())
}

/// Where the first list of `paths` begins, and how many objects it is in.
fn find_list(body: &str, paths: &[FieldPath]) -> Result<Option<(usize, usize)>, JsonError> {
    if paths.is_empty() {
        return Ok(begins(body, 0).map(|start| (start, 0)));
    }
    for path in paths {
        if let Some(start) = locate(body, &path.0)?.and_then(|at| begins(body, at)) {
            return Ok(Some((start, path.0.len())));
        }
    }
    Ok(None)
}

/// Where the list begins that is the value at `at`, if it is one.
fn begins(body: &str, at: usize) -> Option<usize> {
    let rest = body[at..].trim_start();
    rest.starts_with('[').then(|| body.len() - rest.len())
}

/// Where the value at a path begins.
fn locate(body: &str, path: &[String]) -> Result<Option<usize>, JsonError> {
    let mut scan = Scan::new(body);
    let mut buffer = Vec::new();
    'path: for wanted in path {
        if scan.token()? != b'{' {
            return Ok(None);
        }
        let mut token = scan.token()?;
        while token != b'}' {
            if *scan.name(token, &mut buffer)? == *wanted {
                continue 'path;
            }
            scan.skip()?;
            token = match scan.token()? {
                b',' => scan.token()?,
                b'}' => break,
                _ => return Err(scan.wrong("a field is followed by , or }")),
            };
        }
        return Ok(None);
    }
    Ok(Some(scan.parser.read.index()))
}

/// The scanner and its text.
struct Scan<'a> {
    parser: Parser<Read<'a>>,
    text: &'a str,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        // Half a surrogate pair, which JSON can write and no text can hold, is read as U+FFFD.
        Self { parser: Parser::new(Read::from(text)).utf8_lossy(), text }
    }

    fn at(text: &'a str, start: usize) -> Self {
        let mut scan = Self::new(text);
        scan.parser.read.set_index(start);
        scan
    }

    /// The next character that is not blank.
    fn token(&mut self) -> Result<u8, JsonError> {
        self.parser.skip_space().ok_or(JsonError { at: self.text.len(), message: ENDS_EARLY })
    }

    fn expect(&mut self, wanted: u8, message: &'static str) -> Result<(), JsonError> {
        if self.token()? == wanted { Ok(()) } else { Err(self.wrong(message)) }
    }

    /// Nothing but blanks may follow.
    fn end(&mut self) -> Result<(), JsonError> {
        match self.parser.skip_space() {
            None => Ok(()),
            Some(_) => Err(self.wrong("something follows its end")),
        }
    }

    /// An error at the last character that was read.
    #[cold]
    fn wrong(&self, message: &'static str) -> JsonError {
        let at = self.parser.read.index().saturating_sub(1);
        if at >= self.text.len() {
            return JsonError { at: self.text.len(), message: ENDS_EARLY };
        }
        JsonError { at, message }
    }

    /// A field's name and its colon, after the name's quote.
    fn name<'b>(&mut self, token: u8, buffer: &'b mut Vec<u8>) -> Result<Reference<'a, 'b, str>, JsonError> {
        if token != b'"' {
            return Err(self.wrong("a field begins with its name in quotes"));
        }
        let name = self.parser.parse_str(buffer).map_err(|e| broken(&e, "the name is not a JSON text"))?;
        if self.token()? != b':' {
            return Err(self.wrong("a name is followed by :"));
        }
        Ok(name)
    }

    /// The next value, every token of it checked.
    fn value(&mut self, buffer: &mut Vec<u8>) -> Result<Value<'a>, JsonError> {
        let first = self.token()?;
        let start = self.parser.read.index() - 1;
        Ok(match first {
            b'"' => match self.parser.parse_str(buffer).map_err(|e| broken(&e, BAD_TEXT))? {
                Reference::Borrowed(text) => Value::Text(Cow::Borrowed(text)),
                Reference::Copied(text) => Value::Text(Cow::Owned(text.to_owned())),
            },
            b'-' | b'0'..=b'9' => {
                Value::Number(self.parser.skip_number(first).map_err(|e| broken(&e, BAD_NUMBER))?)
            }
            _ => {
                self.check(first, buffer, DEPTH_MAX)?;
                match first {
                    b'n' => Value::Null,
                    b't' => Value::Bool(true),
                    b'f' => Value::Bool(false),
                    _ => Value::Nested(&self.text[start..self.parser.read.index()]),
                }
            }
        })
    }

    /// Reads to the end of the value whose first character was read, and checks every token.
    fn check(&mut self, first: u8, buffer: &mut Vec<u8>, depth: u32) -> Result<(), JsonError> {
        match first {
            b'"' => {
                self.parser.parse_str(buffer).map_err(|e| broken(&e, BAD_TEXT))?;
            }
            b'-' | b'0'..=b'9' => {
                self.parser.skip_number(first).map_err(|e| broken(&e, BAD_NUMBER))?;
            }
            b'n' => self.parser.parse_literal("ull").map_err(|e| broken(&e, BAD_WORD))?,
            b't' => self.parser.parse_literal("rue").map_err(|e| broken(&e, BAD_WORD))?,
            b'f' => self.parser.parse_literal("alse").map_err(|e| broken(&e, BAD_WORD))?,
            b'{' | b'[' if depth == 0 => return Err(self.wrong("more than 128 levels inside each other")),
            b'{' => {
                let mut token = self.token()?;
                while token != b'}' {
                    self.name(token, buffer)?;
                    let first = self.token()?;
                    self.check(first, buffer, depth - 1)?;
                    token = match self.token()? {
                        b',' => self.token()?,
                        b'}' => return Ok(()),
                        _ => return Err(self.wrong("a field is followed by , or }")),
                    };
                    if token == b'}' {
                        return Err(self.wrong("a field follows a ,"));
                    }
                }
            }
            b'[' => {
                let mut token = self.token()?;
                while token != b']' {
                    self.check(token, buffer, depth - 1)?;
                    token = match self.token()? {
                        b',' => self.token()?,
                        b']' => return Ok(()),
                        _ => return Err(self.wrong("a value is followed by , or ]")),
                    };
                    if token == b']' {
                        return Err(self.wrong("a value follows a ,"));
                    }
                }
            }
            _ => return Err(self.wrong("no value begins so")),
        }
        Ok(())
    }

    /// The raw text of the next value: strings and brackets closed, no more is proven.
    fn skip(&mut self) -> Result<&'a str, JsonError> {
        let wrong = |e: sonic_rs::Error| broken(&e, "the value does not end");
        if self.parser.skip_space_peek().is_none() {
            return Err(JsonError { at: self.text.len(), message: ENDS_EARLY });
        }
        let start = self.parser.read.index();
        self.parser.skip_one(false).map_err(wrong)?;
        Ok(self.text[start..self.parser.read.index()].trim_end())
    }

    /// The ranges of the objects of a list.
    fn rows(&mut self) -> Result<Vec<Range<u32>>, RowsError> {
        self.expect(b'[', "a list begins with [")?;
        let mut rows = Vec::new();
        let mut token = self.token()?;
        if token == b']' {
            return Ok(rows);
        }
        loop {
            let start = self.parser.read.index() - 1;
            if token != b'{' && kind_of(&self.text[start..]) == "not JSON" {
                return Err(self.wrong("no value begins so").into());
            }
            self.parser.read.set_index(start);
            self.parser.skip_one(false).map_err(|e| broken(&e, "a row does not end"))?;
            rows.push(start as u32..self.parser.read.index() as u32);
            match self.token()? {
                b',' => token = self.token()?,
                b']' => return Ok(rows),
                _ => return Err(self.wrong("a row is followed by , or ]").into()),
            }
        }
    }

    /// Reads to the end of so many open objects and of the answer.
    fn close(&mut self, depth: usize) -> Result<(), JsonError> {
        let mut buffer = Vec::new();
        for _ in 0..depth {
            loop {
                match self.token()? {
                    b'}' => break,
                    b',' => {
                        let token = self.token()?;
                        self.name(token, &mut buffer)?;
                        self.skip()?;
                    }
                    _ => return Err(self.wrong("a field is followed by , or }")),
                }
            }
        }
        self.end()
    }
}

const BAD_TEXT: &str = "the text is not valid";
const BAD_NUMBER: &str = "the number is not valid";
const BAD_WORD: &str = "only true, false and null stand without quotes";

#[cold]
fn broken(error: &sonic_rs::Error, message: &'static str) -> JsonError {
    let message = if error.is_eof() { ENDS_EARLY } else { message };
    JsonError { at: error.offset(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(row: &str) -> Result<Vec<(String, Value<'_>)>, JsonError> {
        let mut list = Vec::new();
        each_field(row, |name, value| {
            list.push((name.to_owned(), value));
            Ok::<_, JsonError>(())
        })?;
        Ok(list)
    }

    #[track_caller]
    fn check(row: &str, expect: &[(&str, Value<'_>)]) {
        let expect: Vec<_> = expect.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        assert_eq!(fields(row).expect(row), expect);
    }

    #[track_caller]
    fn wrong(row: &str) {
        assert!(fields(row).is_err(), "{row} was read as {:?}", fields(row));
    }

    #[test]
    fn fields_come_in_order_and_as_they_were_sent() {
        use Value::{Bool, Nested, Null, Number};
        let text = |t: &'static str| Value::Text(t.into());
        check("{}", &[]);
        check(" { } ", &[]);
        check(r#"{"b":1,"a":2,"b":3}"#, &[("b", Number("1")), ("a", Number("2")), ("b", Number("3"))]);
        check(r#"{"n":null,"t":true,"f":false}"#, &[("n", Null), ("t", Bool(true)), ("f", Bool(false))]);
        check("{ \"a\" :\n1.50 ,\t\"b\": -0.0e+10 }", &[("a", Number("1.50")), ("b", Number("-0.0e+10"))]);
        check(
            r#"{"big":123456789012345678901234567890}"#,
            &[("big", Number("123456789012345678901234567890"))],
        );
        check(r#"{"o":{"x": [1, 2]} ,"l":[ ]}"#, &[("o", Nested(r#"{"x": [1, 2]}"#)), ("l", Nested("[ ]"))]);
        check(r#"{"":"","é":"ü"}"#, &[("", text("")), ("é", text("ü"))]);
        check(r##"{"# Open Tickets":3}"##, &[("# Open Tickets", Number("3"))]);
        check(r#"{"a\nb":"c\t\"\\\/d\u00e9\ud83d\ude04"}"#, &[("a\nb", text("c\t\"\\/dé😄"))]);
    }

    #[test]
    fn text_is_borrowed_unless_it_has_escapes() {
        let borrowed = |row| matches!(&fields(row).expect(row)[0].1, Value::Text(Cow::Borrowed(_)));
        assert!(borrowed(r#"{"a":"a long text without anything to be unescaped in it, of some length"}"#));
        assert!(!borrowed(r#"{"a":"a long text with a line\nend in it, of some length, to be unescaped"}"#));
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        for row in [
            "",
            " ",
            "[]",
            "1",
            "null",
            "\"a\"",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{,}",
            "{\"a\" 1}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":1}}",
            "{\"a\":1}{}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":1;}",
        ] {
            wrong(row);
        }
        for value in [
            "NaN",
            "Infinity",
            "-Infinity",
            "nul",
            "nulll",
            "True",
            "undefined",
            "+1",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x1",
            "1.2.3",
            "--1",
            "-01",
            "12a",
            "\"",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12G4\"",
            "\"a\nb\"",
            "\"a\u{0}b\"",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "{\"b\":1,}",
            "{\"b\":[}",
            "{\"b\"}",
            "[\"\\u\"]",
            "[nan]",
            "[01]",
            "[\"a\tb\"]",
        ] {
            wrong(&format!("{{\"a\":{value}}}"));
            wrong(&format!("{{\"a\":[{value}]}}"));
            wrong(&format!("{{\"a\":{{\"b\":{value}}}}}"));
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_read_as_the_replacement_character() {
        let read = |row| fields(row).expect("JSON").pop().expect("a field").1;
        for (sent, text) in [
            (r#"{"a":"\ud800"}"#, "\u{fffd}"),
            (r#"{"a":"x\udc00y"}"#, "x\u{fffd}y"),
            (r#"{"a":"\ud800\u0041"}"#, "\u{fffd}A"),
            (r#"{"a":"\ud83d\ud83d\ude04"}"#, "\u{fffd}😄"),
        ] {
            assert_eq!(read(sent), Value::Text(text.into()), "{sent}");
        }
        assert_eq!(
            read(r#"{"a":["\ud800"]}"#),
            Value::Nested(r#"["\ud800"]"#),
            "nested text stays as it was sent"
        );
    }

    #[test]
    fn an_error_names_the_byte_where_it_is() {
        let at = |row| fields(row).expect_err(row).at;
        assert_eq!(at(r#"{"a":1,"b":nul}"#), 14);
        assert_eq!(at(r#"{"a":1 "b":2}"#), 7);
        assert_eq!(at(r#"{"a":1"#), 6);
        assert_eq!(at(r#"{"a":"ab\x"}"#), 9);
    }

    #[test]
    fn what_visit_returns_ends_the_reading() {
        #[derive(Debug, PartialEq)]
        enum Mine {
            Json,
            Enough,
        }
        impl From<JsonError> for Mine {
            fn from(_: JsonError) -> Self {
                Self::Json
            }
        }
        let mut seen = 0;
        let outcome = each_field(r#"{"a":1,"b":2,"c":oops}"#, |_, _| {
            seen += 1;
            if seen == 2 { Err(Mine::Enough) } else { Ok(()) }
        });
        assert_eq!((outcome, seen), (Err(Mine::Enough), 2));
        assert_eq!(each_field(r#"{"a":oops}"#, |_, _| Ok::<_, Mine>(())), Err(Mine::Json));
    }

    /// One fault or none in a document of every kind of token, at every byte: either both readers refuse it or
    /// both read the same.
    #[test]
    fn agrees_with_another_reader_whatever_byte_is_changed() {
        let row = r#"{"a":"x\u00e9\ud83d\ude04 \"q\"","n":-12.5e3,"o":{"k":[true,false,null,{"z":""}]},"é":[ 1 , "\\"] }"#;
        let mut compared = 0;
        for at in 0..row.len() {
            for byte in
                [b' ', b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', b'0', b'u', b'e', 0x1f, b'-', b'.']
            {
                let mut bytes = row.as_bytes().to_vec();
                bytes[at] = byte;
                let Ok(text) = String::from_utf8(bytes) else { continue };
                let other = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
                let ours = fields(&text);
                // A double is all that reader has for numbers; ours keeps the digits, so 1e999 is fine here. And half
                // a surrogate pair is U+FFFD here.
                let excused = other.as_ref().is_err_and(|e| {
                    ["out of range", "surrogate", "hex escape"]
                        .iter()
                        .any(|word| e.to_string().contains(word))
                });
                assert!(excused || other.is_ok() == ours.is_ok(), "{text}: {other:?} but {ours:?}");
                if let (Ok(other), Ok(ours)) = (other, ours) {
                    for (name, value) in ours {
                        let value = match value {
                            Value::Null => serde_json::Value::Null,
                            Value::Bool(value) => value.into(),
                            Value::Text(text) => text.into(),
                            Value::Number(raw) | Value::Nested(raw) => serde_json::from_str(raw).expect(raw),
                        };
                        let last =
                            fields(&text).expect("read before").iter().filter(|(n, _)| *n == name).count();
                        assert!(last > 1 || other[&name] == value, "{text}: {name}");
                    }
                    compared += 1;
                }
            }
        }
        assert!(compared > 100, "{compared}");
    }

    #[test]
    fn a_tower_of_brackets_does_not_overflow_the_stack() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let tower = |n: usize| format!("{{\"a\":{}1{}}}", open.repeat(n), close.repeat(n));
            assert!(fields(&tower(128)).is_ok());
            let error = fields(&tower(129)).expect_err("too deep");
            assert!(error.message.contains("128"), "{error}");
            let high = format!("[{}]", tower(1_000_000));
            assert_eq!(rows(&high, &[]).expect("rows").len(), 1);
            let cut = &high[..high.len() / 3];
            assert!(rows(cut, &[]).is_err());
            let path = vec!["a".to_owned(); 3];
            let _ = get(&high[1..high.len() - 1], &path);
            let _ = pick(&high[1..high.len() - 1], &[FieldPath(path)], &mut Vec::new());
        }
    }

    fn path(text: &str) -> FieldPath {
        FieldPath(if text == "." { Vec::new() } else { text.split('.').map(str::to_owned).collect() })
    }

    #[track_caller]
    fn check_rows(body: &str, paths: &[&str], expect: &[&str]) {
        let paths: Vec<_> = paths.iter().map(|p| path(p)).collect();
        let found = rows(body, &paths).expect(body);
        let found: Vec<_> = found.iter().map(|r| &body[r.start as usize..r.end as usize]).collect();
        assert_eq!(found, expect);
        assert_eq!(glance(body, &paths), Ok(()));
    }

    #[test]
    fn rows_are_found_where_the_path_leads() {
        check_rows("[]", &[], &[]);
        check_rows(" [ ] \n", &[], &[]);
        check_rows(r#"[{"a":"]}"},{"b":"\"}"} , {}]"#, &[], &[r#"{"a":"]}"}"#, r#"{"b":"\"}"}"#, "{}"]);
        check_rows(r#"{"n":1,"data":[{"a":1}],"next":{"x":[1]}}"#, &["data"], &[r#"{"a":1}"#]);
        check_rows(r#"{"response":{"total":"}","items":[{}]},"x":[]}"#, &["response.items"], &["{}"]);
        check_rows(
            r#"{"r":{"x":{},"items":null},"rows":[{"a":[]}]}"#,
            &["r.items", "rows"],
            &[r#"{"a":[]}"#],
        );
        check_rows("[{}]", &["data", "."], &["{}"]);
        check_rows(r#"{"data":[{}]}"#, &[".", "data"], &["{}"]);
        check_rows(r#"{"d\u0061ta":[{}]}"#, &["data"], &["{}"]);
    }

    #[track_caller]
    fn no_rows(body: &str, paths: &[&str], expect: &str) {
        let paths: Vec<_> = paths.iter().map(|p| path(p)).collect();
        let error = format!("{:?}", rows(body, &paths).expect_err(body));
        assert!(error.contains(expect), "{body}: {error}");
    }

    #[test]
    fn a_list_of_no_objects_says_what_it_is_of() {
        let of = |body| objects(body, &rows(body, &[]).expect("a list"));
        assert_eq!(of("[1]"), Err(RowsError::NotAnObject { found: "a number" }));
        assert_eq!(of("[[],null]"), Err(RowsError::NotAnObject { found: "a list" }));
        assert_eq!((of("[]"), of("[null,{}]")), (Ok(()), Ok(())));
    }

    #[test]
    fn a_page_without_rows_to_give_says_what_it_is() {
        no_rows("{}", &[], r#"NoList("an object")"#);
        no_rows("", &[], r#"NoList("nothing")"#);
        no_rows("<html>", &[], r#"NoList("not JSON")"#);
        no_rows("\"x\"", &[], r#"NoList("a text")"#);
        no_rows(r#"{"data":{}}"#, &["data"], r#"NoList("an object")"#);
        no_rows(r#"{"data":[]}"#, &["items"], r#"NoList("an object")"#);
        no_rows("[]", &["items"], r#"NoList("a list")"#);
        check_rows("[null,{},[1]]", &[], &["null", "{}", "[1]"]);
        no_rows("[{},", &[], "Json");
        no_rows("[{}", &[], "Json");
        no_rows(r#"[{"a":"}]"#, &[], "Json");
        no_rows("[{}]]", &[], "Json");
        no_rows("[{}] x", &[], "Json");
        no_rows("[{} {}]", &[], "Json");
        no_rows("[{},]", &[], "Json");
        no_rows("[ö]", &[], "Json");
        no_rows(r#"{"data":[{}]"#, &["data"], "Json");
        no_rows(r#"{"data":[{}],"next":"#, &["data"], "Json");
        no_rows(r#"{"data":[{}],"next":"x}"#, &["data"], "Json");
        no_rows(r#"{"data":[{}]}}"#, &["data"], "Json");
    }

    #[test]
    fn every_cut_of_a_page_is_noticed() {
        let body = r#"{"meta":{"n":"a\"b"},"data":[{"a":1,"b":"x]"},{"c":[1,{}]}],"next":{"u":"é"}}"#;
        for at in (0..body.len()).filter(|at| body.is_char_boundary(*at)) {
            assert!(rows(&body[..at], &[path("data")]).is_err(), "{}", &body[..at]);
        }
    }

    #[test]
    fn values_are_looked_up_by_path() {
        let row = r##"{"_id":"a","custom":{"# Open":3,"x":{"y":[1]}},"n":null,"s":"t\n"}"##;
        let look = |names: &[&str]| get(row, &names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(look(&["_id"]), Some(Value::Text("a".into())));
        assert_eq!(look(&["custom", "# Open"]), Some(Value::Number("3")));
        assert_eq!(look(&["custom", "x", "y"]), Some(Value::Nested("[1]")));
        assert_eq!(look(&["n"]), Some(Value::Null));
        assert_eq!(look(&["n", "x"]), None);
        assert_eq!(look(&["missing"]), None);
        assert_eq!(look(&[]), Some(Value::Nested(row)));

        let paths = [path("s"), path("custom.x.y"), path("_id"), path("missing"), path("_id")];
        let mut out = Vec::new();
        pick(row, &paths, &mut out).expect(row);
        let expect = [
            Some(Value::Text("t\n".into())),
            Some(Value::Nested("[1]")),
            Some(Value::Text("a".into())),
            None,
            Some(Value::Text("a".into())),
        ];
        assert_eq!(out, expect);
        assert!(pick(r#"{"a":nul}"#, &[path("a")], &mut out).is_err());
        // What comes after the last value that is wanted is not looked at.
        pick(r#"{"a":1,"b":oops"#, &[path("a")], &mut out).expect("enough was read");
        assert_eq!(out, [Some(Value::Number("1"))]);
    }
}

//! `destination:`: where rows land.

use crate::mask;
use crate::node::{Node, Value};
use crate::path::read_part;
use crate::quantity::Size;
use crate::read::{Form, Located, Reader, listed, nearest, record, shown, words};
use crate::reference::check_references;
use crate::schema::{self, Defs, Json};
use crate::template::{Part, parts};
use crate::{
    Compression, Destination, FieldPath, ParquetDestination, PartitionBy, Spanned, SqliteDestination,
    Streams, TimeUnit,
};

/// A file is closed when it has about this many bytes.
const TARGET_FILE: u64 = 128_000_000;

/// `parquet://DIR`, `sqlite://FILE`, or a map.
pub(crate) struct DestinationWord;

impl Form for DestinationWord {
    type Value = Destination;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Destination> {
        if let Value::Map(_) = node.value {
            return DestinationMap::read(node, reader);
        }
        let text = reader.text(node, "`parquet://DIR`, `sqlite://FILE` or a map")?;
        short(node, text, reader)
    }

    fn schema(defs: &mut Defs) -> Json {
        let short = schema::pattern("^(parquet|sqlite)://.+$", "`parquet://DIR` or `sqlite://FILE`.");
        schema::one_of([short, DestinationMap::schema(defs)])
    }
}

fn short(node: &Node, text: &str, reader: &mut Reader<'_>) -> Option<Destination> {
    const KINDS: &[&str] = &["parquet", "sqlite"];
    let Some((kind, place)) = text.split_once("://") else {
        return reader.refuse(node, "a destination", "write `parquet://DIR` or `sqlite://FILE`");
    };
    if !KINDS.contains(&kind) {
        let help = match nearest(kind, KINDS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write `parquet://DIR` or `sqlite://FILE`".to_owned(),
        };
        let span = reader.stretch(node, 0..kind.len());
        reader.find(span, format!("`{}` is not a kind of destination", shown(kind)), help);
        return None;
    }
    let words: &[&str] = if kind == "parquet" { &["stream", "pipeline"] } else { &["pipeline"] };
    check_path(node, place, kind.len() + 3, words, reader)?;
    if kind == "sqlite" {
        let path = Spanned { value: place.to_owned(), span: node.span };
        return Some(Destination::Sqlite(SqliteDestination { path }));
    }
    let path = match place.trim_end_matches('/') {
        _ if place.contains("{stream}") => place.to_owned(),
        "" => "/{stream}".to_owned(),
        folder => format!("{folder}/{{stream}}"),
    };
    let path = Spanned { value: path, span: node.span };
    Some(Destination::Parquet(ParquetDestination {
        path,
        compression: Compression::Zstd,
        target_file: TARGET_FILE,
        partition_by: None,
    }))
}

record! {
    /// Where rows land: the word names the kind.
    DestinationMap -> Destination, "destination" {
        /// A folder of Parquet files for each stream.
        may parquet: ParquetMap,
        /// A table of a SQLite database for each stream.
        may sqlite: SqliteMap,
    }
    Exactly["parquet", "sqlite"]
    |reader, fields| parquet.map(Destination::Parquet).or(sqlite.map(Destination::Sqlite))
}

record! {
    /// Parquet files.
    ParquetMap -> ParquetDestination, "parquet" {
        /// The folder of one stream. `{stream}` and `{pipeline}` are filled in; a relative path starts at the pipeline file.
        need path: Located<PathOf<true>>,
        /// How pages are packed.
        may compression: Compression,
        /// A file is closed when it has about this many bytes. Default `128MB`.
        may target_file: Size,
        /// The folders that files are sorted into: a field, or `year(…)`, `month(…)`, `day(…)`, `hour(…)` of one.
        may partition_by: PartitionBy,
    }
    |reader, fields| {
        let (compression, target_file) = (compression.unwrap_or_default(), target_file.unwrap_or(TARGET_FILE));
        Some(ParquetDestination { path, compression, target_file, partition_by })
    }
}

record! {
    /// A SQLite database.
    SqliteMap -> SqliteDestination, "sqlite" {
        /// The database file. `{pipeline}` is filled in; a relative path starts at the pipeline file.
        need path: Located<PathOf<false>>,
    }
    |reader, fields| Some(SqliteDestination { path })
}

words!(Compression, "a compression" {
    "zstd" => Compression::Zstd, "Zstandard, level 1.";
    "snappy" => Compression::Snappy, "Snappy.";
    "none" => Compression::None, "not packed.";
});

impl Form for PartitionBy {
    type Value = Self;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, "a field, or a unit of time of one: `month(createDate)`")?;
        let call = text.strip_suffix(')').and_then(|rest| rest.split_once('('));
        let (unit, field, offset) = match call {
            None => (None, text, 0),
            Some((word, field)) => {
                let Some(unit) = UNITS.iter().find(|(name, _)| *name == word).map(|(_, unit)| *unit) else {
                    let known: Vec<_> = UNITS.iter().map(|(name, _)| *name).collect();
                    let message = format!("`{}` is not a unit of time", shown(word));
                    return reader.unknown(reader.stretch(node, 0..word.len()), message, word, &known);
                };
                (Some(unit), field, word.len() + 1)
            }
        };
        let path = read_part(node, offset, FieldPath::parse(field), reader)?;
        match <[String; 1]>::try_from(path.0) {
            Ok([field]) => Some(Self { field, unit }),
            Err(_) => {
                reader.refuse(node, "a field", "give a value inside another a column of its own with `types`")
            }
        }
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::text()
    }
}

const UNITS: &[(&str, TimeUnit)] =
    &[("year", TimeUnit::Year), ("month", TimeUnit::Month), ("day", TimeUnit::Day), ("hour", TimeUnit::Hour)];

/// A path in which words may stand; `{stream}` only where each stream has its own.
struct PathOf<const STREAM: bool>;

impl<const STREAM: bool> Form for PathOf<STREAM> {
    type Value = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let text = reader.text(node, "a path")?;
        let words: &[&str] = if STREAM { &["stream", "pipeline"] } else { &["pipeline"] };
        check_path(node, text, 0, words, reader).map(|()| text.to_owned())
    }

    fn schema(_defs: &mut Defs) -> Json {
        schema::text()
    }
}

/// Checks a path that begins at this byte of the scalar's text.
fn check_path(node: &Node, path: &str, offset: usize, words: &[&str], reader: &mut Reader<'_>) -> Option<()> {
    let text = &node.scalar()?.text;
    if !(check_references(node, text, reader) & mask::check_url(node, text, reader)) {
        return None;
    }
    if path.trim().is_empty() || path.contains('\0') {
        return reader.refuse(node, "a path", "");
    }
    let mut fine = true;
    for part in parts(path).unwrap_or_default() {
        let Part::Text(range) = part else { continue };
        let mut at = range.start;
        while let Some(found) = path[at..range.end].find(['{', '}']) {
            let open = at + found;
            let close = path[open..range.end].find('}').map_or(open + 1, |length| open + length + 1);
            let word = path[open..close].trim_matches(['{', '}']);
            if !(path[open..close].len() == word.len() + 2 && words.contains(&word)) {
                let help = match nearest(word, words.iter().copied()) {
                    Some(near) if near != word => format!("did you mean `{{{near}}}`?"),
                    _ => format!("filled in here: {}", listed(words.iter().copied())),
                };
                let span = reader.stretch(node, offset + open..offset + close);
                reader.find(span, format!("nothing fills in `{}`", shown(&path[open..close])), help);
                fine = false;
            }
            at = close;
        }
    }
    fine.then_some(())
}

/// Two streams cannot share a folder.
pub(super) fn check_streams(destination: &Destination, streams: &Streams, reader: &mut Reader<'_>) {
    let Destination::Parquet(parquet) = destination else { return };
    let one = matches!(streams, Streams::Named(named) if named.len() == 1);
    if !one && !parquet.path.value.contains("{stream}") {
        let help = format!("write `{}/{{stream}}`", parquet.path.value.trim_end_matches('/'));
        reader.find(parquet.path.span, "every stream needs a folder of its own", help);
    }
}

//! What a pipeline says about the columns of a stream, compiled: `select`, `transform`, `types`, the schema
//! contract, and what these do to the primary key and to the order.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use ring::hmac;
use sync_connectors::StreamPlan;
use sync_core::{Disposition, Explain as _, Problem, Type, system};
use sync_spec::{self as spec, FieldPath, GivenType, Mask, Percent, Span, Spanned, Step};
use xxhash_rust::xxh3::xxh3_128;

use super::Complaints;
use crate::refine::{Refinery, Selection, Wrong};
use crate::shape::Terms;
use crate::{Hands, RunOptions};

/// Where the key of `hmac` is looked for, unless the pipeline says.
const MASK_KEY: &str = "SYNC_MASK_KEY";
/// Bad rows at most, where nobody says otherwise.
const MAX_BAD: Percent = Percent { millionths: 10_000 };

/// What becomes of the fields of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub refinery: Arc<Refinery>,
    pub terms: Terms,
    /// Bad rows, at most.
    pub max_bad: Percent,
    /// The column that marks deleted rows.
    pub deleted: Option<String>,
    /// The column of the order, where one is left.
    pub order: Option<String>,
    /// The provider's fields that are wanted, where the pipeline names them.
    pub wanted: Option<Vec<String>>,
    /// What stands for all of this in a checkpoint; empty where every field lands as it is sent.
    pub shaping: String,
}

/// What a stream is besides its columns.
pub(super) struct Of<'a> {
    pub pipeline: &'a spec::Pipeline,
    pub stream: &'a StreamPlan,
    pub options: &'a spec::StreamOptions,
    pub span: Span,
    pub key: &'a [String],
    pub order: Option<&'a str>,
    pub disposition: Disposition,
    pub mask_key: Option<&'a hmac::Key>,
}

impl Columns {
    pub(super) fn of(of: &Of<'_>, complaints: &mut Complaints) -> Self {
        let (defaults, own) = (&of.pipeline.defaults, of.options);
        let select = own.select.as_ref().or(defaults.select.as_ref());
        let steps = if own.transform.is_empty() { &defaults.transform } else { &own.transform };
        let types = types(of);
        let refinery = Refinery::new(
            select.map(|patterns| Selection::new(patterns)),
            steps,
            &types,
            of.mask_key,
            &mut |wrong| complaints.wrong(wrong),
        );
        let key = of.key.iter().map(|field| refinery.name_of(field)).collect();
        let columns = Self {
            terms: Terms {
                new_columns: own.schema.new_columns.or(defaults.schema.new_columns).unwrap_or_default(),
                type_change: own.schema.type_change.or(defaults.schema.type_change).unwrap_or_default(),
                bad_row: own.on_bad_row.or(defaults.on_bad_row).unwrap_or_default(),
                key,
                declared: types
                    .iter()
                    .map(|(path, ty)| (column_of(&path.value), GivenType::Exactly(*ty)))
                    .collect(),
                told: HashSet::new(),
            },
            max_bad: own.max_bad.or(defaults.max_bad).unwrap_or(MAX_BAD),
            deleted: deleted(of, complaints),
            order: order(of, select, &refinery),
            wanted: select.and_then(|patterns| Selection::new(patterns).names()),
            shaping: shaping(select, steps, &types, of.mask_key.filter(|_| refinery.masks())),
            refinery: Arc::new(refinery),
        };
        columns.check_key(of, select, complaints);
        columns
    }

    /// With the types that the provider tells of its fields, which come behind those that somebody wrote down.
    ///
    /// A field that does not land, or not as it was sent, has no use for the provider's word about it; one of the
    /// primary key is to be told apart by what is sent, not by what it means. `lift` is where the fields are in a
    /// row, and `envelope` has names that the row itself has.
    pub(crate) fn told(
        &self,
        types: Vec<(String, GivenType)>,
        lift: Option<&[String]>,
        envelope: &[&str],
    ) -> Self {
        let mut columns = self.clone();
        for (field, ty) in types {
            let field = match lift {
                Some(path) if envelope.contains(&field.as_str()) => format!("{}.{field}", path.join(".")),
                _ => field,
            };
            let name = self.refinery.name_of(&field);
            let changed = self.refinery.mask_of(&field).is_some() || self.refinery.sets(&name);
            let known = columns.terms.declared.iter().any(|(declared, _)| *declared == name);
            if !changed && !known && !self.refinery.drops(&field) && !self.terms.key.contains(&name) {
                columns.terms.told.insert(name.clone());
                columns.terms.declared.push((name, ty));
            }
        }
        columns
    }

    /// A row without its key is no row, so nothing may take it away or make many of them one.
    fn check_key(&self, of: &Of<'_>, select: Option<&Vec<spec::SelectPattern>>, complaints: &mut Complaints) {
        let selection = select.map(|patterns| Selection::new(patterns));
        for field in of.key {
            let span = of.options.primary_key.as_ref().map_or(of.span, |key| key.span);
            if selection.as_ref().is_some_and(|s| s.drops(field)) {
                let message = format!(
                    "`select` of `{}` leaves out `{field}`, which is its primary key",
                    of.stream.name
                );
                complaints.add(span, message, Some(format!("select `{field}`, too")));
            }
            if let Some(Mask::Redact | Mask::Partial) = self.refinery.mask_of(field) {
                let message = format!(
                    "`{field}` is the primary key of `{}`, and its mask makes keys alike",
                    of.stream.name
                );
                complaints.add(span, message, Some("mask it with `hmac`, which keeps them apart".into()));
            }
            if self.refinery.sets(field) || self.refinery.sets(&self.refinery.name_of(field)) {
                let message =
                    format!("`set` makes `{field}` anew, which is the primary key of `{}`", of.stream.name);
                complaints.add(span, message, Some("give the new column another name".into()));
            }
        }
        for (path, _) in of.options.types.iter().filter(|(path, _)| path.value.0.len() == 1) {
            let name = self.refinery.name_of(&path.value.0[0]);
            if name != path.value.0[0] {
                let message = format!("`{}` is called `{name}` once it is renamed", path.value.0[0]);
                complaints.add(
                    path.span,
                    message,
                    Some(format!("write `{name}`: types are those of columns")),
                );
            }
        }
    }
}

/// The types that the pipeline gives, then those of the connector that it does not.
fn types(of: &Of<'_>) -> Vec<(Spanned<FieldPath>, Type)> {
    let mut types = of.options.types.clone();
    let known =
        |types: &[(Spanned<FieldPath>, Type)], path: &FieldPath| types.iter().any(|(p, _)| p.value == *path);
    for (path, ty) in &of.pipeline.defaults.types {
        if !known(&types, &path.value) {
            types.push((path.clone(), *ty));
        }
    }
    for (path, ty) in &of.stream.types {
        if !known(&types, path) {
            types.push((Spanned { value: path.clone(), span: of.span }, *ty));
        }
    }
    types
}

/// The column that a path is given: its one name, or all of it as it is written.
fn column_of(path: &FieldPath) -> String {
    match path.0.as_slice() {
        [name] => name.clone(),
        _ => path.to_string(),
    }
}

/// The column that marks deleted rows, where the table has one.
fn deleted(of: &Of<'_>, complaints: &mut Complaints) -> Option<String> {
    let word = of.options.deletes.as_ref().or(of.pipeline.defaults.deletes.as_ref());
    let tells = of.stream.tells_deletes() || word.is_some_and(|deletes| deletes.value.detect.is_some());
    if let Some(deletes) = of.options.deletes.as_ref().filter(|_| !tells) {
        let message =
            format!("nothing tells which rows of `{}` are deleted, so none can be marked", of.stream.name);
        let help = "find them with `detect: snapshot`, or say `deleted_when` in the connector";
        complaints.add(deletes.span, message, Some(help.into()));
    }
    let mark = word.and_then(|deletes| deletes.value.mark.as_ref()).map(|mark| mark.value.clone());
    match of.disposition {
        _ if !tells => None,
        Disposition::Merge => mark,
        Disposition::Append => Some(mark.unwrap_or_else(|| system::DELETED.to_owned())),
        Disposition::Replace | Disposition::History => None,
    }
}

/// The column of the order, unless it does not land or no longer says what it said.
fn order(of: &Of<'_>, select: Option<&Vec<spec::SelectPattern>>, refinery: &Refinery) -> Option<String> {
    let field = of.order?;
    let gone = select.is_some_and(|patterns| Selection::new(patterns).drops(field));
    let changed = refinery.mask_of(field).is_some() || refinery.sets(field);
    (!gone && !changed).then(|| refinery.name_of(field))
}

/// What stands for the words of a stream about its columns. The places at which they stand do not count.
fn shaping(
    select: Option<&Vec<spec::SelectPattern>>,
    steps: &[Step],
    types: &[(Spanned<FieldPath>, Type)],
    mask_key: Option<&hmac::Key>,
) -> String {
    let mut text = String::new();
    for pattern in select.into_iter().flatten() {
        let _ = writeln!(text, "select {} {}", pattern.keeps, pattern.path);
    }
    for step in steps {
        let _ = match step {
            Step::KeepIf(expression) => writeln!(text, "keep_if {:?}", expression.value),
            Step::Set(set) => {
                set.iter().try_for_each(|(name, e)| writeln!(text, "set {:?} {:?}", name.value, e.value))
            }
            Step::Mask(masks) => {
                masks.iter().try_for_each(|(path, mask)| writeln!(text, "mask {} {mask:?}", path.value))
            }
            Step::Rename(names) => {
                names.iter().try_for_each(|(a, b)| writeln!(text, "rename {:?} {:?}", a.value, b.value))
            }
        };
    }
    for (path, ty) in types {
        let _ = writeln!(text, "type {} {ty}", path.value);
    }
    if text.is_empty() {
        return text;
    }
    if let Some(key) = mask_key {
        let _ = write!(text, "key {:?}", hmac::sign(key, b"shaping").as_ref());
    }
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

/// The key of `hmac` masks, if one is there. Nothing is asked for where nothing is masked so, or where no row will be
/// looked at.
pub(super) fn mask_key(
    pipeline: &spec::Pipeline,
    folder: &Path,
    options: &RunOptions,
    hands: &Hands,
) -> Result<Option<hmac::Key>, Problem> {
    let streams = match &pipeline.streams {
        spec::Streams::All => &[][..],
        spec::Streams::Named(named) => named.as_slice(),
    };
    let mut steps =
        streams.iter().map(|(_, options)| options).chain([&pipeline.defaults]).flat_map(|o| &o.transform);
    if !steps.any(|step| step.masks().iter().any(|(_, mask)| *mask == Mask::Hmac)) {
        return Ok(None);
    }
    if options.without_rows {
        return Ok(Some(hmac::Key::new(hmac::HMAC_SHA256, b"no row is masked with it")));
    }
    let reference = match &pipeline.mask_key {
        Some(reference) => sync_auth::Reference::of(reference, folder),
        None if hands.environment.var(MASK_KEY).is_none_or(|key| key.is_empty()) => return Ok(None),
        None => sync_auth::Reference::Env(MASK_KEY.to_owned()),
    };
    let secrets = sync_auth::resolve(&[("mask_key".to_owned(), reference)], &*hands.environment);
    let secrets = secrets.map_err(|error| error.problem())?;
    let Some(secret) = secrets.get("mask_key") else { return Ok(None) };
    hands.scrubber.add(secret);
    Ok(Some(hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())))
}

impl Complaints {
    /// Adds what is wrong with a step, at its place inside the text where that is known.
    fn wrong(&mut self, wrong: Wrong) {
        let span = match wrong.at {
            Some(at) => self.document.part_of(wrong.span, at),
            None => wrong.span,
        };
        self.add(span, wrong.message, wrong.help);
    }
}

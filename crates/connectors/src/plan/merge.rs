//! What a stream inherits: from `defaults`, from its kind, and a listing of its own from the stream.
//!
//! Maps merge key by key, lists and scalars replace, naming another kind drops the old kind.

use sync_spec::{
    Also, BodyTemplate, Cursor, CursorWord, Paginate, PaginateKind, Piece, RequestMethod, RequestSpec, Root,
    Said, Stream, Template, Variant,
};

/// A stream with what it inherits.
pub(super) fn stream(defaults: &Stream, own: &Stream) -> Stream {
    Stream {
        request: merge_request(&defaults.request, &own.request),
        records: own.records.clone().or_else(|| defaults.records.clone()),
        keep: own.keep.clone().or_else(|| defaults.keep.clone()),
        deleted_when: own.deleted_when.clone().or_else(|| defaults.deleted_when.clone()),
        types: {
            let inherited = defaults
                .types
                .iter()
                .filter(|(path, _)| own.types.iter().all(|(p, _)| p.value != path.value));
            own.types.iter().chain(inherited).cloned().collect()
        },
        drop: own.drop.clone().or_else(|| defaults.drop.clone()),
        lift: own.lift.clone().or_else(|| defaults.lift.clone()),
        types_from: own.types_from.clone().or_else(|| defaults.types_from.clone()),
        key: own.key.clone().or_else(|| defaults.key.clone()),
        paginate: merge_paginate(defaults.paginate.as_ref(), own.paginate.as_ref()),
        cursor: merge_cursor(defaults.cursor.as_ref(), own.cursor.as_ref()),
        unverified: own.unverified.or(defaults.unverified),
        description: own.description.clone().or_else(|| defaults.description.clone()),
        set: merge_map(&defaults.set, &own.set, str::eq),
        explode: own.explode.clone().or_else(|| defaults.explode.clone()),
        for_each: own.for_each.clone().or_else(|| defaults.for_each.clone()),
        each: merge_map(&defaults.each, &own.each, str::eq),
        each_from: own.each_from.clone().or_else(|| defaults.each_from.clone()),
        full: merge_variant(defaults.full.as_ref(), own.full.as_ref()),
        changed: merge_variant(defaults.changed.as_ref(), own.changed.as_ref()),
        archived: merge_variant(defaults.archived.as_ref(), own.archived.as_ref()),
        columns: own.columns.clone().or_else(|| defaults.columns.clone()),
        kind: own.kind.clone().or_else(|| defaults.kind.clone()),
        decode: own.decode.or(defaults.decode),
        unpack: own.unpack.or(defaults.unpack),
        enabled_when: own.enabled_when.clone().or_else(|| defaults.enabled_when.clone()),
    }
}

/// One of the listings of a stream: what it does not say is as the stream says. A request with a path of its own
/// begins anew, but for the headers.
pub(super) fn variant(base: &Stream, own: &Variant) -> Variant {
    let request = match &own.request.target {
        Some(_) => RequestSpec {
            headers: merge_map(&base.request.headers, &own.request.headers, str::eq_ignore_ascii_case),
            ..own.request.clone()
        },
        None => merge_request(&base.request, &own.request),
    };
    Variant {
        request,
        records: own.records.clone().or_else(|| base.records.clone()),
        paginate: merge_paginate(base.paginate.as_ref(), own.paginate.as_ref()),
        keep: own.keep.clone().or_else(|| base.keep.clone()),
        deleted_when: own.deleted_when.clone().or_else(|| base.deleted_when.clone()),
    }
}

fn merge_variant(defaults: Option<&Variant>, own: Option<&Variant>) -> Option<Variant> {
    let (Some(defaults), Some(own)) = (defaults, own) else { return own.or(defaults).cloned() };
    Some(Variant {
        request: merge_request(&defaults.request, &own.request),
        records: own.records.clone().or_else(|| defaults.records.clone()),
        paginate: merge_paginate(defaults.paginate.as_ref(), own.paginate.as_ref()),
        keep: own.keep.clone().or_else(|| defaults.keep.clone()),
        deleted_when: own.deleted_when.clone().or_else(|| defaults.deleted_when.clone()),
    })
}

fn merge_request(defaults: &RequestSpec, own: &RequestSpec) -> RequestSpec {
    // A stream that turns a `post` into a `get` has dropped the old kind, and the body went with it.
    let to_get = matches!(own.target, Some((RequestMethod::Get, _)));
    let inherited = defaults.body.as_ref().filter(|_| !to_get);
    RequestSpec {
        target: own.target.clone().or_else(|| defaults.target.clone()),
        query: merge_map(&defaults.query, &own.query, str::eq),
        headers: merge_map(&defaults.headers, &own.headers, str::eq_ignore_ascii_case),
        body: crate::request::merge_body(inherited, own.body.as_ref()),
    }
}

/// Key by key: an entry of `own` stands in the place of the inherited one, new ones come after.
pub(crate) fn merge_map<T: Clone>(
    defaults: &[(String, T)],
    own: &[(String, T)],
    same: impl Fn(&str, &str) -> bool,
) -> Vec<(String, T)> {
    let mut merged = defaults.to_vec();
    for entry in own {
        match merged.iter_mut().find(|(name, _)| same(name, &entry.0)) {
            Some(inherited) => *inherited = entry.clone(),
            None => merged.push(entry.clone()),
        }
    }
    merged
}

pub(super) fn merge_paginate(defaults: Option<&Paginate>, own: Option<&Paginate>) -> Option<Paginate> {
    let (Some(defaults), Some(own)) = (defaults, own) else {
        return own.or(defaults).cloned();
    };
    // The rule that ends one kind of listing means nothing to another kind, and what its size is called may not either.
    let other = matches!((&defaults.kind, &own.kind), (Some(a), Some(b)) if kind(a) != kind(b));
    Some(Paginate {
        kind: own.kind.clone().or_else(|| defaults.kind.clone()),
        size: own.size.clone().or_else(|| defaults.size.clone()),
        stop: own.stop.clone().or_else(|| defaults.stop.clone().filter(|_| !other)),
        ceiling: own.ceiling.or(defaults.ceiling),
    })
}

fn merge_cursor(defaults: Option<&CursorWord>, own: Option<&CursorWord>) -> Option<CursorWord> {
    let (Some(CursorWord::Some(defaults)), Some(CursorWord::Some(own))) = (defaults, own) else {
        return own.or(defaults).cloned();
    };
    let query = |defaults: &Option<Vec<(String, Template)>>, own: &Option<Vec<(String, Template)>>| match (
        defaults, own,
    ) {
        (Some(defaults), Some(own)) => Some(merge_map(defaults, own, str::eq)),
        (defaults, own) => own.clone().or_else(|| defaults.clone()),
    };
    Some(CursorWord::Some(Box::new(Cursor {
        field: own.field.clone().or_else(|| defaults.field.clone()),
        format: own.format.clone().or_else(|| defaults.format.clone()),
        mode: own.mode.or(defaults.mode),
        newest_first: query(&defaults.newest_first, &own.newest_first),
        oldest_first: query(&defaults.oldest_first, &own.oldest_first),
        start: own.start.clone().or_else(|| defaults.start.clone()),
        lookback: own.lookback.or(defaults.lookback),
        hold_back: own.hold_back.or(defaults.hold_back),
        window: own.window.or(defaults.window),
        nulls: own.nulls.or(defaults.nulls),
        fallback_after: own.fallback_after.or(defaults.fallback_after),
        also: own.also.clone().or_else(|| defaults.also.clone()),
    })))
}

/// A word for a kind of pagination.
fn kind(kind: &PaginateKind) -> u8 {
    match kind {
        PaginateKind::None => 0,
        PaginateKind::Page { .. } => 1,
        PaginateKind::Offset { .. } => 2,
        PaginateKind::Cursor { .. } => 3,
        PaginateKind::NextUrl { .. } => 4,
        PaginateKind::LinkHeader => 5,
        PaginateKind::Keyset { .. } => 6,
    }
}

/// Fills the holes of a kind's parameters. Gives the names of those that have no value.
pub(super) fn fill_kind(stream: &mut Stream, parameters: &[(String, Template)]) -> Vec<String> {
    let mut missing = Vec::new();
    each_template(stream, &mut |template| {
        let mut filled = Vec::new();
        for piece in std::mem::take(&mut template.0) {
            match piece {
                Piece::Hole(hole) if hole.root == Root::Kind => {
                    let name = hole.path.0.first().cloned().unwrap_or_default();
                    match parameters.iter().find(|(n, _)| *n == name) {
                        Some((_, value)) => filled.extend(value.0.iter().cloned()),
                        None => missing.push(name),
                    }
                }
                piece => filled.push(piece),
            }
        }
        template.0 = filled;
    });
    missing
}

/// Every template of a stream.
fn each_template(stream: &mut Stream, visit: &mut impl FnMut(&mut Template)) {
    of_request(&mut stream.request, visit);
    let variants = [&mut stream.full, &mut stream.changed, &mut stream.archived];
    variants.into_iter().flatten().for_each(|variant| of_request(&mut variant.request, visit));
    if let Some(CursorWord::Some(cursor)) = &mut stream.cursor {
        let sorted = [&mut cursor.newest_first, &mut cursor.oldest_first];
        sorted.into_iter().flatten().flatten().for_each(|(_, template)| visit(template));
        if let Some(also) = &mut cursor.also {
            of_request(&mut also.request, visit);
        }
    }
    stream.set.iter_mut().for_each(|(_, value)| of_body(value, visit));
    if let Some(from) = &mut stream.each_from {
        of_request(&mut from.request, visit);
    }
    if let Some(columns) = &mut stream.columns {
        of_request(&mut columns.request, visit);
    }
    if let Some(Said::Some(from)) = &mut stream.types_from {
        of_request(&mut from.request, visit);
    }
}

fn of_request(request: &mut RequestSpec, visit: &mut impl FnMut(&mut Template)) {
    if let Some((_, path)) = &mut request.target {
        visit(&mut path.value);
    }
    let values = request.query.iter_mut().chain(&mut request.headers);
    values.filter_map(|(_, value)| value.as_mut()).for_each(&mut *visit);
    if let Some(body) = &mut request.body {
        of_body(body, visit);
    }
}

fn of_body(body: &mut BodyTemplate, visit: &mut impl FnMut(&mut Template)) {
    match body {
        BodyTemplate::Const(_) => {}
        BodyTemplate::Text(template) => visit(template),
        BodyTemplate::Object(fields) => fields.iter_mut().for_each(|(_, value)| of_body(value, visit)),
        BodyTemplate::List(list) => list.iter_mut().for_each(|value| of_body(value, visit)),
    }
}

/// The second listing of a cursor, with what it takes from the stream.
pub(super) fn also(base: &Stream, also: &Also) -> Variant {
    let own =
        Variant { request: also.request.clone(), paginate: also.paginate.clone(), ..Variant::default() };
    variant(base, &own)
}

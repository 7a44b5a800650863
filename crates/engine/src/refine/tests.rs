use super::*;

/// Compiles the words of a stream as they stand in a file.
fn refinery(words: &str) -> Result<Refinery, String> {
    let text = format!("source: planhat\nstreams:\n  s: {words}\ndestination: sqlite://./x.db\n");
    let document = sync_spec::Document::new("p.yaml", text);
    let pipeline = sync_spec::Pipeline::parse(&document).map_err(|f| f.to_string()).expect("a pipeline");
    let sync_spec::Streams::Named(streams) = &pipeline.streams else { panic!("named streams") };
    let options = &streams[0].1;
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
    let mut found = Vec::new();
    let selection = options.select.as_deref().map(Selection::new);
    let refinery = Refinery::new(selection, &options.transform, &options.types, Some(&key), &mut |wrong| {
        found.push(wrong.message);
    });
    if found.is_empty() { Ok(refinery) } else { Err(found.join("; ")) }
}

#[track_caller]
fn check(words: &str, row: &str, expect: &str) {
    let refinery = refinery(words).expect("the words are right");
    let mut out = String::new();
    let fate = refinery.row(row, false, &mut out).expect("JSON");
    let shown = match fate {
        Fate::Lands => out,
        Fate::LeftOut => "left out".to_owned(),
        Fate::Bad(why) => format!("{why} | {out}"),
    };
    assert_eq!(shown, expect, "{words}");
}

#[test]
fn steps_are_taken_in_order() {
    let steps = "{ transform: [ { keep_if: 'n > 1' }, { set: { twice: n * 2 } }, { mask: { name: redact } }, { rename: { n: count } } ] }";
    check(steps, r#"{"n":1,"name":"x"}"#, "left out");
    check(steps, r#"{"n":2,"name":"x"}"#, r#"{"count":2,"name":"***","twice":4}"#);
    let swap = "{ transform: [ { set: { a: b, b: a } } ] }";
    check(swap, r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#);
    check("{ transform: [ { rename: { a: b } } ] }", r#"{"a":1,"b":2,"c":3}"#, r#"{"b":1,"c":3}"#);
    check("{ transform: [ { rename: { a: b } } ] }", r#"{"b":2,"c":3,"a":1}"#, r#"{"c":3,"b":1}"#);
    check("{ transform: [ { rename: { a: b } } ] }", r#"{"b":2}"#, r#"{"b":2}"#);
}

#[test]
fn a_row_that_a_step_cannot_take_is_masked_all_the_same() {
    let steps = "{ transform: [ { set: { first: 'name.split(\" \")[0]' } }, { mask: { mail: redact } } ] }";
    check(
        steps,
        r#"{"name":null,"mail":"a@b.example"}"#,
        r#"`set` first: `split` cannot be applied to (null_type, string) | {"name":null,"mail":"***"}"#,
    );
    check(
        "{ transform: [ { keep_if: n } ] }",
        r#"{"n":1}"#,
        r#"`keep_if` gave int, not true or false | {"n":1}"#,
    );
}

#[test]
fn nested_values_become_columns_under_their_path() {
    let types = "{ types: { custom.arr: \"decimal(18,2)\", custom.deep.x: int, plain: text } }";
    check(
        types,
        r#"{"custom":{"arr":1.50,"deep":{"x":1,"y":2},"z":null},"plain":1}"#,
        r#"{"custom":{"deep":{"y":2},"z":null},"plain":1,"custom.arr":1.50,"custom.deep.x":1}"#,
    );
    check(types, r#"{"custom":"none"}"#, r#"{"custom":"none"}"#);
}

#[test]
fn what_is_not_selected_is_there_for_no_step() {
    let wrong = |words: &str| refinery(words).err().unwrap_or_default();
    assert_eq!(wrong("{ select: [a], transform: [ { keep_if: b > 1 } ] }"), "`b` is left out by `select`");
    assert_eq!(
        wrong("{ select: [a], transform: [ { mask: { b.c: redact } } ] }"),
        "`b` is left out by `select`"
    );
    assert_eq!(wrong("{ select: [a], transform: [ { set: { b: a } }, { keep_if: b > 1 } ] }"), "");
    assert_eq!(
        wrong("{ transform: [ { rename: { a: c, b: c } } ] }"),
        "two fields cannot both be called `c`"
    );
}

#[test]
fn names_are_followed_through_the_steps() {
    let refinery = refinery(
        "{ transform: [ { rename: { _id: id } }, { mask: { id: hmac } }, { rename: { id: company } } ] }",
    );
    let refinery = refinery.expect("the words are right");
    assert_eq!(refinery.name_of("_id"), "company");
    assert_eq!(refinery.mask_of("_id"), Some(Mask::Hmac));
    assert_eq!(refinery.mask_of("x"), None);
}

#[test]
fn a_tombstone_passes_every_step() {
    let refinery = refinery("{ transform: [ { keep_if: n > 1 }, { set: { m: n + 1 } } ] }")
        .expect("the words are right");
    let mut out = String::new();
    assert_eq!(refinery.row(r#"{"id":"x"}"#, true, &mut out), Ok(Fate::Lands));
    assert_eq!(out, r#"{"id":"x"}"#);
}

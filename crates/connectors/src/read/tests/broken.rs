//! Servers that do not page, do not end, or do not speak JSON.

use super::*;

async fn error_of(server: &Server, stream: &str) -> ReadError {
    load_all(server, stream, options()).await.error.expect("an error")
}

#[tokio::test]
async fn a_listing_that_ignores_its_parameters_is_an_error_with_a_name() {
    for stream in ["offset", "page", "endless", "short"] {
        for count in [2, 10, 30] {
            let style = Style { deaf: true, total: Total::Missing, ..Style::default() };
            if (stream, count) == ("short", 2) {
                continue; // a short page is the end, so nothing is repeated
            }
            let error = error_of(&Server::new(rows(1..=count), style), stream).await;
            assert_eq!((error.code, error.kind), ("listing_repeats", Kind::Failed), "{stream} of {count}");
        }
    }
}

#[tokio::test]
async fn a_row_without_its_key_is_marked() {
    for body in [r#"[{"id":1},{"kind":"even"}]"#, r#"[{"id":1},{"id":null}]"#] {
        let server =
            Server::of(30).with(move |world| world.instead = Box::new(move |_, _| Some(body.to_owned())));
        let Ok(Step::Page(page)) = reader(&server, "offset", options()).next().await else {
            panic!("a page")
        };
        let kinds: Vec<_> = page.rows.iter().map(|row| (row.number, row.kind)).collect();
        assert_eq!(kinds, [(1, RowKind::Present), (2, RowKind::Keyless)]);
    }
}

#[tokio::test]
async fn pages_of_any_length_are_read_to_an_empty_one() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let server = Server::of(83).with(move |world| {
            world.lengths = Some(Box::new(move || random.usize(1..9)));
        });
        let loaded = load_all(&server, "large", options()).await;
        assert!(loaded.error.is_none(), "seed {seed}: {:?}", loaded.error);
        assert_eq!(loaded.set().len(), 83, "seed {seed}: {:?}", server.asked());
    }
}

#[tokio::test]
async fn the_same_rows_in_another_order_are_the_same_page() {
    for stream in ["offset", "endless"] {
        let style = Style { deaf: true, total: Total::Missing, ..Style::default() };
        let server = Server::new(rows(1..=10), style).with(|world| {
            world.script = Box::new(|_, rows| rows.rotate_left(3));
        });
        assert_eq!(error_of(&server, stream).await.code, "listing_repeats");
    }
}

#[tokio::test]
async fn pages_that_go_round_in_a_circle_are_found() {
    for stream in ["offset", "endless"] {
        for round in [20, 50, 90] {
            let server = Server::of(0).with(move |world| {
                world.style.total = Total::Missing;
                world.rows = std::iter::repeat_with(|| rows(1..=round)).flatten().take(4_000).collect();
            });
            let error = error_of(&server, stream).await;
            assert_eq!(error.code, "listing_repeats", "{stream}, {round}");
            assert!(server.asked().len() < 300);
        }
    }
}

#[tokio::test]
async fn an_answer_of_the_wrong_shape_is_asked_for_again() {
    for wrong in ["[{", "<html>", "{}", "[]]", "", "\u{feff}{\"error\":1}"] {
        let server = Server::of(25).with(|world| {
            world.instead = Box::new(move |turn, _| [1, 3, 4].contains(&turn).then(|| wrong.to_owned()));
        });
        let loaded = load_all(&server, "offset", options()).await;
        loaded.is_plain(1..=25);
        assert_eq!((loaded.requests, loaded.retries), (server.asked().len() as u64, 3), "{wrong}");

        let server = Server::of(25).with(|world| {
            world.instead = Box::new(move |turn, _| (turn > 1).then(|| wrong.to_owned()));
        });
        let loaded = load_all(&server, "offset", options()).await;
        let error = loaded.error.as_ref().expect("an error");
        assert_eq!((error.code, error.kind), ("unexpected_answer", Kind::Failed));
        assert!(error.message.contains("page 2 of offset"), "{error}");
        assert_eq!((loaded.ids.len(), loaded.requests), (10, 4));
    }
}

#[tokio::test]
async fn a_list_that_begins_without_any_object_is_none_of_rows() {
    let server = Server::of(25).with(|world| {
        world.instead = Box::new(|_, _| Some("[7,null]".to_owned()));
    });
    let error = error_of(&server, "offset").await;
    let expect =
        "acme answered with a list whose first element is a number, not an object (page 1 of offset)";
    assert_eq!((error.code, error.message.as_str()), ("unexpected_answer", expect));
}

#[tokio::test]
async fn a_mark_at_the_start_is_no_part_of_the_page() {
    let server = Server::of(25).with(|world| {
        world.instead = Box::new(|_, whole| Some(format!("\u{feff}{whole}")));
    });
    load_all(&server, "offset", options()).await.is_plain(1..=25);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_no_page() {
    struct Latin;
    impl Ask for Latin {
        fn ask<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Answer, Refusal>> {
            let server = Server::of(1);
            let mut answer = server.0.lock().expect("free").answer(request).expect("an answer");
            answer.response.body = Bytes::from_static(b"[{\"id\":\"\xe9\"}]");
            Box::pin(std::future::ready(Ok(answer)))
        }
    }
    let mut reader = reader(&Server::of(1), "offset", options());
    reader.ask = Arc::new(Latin);
    let error = load(&mut reader, 1).await.error.expect("an error");
    assert!(error.message.contains("not UTF-8"), "{error}");
}

#[tokio::test]
async fn a_refusal_ends_the_reading_with_its_own_words() {
    struct Refuses;
    impl Ask for Refuses {
        fn ask<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Answer, Refusal>> {
            let refusal = Refusal {
                kind: Kind::Unavailable,
                code: "stream_unavailable",
                message: "the key may not read this".to_owned(),
                hint: Some("ask for permission".to_owned()),
                attempts: 3,
                ..refusal(Verdict::SkipStream)
            };
            Box::pin(std::future::ready(Err(refusal)))
        }
    }
    let mut reader = reader(&Server::of(1), "offset", options());
    reader.ask = Arc::new(Refuses);
    let error = load(&mut reader, 1).await.error.expect("an error");
    assert_eq!((error.kind, error.code), (Kind::Unavailable, "stream_unavailable"));
    assert_eq!(Explain::hint(&error).as_deref(), Some("ask for permission"));
    assert_eq!((error.requests, error.retries), (3, 2));
}

#[tokio::test]
async fn nothing_is_asked_after_the_wish_to_stop() {
    let server = Server::of(100);
    let mut reader = reader(&server, "offset", options());
    load(&mut reader, 2).await;
    reader.hands.stop.ask();
    let before = server.asked().len();
    let error = load(&mut reader, 1).await.error.expect("an error");
    assert_eq!((error.kind, error.code), (Kind::Stopped, "stopped"));
    assert!(before == 2 && server.asked().is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_before_anything_is_asked() {
    let server = Server::of(1);
    let unknown = try_reader(&server, "offsets", options()).expect_err("no such stream");
    assert_eq!((unknown.code, unknown.kind), ("unknown_stream", Kind::Refused));
    let start =
        CursorOptions { field: vec!["at".into()], start: Some("soon".into()), lookback: Duration::ZERO };
    let invalid = try_reader(&server, "plain", ReadOptions { cursor: Some(start), ..options() });
    assert_eq!(invalid.expect_err("not a moment").code, "invalid_start");
    assert!(server.asked().is_empty());
}

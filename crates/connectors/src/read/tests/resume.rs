//! Going on where another process stopped.

use super::*;

#[tokio::test]
async fn after_every_page_the_rest_is_the_same_as_undisturbed() {
    let plans = [
        ("offset", 95),
        ("short", 95),
        ("page", 95),
        ("endless", 100),
        ("whole", 40),
        ("plain", 60),
        ("even", 50),
    ];
    for (stream, count) in plans {
        for concurrency in [1, 4] {
            let server = Server::of(count);
            let options = || ReadOptions { concurrency, ..options() };
            let whole = load_all(&server, stream, options()).await;
            for (done, point) in whole.resumes.iter().enumerate() {
                let resumed = ReadOptions { resume: Some(point.clone()), ..options() };
                let rest = load_all(&server, stream, resumed).await;
                assert_eq!(rest.restarts.len() + rest.notes.len(), 0, "{stream} after page {done}: {rest:?}");
                assert_eq!(rest.numbers.first().copied().unwrap_or(done as u64 + 2), done as u64 + 2);
                let first = load(&mut reader(&server, stream, options()), done + 1).await;
                let all: Vec<_> = first.ids.iter().chain(&rest.ids).copied().collect();
                assert_eq!(all, whole.ids, "{stream} after page {done}");
                assert_eq!(
                    first.fetched + rest.fetched,
                    whole.fetched,
                    "the page that is checked counts once"
                );
                assert_eq!(rest.end, whole.end);
            }
        }
    }
}

#[tokio::test]
async fn a_last_page_that_is_not_the_same_any_more_begins_the_slice_again() {
    for stream in ["offset", "page", "whole"] {
        let server = Server::of(45);
        let first = load(&mut reader(&server, stream, options()), 2).await;
        let point = first.resumes.last().expect("a page").clone();
        server.0.lock().expect("free").rows.remove(3);
        let rest = load_all(&server, stream, ReadOptions { resume: Some(point), ..options() }).await;
        assert_eq!(rest.restarts, ["slice_restarted"], "{stream}");
        assert_eq!(rest.numbers.first(), Some(&1), "pages count from the start again");
        rest.is_whole(&server.ids());
    }
}

#[tokio::test]
async fn a_last_page_that_grew_gives_its_new_rows() {
    for stream in ["offset", "page", "endless", "whole"] {
        let server = Server::of(14);
        let first = load(&mut reader(&server, stream, options()), 2).await;
        let point = first.resumes.last().expect("a page").clone();
        server.0.lock().expect("free").rows.extend(rows(15..=33));
        let rest = load_all(&server, stream, ReadOptions { resume: Some(point), ..options() }).await;
        rest.is_plain(15..=33);
        assert_eq!(rest.fetched, 19, "{stream}");
    }
}

#[tokio::test]
async fn what_was_learned_about_the_server_is_remembered() {
    let server = Server::new(rows(1..=80), Style { files: Some(8), ..Style::default() });
    let first = load(&mut reader(&server, "offset", options()), 3).await;
    server.asked();
    let point = first.resumes.last().expect("a page").clone();
    let rest = load_all(&server, "offset", ReadOptions { resume: Some(point), ..options() }).await;
    rest.is_plain(25..=80);
    assert_eq!(server.asked()[..2], ["sort=id&limit=10&offset=16", "sort=id&limit=10&offset=24"]);

    let server = Server::new(rows(1..=400), Style { refuses_above: 100, ..Style::default() });
    let first = load(&mut reader(&server, "large", options()), 2).await;
    server.asked();
    let point = first.resumes.last().expect("a page").clone();
    let rest = load_all(&server, "large", ReadOptions { resume: Some(point), ..options() }).await;
    assert_eq!(first.ids.len() + rest.ids.len(), 400);
    assert!(server.asked().iter().all(|q| q.contains("limit=100")));
}

#[tokio::test]
async fn newest_first_listings_begin_again_and_say_so() {
    let from = crate::cursor::Saved::new("at".into(), DAY + 50_000_000, true, Duration::ZERO).write();
    let options = || ReadOptions { from: Some(from.clone()), ..options() };
    let server = Server::of(100);
    let first = load(&mut reader(&server, "feed", options()), 2).await;
    let point = first.resumes.last().expect("a page").clone();
    let rest = load_all(&server, "feed", ReadOptions { resume: Some(point), ..options() }).await;
    assert_eq!(rest.restarts, ["slice_restarted"]);
    assert_eq!(rest.ids, (45..=100).rev().collect::<Vec<_>>());

    // One that had to fall back to the full listing goes on in it.
    let unsorted = Server::new(rows(1..=100), Style { sorts: false, ..Style::default() });
    let first = load(&mut reader(&unsorted, "feed", options()), 4).await;
    assert_eq!(first.restarts, ["full_listing"]);
    let point = first.resumes.last().expect("a page").clone();
    let rest = load_all(&unsorted, "feed", ReadOptions { resume: Some(point), ..options() }).await;
    assert_eq!((rest.restarts.len(), rest.numbers.first()), (0, Some(&5)));
    let all: BTreeSet<u64> = first.set().union(&rest.set()).copied().collect();
    assert!(all.is_superset(&(45..=100).collect()));
}

#[tokio::test]
async fn a_resume_point_of_another_form_begins_again() {
    let server = Server::of(25);
    for point in [serde_json::json!({}), serde_json::json!({ "form": 2 }), serde_json::json!(7)] {
        let resume = Some(ResumePoint(point));
        let loaded = load_all(&server, "offset", ReadOptions { resume, ..options() }).await;
        assert_eq!(loaded.restarts, ["slice_restarted"]);
        loaded.is_whole(&(1..=25).collect());
    }
}

#[tokio::test]
async fn the_moment_of_the_first_page_survives() {
    let server = Server::of(25);
    let first = load(&mut reader(&server, "plain", options()), 1).await;
    let mut point = first.resumes[0].clone();
    point.0["moment"] = serde_json::json!("2025-01-01T00:00:20Z");
    let rest = load_all(&server, "plain", ReadOptions { resume: Some(point), ..options() }).await;
    let saved = crate::cursor::Saved::read(&rest.cursor().expect("a cursor")).expect("its form");
    assert_eq!(saved.micros(true), Some(DAY + 18_000_000), "20 s, less 2 s that are held back");
}

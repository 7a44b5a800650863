//! Listings by offset, as they should be and as they are.

use super::*;

#[track_caller]
fn offsets(server: &Server) -> Vec<u64> {
    let offset =
        |query: &String| query.split("offset=").nth(1).expect("an offset").parse().expect("a number");
    server.asked().iter().map(offset).collect()
}

#[tokio::test]
async fn every_row_comes_once_and_in_order_whatever_their_number() {
    for count in [0, 1, 2, 9, 10, 11, 18, 19, 20, 28, 29, 100] {
        for concurrency in [1, 4] {
            let server = Server::of(count);
            let loaded = load_all(&server, "offset", ReadOptions { concurrency, ..options() }).await;
            loaded.is_plain(1..=count);
            assert_eq!(loaded.fetched, count);
            assert!(loaded.end.expect("ended").1, "a full listing");
        }
    }
}

#[tokio::test]
async fn pages_overlap_by_one_row_and_the_last_holds_only_that() {
    let server = Server::of(25);
    load_all(&server, "offset", options()).await.is_plain(1..=25);
    assert_eq!(offsets(&server), [0, 9, 18, 24]);
    let server = Server::of(1);
    load_all(&server, "offset", options()).await.is_plain(1..=1);
    assert_eq!(server.asked(), ["sort=id&limit=10&offset=0", "sort=id&limit=10&offset=1"]);
}

#[tokio::test]
async fn a_short_page_ends_only_where_the_connector_says_so() {
    let server = Server::of(25);
    load_all(&server, "short", options()).await.is_plain(1..=25);
    assert_eq!(offsets(&server), [0, 9, 18]);
    let server = Server::new(rows(1..=25), Style { cap: 7, ..Style::default() });
    load_all(&server, "offset", options()).await.is_plain(1..=25);
    // The second request finds out that a short page is not the end, the third is where pages overlap.
    assert_eq!(offsets(&server), [0, 7, 6, 12, 18, 24, 25]);
}

#[tokio::test]
async fn the_first_request_is_alone_and_later_ones_go_ahead_by_the_learned_size() {
    let server = Server::new(rows(1..=200), Style { cap: 7, ..Style::default() });
    let mut reader = reader(&server, "offset", ReadOptions { concurrency: 4, ..options() });
    load(&mut reader, 1).await;
    assert_eq!(offsets(&server), [0]);
    let second = load(&mut reader, 1).await; // as long as the first: that is the server's page
    assert_eq!((second.ids.len(), offsets(&server)), (6, vec![7, 6]));
    load(&mut reader, 1).await;
    tokio::task::yield_now().await;
    assert_eq!(offsets(&server), [12, 18, 24, 30]);
    load(&mut reader, usize::MAX).await.is_whole(&(20..=200).collect());
}

#[tokio::test]
async fn what_was_asked_ahead_is_thrown_away_when_a_page_is_not_full() {
    for concurrency in [1, 2, 4, 9] {
        let server = Server::of(60).with(|world| world.slow = true);
        let mut reader = reader(&server, "offset", ReadOptions { concurrency, ..options() });
        let first = load(&mut reader, 2).await;
        server.0.lock().expect("free").style.cap = 4; // from now on it caps
        let rest = load(&mut reader, usize::MAX).await;
        let all: Vec<_> = first.ids.iter().chain(&rest.ids).copied().collect();
        assert_eq!(all, (1..=60).collect::<Vec<_>>());
        assert_eq!(first.fetched + rest.fetched, 60, "pages thrown away do not count");
        assert!(first.requests + rest.requests >= server.asked().len() as u64, "their requests do");
    }
}

#[tokio::test]
async fn no_more_is_under_way_than_memory_allows() {
    for (memory, expect) in [(usize::MAX, 8), (2_500, 3), (1_000, 1)] {
        let server = Server::of(300).with(|world| world.slow = true);
        let options = ReadOptions { concurrency: 8, memory, ..options() };
        load_all(&server, "offset", options).await.is_whole(&(1..=300).collect());
        let most = server.0.lock().expect("free").most_under_way;
        assert!(most <= expect && most >= expect.min(2), "{most} under way with {memory} bytes");
    }
}

#[tokio::test]
async fn pages_far_larger_than_the_memory_become_smaller() {
    let server = Server::of(1_000);
    let loaded = load_all(&server, "large", ReadOptions { memory: 1_500, ..options() }).await;
    loaded.is_whole(&(1..=1_000).collect());
    let asked = server.asked();
    assert!(
        asked[0].contains("limit=400&") && asked[1..].iter().all(|q| q.contains("limit=81&")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn files_that_know_only_their_own_beginnings_are_read_without_overlap() {
    for (count, stream) in
        [(40, "offset"), (43, "offset"), (8, "offset"), (43, "large"), (5, "large"), (1, "large")]
    {
        for concurrency in [1, 4] {
            let style = Style { files: Some(8), ..Style::default() };
            let server = Server::new(rows(1..=count), style);
            let loaded = load_all(&server, stream, ReadOptions { concurrency, ..options() }).await;
            loaded.is_whole(&(1..=count).collect());
            assert_eq!(loaded.ids.len() as u64, count, "each row once: {:?}", loaded.ids);
            assert_eq!(loaded.fetched, count);
            assert_eq!(loaded.restarts.len(), 0);
            let told = loaded.notes.contains(&"overlap_off".to_owned());
            assert_eq!(told, count > 8, "{:?}", loaded.notes);
        }
    }
    let server = Server::new(rows(1..=40), Style { files: Some(20), ..Style::default() });
    load_all(&server, "large", options()).await.is_whole(&(1..=40).collect());
    assert_eq!(offsets(&server), [0, 20, 19, 20, 40]);
}

#[tokio::test]
async fn rows_that_leave_before_the_border_make_the_page_before_be_read_again() {
    for gone in
        [vec![3], vec![10], vec![1, 2, 3], vec![9, 10], (1..=9).collect(), (1..=10).collect(), vec![12]]
    {
        let removed = gone.clone();
        let server = Server::of(35).with(move |world| {
            world.script = Box::new(move |turn, rows| {
                if turn == 2 {
                    rows.retain(|row| !removed.contains(&row.id));
                }
            });
        });
        let loaded = load_all(&server, "offset", options()).await;
        assert!(loaded.error.is_none());
        let left = server.ids();
        assert!(loaded.set().is_superset(&left), "{gone:?}: lost {:?}", left.difference(&loaded.set()));
        let noticed = loaded.notes.contains(&"listing_moved".to_owned()) || !loaded.restarts.is_empty();
        assert_eq!(noticed, gone != [12], "{gone:?}");
    }
}

#[tokio::test]
async fn rows_that_come_in_before_the_border_are_told_apart_from_those_seen() {
    let server = Server::of(35).with(|world| {
        world.script = Box::new(|turn, list| {
            if turn == 2 {
                list.splice(8..8, rows([101, 102])); // inside the part that was read
            }
        });
    });
    let loaded = load_all(&server, "offset", options()).await;
    assert!(loaded.set().is_superset(&(1..=35).collect()), "{:?}", loaded.ids);
    assert_eq!(loaded.notes, ["listing_moved"]);
    // The page that begins at the last row shows 102, 9, 10, 11 …: one new, one seen, one that overlaps.
    assert_eq!(loaded.ids.iter().filter(|id| [9, 10].contains(*id)).count(), 2, "{:?}", loaded.ids);
    assert_eq!(loaded.deduplicated, 1);
    assert!(loaded.ids.contains(&102));
}

#[tokio::test]
async fn rows_may_leave_at_the_very_end() {
    let server = Server::of(30).with(|world| {
        world.script = Box::new(|turn, rows| {
            if turn == 4 {
                rows.retain(|row| ![2, 30].contains(&row.id));
            }
        });
    });
    load_all(&server, "offset", options()).await.is_whole(&(1..=29).collect());
    // More rows left than came while the end was asked for: those that came moved up behind the border.
    let server = Server::of(28).with(|world| {
        world.script = Box::new(|turn, list| {
            if turn == 4 {
                list.retain(|row| row.id > 3);
                list.extend(rows([40, 41]));
            }
        });
    });
    load_all(&server, "offset", options()).await.is_whole(&(1..=28).chain([40, 41]).collect());
}

#[tokio::test]
async fn a_listing_without_an_order_is_read_twice_and_then_told_of() {
    let server = Server::of(60).with(|world| {
        let mut random = fastrand::Rng::with_seed(7);
        world.script = Box::new(move |_, rows| random.shuffle(rows));
    });
    let loaded = load_all(&server, "offset", options()).await;
    assert!(loaded.error.is_none() && loaded.end.is_some());
    assert_eq!(loaded.restarts, ["slice_restarted"]);
    assert!(loaded.notes.contains(&"listing_unstable".to_owned()), "{:?}", loaded.notes);
    assert!(server.asked().len() < 60);
}

#[tokio::test]
async fn rows_without_a_key_are_told_apart_by_all_of_their_text() {
    let server = Server::of(35);
    load_all(&server, "keyless", ReadOptions { key: Vec::new(), ..options() }).await.is_plain(1..=35);
}

#[tokio::test]
async fn unwanted_rows_are_filtered_and_a_limit_ends_early() {
    let server = Server::of(35);
    let loaded = load_all(&server, "even", options()).await;
    assert_eq!(loaded.ids, (1..=35).filter(|id| id % 2 == 0).collect::<Vec<_>>());
    assert_eq!((loaded.fetched, loaded.filtered), (35, 18));

    let server = Server::of(350);
    let options = |limit| ReadOptions { limit: Some(limit), concurrency: 4, ..options() };
    let loaded = load_all(&server, "offset", options(12)).await;
    assert_eq!(loaded.ids, (1..=12).collect::<Vec<_>>());
    assert_eq!((loaded.fetched, loaded.filtered), (19, 7));
    assert_eq!(server.asked().len(), 2, "no more was asked for than was wanted");
    assert_eq!(loaded.end, Some((None, false)));
    let loaded = load_all(&server, "large", options(60)).await;
    assert_eq!((loaded.ids.len(), server.asked()), (60, vec!["sort=id&limit=60&offset=0".to_owned()]));
    assert_eq!(load_all(&server, "offset", options(0)).await.ids.len(), 0);
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_refused_page_is_asked_for_smaller_and_stays_so() {
    let style = Style { refuses_above: 130, ..Style::default() };
    let server = Server::new(rows(1..=300), style);
    let loaded = load_all(&server, "large", ReadOptions { concurrency: 3, ..options() }).await;
    loaded.is_whole(&(1..=300).collect());
    assert_eq!(loaded.ids.len(), 300);
    assert_eq!(loaded.notes, ["smaller_pages", "smaller_pages"]);
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|q| q.contains("limit=400") || q.contains("limit=200")).count(), 2);
    let server = Server::new(rows(1..=300), Style { refuses_above: 40, ..Style::default() });
    let error = load_all(&server, "large", options()).await.error.expect("too small to be sensible");
    assert_eq!((error.code, error.requests), ("refused", 4));
}

#[tokio::test]
async fn fields_that_a_pipeline_names_are_asked_for_with_those_that_are_looked_at() {
    let asked = async |columns: Option<&[&str]>| {
        let server = Server::of(5);
        let columns = columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let _page = reader(&server, "picked", ReadOptions { columns, ..options() }).next().await;
        server.asked().remove(0)
    };
    assert!(asked(Some(&["name", "id"])).await.contains("fields=id%2Cat%2Ckind%2Cname"));
    assert!(!asked(None).await.contains("fields"));
    assert!(!asked(Some(&["a,b"])).await.contains("fields"));
}

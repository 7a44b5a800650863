//! Listings by page number.

use super::*;

fn server(count: u64, style: Style) -> Server {
    Server::new(rows(1..=count), style)
}

#[tokio::test]
async fn the_total_ends_a_listing_and_an_empty_page_does_too() {
    for count in [0, 1, 9, 11, 20, 95, 100] {
        for total in [Total::Right, Total::Text, Total::Zero, Total::Missing] {
            for concurrency in [1, 4] {
                let server = server(count, Style { total, ..Style::default() });
                let options = ReadOptions { concurrency, ..options() };
                load_all(&server, "page", options).await.is_plain(1..=count);
                let told = matches!(total, Total::Right | Total::Text) && count > 0;
                let pages = count.div_ceil(10) as usize;
                let asked = server.asked().len();
                if concurrency == 1 || told {
                    assert_eq!(asked, pages + usize::from(!told), "{count} rows, {total:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_first_page_that_is_full_and_all_there_is_costs_one_more_request() {
    let right = server(10, Style::default());
    load_all(&right, "page", options()).await.is_plain(1..=10);
    assert_eq!(right.asked().len(), 2);
    // Because a total may count the rows of this page only, and stopping would lose all others.
    let wrong = server(45, Style { total: Total::OfThisPage, ..Style::default() });
    load_all(&wrong, "page", options()).await.is_whole(&(1..=45).collect());
}

#[tokio::test]
async fn a_capped_size_ends_nothing() {
    for total in [Total::Right, Total::Missing] {
        for concurrency in [1, 3] {
            let server = server(45, Style { cap: 7, total, ..Style::default() });
            load_all(&server, "page", ReadOptions { concurrency, ..options() }).await.is_plain(1..=45);
        }
    }
}

#[tokio::test]
async fn a_falling_total_repeats_the_slice_once() {
    let shrinking = |at: Vec<usize>| {
        server(50, Style::default()).with(move |world| {
            world.script = Box::new(move |turn, rows| {
                if at.contains(&turn) {
                    rows.remove(0);
                }
            });
        })
    };
    let server = shrinking(vec![3]);
    let loaded = load_all(&server, "page", options()).await;
    assert!(loaded.set().is_superset(&server.ids()), "{:?}", loaded.ids);
    assert_eq!((loaded.restarts, loaded.notes), (vec!["slice_restarted".to_owned()], vec![]));

    let server = shrinking(vec![3, 6]);
    let loaded = load_all(&server, "page", options()).await;
    assert_eq!(loaded.restarts, ["slice_restarted"]);
    assert!(loaded.notes.contains(&"listing_changed".to_owned()), "{:?}", loaded.notes);
    assert!(loaded.end.is_some());
}

#[tokio::test]
async fn fewer_rows_than_the_total_repeat_the_slice_once() {
    let server = server(30, Style::default()).with(|world| {
        world.instead = Box::new(|_, whole| Some(whole.replace("\"total\":30", "\"total\":33")));
    });
    let loaded = load_all(&server, "page", options()).await;
    loaded.is_whole(&(1..=30).collect());
    assert_eq!(loaded.restarts, ["slice_restarted"]);
    assert_eq!(loaded.notes, ["listing_changed"]);
    assert_eq!(server.asked().len(), 8);
}

#[tokio::test]
async fn rows_that_move_down_are_counted_once() {
    let server = server(30, Style::default()).with(|world| {
        world.script = Box::new(|turn, list| {
            if turn == 2 {
                list.insert(0, rows([99]).remove(0));
            }
        });
    });
    let loaded = load_all(&server, "page", options()).await;
    assert!(loaded.set().is_superset(&(1..=30).collect()));
    assert_eq!(loaded.deduplicated, 1);
}

#[tokio::test]
async fn a_refused_page_is_asked_for_smaller_without_losing_its_place() {
    for above in [399, 199, 130, 70] {
        let server = server(1_000, Style { refuses_above: above, ..Style::default() });
        let loaded = load_all(&server, "pages", options()).await;
        loaded.is_whole(&(1..=1_000).collect());
        assert_eq!(loaded.ids.len(), 1_000);
    }
    // In the middle, and with sizes that do not divide each other.
    for (first, then) in [(400, 300), (330, 170), (75, 60), (100, 99), (400, 70)] {
        for count in [1_000, 300, 75, 130] {
            let server = server(count, Style { cap: first, ..Style::default() });
            let mut reader = reader(&server, "pages", options());
            let mut all = load(&mut reader, 1).await.set();
            server.0.lock().expect("free").style.refuses_above = then;
            let rest = load(&mut reader, usize::MAX).await;
            assert!(rest.error.is_none(), "{first}, then {then}, of {count}: {:?}", rest.error);
            all.extend(rest.set());
            assert_eq!(all, (1..=count).collect(), "{first}, then {then}, of {count}");
        }
    }
}

#[tokio::test]
async fn one_answer_may_be_all_of_it() {
    for count in [0, 1, 40] {
        let server = server(count, Style::default());
        load_all(&server, "whole", options()).await.is_plain(1..=count);
        assert_eq!(server.asked(), ["sort=id"]);
    }
}

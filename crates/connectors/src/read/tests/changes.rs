//! Reading what changed.

use super::*;
use crate::cursor::Saved;

/// The second after the first row that a saved cursor stands at.
fn second(cursor: Option<SavedCursor>) -> Option<f64> {
    let micros = Saved::read(&cursor?)?.micros(true)?;
    Some((micros - DAY) as f64 / 1e6)
}

fn from(at: i64) -> ReadOptions {
    let saved = Saved::new("at".into(), DAY + at * 1_000_000, true, Duration::ZERO);
    ReadOptions { from: Some(saved.write()), ..options() }
}

#[tokio::test]
async fn the_first_read_is_a_full_listing_in_the_stable_order() {
    for stream in ["feed", "plain"] {
        let server = Server::of(25);
        let loaded = load_all(&server, stream, options()).await;
        loaded.is_plain(1..=25);
        assert!(server.asked().iter().all(|q| q.contains("sort=id")));
        let hold_back = if stream == "plain" { 2.0 } else { 0.0 };
        assert_eq!(second(loaded.cursor()), Some(25.0 - hold_back));
    }
}

#[tokio::test]
async fn the_first_read_begins_at_the_start_that_was_given() {
    let start = Timestamp::from_micros(DAY + 20_000_000).to_string();
    let cursor = CursorOptions { field: vec!["at".into()], start: Some(start), lookback: Duration::ZERO };
    let server = Server::of(25);
    let loaded = load_all(&server, "plain", ReadOptions { cursor: Some(cursor), ..options() }).await;
    assert_eq!(loaded.ids, [20, 21, 22, 23, 24, 25]);
    assert_eq!((loaded.fetched, loaded.filtered), (25, 19));
}

#[tokio::test]
async fn later_reads_take_the_newest_first_and_stop_a_page_after_the_bound() {
    let server = Server::of(200);
    let loaded = load_all(&server, "feed", ReadOptions { concurrency: 4, ..from(190) }).await;
    assert_eq!(loaded.ids, (185..=200).rev().collect::<Vec<_>>(), "from the bound: 190 less 5 s of lookback");
    assert_eq!((loaded.restarts.len(), loaded.notes.len()), (0, 0));
    let asked = server.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.iter().all(|q| q.contains("sort=-at") && !q.contains("sort=id")), "{asked:?}");
    assert!(!loaded.end.as_ref().expect("ended").1, "not a full listing");
    assert_eq!(second(loaded.cursor()), Some(200.0));
    assert_eq!(loaded.fetched, loaded.ids.len() as u64 + loaded.filtered);
}

#[tokio::test]
async fn nothing_new_costs_two_pages_and_keeps_the_cursor() {
    let server = Server::of(200);
    let loaded = load_all(&server, "feed", from(300)).await;
    assert_eq!((loaded.ids.len(), server.asked().len()), (0, 2));
    assert_eq!(second(loaded.cursor()), Some(300.0));
    let empty = Server::of(0);
    assert_eq!(second(load_all(&empty, "feed", from(300)).await.cursor()), Some(300.0));
    assert_eq!(load_all(&empty, "feed", options()).await.cursor(), None);
}

#[tokio::test]
async fn what_cannot_be_proven_to_be_in_order_is_read_in_full() {
    let with_row =
        |id: usize, at: &'static str| Server::of(60).with(move |world| world.rows[id - 1].at = at.to_owned());
    let unsorted = Server::new(rows(1..=60), Style { sorts: false, ..Style::default() });
    // The server sorts texts: `"zzz"` first of all, nulls above quotes, and rows without a value last.
    for server in [unsorted, with_row(55, "\"zzz\""), with_row(55, "null"), with_row(55, "\"9\"")] {
        let loaded = load_all(&server, "feed", from(50)).await;
        assert_eq!(loaded.restarts, ["full_listing"]);
        assert!(loaded.end.as_ref().expect("ended").1, "a full listing");
        let wanted: BTreeSet<u64> = (45..=60).collect();
        assert_eq!(loaded.set(), wanted);
    }
}

#[tokio::test]
async fn a_row_without_a_value_at_the_far_end_is_found_by_one_row_of_the_other_order() {
    let server = Server::of(60);
    let loaded = load_all(&server, "looked", from(50)).await;
    assert!(loaded.restarts.is_empty(), "{:?}", loaded.restarts);
    let asked = server.asked();
    assert_eq!(asked[0], "sort=at&limit=1&offset=0");
    assert_eq!(asked.len(), 4, "{asked:?}");

    let server = server.with(|world| world.rows[2].at.clear());
    let loaded = load_all(&server, "looked", from(50)).await;
    assert_eq!(loaded.restarts, ["full_listing"]);
    assert_eq!(loaded.set(), (45..=60).chain([3]).collect());
}

#[tokio::test]
async fn a_provider_that_cannot_sort_is_read_in_full() {
    for stream in ["feed", "looked"] {
        let style = Style { refuses_sort: Some(400), ..Style::default() };
        let loaded = load_all(&Server::new(rows(1..=60), style), stream, from(50)).await;
        assert_eq!((&loaded.restarts[..], loaded.error.is_some()), (&["full_listing".to_owned()][..], false));
        assert_eq!(loaded.set(), (45..=60).collect());
        let style = Style { refuses_sort: Some(503), ..Style::default() };
        let loaded = load_all(&Server::new(rows(1..=60), style), stream, from(50)).await;
        assert!(loaded.error.is_some(), "a bad moment says nothing about sorting");
    }
    let silent = Server::of(60).with(|world| {
        world.instead = Box::new(|turn, _| (turn == 1).then(|| "[]".to_owned()));
    });
    let loaded = load_all(&silent, "feed", from(50)).await;
    assert_eq!(loaded.restarts, ["full_listing"], "an empty listing of changes is not believed");
}

#[tokio::test]
async fn a_listing_that_may_lack_rows_leaves_the_cursor_where_it_was() {
    let server = Server::of(60).with(|world| {
        // Whenever the second page is asked for, rows of the first are gone.
        world.script = Box::new(|turn, rows| {
            if turn % 3 == 2 && rows.len() > 20 {
                rows.remove(0);
            }
        });
    });
    let loaded = load_all(&server, "numbered", options()).await;
    assert!(loaded.notes.contains(&"listing_changed".to_owned()), "{:?}", loaded.notes);
    assert_eq!(loaded.cursor(), None, "the next read looks at everything again");
}

#[tokio::test]
async fn rows_without_a_value_count_as_changed() {
    for at in ["", "null", "\"\"", "\"0000-00-00 00:00:00\"", "7"] {
        let server = Server::of(30).with(|world| world.rows[4].at = at.to_owned());
        let loaded = load_all(&server, "plain", from(28)).await;
        assert_eq!(loaded.ids, [5, 28, 29, 30], "{at}");
        assert_eq!(loaded.notes, ["full_listing"]);
    }
}

#[tokio::test]
async fn the_cursor_stays_behind_the_moment_the_slice_began() {
    // The provider stamps a row later than the Date of the first page.
    let server = Server::of(30).with(|world| world.rows[7].at = moment(2_000_000));
    let loaded = load_all(&server, "feed", options()).await;
    assert_eq!(second(loaded.cursor()), Some(1_000_000.0));
}

#[tokio::test]
async fn a_change_during_the_read_is_seen_now_or_by_the_next_read() {
    // Row 3 is far behind the bound and row 190 was read; both move to the top of the listing.
    let server = Server::of(200).with(|world| {
        world.script = Box::new(|turn, rows| {
            if turn == 2 {
                rows[2].at = moment(500);
                rows[189].at = moment(501);
            }
        });
    });
    let mut loaded = load_all(&server, "feed", from(180)).await;
    assert!(loaded.error.is_none());
    let next = ReadOptions { from: loaded.cursor(), ..options() };
    loaded.ids.extend(load_all(&server, "feed", next).await.ids);
    let wanted: BTreeSet<u64> = (180..=200).chain([3]).collect();
    assert!(loaded.set().is_superset(&wanted), "{:?}", loaded.ids);
}

#[tokio::test]
async fn another_field_sorts_nothing_and_a_replace_tells_no_changes() {
    let cursor = CursorOptions { field: vec!["x".into()], start: None, lookback: Duration::ZERO };
    let server = Server::of(25);
    let loaded = load_all(&server, "feed", ReadOptions { cursor: Some(cursor), ..from(10) }).await;
    assert_eq!(
        (loaded.ids.len(), &loaded.notes[..]),
        (25, &["cursor_unusable".to_owned(), "cursor_field_missing".to_owned()][..])
    );
    assert!(server.asked().iter().all(|q| q.contains("sort=id")));

    let loaded = load_all(&server, "feed", ReadOptions { listing_only: true, ..from(10) }).await;
    loaded.is_plain(1..=25);
    assert_eq!(loaded.end, Some((None, true)));
}

#[tokio::test]
async fn times_without_a_zone_may_be_ahead_by_as_much_as_a_zone_can_be() {
    // The provider's own clock stands at 1,000,000.
    for (ahead, counts) in [(1_000_000 + 13 * 3600, true), (1_000_000 + 15 * 3600, false)] {
        let server = Server::of(30).with(|world| world.rows[7].at = moment(ahead));
        let loaded = load_all(&server, "local", options()).await;
        let saved = Saved::read(&loaded.cursor().expect("a value was seen")).expect("its form");
        let greatest = if counts { ahead as i64 } else { 30 };
        assert_eq!(saved.micros(false), Some(DAY + greatest * 1_000_000), "{ahead}");
    }
}

//! Random servers, sizes, latencies, changes and kills. An oracle knows every row.

use super::*;

/// One storm: a listing that may change while it is read, by a process that may be killed after any page.
async fn storm(seed: u64, changing: bool) {
    let mut random = fastrand::Rng::with_seed(seed);
    let count = random.u64(0..220);
    let mut streams = vec!["offset", "keyless", "large", "plain"];
    if !changing {
        streams.extend(["page", "endless", "whole", "even"]);
    }
    let stream = streams[random.usize(0..streams.len())];
    let style = Style {
        // A page of two or three rows has hardly any news: nobody can follow rows that move as fast as that.
        cap: if random.bool() { usize::MAX } else { random.usize(if changing { 4 } else { 2 }..30) },
        files: (!changing && random.u8(0..4) == 0).then(|| random.usize(2..40)),
        total: [Total::Right, Total::Text, Total::Zero, Total::Missing][random.usize(0..4)],
        ..Style::default()
    };
    let server = Server::new(rows(1..=count), style.clone()).with(|world| {
        world.slow = true;
        world.random = fastrand::Rng::with_seed(seed ^ 0xabc);
        if changing {
            world.script = Box::new(changes(seed));
        }
    });
    let options = ReadOptions {
        key: if stream == "keyless" { Vec::new() } else { vec!["id".to_owned()] },
        concurrency: random.u32(1..6),
        memory: random.usize(300..20_000),
        ..options()
    };
    let what = format!("seed {seed}: {count} rows, {stream}, {style:?}, {options:?}");

    let always: BTreeSet<u64> = server.ids();
    let mut taken = BTreeSet::new();
    let (mut fetched, mut handed_out, mut restarts, mut told, mut resume) = (0, 0, 0, false, None);
    for _process in 0..100 {
        let kill_after = if random.bool() { usize::MAX } else { random.usize(1..6) };
        let resumed = ReadOptions { resume: resume.clone(), ..options.clone() };
        let loaded = load(&mut reader(&server, stream, resumed), kill_after).await;
        assert!(loaded.error.is_none(), "{what}: {:?}", loaded.error);
        taken.extend(loaded.set());
        fetched += loaded.fetched;
        handed_out += loaded.ids.len() as u64;
        restarts += loaded.restarts.len();
        // Pages of two rows can look like a server that knows only where its own pages begin; then that is told.
        told |= loaded.notes.iter().any(|note| note == "listing_unstable" || note == "overlap_off");
        if loaded.end.is_some() {
            if changing {
                // Rows that were there from the first request to the last.
                let stayed: BTreeSet<u64> = always.intersection(&server.ids()).copied().collect();
                let lost: Vec<_> = stayed.difference(&taken).collect();
                assert!(lost.is_empty() || told, "{what}: lost {lost:?}");
            } else {
                let wanted = |id: &u64| stream != "even" || id.is_multiple_of(2);
                assert_eq!(taken, always.into_iter().filter(wanted).collect(), "{what}");
                assert!(restarts == 0 && (!told || style.files.is_some()), "{what}");
                assert_eq!((fetched, handed_out), (count, taken.len() as u64), "{what}: each row once");
            }
            return;
        }
        resume = loaded.resumes.last().cloned();
    }
    panic!("{what}: no end in sight");
}

/// Rows that come and go, about every third request.
fn changes(seed: u64) -> impl FnMut(usize, &mut Vec<Row>) + Send {
    let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed);
    let mut next = 10_000;
    move |_, list| {
        if random.u8(0..3) > 0 {
            return;
        }
        for _ in 0..random.usize(1..4) {
            match random.u8(0..5) {
                0 | 1 if !list.is_empty() => drop(list.remove(random.usize(0..list.len()))),
                2 => list.insert(random.usize(0..=list.len()), rows([next]).remove(0)),
                3 => list.push(rows([next]).remove(0)),
                _ => {}
            }
            next += 1;
        }
    }
}

#[tokio::test]
async fn a_still_listing_is_read_alike_whatever_the_pages_the_latencies_and_the_kills() {
    for seed in 0..400 {
        storm(seed, false).await;
    }
}

#[tokio::test]
async fn a_moving_listing_loses_no_row_that_stays() {
    for seed in 0..400 {
        storm(seed, true).await;
    }
}

//! The benchmark's data: pages of records that look like a CRM's companies, the same on every machine.
//!
//! A record has 25 fields in about 950 bytes of JSON: a key, nine more texts, six numbers, two booleans, four
//! moments, an object of eight mixed values, a list of texts and a list of objects. One value in ten of those
//! that may be null is; some text is not ASCII, some is escaped.

use std::fmt::Write as _;
use std::path::Path;

use crate::Result;

/// Rows of a page.
pub const PAGE: u64 = 2000;

const WORDS: [&str; 12] = [
    "amber", "basalt", "cedar", "drift", "estuary", "fjord", "gravel", "heath", "isthmus", "karst", "lagoon",
    "moor",
];
const COMPANY: [&str; 5] = ["AB", "Inc", "GmbH", "Åkeri", "Ltd"];
const STATUS: [&str; 5] = ["prospect", "customer", "coming", "canceled", "lost"];
const PHASE: [&str; 6] = ["Onboarding", "Adoption", "Growth", "Renewal", "At risk", "Été – période"];
const COUNTRY: [&str; 6] = ["SE", "US", "DE", "GB", "FR", "NL"];
const REGION: [&str; 4] = ["North", "South", "East", "West"];
const TAGS: [&str; 8] = ["enterprise", "smb", "vip", "beta", "emea", "apac", "partner", "trial"];

/// Writes `rows` records below a folder, a file for each page named by its offset, and the empty page that ends
/// the listing. Does nothing where they are already there.
pub fn write(folder: &Path, rows: u64) -> Result<u64> {
    let mark = folder.join("complete.txt");
    if let Ok(text) = std::fs::read_to_string(&mark)
        && let Some((known, bytes)) = text.split_once(' ')
        && known.parse() == Ok(rows)
    {
        return Ok(bytes.trim().parse()?);
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let mut bytes = 0;
    for start in (0..rows).step_by(PAGE as usize) {
        let page = page(start, PAGE.min(rows - start));
        bytes += page.len() as u64;
        std::fs::write(folder.join(format!("{start}.json")), page)?;
    }
    std::fs::write(mark, format!("{rows} {bytes}"))?;
    Ok(bytes)
}

/// Writes one in `every` of `rows` records as it is once somebody changed it. How many these are.
pub fn write_changed(folder: &Path, rows: u64, every: usize) -> Result<u64> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let (mut changed, mut written) = (Vec::new(), 0);
    for start in (0..rows).step_by(PAGE as usize) {
        let page: Vec<serde_json::Map<_, _>> = serde_json::from_str(&page(start, PAGE.min(rows - start)))?;
        changed.extend(page.into_iter().step_by(every).map(|mut row| {
            row.insert("name".to_owned(), format!("renamed {start}").into());
            row.insert("updatedAt".to_owned(), "2026-06-01T12:00:00.000Z".into());
            row
        }));
        let last = start + PAGE >= rows;
        while changed.len() >= PAGE as usize || (last && !changed.is_empty()) {
            let page: Vec<_> = changed.drain(..changed.len().min(PAGE as usize)).collect();
            std::fs::write(folder.join(format!("{written}.json")), serde_json::to_string(&page)?)?;
            written += page.len() as u64;
        }
    }
    Ok(written)
}

/// A page depends on its offset alone.
fn page(start: u64, rows: u64) -> String {
    let mut dice = Dice(start ^ 0x5eed);
    let mut out = String::with_capacity(rows as usize * 1000);
    out.push('[');
    for i in start..start + rows {
        if i > start {
            out.push(',');
        }
        record(&mut out, &mut dice, i);
    }
    out.push(']');
    out
}

fn record(out: &mut String, dice: &mut Dice, i: u64) {
    let words: [&str; 6] = std::array::from_fn(|_| dice.one_of(&WORDS));
    let company = dice.one_of(&COMPANY);
    let mut row = Object::new(out, dice);
    row.always("_id", |d| format!("\"{:08x}{:06x}1092{i:06x}\"", 1_600_000_000 + i / 7, d.below(1 << 24)));
    row.always("name", |_| format!("\"{} {} {company} {i}\"", words[0], words[1]));
    row.maybe("externalId", |_| format!("\"ext-{i:07}\""));
    row.maybe("sourceId", |d| format!("\"src-{}\"", d.below(1 << 40)));
    row.always("status", |d| quoted(d.one_of(&STATUS)));
    row.maybe("phase", |d| quoted(d.one_of(&PHASE)));
    row.maybe("owner", |d| format!("\"{:012x}{:012x}\"", d.below(1 << 48), d.below(1 << 48)));
    row.maybe("domain", |_| format!("\"{}-{}-{i}.example.com\"", words[2], words[3]));
    row.maybe("description", |_| {
        let (first, rest) = (words[..2].join(" "), words.join(" "));
        format!("\"{first} \\\"{}\\\" {}\\n{rest} {first}\"", words[2], words[3])
    });
    row.maybe("country", |d| quoted(d.one_of(&COUNTRY)));
    row.maybe("mrr", |d| cents(d.below(2_000_000)));
    row.maybe("arr", |d| cents(d.below(24_000_000)));
    row.maybe("nrr", |d| d.below(181).to_string());
    row.maybe("health", |d| format!("{}.{}", d.below(10), d.below(10)));
    row.always("seats", |d| (1 + d.below(5000)).to_string());
    row.maybe("csatScore", |d| (1 + d.below(5)).to_string());
    row.always("isActive", |d| (d.below(10) < 8).to_string());
    row.maybe("autoRenew", |d| (d.below(2) == 0).to_string());
    row.always("createdAt", |d| moment(d, 2019));
    row.always("updatedAt", |d| moment(d, 2023));
    row.maybe("lastActive", |d| moment(d, 2024));
    row.maybe("renewalDate", |d| moment(d, 2025));
    row.always("custom", |d| custom(d, words));
    row.always("tags", |d| {
        let count = d.below(5);
        list(count, |_| quoted(d.one_of(&TAGS)))
    });
    row.always("products", |d| {
        let count = d.below(4);
        list(count, |_| {
            let (sku, qty) = (d.below(500), d.below(90));
            format!("{{\"sku\":\"P-{sku:03}\",\"qty\":{qty},\"price\":{}}}", cents(d.below(90_000)))
        })
    });
    row.end();
}

fn custom(dice: &mut Dice, words: [&str; 6]) -> String {
    let mut text = String::new();
    let mut object = Object::new(&mut text, dice);
    object.maybe("Region", |d| quoted(d.one_of(&REGION)));
    object.maybe("Contract value", |d| cents(d.below(100_000_000)));
    object.always("Tier", |d| (1 + d.below(4)).to_string());
    object.always("Is strategic", |d| (d.below(5) == 0).to_string());
    object.maybe("Next review", |d| moment(d, 2025));
    object.maybe("CRM link", |d| format!("\"https://crm.example.com/account/{}\"", d.below(1 << 48)));
    object.maybe("Employees", |d| (1 + d.below(100_000)).to_string());
    object.maybe("Notes", |_| quoted(&words.join(" ")));
    object.end();
    text
}

/// A JSON object that is being written.
struct Object<'a> {
    out: &'a mut String,
    dice: &'a mut Dice,
    empty: bool,
}

impl<'a> Object<'a> {
    fn new(out: &'a mut String, dice: &'a mut Dice) -> Self {
        out.push('{');
        Self { out, dice, empty: true }
    }

    fn always(&mut self, name: &str, value: impl FnOnce(&mut Dice) -> String) {
        let comma = if self.empty { "" } else { "," };
        self.empty = false;
        write!(self.out, "{comma}\"{name}\":{}", value(self.dice)).expect("a string takes text");
    }

    /// Null once in ten.
    fn maybe(&mut self, name: &str, value: impl FnOnce(&mut Dice) -> String) {
        let null = self.dice.below(10) == 0;
        self.always(name, |dice| if null { "null".to_owned() } else { value(dice) });
    }

    fn end(self) {
        self.out.push('}');
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn cents(n: u64) -> String {
    format!("{}.{:02}", n / 100, n % 100)
}

fn list(count: u64, item: impl FnMut(u64) -> String) -> String {
    format!("[{}]", (0..count).map(item).collect::<Vec<_>>().join(","))
}

fn moment(dice: &mut Dice, year: u64) -> String {
    let (month, day) = (1 + dice.below(12), 1 + dice.below(28));
    let (h, m, s, ms) = (dice.below(24), dice.below(60), dice.below(60), dice.below(1000));
    format!("\"{year}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z\"")
}

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>): short, good enough, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_the_same_every_time_and_of_the_promised_size() {
        let text = page(4000, PAGE);
        assert_eq!(text, page(4000, PAGE));
        let rows: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(&text).expect("a page is a list of objects");
        assert_eq!(rows.len(), PAGE as usize);
        assert!(rows.iter().all(|row| row.len() == 25), "{:?}", rows[0]);
        let bytes = text.len() / rows.len();
        assert!((930..=970).contains(&bytes), "{bytes} bytes a record");
        let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| row["_id"].to_string()).collect();
        assert_eq!(ids.len(), rows.len(), "keys are unique");
    }
}

//! The vocabulary of made-up data. Nobody in here exists.

/// Beginnings of company names.
#[rustfmt::skip]
pub(crate) const STEMS: &[&str] = &[
    "Amber", "Baltic", "Cedar", "Delta", "Ember", "Fjord", "Granite", "Harbor", "Indigo", "Juniper",
    "Kestrel", "Lumen", "Meadow", "Northwind", "Onyx", "Prairie", "Quartz", "River", "Summit", "Tidal",
    "Umbra", "Velvet", "Willow", "Xenon", "Yarrow", "Zephyr",
];

/// Ends of company names.
#[rustfmt::skip]
pub(crate) const TRADES: &[&str] = &[
    "Robotics", "Timber", "Logistics", "Analytics", "Foods", "Optics", "Software", "Energy", "Textiles",
    "Media", "Pharma", "Tools", "Freight", "Studios", "Systems", "Ceramics",
];

/// Company names that have broken somebody's program before.
pub(crate) const ODD_COMPANIES: &[&str] = &[
    "Łódź Maschinenbau GmbH & Co. KG",
    "日本精密株式会社",
    "شركة النور للتجارة",
    "חברת הים בע״מ",
    "Rocket 🚀 Rides",
    "O'Brien \"Bulk\" Goods",
    "C:\\Temp\\Co",
    "Null",
    "1e5",
    "  Leading and trailing  ",
    "Семь ветров",
    "Zero\u{200b}Width",
    "Café\u{301} combining",
    "👩‍👩‍👧‍👦 Family Foods",
];

/// First names.
#[rustfmt::skip]
pub(crate) const FIRST: &[&str] = &[
    "Ana", "Bo", "Chidi", "Dana", "Eero", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kenji", "Leila",
    "Mira", "Nils", "Olga", "Pavel", "Quinn", "Rosa", "Søren", "Tariq", "Uma", "Vera", "Wren", "Ximena",
    "Yusuf", "Zoë",
];

/// Last names.
#[rustfmt::skip]
pub(crate) const LAST: &[&str] = &[
    "Reyes", "Okafor", "Lindqvist", "Novák", "Haddad", "Tanaka", "Moreau", "Kowalska", "D'Angelo",
    "van der Berg", "O'Neill", "Ünal", "Fernández", "Ibrahim", "Petrović", "Nguyễn", "Smith-Jones",
    "Østergård", "李", "Bakker",
];

/// Sentences, as people write them into fields.
pub(crate) const SENTENCES: &[&str] = &[
    "Asked for a quote",
    "Renewal call went well",
    "Waiting for the security review",
    "Export fails on large files",
    "Wants to move to the yearly plan",
    "Follow up after the holidays",
    "Key contact left the company",
    "Two seats unused since spring",
    "Line one\nline two\r\nline three",
    "Tab\tseparated\tvalues",
    "She said \"maybe\", then \"no\"",
    "Path is C:\\Users\\Public\\",
    "Price: 100 % of 1,250.50 €",
    "😀 very happy 👍🏽",
    "مرحبا بالعالم",
    "שלום עולם",
    "価格を確認してください",
    "line\u{2028}separator",
    "-- '; drop table companies",
    "=1+1",
    "undefined",
    "null",
    "true",
    "2024-02-30",
    "007",
];

/// Text that JSON allows and few databases like. Only on request.
pub(crate) const NUL: &str = "before\u{0}after";

/// Labels for lists of tags.
#[rustfmt::skip]
pub(crate) const TAGS: &[&str] = &[
    "pilot", "vip", "churn risk", "EMEA", "übergabe", "a,b", "q\"uote",
];

/// Amounts that show how a number was read: exact in decimal, not all of them in binary.
#[rustfmt::skip]
pub(crate) const AMOUNTS: &[&str] = &[
    "0", "900", "1250.5", "0.1", "1500.0", "99.99", "18400.5", "0.3", "12345678901234.56", "1000000",
    "-40.25", "15006", "7.005", "33.333333",
];

/// Whole numbers that a double cannot hold.
pub(crate) const WIDE: &[&str] = &["9007199254740993", "9223372036854775807", "-9007199254740995"];

/// Currency codes.
pub(crate) const CURRENCIES: &[&str] = &["EUR", "USD", "GBP", "SEK"];

/// Time zones.
pub(crate) const ZONES: &[&str] = &["Europe/Riga", "America/New_York", "Asia/Tokyo", "UTC"];

//! What is said about mistakes in pipelines.

use super::{complaints, patch};
use crate::tests::Language;

#[track_caller]
fn pipeline(from: &str, to: &str, expect: &str) {
    patch(Language::Pipeline, from, to, expect);
}

#[test]
fn pipeline_top() {
    pipeline(
        "name: planhat",
        "name: plan hat",
        "1:7 plan hat | `plan hat` is not a name | letters, digits, `.`, `_` and `-`, a letter or digit first, at most 100",
    );
    pipeline(
        "name: planhat",
        "name: ../x",
        "1:7 ../x | `../x` is not a name | letters, digits, `.`, `_` and `-`, a letter or digit first, at most 100",
    );
    pipeline("name: planhat", "name:", "1:1 name | `name` has no value; it must be a name | -");
    pipeline("name: planhat", "name: [a]", "1:7 [a] | `name` must be a name, not a list | -");
    pipeline("name: planhat", "nmae: planhat", "1:1 nmae | unknown word `nmae` | did you mean `name`?");
    pipeline(
        "name: planhat",
        "select: [a]",
        "1:1 select | unknown word `select` | known here: `name`, `description`, `source`, `defaults`, `streams`, `destination`, `schedule`, `mask_key`",
    );
}

#[test]
fn source() {
    pipeline(
        "./connectors/acme.yaml",
        "connectors/acme.yaml",
        "5:14 connectors/acme.yaml | `connectors/acme.yaml` is not the name of a connector or the path of its file | a path begins with `./` or `/`",
    );
    pipeline(
        "./connectors/acme.yaml",
        "Planhat",
        "5:14 Planhat | `Planhat` is not the name of a connector or the path of its file | a name is made of small letters, digits, `-` and `_`; a path begins with `./` or `/`",
    );
    pipeline(
        "./connectors/acme.yaml",
        "sqlite://./x.db",
        "5:14 sqlite://./x.db | `sqlite://./x.db` is not the name of a connector or the path of its file | only providers can be read: a built-in one by its name, your own by the path of its file",
    );
    pipeline("connector:", "conector:", "5:3 conector | unknown word `conector` | did you mean `connector`?");
    pipeline("  connector: ./connectors/acme.yaml\n", "", "4:1 source | `source` needs `connector` | -");
    pipeline("port: 8080", "port:", "7:40 port | `port` has no value; it must be a text | -");
    pipeline(
        "port: 8080",
        "Port: 8080",
        "7:40 Port | `Port` cannot be the name of a setting or a secret | small letters, digits and `_`, a letter first",
    );
    pipeline(
        "port: 8080",
        "port: \"${env:A B}\"",
        "7:47 ${env:A B} | this is not a reference | a reference is `${env:NAME}`, `${file:PATH}` or `${cmd:PROGRAM ARGS}`",
    );
    pipeline(
        "port: 8080",
        "port: \"x${env:A\"",
        "7:48 ${env:A | a reference is not closed | end it with `}`",
    );
    pipeline(
        "port: 8080",
        "port: https://u:p@h/",
        "7:54 u:p | a URL must not carry a user or a password | take it out of the URL; `credential` says where secrets are",
    );
    pipeline(
        "port: 8080",
        "api_key: abcdefgh",
        "7:49 abcdefgh | `api_key` looks like a secret, and settings are no secrets | `credential` says where secrets are",
    );
    pipeline(
        "http://127.0.0.1:9310/planhat",
        "http://api.example.com/",
        "8:13 http://api.example.com/ | a credential must not travel over plain http | write `https://`; http is for 127.0.0.1, localhost and [::1]",
    );
    pipeline(
        "http://127.0.0.1:9310/planhat",
        "ftp://x",
        "8:13 ftp://x | a base URL begins with `https://` | write it whole: `https://api.example.com/v1`",
    );
    pipeline(
        "http://127.0.0.1:9310/planhat",
        "https://",
        "8:13 https:// | a URL without a host | write it whole: `https://api.example.com/v1`",
    );
    pipeline(
        "http://127.0.0.1:9310/planhat",
        "https://a.b/?x=1",
        "8:13 https://a.b/?x=1 | a base URL has no query | parameters go into `query` of the connector",
    );
    pipeline(
        "http://127.0.0.1:9310/planhat",
        "https://u:pw@a.b/",
        "8:21 u:pw | a URL must not carry a user or a password | take it out of the URL; `credential` says where secrets are",
    );
    pipeline(
        "http://127.0.0.1:9310/planhat",
        "https://a.b/?hapikey=abc",
        "8:34 abc | a URL must not carry a key | take it out of the URL; `credential` says where secrets are",
    );
    pipeline(
        "http://127.0.0.1:9310/planhat",
        "\"https://a.b/?apikey=${env:A}\"",
        "8:13 \"https://a.b/?apikey=${env:A}\" | a base URL has no query | parameters go into `query` of the connector",
    );
    pipeline("http://127.0.0.1:9310/planhat", "https://a b/", "8:13 https://a b/ | a URL has no blanks | -");
    pipeline("http://127.0.0.1:9310/planhat", "\"${env:BASE}\"", "");
    pipeline(
        "150/min",
        "150",
        "10:26 150 | `150` is not a rate | a rate is so many requests in a period, such as `50/5s`, `200/min` or `6000/day`",
    );
    pipeline(
        "150/min",
        "0/min",
        "10:26 0/min | `0/min` allows nothing | a rate is so many requests in a period, such as `50/5s`, `200/min` or `6000/day`",
    );
    pipeline(
        "150/min",
        "-1/min",
        "10:26 -1/min | `-1` is not a number of requests | a rate is so many requests in a period, such as `50/5s`, `200/min` or `6000/day`",
    );
    pipeline(
        "150/min",
        "150/minute",
        "10:26 150/minute | `minute` is not a duration | a rate is so many requests in a period, such as `50/5s`, `200/min` or `6000/day`",
    );
    pipeline("[150/min, 50000/day]", "[]", "10:25 [] | `limits` is an empty list | -");
    pipeline("[150/min, 50000/day]", "150/min", "10:25 150/min | `150/min` is not a list | -");
    pipeline("concurrency: 4", "concurrency: 0", "11:18 0 | `0` is not a whole number of at least 1 | -");
    pipeline(
        "concurrency: 4",
        "concurrency: '4'",
        "11:18 '4' | `4` is not a whole number of at least 1 | leave the quotes out",
    );
    pipeline("concurrency: 4", "concurrency: 04", "11:18 04 | `04` is not a whole number of at least 1 | -");
    pipeline("concurrency: 4", "concurrency: 4294967296", "11:18 4294967296 | `4294967296` is too large | -");
    pipeline("attempts: 6", "attempts: -1", "12:22 -1 | `-1` is not a whole number of at least 1 | -");
    pipeline(
        "max_wait: 10m",
        "max_wait: 10",
        "12:35 10 | `10` has no unit | a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `90s`, `15m` or `30d`",
    );
    pipeline("max_wait: 10m", "max_wait: 0s", "12:35 0s | `max_wait` must be at least `1s` | -");
    pipeline(
        "max_wait: 10m",
        "max_wait: 99999999999d",
        "12:35 99999999999d | `99999999999d` is longer than a hundred years | a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `90s`, `15m` or `30d`",
    );
    pipeline(
        "rate_limit:",
        "reserve: 20%\n  rate_limit:",
        "10:3 reserve | unknown word `reserve` | known here: `connector`, `credential`, `config`, `base_url`, `account`, `rate_limit`, `retry`",
    );
}

#[test]
fn credentials() {
    let whole = "{ alpha: \"${env:PLANHAT_TOKEN}\", beta: \"${file:./b.txt}\" }";
    pipeline(whole, "planhat-prod", "");
    pipeline(whole, "\"${cmd:pass show 'crm key'}\"", "");
    pipeline(
        whole,
        "sk-LIVE-123",
        "6:15 sk-LIVE-123 | a literal secret; a file is read by more people than should know it | put it into an environment variable or a file, and write `${env:NAME}` or `${file:PATH}` here",
    );
    pipeline(
        whole,
        "12345678",
        "6:15 12345678 | a literal secret; a file is read by more people than should know it | put it into an environment variable or a file, and write `${env:NAME}` or `${file:PATH}` here",
    );
    pipeline(
        whole,
        "\"${env:A}x\"",
        "6:15 \"${env:A}x\" | a literal secret; a file is read by more people than should know it | put it into an environment variable or a file, and write `${env:NAME}` or `${file:PATH}` here",
    );
    pipeline(
        whole,
        "\"${cmd:pass 'x}\"",
        "6:15 \"${cmd:pass 'x}\" | this is not a reference | a reference is `${env:NAME}`, `${file:PATH}` or `${cmd:PROGRAM ARGS}`",
    );
    pipeline(
        whole,
        "",
        "6:3 credential | `credential` has no value; it must be a reference | a reference is `${env:NAME}`, `${file:PATH}` or `${cmd:PROGRAM ARGS}`",
    );
    pipeline(whole, "{}", "6:15 {} | `credential` is an empty map | -");
    pipeline(
        whole,
        "[a]",
        "6:15 [a] | `credential` must be a reference, not a list | a reference is `${env:NAME}`, `${file:PATH}` or `${cmd:PROGRAM ARGS}`",
    );
    pipeline(
        whole,
        "{ alpha: sk-LIVE-1, Beta: b }",
        "6:24 sk-LIVE-1 | a literal secret; a file is read by more people than should know it | put it into an environment variable or a file, and write `${env:NAME}` or `${file:PATH}` here\n6:35 Beta | `Beta` cannot be the name of a setting or a secret | small letters, digits and `_`, a letter first\n6:41 b | a single secret is a reference, not a name | a stored credential stands for all of a connector's secrets: `credential: NAME`; a reference is `${env:NAME}`, `${file:PATH}` or `${cmd:PROGRAM ARGS}`",
    );
}

#[test]
fn streams() {
    pipeline(
        "write: merge",
        "write: mrege",
        "15:10 mrege | `mrege` is not a write disposition | did you mean `merge`?",
    );
    pipeline(
        "write: merge",
        "write: upsert",
        "15:10 upsert | `upsert` is not a write disposition | known here: `append`, `replace`, `merge`, `history`",
    );
    pipeline(
        "primary_key: _id",
        "primaryKey: _id",
        "19:5 primaryKey | unknown word `primaryKey` | did you mean `primary_key`?",
    );
    pipeline("primary_key: _id", "primary_key: []", "19:18 [] | `primary_key` is an empty list | -");
    pipeline("primary_key: [a, b]", "primary_key: [a, a]", "21:43 [a, a] | `a` is named twice | -");
    pipeline(
        "primary_key: [a, b]",
        "primary_key: {a: b}",
        "21:43 {a: b} | `primary_key` must be the name of a field, not a map | -",
    );
    pipeline(
        "field: updatedAt",
        "field: a..b",
        "20:24  | `a..b` has an empty name | names stand between the dots: `a.b`",
    );
    pipeline(
        "mode: client",
        "mode: sever",
        "20:39 sever | `sever` is not a cursor mode | did you mean `server`?",
    );
    pipeline(
        "start: 2024-01-01",
        "start: 2024-13-01",
        "20:54 2024-13-01 | `2024-13-01` is not a date or a timestamp with a zone | such as `2024-01-31` or `2024-01-31T08:00:00Z`",
    );
    pipeline(
        "start: 2024-01-01",
        "start: 2024-01-01T00:00:00",
        "20:54 2024-01-01T00:00:00 | `2024-01-01T00:00:00` is not a date or a timestamp with a zone | such as `2024-01-31` or `2024-01-31T08:00:00Z`",
    );
    pipeline(
        "lookback: 2h",
        "lookback: -2h",
        "20:76 -2h | `-2h` is not a duration | a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `90s`, `15m` or `30d`",
    );
    pipeline(
        "  notes:\n",
        "  notes:\n  notes:\n",
        "23:3 notes | `notes` is written twice | the first is in line 22; keep one of them",
    );
    pipeline(
        "  notes:\n",
        "  \"*\": {}\n",
        "22:3 \"*\" | `*` stands alone | name the streams, or write `streams: \"*\"`",
    );
    pipeline(
        "  notes:\n",
        "  a/b: {}\n",
        "22:3 a/b | `a/b` cannot be the name of a stream | letters, digits, `_`, `.` and `-`, at most 100",
    );
    pipeline(
        "  notes:\n",
        "  notes: { bakfill: { from: 2022-01-01 } }\n",
        "22:12 bakfill | unknown word `bakfill` | did you mean `backfill`?",
    );
}

#[test]
fn columns() {
    pipeline(
        "type_change: quarantine",
        "type_change: ignore",
        "23:73 ignore | `ignore` is not a schema contract | known here: `evolve`, `freeze`, `quarantine`, `drop_value`",
    );
    pipeline(
        "max_bad: 0.5%",
        "max_bad: 5",
        "23:120 5 | `5` is not a share from `0%` to `100%` | such as `1%` or `0.5%`",
    );
    pipeline(
        "\"!custom.internal*\"",
        "\"!custom..x\"",
        "23:176  | `custom..x` has an empty name | names stand between the dots: `a.b`",
    );
    pipeline(
        "renewalDate: timestamp",
        "renewalDate: datetime",
        "23:244 datetime | `datetime` is not a type | known here: `text`, `int`, `float`, `decimal`, `bool`, `date`, `timestamp`, `local`, `json`",
    );
    pipeline(
        "\"decimal(18,2)\"",
        "\"decimal(2,18)\"",
        "23:214 \"decimal(2,18)\" | `decimal(2,18)`: precision is 1 to 38 and scale at most the precision | such as `decimal(18,2)`",
    );
    pipeline(
        "web: hmac",
        "web: md5",
        "23:377 md5 | `md5` is not a mask | known here: `redact`, `hmac`, `partial`",
    );
    pipeline(
        "{ _id: company_id }",
        "{ a.b: company_id }",
        "23:421 a.b | `a.b` is a path, and this must be one name | a name with dots in it stands in double quotes inside single ones: `'\"a.b\"'`",
    );
    pipeline(
        "month(createDate)",
        "week(createDate)",
        "30:19 week | `week` is not a unit of time | known here: `year`, `month`, `day`, `hour`",
    );
}

#[test]
fn lists_of_streams() {
    let check = |streams: &str, expect: &str| {
        let text = format!("source: a\nstreams: {streams}\ndestination: parquet://./l\n");
        assert_eq!(complaints(Language::Pipeline, &text), expect);
    };
    check("[a, b]", "");
    check("\"*\"", "");
    check("[\"*\"]", "");
    check("{a: , b: {}}", "");
    check("[a, b, a]", "2:17 a | the stream `a` is named twice | keep one of them");
    check("[a, \"*\"]", "2:14 \"*\" | `*` stands alone | name the streams, or write `streams: \"*\"`");
    check("[]", "2:10 [] | `streams` must be a list of names, a map, or `\"*\"`, not a list | -");
    check("{}", "2:10 {} | `streams` is an empty map | -");
    check(
        "companies",
        "2:10 companies | `companies` is not a list of names, a map, or `\"*\"` | write `[companies]`",
    );
    check("", "2:1 streams | `streams` has no value; it must be a list of names, a map, or `\"*\"` | -");
    check(
        "[{a: b}, '']",
        "2:11 {a: b} | `streams` must be the name of a stream, not a map | -\n2:19 '' | `` is not the name of a stream | -",
    );
}

#[test]
fn destinations() {
    let check = |destination: &str, expect: &str| {
        let text = format!("source: a\nstreams: [a, b]\ndestination: {destination}\n");
        assert_eq!(complaints(Language::Pipeline, &text), expect);
    };
    check("sqlite://./a.db", "");
    check("\"parquet://${env:LAKE}/x\"", "");
    check("parquet://", "3:14 parquet:// | `parquet://` is not a path | -");
    check(
        "parquet:",
        "3:21 : | this is not YAML: mapping values are not allowed in this context | an entry is `word: value`; a value with `: ` in it needs quotes",
    );
    check("./lake", "3:14 ./lake | `./lake` is not a destination | write `parquet://DIR` or `sqlite://FILE`");
    check("parket://./lake", "3:14 parket | `parket` is not a kind of destination | did you mean `parquet`?");
    check(
        "delta://./lake",
        "3:14 delta | `delta` is not a kind of destination | write `parquet://DIR` or `sqlite://FILE`",
    );
    check("parquet://./{strem}", "3:26 {strem} | nothing fills in `{strem}` | did you mean `{stream}`?");
    check(
        "sqlite://./{stream}.db",
        "3:25 {stream} | nothing fills in `{stream}` | filled in here: `pipeline`",
    );
    check(
        "{ parquet: { path: ./lake } }",
        "3:33 ./lake | every stream needs a folder of its own | write `./lake/{stream}`",
    );
    check(
        "{ parquet: { path: \"./{stream}/{x\" } }",
        "3:45 { | nothing fills in `{` | filled in here: `stream`, `pipeline`",
    );
    check(
        "{ parquet: { path: \"./{stream}\", target_file: 0MB, compression: gzip } }",
        "3:60 0MB | `0MB` is no bytes at all | a size is a whole number with `B`, `KB`, `MB`, `GB`, or `KiB`, `MiB`, `GiB`, such as `128MB`\n3:78 gzip | `gzip` is not a compression | known here: `zstd`, `snappy`, `none`",
    );
    check(
        "{ sqlite: { path: a }, parquet: { path: b } }",
        "3:37 parquet | `sqlite` and `parquet` exclude each other | keep one of them\n3:54 b | every stream needs a folder of its own | write `b/{stream}`",
    );
    check("{ sqlite: {} }", "3:16 sqlite | `sqlite` needs `path` | -");
    check("{}", "3:1 destination | `destination` needs one of `parquet`, `sqlite` | -");
    check("{ sqlite: }", "3:16 sqlite | `sqlite` has no value; it must be a map | -");
    check(
        "postgres://user:pw@host/db",
        "3:14 postgres | `postgres` is not a kind of destination | write `parquet://DIR` or `sqlite://FILE`",
    );
}

#[test]
fn schedules() {
    let check = |schedule: &str, expect: &str| {
        let text = format!("source: a\nstreams: [a]\ndestination: parquet://./l\nschedule: {schedule}\n");
        assert_eq!(complaints(Language::Pipeline, &text), expect);
    };
    check("every 1h", "");
    check("{ cron: \"5 * * * *\" }", "");
    check("{ cron: 0 5 * * * MON-FRI, timezone: UTC }", "");
    check("every hour", "4:17 hour | `hour` is not a duration | such as `every 1h`");
    check("1h", "4:11 1h | `1h` is not a schedule | such as `every 1h`");
    check("every 0s", "4:11 every 0s | `schedule` must be at least `1s` | -");
    check("5 * * * *", "4:11 5 * * * * | `5 * * * *` is not a schedule | write `{ cron: \"5 * * * *\" }`");
    check(
        "* * * * *",
        "4:11 * | aliases are not used here | write the value out; a text that begins with `*` needs quotes",
    );
    check(
        "{ every: 1h, cron: \"5 * * * *\" }",
        "4:24 cron | `every` and `cron` exclude each other | keep one of them",
    );
    check("{ timezone: UTC }", "4:1 schedule | `schedule` needs one of `every`, `cron` | -");
    check("{ evry: 1h }", "4:13 evry | unknown word `evry` | did you mean `every`?");
    check(
        "{ cron: \"5 * *\" }",
        "4:19 \"5 * *\" | `5 * *` is not a cron expression: it has 3 fields | five fields, `minute hour day month weekday`, or six with seconds first",
    );
    check(
        "{ cron: \"5 * * * $\" }",
        "4:19 \"5 * * * $\" | `5 * * * $` is not a cron expression: `$` is no field | five fields, `minute hour day month weekday`, or six with seconds first",
    );
    check(
        "{ every: 1h, timezone: Europe Stockholm, on_overlap: wait, jitter: 1 }",
        "4:34 Europe Stockholm | `Europe Stockholm` is not a time zone | an IANA name such as `Europe/Stockholm`\n4:64 wait | `wait` is not a rule for overlaps | known here: `skip`, `queue`\n4:78 1 | `1` has no unit | a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `90s`, `15m` or `30d`",
    );
    check(
        "{ after: planhat }",
        "4:13 after | unknown word `after` | known here: `every`, `cron`, `timezone`, `jitter`, `on_overlap`, `on_missed`",
    );
}

#[test]
fn the_name_of_a_file_must_do_for_a_pipeline_without_one() {
    let check = |file: &str, expect: Result<&str, &str>| {
        let document = crate::Document::new(file, "source: a\nstreams: [b]\ndestination: parquet://./l\n");
        let name =
            crate::Pipeline::parse(&document).map(|p| p.name.value).map_err(|f| f.list[0].message.clone());
        assert_eq!(name.as_deref().map_err(String::as_str), expect);
    };
    check("a/planhat.yaml", Ok("planhat"));
    check("./a.b.yaml", Ok("a.b"));
    check("a b.yaml", Err("the file's name `a b` cannot be the pipeline's"));
    check("-", Err("the file's name `-` cannot be the pipeline's"));
    check("", Err("the file's name `` cannot be the pipeline's"));
}

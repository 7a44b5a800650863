//! What is said about mistakes in connectors.

use super::patch;
use crate::tests::Language;

#[track_caller]
fn connector(from: &str, to: &str, expect: &str) {
    patch(Language::Connector, from, to, expect);
}

#[test]
fn connector_top() {
    connector(
        "connector: flowlu",
        "connector: Flowlu",
        "1:12 Flowlu | `Flowlu` is not the name of a connector | small letters, digits, `-` and `_`, a letter first",
    );
    connector(
        "connector: flowlu",
        "extends: x\nconnector: flowlu",
        "1:1 extends | unknown word `extends` | known here: `connector`, `version`, `title`, `config`, `base_url`, `headers`, `redirects`, `auth`, `account`, `rate_limit`, `errors`, `check`, `defaults`, `kinds`, `streams`",
    );
    connector(
        "version: 1.2",
        "verison: 1.2",
        "2:1 verison | unknown word `verison` | did you mean `version`?",
    );
    connector(
        "type: host_label",
        "type: hostlabel",
        "5:22 hostlabel | `hostlabel` is not a kind of setting | did you mean `host_label`?",
    );
    connector(
        "type: host_label",
        "type: host_label, enum: [a]",
        "5:34 enum | `type` and `enum` exclude each other | keep one of them",
    );
    connector(
        "'\\d{4}-.*'",
        "'(\\d'",
        "7:47 '(\\d' | `(\\d` is not a regular expression | found open group without closing ')'",
    );
    connector("optional: true", "optional: yes", "7:34 yes | `yes` is not `true` or `false` | -");
    connector(
        "  subdomain:",
        "  Sub-Domain:",
        "5:3 Sub-Domain | `Sub-Domain` cannot be the name of a setting or a secret | small letters, digits and `_`, a letter first\n8:21 config.subdomain | there is no setting `subdomain` | did you mean `Sub-Domain`?",
    );
    connector(
        "${config.subdomain}",
        "${config.subdoman}",
        "8:21 config.subdoman | there is no setting `subdoman` | did you mean `subdomain`?",
    );
    connector(
        "https://${config.subdomain}",
        "http://${config.subdomain}",
        "8:11 http://${config.subdomain}.flowlu.${config.region}/api/v1/module | a credential must not travel over plain http | write `https://`; http is for 127.0.0.1, localhost and [::1]",
    );
    connector(
        "/api/v1/module",
        "/api?x=1",
        "8:11 https://${config.subdomain}.flowlu.${config.region}/api?x=1 | a base URL has no query | parameters go into `query` of the connector",
    );
    connector(
        "/api/v1/module",
        "/${secret.api_key}",
        "8:65 secret | `secret` cannot be looked up here | a URL is logged, so only `config` can be looked up in it",
    );
    connector(
        "X-App: \"a ${secret.app?}\"",
        "X App: a",
        "9:38 X App | `X App` cannot be the name of a header | letters, digits and `-`",
    );
    connector(
        "X-App: \"a ${secret.app?}\"",
        "accept: a",
        "9:38 accept | the header `accept` is written twice | case does not count",
    );
    connector(
        "X-App: \"a ${secret.app?}\"",
        "Host: a",
        "9:38 Host | the header `Host` is set by the transport | leave it out",
    );
    connector(
        "X-App: \"a ${secret.app?}\"",
        "X-App: ä",
        "9:38 X-App | the header `X-App` holds characters that no header can | visible ASCII and blanks (RFC 9110, section 5.5)",
    );
    connector(
        "X-App: \"a ${secret.app?}\"",
        "X-Auth-Token: abc",
        "9:38 X-Auth-Token | `X-Auth-Token` holds a literal secret | sign with `auth`, and write `${secret.NAME}` there",
    );
    connector(
        "redirects: never",
        "redirects: always",
        "10:12 always | `always` is not a rule for redirects | known here: `same_host`, `never`",
    );
}

#[test]
fn auth() {
    let whole = "{ query: { api_key: \"${secret.api_key}\" } }";
    connector(whole, "none", "");
    connector(whole, "{ basic: { username: \"${secret.user}\", password: x } }", "");
    connector(whole, "{ header: { X-Key: \"${secret.k}\" } }", "");
    connector(
        whole,
        "{ bearer: abcdefgh }",
        "11:17 abcdefgh | `bearer` holds no secret | a connector names its secrets, `${secret.NAME}`; what is no secret goes into `headers` or `query`",
    );
    connector(
        whole,
        "abcdefgh",
        "11:7 abcdefgh | `auth` must be `none` or a map | such as `{ bearer: \"${secret.token}\" }`",
    );
    connector(
        whole,
        "{ header: { X-Key: abcdefgh } }",
        "11:26 abcdefgh | `X-Key` holds no secret | a connector names its secrets, `${secret.NAME}`; what is no secret goes into `headers` or `query`",
    );
    connector(
        whole,
        "{ basic: { username: a, password: b } }",
        "11:28 a | neither user name nor password holds a secret | a connector names its secrets, `${secret.NAME}`; what is no secret goes into `headers` or `query`",
    );
    connector(
        whole,
        "{ bearer: \"${secret.a}\", query: { a: \"${secret.a}\" } }",
        "11:32 query | `bearer` and `query` exclude each other | keep one of them",
    );
    connector(
        whole,
        "{ bearr: \"${secret.a}\" }",
        "11:9 bearr | unknown word `bearr` | did you mean `bearer`?",
    );
    connector(
        whole,
        "{ oath: {} }",
        "11:9 oath | unknown word `oath` | did you mean `oauth`?\n11:9 oath | `oath` needs `grant` | -\n11:9 oath | `oath` needs `token` | -",
    );
    connector(
        whole,
        "{ bearer: \"${secrets.a}\" }",
        "11:20 secrets | nothing is called `secrets` here | did you mean `secret`?",
    );
    connector(
        whole,
        "{ bearer: \"${config.region}\" }",
        "11:20 config | `config` cannot be looked up here | only `secret` can be looked up in `auth`",
    );
    connector(
        whole,
        "{}",
        "11:1 auth | `auth` needs one of `bearer`, `header`, `query`, `basic`, `at`, `oauth` | -",
    );
    connector(whole, "{ bearer: \"${secret.a}\", rotation: { overlap: 24h }, warn: old, help: there }", "");
    connector(whole, "{ at: { place: header, name: \"${config.region}\", value: \"${secret.a}\" } }", "");
    connector(
        whole,
        "{ at: { place: body, name: k, value: \"${secret.a}\" } }",
        "11:22 body | `body` is not `header`, `query` or one setting | -",
    );
    connector(
        whole,
        "{ one_of: { a: { bearer: \"${secret.a}\" }, b: { query: { k: \"${secret.b}\" } } } }",
        "",
    );
    connector(
        whole,
        "{ one_of: { a: { bearer: \"${secret.a}\" }, b: { bearr: \"${secret.b}\" } } }",
        "11:54 bearr | unknown word `bearr` | did you mean `bearer`?",
    );
    connector(whole, "{ one_of: {} }", "11:17 {} | `one_of` is an empty map | -");
}

#[test]
fn oauth() {
    let whole = "{ query: { api_key: \"${secret.api_key}\" } }";
    connector(whole, "{ oauth: { grant: client, token: /oauth/token } }", "");
    connector(
        whole,
        "{ oauth: { grant: refresh, token: \"https://id.example.com/t\", scopes: [a, b], pkce: false, client_in: basic, \
         send: json, names: { access_token: accessToken }, token_path: data.auth, refresh_before: 5m, \
         refresh_fatal: { body.error: invalid_grant } } }",
        "",
    );
    connector(
        whole,
        "{ oauth: { grant: code, token: /oauth/token } }",
        "11:25 code | `code` needs `authorize` | the page where a person signs in",
    );
    connector(
        whole,
        "{ oauth: { grant: client, token: \"http://id.example.com/t\" } }",
        "11:40 \"http://id.example.com/t\" | a credential must not travel over plain http | write `https://`; http is for 127.0.0.1, localhost and [::1]",
    );
    connector(
        whole,
        "{ oauth: { grant: client, token: //id.example.com/t } }",
        "11:40 //id.example.com/t | this URL begins with `https://` | write it whole: `https://api.example.com/v1`",
    );
    connector(
        whole,
        "{ oauth: { grant: pasword, token: /t } }",
        "11:25 pasword | `pasword` is not a grant | known here: `code`, `client`, `refresh`",
    );
    connector(
        whole,
        "{ oauth: { grant: client, token: /t, names: { token: x } } }",
        "11:51 { token: x } | a token answer has no `token` | known here: `access_token`, `refresh_token`, `expires_in`",
    );
}

#[test]
fn errors() {
    connector(
        "status: 429",
        "status: 5xx",
        "17:15 5xx | `5xx` is not a status | write the numbers, `[500, 502]`; what no rule is for is decided by the default table",
    );
    connector("status: 429", "status: 42", "17:15 42 | `42` is not a whole number from 100 to 599 | -");
    connector(
        "is: skip_stream",
        "is: skipstream",
        "14:81 skipstream | `skipstream` is not a meaning | did you mean `skip_stream`?",
    );
    connector(
        "is: skip_stream",
        "is: explode",
        "14:81 explode | `explode` is not a meaning | known here: `ok`, `empty`, `gone`, `auth`, `config`, `quota`, `limited`, `retry`, `fail`, `skip_stream`, `reject`, `smaller_page`, `smaller_window`",
    );
    connector("is: skip_stream", "iss: skip_stream", "14:77 iss | unknown word `iss` | did you mean `is`?");
    connector(
        ", is: skip_stream",
        "",
        "14:5 { when: { body.error.error_code: [22, 30, 31], headers.X-Id: present } } | `errors` needs `is` | -",
    );
    connector(
        "op: [read, check]",
        "op: upsert",
        "18:31 upsert | `upsert` is not an operation | known here: `read`, `check`",
    );
    connector(
        "wait: 5s",
        "wait: 5",
        "15:81 5 | `5` has no unit | a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `90s`, `15m` or `30d`",
    );
    connector(
        "header: Retry-After",
        "header: Retry After",
        "17:49 Retry After | `Retry After` is not the name of a header | -",
    );
    connector(
        "${body.error.error_msg}",
        "${bdy.error}",
        "16:64 bdy | nothing is called `bdy` here | did you mean `body`?",
    );
    connector(
        "${body.error.error_msg}",
        "${config.region}",
        "16:64 config | `config` cannot be looked up here | only `body`, `headers`, `status` and `stream` can be looked up in `say`",
    );
    connector(
        "body.error.error_code:",
        "bodi.error.error_code:",
        "14:15 bodi | a condition on an answer cannot begin with `bodi` | begin with `body.` or `headers.`",
    );
    connector(
        "body.error.error_code:",
        "body.error[]:",
        "14:25 [ | this is not YAML: while parsing a flow mapping, did not find expected ',' or '}' | every `[` and `{` is closed, with commas between the entries; a text with such a sign in it needs quotes",
    );
    connector(
        "status: 429, is",
        "is",
        "17:5 { is: limited, wait: { header: Retry-After, default: 60s } } | this rule is for every good answer | say `status` or `when`",
    );
    connector(
        "contains: \"limit\"",
        "contain: \"limit\"",
        "15:39 contain | unknown word `contain` | did you mean `contains`?",
    );
}

#[test]
fn requests() {
    connector(
        "get: /core/user/list",
        "get: core/user/list",
        "19:15 core/user/list | the path of a request begins with one `/` | `base_url` comes before it",
    );
    connector(
        "get: /core/user/list",
        "get: https://x.y/z",
        "19:15 https://x.y/z | the path of a request begins with one `/` | `base_url` comes before it",
    );
    connector(
        "get: /core/user/list",
        "get: /a?b=c",
        "19:15 /a?b=c | the path of a request has no query | parameters go into `query`",
    );
    connector("get: /core/user/list", "gte: /a", "19:10 gte | unknown word `gte` | did you mean `get`?");
    connector("get: /core/user/list, ", "", "19:1 check | `check` needs one of `get`, `post` | -");
    connector(
        "get: /core/user/list",
        "get: /a, post: /b",
        "19:19 post | `get` and `post` exclude each other | keep one of them",
    );
    connector(
        "get: /core/user/list",
        "get: /a, body: {}",
        "19:19 body | a `get` has no body | use `post`, or `query`",
    );
    connector(
        "get: /core/user/list",
        "get: /${secret.api_key}",
        "19:17 { | this is not YAML: while parsing a flow mapping, did not find expected ',' or '}' | every `[` and `{` is closed, with commas between the entries; a text with such a sign in it needs quotes",
    );
    connector(
        "get: /core/user/list",
        "get: \"/${secret.api_key}\"",
        "19:19 secret | `secret` cannot be looked up here | a URL is logged, so no secret can be looked up in it; what a page or a window gives stands in `query` or `body`",
    );
    connector(
        "get: /core/user/list",
        "put: /a",
        "19:10 put | unknown word `put` | known here: `get`, `post`, `query`, `headers`, `body`",
    );
    connector(
        "count: 1 }",
        "token: abcdefgh }",
        "19:41 token | `token` holds a literal secret | sign with `auth`, and write `${secret.NAME}` there",
    );
    connector("count: 1 }", "count: [1] }", "19:48 [1] | `count` must be a text, not a list | -");
    connector(
        "count: 1 }",
        "count: \"${curser?}\" }",
        "19:51 curser | nothing is called `curser` here | did you mean `cursor`?",
    );
    connector(
        "n: [1, 2.5",
        "n: [012, 2.5",
        "36:59 012 | `012` may be a number or a text | put it in quotes if it is a text; else write it as JSON does",
    );
    connector(
        "n: [1, 2.5",
        "n: [123456789012345678901234567890",
        "36:59 123456789012345678901234567890 | `123456789012345678901234567890` is not a number that survives | put it in quotes",
    );
    connector(
        "body: { updatedDate",
        "form: { updatedDate",
        "36:5 form | unknown word `form` | known here: `get`, `post`, `query`, `headers`, `body`, `records`, `keep`, `deleted_when`, `drop`, `lift`, `types`, `types_from`, `key`, `paginate`, `cursor`, `unverified`, `description`, `set`, `explode`, `for_each`, `each`, `each_from`, `full`, `changed`, `archived`, `columns`, `kind`, `decode`, `unpack`, `enabled_when`",
    );
}

#[test]
fn connector_streams() {
    connector("key: id", "key: [id, id]", "21:8 [id, id] | `id` is named twice | -");
    connector(
        "records: response.items",
        "records: response.items[]",
        "22:26 [ | `[` in a path | a path names fields; lists cannot be entered",
    );
    connector("records: [\".\", data]", "records: []", "38:14 [] | `records` is an empty list | -");
    connector("param: p, first: 1", "param: p", "24:15 page | `page` needs `first` | -");
    connector(
        "param: p, first: 1",
        "param: p, first: -1",
        "24:40 -1 | `-1` is not a whole number of at least 0 | -",
    );
    connector(
        "page: { param: p, first: 1 }",
        "pgae: { param: p, first: 1 }",
        "24:15 pgae | unknown word `pgae` | did you mean `page`?",
    );
    connector(
        "page: { param: p, first: 1 }",
        "page: { param: p, first: 1 }, offset: { param: o }",
        "24:45 offset | `page` and `offset` exclude each other | keep one of them",
    );
    connector(
        "size: { count: 100 }",
        "size: { count: 0 }",
        "24:60 0 | `0` is not a whole number from 1 to 1000000 | -",
    );
    connector(
        "size: { count: 100 }",
        "size: { count: 1, b: 2 }",
        "24:63 b | `size` is one parameter | keep one of them",
    );
    connector(
        "total(response.total_result, response.total)",
        "total()",
        "24:80  | `` has an empty name | names stand between the dots: `a.b`",
    );
    connector(
        "total(response.total_result, response.total)",
        "totl(a)",
        "24:73 \"totl(a)\" | `totl(a)` is not `short`, `empty`, `total(PATH, …)` or `absent(PATH)` | did you mean `total`? It lists the paths: `total(meta.total)`",
    );
    connector(
        "total(response.total_result, response.total)",
        "shrot",
        "24:73 \"shrot\" | `shrot` is not `short`, `empty`, `total(PATH, …)` or `absent(PATH)` | did you mean `short`?",
    );
    connector(
        "paginate: none",
        "paginate: nnoe",
        "43:55 nnoe | `nnoe` is not a kind of pagination | did you mean `none`?",
    );
    connector(
        "paginate: none",
        "paginate: page",
        "43:55 page | `page` needs its parameters | such as `{ page: { param: page, first: 1 } }`, `{ cursor: { from: next, to: { query: after } } }` or `{ next_url: { from: links.next } }`",
    );
    connector(
        "cursor: none",
        "cursor: updatedAt",
        "43:39 updatedAt | `updatedAt` is not `none` or a map | such as `{ field: updated_at, mode: client }`",
    );
    connector(
        "format: \"%Y-%m-%d %H:%M:%S\"",
        "format: isoms",
        "25:42 isoms | `isoms` is not a format | did you mean `iso_ms`?",
    );
    connector(
        "format: \"%Y-%m-%d %H:%M:%S\"",
        "format: \"%Y-%m\"",
        "25:42 \"%Y-%m\" | a format that names no day: `%d` is missing | such as `%Y-%m-%d %H:%M:%S`",
    );
    connector(
        "format: \"%Y-%m-%d %H:%M:%S\"",
        "format: \"%Y-%m-%d %Q\"",
        "25:42 \"%Y-%m-%d %Q\" | `%Q` is not known | such as `%Y-%m-%d %H:%M:%S`",
    );
    connector(
        "mode: client",
        "mode: sevrer",
        "25:69 sevrer | `sevrer` is not a cursor mode | did you mean `server`?",
    );
    connector(
        "start: 2024-01-01",
        "start: yesterday",
        "33:22 yesterday | `yesterday` is not a date or a timestamp with a zone | such as `2024-01-31` or `2024-01-31T08:00:00Z`",
    );
    connector(
        "_id: present",
        "_id: presnt",
        "32:18 presnt | `presnt` is not a test | did you mean `present`? The text itself is `{ is: presnt }`",
    );
    connector("z: { lt: 3 }", "z: { lt: a }", "32:92 a | `a` is not a number | -");
    connector("unverified: true", "unverified: maybe", "43:98 maybe | `maybe` is not `true` or `false` | -");
    connector(
        "  licenses:",
        "  a/b:",
        "43:3 a/b | `a/b` cannot be the name of a stream | letters, digits, `_`, `.` and `-`, at most 100",
    );
    connector(
        "description: Companies",
        "write: x, description: Companies",
        "27:39 write | unknown word `write` | known here: `get`, `post`, `query`, `headers`, `body`, `records`, `keep`, `deleted_when`, `drop`, `lift`, `types`, `types_from`, `key`, `paginate`, `cursor`, `unverified`, `description`, `set`, `explode`, `for_each`, `each`, `each_from`, `full`, `changed`, `archived`, `columns`, `kind`, `decode`, `unpack`, `enabled_when`",
    );
    connector("type: field.type, ", "", "48:5 types_from | `types_from` needs `type` | -");
    connector(
        "number: decimal,",
        "number: decimals,",
        "48:221 decimals | `decimals` is not a type | did you mean `decimal`?",
    );
    connector(
        "{ post: /fields",
        "{ get: /fields",
        "48:81 body | a `get` has no body | use `post`, or `query`",
    );
    connector(
        "lift: properties",
        "lift: a b",
        "47:12   | ` ` in a path | a name with other characters stands in double quotes: `custom.\"# Open\"`",
    );
    connector(
        "drop: [links,",
        "drop: [a..b,",
        "46:14  | `a..b` has an empty name | names stand between the dots: `a.b`",
    );
}

#[test]
fn limits() {
    connector(
        "scope: host",
        "scope: acount",
        "12:77 acount | `acount` is not a scope | did you mean `account`?",
    );
    connector(
        "day_ends: 08:00 +02:00",
        "day_ends: 8am",
        "12:109 8am | `8am` is not a time of day | such as `00:00 UTC`, `08:00`, or `00:00 +02:00`; names of zones are not known here",
    );
    connector(
        "match: PUT *, concurrency: 1",
        "match: PUT *",
        "12:324 { match: PUT * } | this bucket limits nothing | say `limits` or `concurrency`",
    );
    connector(
        "remaining: X-Left",
        "remainig: X-Left",
        "12:150 remainig | unknown word `remainig` | did you mean `remaining`?",
    );
    connector(
        "match: \"*/search\"",
        "match: search",
        "12:258 search | `search` is not a method and a path | such as `*/search` or `PUT *`: a method if only one is meant, and a path, where `*` is anything",
    );
    connector("\"*/wide\": 2", "\"*/wide\": 0", "12:399 0 | `0` is not a whole number of at least 1 | -");
    connector(
        "check: { get: /core/user/list, query: { count: 1 } }",
        "",
        "68:10 portal.id | the answer to `check` would name the account, and there is no `check` | say `check`",
    );
}

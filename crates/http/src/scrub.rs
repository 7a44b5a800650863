//! Takes secrets out of text that people will see.

use std::borrow::Cow;
use std::sync::RwLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sync_core::Secret;
use url::form_urlencoded;

const MASK: &str = "***";
/// A shorter secret is part of too many innocent words to be taken out wherever it stands.
const SHORTEST: usize = 4;
/// Below this many letters, what base64 leaves of a secret inside a longer text is no longer telling.
const SHORTEST_CORE: usize = 8;

/// Knows the secrets of this process, and replaces each by `***` in every form it is known to travel in: as it
/// is, percent-encoded once or twice, JSON- and HTML-escaped, and in base64, alone or inside a longer text such as
/// `user:password`.
///
/// A secret of fewer than four bytes is replaced only where it stands as a whole value: after `=`, `:`
/// or a quote, and before a separator or the end. Scrubbing it everywhere would make any text unreadable and,
/// by its holes, tell the secret.
#[derive(Default)]
pub struct Scrubber {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    secrets: Vec<Secret>,
    /// Replaced wherever they occur.
    forms: Vec<Secret>,
    /// Replaced where they are a whole value.
    short: Vec<Secret>,
}

impl Scrubber {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns a secret. Learning it twice costs a comparison.
    pub fn add(&self, secret: &Secret) {
        let text = secret.expose();
        let learnt = |known: &Known| known.secrets.iter().any(|known| known.expose() == text);
        if text.is_empty() || learnt(&self.known.read().expect("no holder panics")) {
            return;
        }
        let mut known = self.known.write().expect("no holder panics");
        if learnt(&known) {
            return;
        }
        known.secrets.push(secret.clone());
        if text.len() < SHORTEST {
            known.short.push(secret.clone());
            return;
        }
        let mut all = forms(text);
        // `Bearer abc` is one value of a header, but `abc` alone is the secret.
        if let Some((_, word)) = text.split_once(' ')
            && word.len() >= SHORTEST
            && !word.contains(' ')
        {
            all.extend(forms(word));
        }
        for form in all {
            if !known.forms.iter().any(|known| known.expose() == form) {
                known.forms.push(Secret::new(form));
            }
        }
    }

    /// The text without any secret. Borrowed when there was none in it.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self.known.read().expect("no holder panics");
        let mut holes: Vec<(usize, usize)> = Vec::new();
        for form in &known.forms {
            let form = form.expose();
            holes.extend(text.match_indices(form).map(|(at, _)| (at, at + form.len())));
        }
        for short in &known.short {
            let short = short.expose();
            let whole =
                text.match_indices(short).filter(|(at, _)| is_whole_value(text, *at, at + short.len()));
            holes.extend(whole.map(|(at, _)| (at, at + short.len())));
        }
        drop(known);
        if holes.is_empty() {
            return Cow::Borrowed(text);
        }
        holes.sort_unstable();
        Cow::Owned(without(text, &holes))
    }
}

/// The text with `***` for each hole, where holes that overlap or touch are one. They are sorted.
fn without(text: &str, holes: &[(usize, usize)]) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut kept = 0;
    let mut open = holes[0];
    for &(from, to) in &holes[1..] {
        if from <= open.1 {
            open.1 = open.1.max(to);
            continue;
        }
        clean.push_str(&text[kept..open.0]);
        clean.push_str(MASK);
        kept = open.1;
        open = (from, to);
    }
    clean.push_str(&text[kept..open.0]);
    clean.push_str(MASK);
    clean.push_str(&text[open.1..]);
    clean
}

fn is_whole_value(text: &str, from: usize, to: usize) -> bool {
    let after = text[to..].chars().next();
    let opens = text[..from].trim_end_matches(' ').ends_with(['=', ':', '"', '\'']);
    opens && after.is_none_or(|c| c.is_whitespace() || "&,;#\"'}".contains(c))
}

/// Every spelling of the secret that is worth looking for.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned(), percent(text, false), percent(text, true)];
    // Many servers leave the slash as it is.
    forms.extend([percent(text, false).replace("%2F", "/"), percent(text, true).replace("%2f", "/")]);
    forms.push(form_urlencoded::byte_serialize(text.as_bytes()).collect());
    // A URL that was put into a parameter of another one.
    forms.extend([percent(&percent(text, false), false), percent(&percent(text, true), false)]);
    let form: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    forms.push(form_urlencoded::byte_serialize(form.as_bytes()).collect());
    forms.extend(["&#39;", "&#x27;", "&apos;", "'"].map(|quote| html(text, quote, "&quot;")));
    forms.push(html(text, "&#39;", "&#34;"));
    forms.push(escaped_for_html(text));
    forms.push(text.escape_debug().to_string());
    forms.push(text.replace('\\', "\\\\").replace('"', "\\\"").replace('/', "\\/"));
    forms.push(STANDARD.encode(text));
    forms.push(percent(&STANDARD.encode(text), false));
    forms.push(STANDARD_NO_PAD.encode(text));
    forms.push(URL_SAFE_NO_PAD.encode(text));
    for shift in 0..3 {
        forms.extend(core(text, shift, &STANDARD_NO_PAD));
        forms.extend(core(text, shift, &URL_SAFE_NO_PAD));
    }
    forms
}

/// As it stands in a page.
fn html(text: &str, apostrophe: &str, quote: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', quote).replace('\'', apostrophe)
}

/// As JSON writers escape it that expect to stand in a page: `<`, `>` and `&` as `\u003c` and the like.
fn escaped_for_html(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// What base64 makes of the secret when `shift` bytes, modulo three, stand before it: the letters that depend
/// on nothing else. `None` if hardly any are left.
fn core(text: &str, shift: usize, engine: &impl base64::Engine) -> Option<String> {
    let padded = [&[0; 2][..shift], text.as_bytes()].concat();
    let whole = padded.len() / 3 * 4;
    let first = [0, 2, 3][shift];
    let encoded = engine.encode(&padded);
    // A last, incomplete group keeps the letters that are made of the secret's bits alone.
    let last = whole + [0, 1, 2][padded.len() % 3];
    (last >= first + SHORTEST_CORE).then(|| encoded[first..last].to_owned())
}

fn percent(text: &str, lower: bool) -> String {
    let digits = if lower { b"0123456789abcdef" } else { b"0123456789ABCDEF" };
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let (high, low) = (digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]);
            encoded.extend(['%', char::from(high), char::from(low)]);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knowing(secrets: &[&str]) -> Scrubber {
        let scrubber = Scrubber::new();
        for secret in secrets {
            scrubber.add(&Secret::new((*secret).to_owned()));
        }
        scrubber
    }

    #[track_caller]
    fn check(secret: &str, text: &str, expect: &str) {
        assert_eq!(knowing(&[secret]).scrub(text), expect);
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let s = "p/ss w+rd?1&é";
        check(s, "got p/ss w+rd?1&é back", "got *** back");
        check(s, "k=p%2Fss%20w%2Brd%3F1%26%C3%A9&x=1", "k=***&x=1");
        check(s, "k=p%2fss%20w%2brd%3f1%26%c3%a9", "k=***");
        check(s, "k=p%2Fss+w%2Brd%3F1%26%C3%A9", "k=***");
        check(s, r#"{"k":"p\/ss w+rd?1&é"}"#, r#"{"k":"***"}"#);
        check("a\"b\\c", r#"{"k":"a\"b\\c"}"#, r#"{"k":"***"}"#);
        check(
            s,
            "to=https%3A%2F%2Fx%2F%3Fk%3Dp%252Fss%2520w%252Brd%253F1%2526%25C3%25A9",
            "to=https%3A%2F%2Fx%2F%3Fk%3D***",
        );
        check(s, "k=p%252Fss%2Bw%252Brd%253F1%2526%25C3%25A9", "k=***");
        check("a<b>&\"c'd", "<td>a&lt;b&gt;&amp;&quot;c&#39;d</td>", "<td>***</td>");
        check("a<b>&\"c'd", "a&lt;b&gt;&amp;&#34;c&#39;d", "***");
        check("a<b>&c", r#"{"k":"a\u003cb\u003e\u0026c"}"#, r#"{"k":"***"}"#);
        check("??>>~~ÿÿ?", &format!("t={}", percent(&STANDARD.encode("??>>~~ÿÿ?"), false)), "t=***");
        check(s, &format!("Basic {}", STANDARD.encode(s)), "Basic ***");
        check("??>>~~ÿÿ", &URL_SAFE_NO_PAD.encode("??>>~~ÿÿ"), "***");
        check("Bearer tok-12345", "sent tok-12345", "sent ***");
        check("Bearer tok-12345", "authorization: Bearer tok-12345", "authorization: ***");
        check("tok-12345", "nothing here", "nothing here");
        check("", "nothing here", "nothing here");
    }

    #[test]
    fn base64_of_a_longer_text_hides_the_secret_at_every_alignment() {
        let secret = "s3cr3t-t0ken-of-some-length";
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", ":", ":x", ":xy"] {
                let encoded = STANDARD.encode(format!("{before}{secret}{after}"));
                let clean = knowing(&[secret]).scrub(&encoded).into_owned();
                // What is left must be too little to hold any three bytes of the secret.
                let rest: usize = clean.split(MASK).map(str::len).sum();
                let own = encoded.len() - secret.len() * 4 / 3;
                assert!(clean.contains(MASK) && rest <= own + 4, "{encoded} -> {clean}");
            }
        }
    }

    #[test]
    fn overlapping_secrets_leave_no_fragments() {
        let scrubber = knowing(&["abcdef", "defghi", "abcd"]);
        assert_eq!(scrubber.scrub("x abcdefghi abcd y"), "x *** *** y");
        assert_eq!(scrubber.scrub("abcdabcd"), "***");
    }

    #[test]
    fn a_short_secret_goes_only_where_it_is_a_whole_value() {
        check("ab", "about a cab: ab", "about a cab: ***");
        check("ab", "key=ab&lab=cab", "key=***&lab=cab");
        check("ab", r#"{"key":"ab","x":"cab"}"#, r#"{"key":"***","x":"cab"}"#);
        check("ab", "an ab in a sentence", "an ab in a sentence");
        check("ab", "ab", "ab");
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(knowing(&["secret"]).scrub("clean"), Cow::Borrowed("clean")));
    }
}

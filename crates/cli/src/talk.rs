//! The two mouths: data goes to stdout, talk to stderr. Nothing leaves either without the scrubber.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;
use sync_core::{Kind, Problem};
use sync_http::Scrubber;

use crate::paint::Paint;

/// Speaks with people. A cheap handle.
#[derive(Clone)]
pub struct Talk {
    scrubber: Arc<Scrubber>,
    bars: MultiProgress,
    terminal: bool,
    pub paint: Paint,
}

impl Talk {
    /// Talk on stderr: with bars and colour on a terminal, plain lines elsewhere.
    pub fn new(scrubber: Arc<Scrubber>, paint: Paint) -> Self {
        let terminal = io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { scrubber, bars: MultiProgress::with_draw_target(target), terminal, paint }
    }

    /// Where progress bars are drawn; `None` where plain lines are wanted.
    pub fn bars(&self) -> Option<&MultiProgress> {
        self.terminal.then_some(&self.bars)
    }

    /// The text without the secrets in it.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.scrubber.scrub(text)
    }

    /// Says a line, or several, above the bars.
    pub fn say(&self, text: &str) {
        let text = self.scrub(text);
        self.raw(format!("{}\n", text.trim_end_matches('\n')).as_bytes());
    }

    /// Writes bytes that were scrubbed before. A closed stderr is nobody listening, not an error.
    fn raw(&self, bytes: &[u8]) {
        self.bars.suspend(|| {
            let _ = io::stderr().lock().write_all(bytes);
        });
    }

    /// Says what went wrong and what to do about it.
    pub fn problem(&self, problem: &Problem) {
        self.say(&problem_text(problem, self.paint));
    }

    /// Puts text on stdout. A reader that went away early (`| head`) had enough.
    pub fn data(&self, text: &str) -> Result<(), Problem> {
        hand_over(self.scrub(text).as_bytes())
    }

    /// Puts a value on stdout as one line of JSON.
    pub fn json(&self, value: &impl Serialize) -> Result<(), Problem> {
        let text = serde_json::to_string(value).expect("reports have text keys and finite numbers");
        let mut line = scrub_strings(&text, |string| self.scrub(string).into_owned());
        line.push('\n');
        hand_over(line.as_bytes())
    }

    /// A writer of log lines for the subscriber.
    pub fn log_line(&self) -> LogLine {
        LogLine { talk: self.clone(), line: Vec::new() }
    }
}

/// Puts bytes on stdout. A reader that went away early (`| head`) had enough.
fn hand_over(bytes: &[u8]) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let message = format!("stdout could not be written: {error}");
            Err(Problem::new(Kind::Environment, "stdout", message))
        }
        _ => Ok(()),
    }
}

/// Message and hint as they are shown.
pub fn problem_text(problem: &Problem, paint: Paint) -> String {
    if let Some(shown) = &problem.shown {
        let painted = |line: &str| match line.strip_prefix("error:") {
            Some(rest) => format!("{}:{rest}", paint.bad("error")),
            None => line.to_owned(),
        };
        return shown.trim_end().lines().map(painted).collect::<Vec<_>>().join("\n");
    }
    let error = format!("{}: {}", paint.bad("error"), problem.message.trim_end());
    match &problem.hint {
        Some(hint) => format!("{error}\n{}: {hint}", paint.help("hint")),
        None => error,
    }
}

/// Rewrites each text value of a JSON document, so that scrubbing can never break its form: a secret such as
/// `true` or `12` stays where it is part of the grammar. Keys are ours and stay.
fn scrub_strings(json: &str, scrub: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let end = start + string_length(&rest[start..]);
        let (token, after) = (&rest[start..end], &rest[end..]);
        out.push_str(&rest[..start]);
        if after.starts_with(':') {
            out.push_str(token);
        } else {
            let value: String = serde_json::from_str(token).expect("the writer's own strings can be read");
            out.push_str(&serde_json::to_string(&scrub(&value)).expect("text can be written"));
        }
        rest = after;
    }
    out + rest
}

/// The length of the JSON string that `text` begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return i + 1,
            _ => {}
        }
    }
    text.len()
}

/// One log event on its way to stderr. Written whole when dropped, so that lines never mix and a secret is
/// never cut in two before it is looked for.
pub struct LogLine {
    talk: Talk,
    line: Vec<u8>,
}

impl io::Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.talk.say(&String::from_utf8_lossy(&self.line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_an_error_and_a_hint() {
        let problem = Problem::new(Kind::Refused, "x", "it broke\n");
        assert_eq!(problem_text(&problem, Paint::PLAIN), "error: it broke");
        assert_eq!(problem_text(&problem.hint("mend it"), Paint::PLAIN), "error: it broke\nhint: mend it");
    }

    #[test]
    fn scrubbing_json_touches_text_values_only() {
        #[track_caller]
        fn check(json: &str, expect: &str) {
            let scrub = |text: &str| text.replace("true", "***").replace("a\"b", "***");
            assert_eq!(scrub_strings(json, scrub), expect);
        }
        check("{}", "{}");
        check(r#"{"true":true,"x":"is true"}"#, r#"{"true":true,"x":"is ***"}"#);
        check(r#"["a\"b","\\","true"]"#, r#"["***","\\","***"]"#);
        check(r#""ü true""#, r#""ü ***""#);
    }
}

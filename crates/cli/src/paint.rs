//! Colour, which only ever repeats what the words say.

use std::io::IsTerminal as _;

/// Paints words, or leaves them as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    colour: bool,
}

impl Paint {
    /// No colour at all.
    #[cfg(test)]
    pub const PLAIN: Self = Self { colour: false };

    /// Colour on a terminal that can show it, unless `NO_COLOR` is set (<https://no-color.org>).
    pub fn of_stderr(variable: impl Fn(&str) -> Option<String>) -> Self {
        Self { colour: std::io::stderr().is_terminal() && wanted(variable) }
    }

    /// A word of alarm.
    pub fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// A word of doubt.
    pub fn odd(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    /// A word of success.
    pub fn good(self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    /// A word of help.
    pub fn help(self, text: &str) -> String {
        self.wrap("1;36", text)
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let no_color = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = variable("TERM").is_some_and(|value| value == "dumb");
    !no_color && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_may_forbid_colour() {
        let with = |name: &'static str, value: &'static str| {
            wanted(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(with("TERM", "xterm"));
        assert!(with("NO_COLOR", ""), "an empty value counts as unset");
        assert!(!with("NO_COLOR", "1"));
        assert!(!with("TERM", "dumb"));
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        assert_eq!(Paint::PLAIN.bad("error"), "error");
        assert_eq!(Paint { colour: true }.bad("error"), "\x1b[1;31merror\x1b[0m");
    }
}

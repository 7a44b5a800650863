//! Questions to a person at a terminal. What is secret is not shown while it is typed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use sync_auth::Passphrase;
use sync_core::{Kind, Problem, Secret};
use zeroize::Zeroizing;

/// Whether somebody can be asked.
pub fn anybody() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// A secret, without showing it.
pub fn secret(question: &str) -> Result<Secret, Problem> {
    rpassword::prompt_password(format!("{question}: ")).map(Secret::new).map_err(|error| unheard(&error))
}

/// A line of text; the default, if nothing was typed.
pub fn line(question: &str, default: Option<&str>) -> Result<String, Problem> {
    let shown = default.map_or_else(String::new, |default| format!(" [{default}]"));
    ask(&format!("{question}{shown}: "))?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed).map_err(|error| unheard(&error))?;
    let typed = typed.trim();
    Ok(if typed.is_empty() { default.unwrap_or_default() } else { typed }.to_owned())
}

/// Yes or no; no, if nothing was typed.
pub fn yes(question: &str) -> Result<bool, Problem> {
    let typed = line(&format!("{question} [y/N]"), None)?;
    Ok(matches!(typed.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A passphrase; a new one is asked for until it was typed the same twice, three times at most. Nothing, where there
/// is nobody to ask.
pub fn passphrase(what: Passphrase) -> Option<Zeroizing<String>> {
    if !anybody() {
        return None;
    }
    let ask = |question: &str| rpassword::prompt_password(question).ok().map(Zeroizing::new);
    if what == Passphrase::Open {
        return ask("Passphrase of the vault: ");
    }
    for _ in 0..3 {
        let first = ask("New passphrase: ")?;
        if first == ask("The same once more: ")? {
            return Some(first);
        }
        let _ = ask_line("They differ; once more.\n");
    }
    None
}

fn ask(question: &str) -> Result<(), Problem> {
    ask_line(question).map_err(|error| unheard(&error))
}

fn ask_line(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes())?;
    stderr.flush()
}

fn unheard(error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::Interrupted {
        return Problem::new(Kind::Stopped, "stopped", "stopped before anything was stored");
    }
    Problem::new(Kind::Environment, "terminal", format!("the terminal cannot be read: {error}"))
}

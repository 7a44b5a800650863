//! From references to secrets.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use sync_core::Secret;

use crate::CredentialError;

/// Keys and certificates are far smaller; a device file that never ends is larger.
const FILE_MAX: u64 = 64 << 10;
/// Password managers may ask a person first.
const COMMAND_PATIENCE: Duration = Duration::from_mins(2);

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// An environment variable.
    Env(String),
    /// A file; one line end at its end does not belong to the secret.
    File(PathBuf),
    /// What a program prints, such as that of a password manager; one line end at its end does not belong to the
    /// secret. It runs in the folder, without a shell.
    Cmd {
        /// The program, then its arguments.
        words: Vec<String>,
        /// Where it runs; paths in it start there.
        folder: PathBuf,
    },
}

impl Reference {
    /// The place as it is called in messages.
    pub fn origin(&self) -> String {
        match self {
            Self::Env(variable) => format!("the environment variable `{variable}`"),
            Self::File(path) => format!("the file {}", path.display()),
            // The arguments say where a secret lies, and belong to nobody else.
            Self::Cmd { words, .. } => format!("the command `{}`", words.first().map_or("", String::as_str)),
        }
    }

    /// A reference as a pipeline writes it; relative paths start at `folder`.
    pub fn of(written: &sync_spec::SecretRef, folder: &Path) -> Self {
        match written {
            sync_spec::SecretRef::Env(name) => Self::Env(name.clone()),
            sync_spec::SecretRef::File(path) => Self::File(folder.join(path)),
            sync_spec::SecretRef::Cmd(words) => Self::Cmd { words: words.clone(), folder: folder.to_owned() },
        }
    }
}

/// The outside world, as far as secrets come from it.
pub trait Environment: Send + Sync {
    /// The value of an environment variable; `None` if it is not set. Bytes that are not UTF-8 appear as
    /// U+FFFD.
    fn var(&self, name: &str) -> Option<String>;
    /// The text of a file.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// What a program prints on its standard output, if it ends well and in time.
    fn run(&self, words: &[String], folder: &Path) -> io::Result<String>;
}

/// The environment of this process and the files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Environment for System {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_MAX {
            let message = format!("it is larger than {} KB", FILE_MAX >> 10);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        Ok(text)
    }

    fn run(&self, words: &[String], folder: &Path) -> io::Result<String> {
        command_output(words, folder, COMMAND_PATIENCE)
    }
}

fn command_output(words: &[String], folder: &Path, patience: Duration) -> io::Result<String> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    // A bare name is looked for in PATH; a path is one of the folder, not of wherever this process stands.
    let program = if program.contains('/') { folder.join(program) } else { PathBuf::from(program) };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = collected(child.stdout.take());
    let err = collected(child.stderr.take());
    let Ok(text) = out.recv_timeout(patience) else {
        let _ = child.kill();
        let _ = child.wait();
        let message = format!("it said nothing within {} seconds", patience.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, message));
    };
    let too_much = text.len() as u64 > FILE_MAX;
    if too_much {
        let _ = child.kill();
    }
    let status = child.wait()?;
    if too_much {
        return Err(io::Error::other(format!("it printed more than {} KB", FILE_MAX >> 10)));
    }
    if !status.success() {
        // Why it failed, in its own words; what it printed elsewhere may be a secret.
        let said = err.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let last: String = last.trim().chars().filter(|c| !c.is_control()).take(200).collect();
        let separator = if last.is_empty() { "" } else { ": " };
        return Err(io::Error::other(format!("it ended with {status}{separator}{last}")));
    }
    String::from_utf8(text).map_err(|error| {
        drop(zeroize::Zeroizing::new(error.into_bytes()));
        io::Error::new(io::ErrorKind::InvalidData, "it printed bytes that are not UTF-8")
    })
}

/// Reads a pipe to its end, or a little past what anybody may say, on a thread of its own: a program that fills the
/// one pipe while the other is being read would wait for ever.
fn collected(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    if let Some(pipe) = pipe {
        std::thread::spawn(move || {
            let mut bytes = Vec::with_capacity(FILE_MAX as usize + 1);
            let _ = pipe.take(FILE_MAX + 1).read_to_end(&mut bytes);
            let _ = send.send(bytes);
        });
    }
    receive
}

/// The secrets of one credential, by name.
#[derive(Clone, Debug, Default)]
pub struct Secrets(BTreeMap<String, Secret>);

impl Secrets {
    /// The secret of that name.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// The same with one more, or another in the place of one.
    #[must_use]
    pub fn with(mut self, name: &str, secret: Secret) -> Self {
        self.0.insert(name.to_owned(), secret);
        self
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and secrets, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, secret)| (name.as_str(), secret))
    }
}

impl FromIterator<(String, Secret)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, Secret)>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
    }
}

/// The variable a secret is read from where the pipeline names none: `SYNC_PLANHAT_TOKEN` for the secret
/// `token` of the connector `planhat`.
pub fn default_variable(connector: &str, secret: &str) -> String {
    let name = format!("sync_{connector}_{secret}");
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// Reads every secret. All variables that are not set are named at once.
pub fn resolve(
    references: &[(String, Reference)],
    environment: &dyn Environment,
) -> Result<Secrets, CredentialError> {
    let mut not_set: Vec<String> = Vec::new();
    let mut secrets = BTreeMap::new();
    for (name, reference) in references {
        match (read(name, reference, environment)?, reference) {
            (Some(text), _) => {
                secrets.insert(name.clone(), checked(name, reference, text)?);
            }
            (None, Reference::Env(variable)) if !not_set.contains(variable) => not_set.push(variable.clone()),
            (None, _) => {}
        }
    }
    if not_set.is_empty() {
        Ok(Secrets(secrets))
    } else {
        Err(CredentialError::NotSet { variables: not_set })
    }
}

/// The text at the place; `None` if it is a variable that is not set.
fn read(
    name: &str,
    reference: &Reference,
    environment: &dyn Environment,
) -> Result<Option<String>, CredentialError> {
    match reference {
        Reference::Env(variable) => Ok(environment.var(variable)),
        Reference::File(path) => match environment.read(path) {
            Ok(text) => Ok(Some(without_line_end(text))),
            Err(source) => {
                Err(CredentialError::Unreadable { secret: name.to_owned(), path: path.clone(), source })
            }
        },
        Reference::Cmd { words, folder } => match environment.run(words, folder) {
            Ok(text) => Ok(Some(without_line_end(text))),
            Err(source) => {
                let command = words.first().cloned().unwrap_or_default();
                Err(CredentialError::Command { secret: name.to_owned(), command, source })
            }
        },
    }
}

/// The text at a reference, for where it is no secret of a credential; `what` names it in messages.
pub fn look_up(
    what: &str,
    reference: &Reference,
    environment: &dyn Environment,
) -> Result<String, CredentialError> {
    match (read(what, reference, environment)?, reference) {
        (Some(text), _) => Ok(text),
        (None, Reference::Env(variable)) => {
            Err(CredentialError::NotSet { variables: vec![variable.clone()] })
        }
        (None, _) => Ok(String::new()),
    }
}

/// Editors and `echo` end a file with a line end; it is cut off in place, so that no copy stays behind.
fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn checked(name: &str, reference: &Reference, text: String) -> Result<Secret, CredentialError> {
    sendable(name, Secret::new(text), &reference.origin())
}

/// The same secret, if a request can carry it.
pub fn sendable(name: &str, secret: Secret, origin: &str) -> Result<Secret, CredentialError> {
    let text = secret.expose();
    if text.is_empty() {
        return Err(CredentialError::Empty { secret: name.to_owned(), origin: origin.to_owned() });
    }
    let what = if text.contains(['\n', '\r']) {
        "a line break"
    } else if text.contains(char::is_control) {
        "a control character"
    } else if text.contains(char::REPLACEMENT_CHARACTER) {
        "bytes that are not UTF-8"
    } else if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        "a blank at its beginning or end"
    } else {
        return Ok(secret);
    };
    Err(CredentialError::Unsendable { secret: name.to_owned(), what, origin: origin.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::Explain;

    struct Fake;

    impl Environment for Fake {
        fn var(&self, name: &str) -> Option<String> {
            let value = match name {
                "GOOD" => "tok-1",
                "EMPTY" => "",
                "LINES" => "tok-1\nX-Evil: 1",
                "BELL" => "tok\u{7}",
                "BYTES" => "tok\u{fffd}",
                "BLANK" => "tok-1 ",
                _ => return None,
            };
            Some(value.to_owned())
        }
        fn read(&self, path: &Path) -> io::Result<String> {
            let text = match path.to_str().expect("a test's own path") {
                "unix" => "tok-2\n",
                "dos" => "tok-2\r\n",
                "bare" => "tok-2",
                "twice" => "tok-2\n\n",
                "newline" => "\n",
                _ => return Err(io::ErrorKind::NotFound.into()),
            };
            Ok(text.to_owned())
        }
        fn run(&self, words: &[String], _: &Path) -> io::Result<String> {
            match words.join(" ").as_str() {
                "pass show key" => Ok("tok-4\n".to_owned()),
                _ => Err(io::Error::other("it ended with exit status: 1: no such entry")),
            }
        }
    }

    fn cmd(line: &str) -> Reference {
        Reference::Cmd { words: line.split(' ').map(str::to_owned).collect(), folder: PathBuf::new() }
    }

    fn env(name: &str) -> Reference {
        Reference::Env(name.to_owned())
    }

    fn file(path: &str) -> Reference {
        Reference::File(path.into())
    }

    #[track_caller]
    fn check(reference: Reference, expect: Result<&str, &str>) {
        let result = resolve(&[("token".to_owned(), reference)], &Fake);
        let text = result.map(|secrets| secrets.get("token").expect("resolved").expose().to_owned());
        let text = text.map_err(|error| {
            let problem = error.problem();
            let shown =
                format!("{}: {} | {}", problem.code, problem.message, problem.hint.unwrap_or_default());
            assert!(!shown.contains("tok-"), "{shown} shows a value");
            shown
        });
        assert_eq!(text.as_deref().map_err(String::as_str), expect);
    }

    #[test]
    fn a_secret_is_the_whole_value_and_nothing_else() {
        check(env("GOOD"), Ok("tok-1"));
        check(file("unix"), Ok("tok-2"));
        check(file("dos"), Ok("tok-2"));
        check(file("bare"), Ok("tok-2"));
        check(cmd("pass show key"), Ok("tok-4"));
        check(
            cmd("pass show other"),
            Err(
                "credential_command: the secret `token` cannot be had from the command `pass`: it ended with exit status: \
                 1: no such entry | run the command by hand to see what it says",
            ),
        );
        check(
            env("SYNC_PLANHAT_TOKEN"),
            Err("credential_missing: the environment variable `SYNC_PLANHAT_TOKEN` is not set | \
                 export SYNC_PLANHAT_TOKEN=…"),
        );
        check(
            env("EMPTY"),
            Err(
                "credential_missing: the secret `token` is empty: the environment variable `EMPTY` holds nothing | \
                 put the secret into the environment variable `EMPTY`",
            ),
        );
        check(
            file("newline"),
            Err("credential_missing: the secret `token` is empty: the file newline holds nothing | \
                 put the secret into the file newline"),
        );
        check(
            file("gone"),
            Err(
                "credential_unreadable: the secret `token` cannot be read from the file gone: entity not found | \
                 check that gone exists and that this user may read it",
            ),
        );
        for (reference, what) in [
            (env("LINES"), "a line break"),
            (env("BELL"), "a control character"),
            (env("BYTES"), "bytes that are not UTF-8"),
            (env("BLANK"), "a blank at its beginning or end"),
            (file("twice"), "a line break"),
        ] {
            let origin = reference.origin();
            let message = format!(
                "credential_malformed: the secret `token` holds {what}, which no request can carry: see {origin} | \
                 keep only the secret itself, on one line, in {origin}"
            );
            check(reference, Err(&message));
        }
    }

    #[test]
    fn all_missing_variables_are_named_at_once() {
        let references = [("a", "NO_A"), ("b", "GOOD"), ("c", "NO_C"), ("d", "NO_D")];
        let references = references.map(|(name, variable)| (name.to_owned(), env(variable)));
        let error = resolve(&references, &Fake).expect_err("three are not set");
        assert_eq!(error.to_string(), "the environment variables `NO_A`, `NO_C` and `NO_D` are not set");
        assert_eq!(error.hint().as_deref(), Some("export NO_A=… NO_C=… NO_D=…"));
    }

    #[test]
    fn variables_are_named_after_connector_and_secret() {
        assert_eq!(default_variable("planhat", "token"), "SYNC_PLANHAT_TOKEN");
        assert_eq!(default_variable("my-api", "client-id"), "SYNC_MY_API_CLIENT_ID");
    }

    #[test]
    fn files_are_read_from_disk_and_bounded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "tok-3\n").expect("a small file");
        assert_eq!(System.read(&path).expect("just written"), "tok-3\n");
        std::fs::write(&path, "x".repeat(FILE_MAX as usize + 1)).expect("a small file");
        assert_eq!(System.read(&path).expect_err("too large").kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&path, [0xff]).expect("a small file");
        assert_eq!(System.read(&path).expect_err("not text").kind(), io::ErrorKind::InvalidData);
        assert!(System.var("PATH").is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_command_is_run_without_a_shell_and_for_so_long() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = |words: &[&str], patience| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            command_output(&words, folder.path(), patience).map_err(|error| error.to_string())
        };
        let long = Duration::from_secs(30);
        assert_eq!(run(&["printf", "%s", "a b;$HOME"], long), Ok("a b;$HOME".to_owned()));
        std::fs::write(folder.path().join("key"), "tok-5\n").expect("a small file");
        assert_eq!(run(&["cat", "key"], long), Ok("tok-5\n".to_owned()));
        let failed = run(&["sh", "-c", "echo tok-6; echo locked >&2; exit 3"], long).expect_err("it failed");
        assert_eq!(failed, "it ended with exit status: 3: locked");
        assert!(run(&["./key"], long).is_err(), "not a program");
        assert!(run(&["no-such-program-here"], long).is_err());
        assert_eq!(
            run(&["sh", "-c", "printf '\\377'"], long),
            Err("it printed bytes that are not UTF-8".to_owned())
        );
        assert_eq!(run(&["yes"], long), Err("it printed more than 64 KB".to_owned()));
        let silent = run(&["sleep", "60"], Duration::from_millis(50)).expect_err("it says nothing");
        assert_eq!(silent, "it said nothing within 0 seconds");
    }

    #[test]
    fn secrets_do_not_print() {
        let secrets = resolve(&[("token".to_owned(), env("GOOD"))], &Fake).expect("set");
        assert_eq!(format!("{secrets:?}"), r#"Secrets({"token": ***})"#);
        assert_eq!(secrets.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["token"]);
    }
}

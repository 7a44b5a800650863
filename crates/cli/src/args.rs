//! What may be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::sandbox::Rows;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed: the provider's errors to the last attempt
  2    refused: the file, the credential or the arguments are wrong
  3    environment: disk, network, TLS, or another process holds the lock
  4    partial: some streams failed or some rows were set aside
  5    contract: a promise about the data was broken, such as a suspicious empty listing
  6    quota: spent for now; the next run goes on
  130  stopped by the user; the next run goes on

Log lines go to stderr; SYNC_LOG=debug shows more of them.";

/// Moves data from APIs into Parquet files and SQLite databases, and can be killed at any instant.
#[derive(Debug, Parser)]
#[command(name = "sync", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run pipelines once, now
    #[command(after_help = EXIT_CODES)]
    Run(Run),
    /// Check pipelines: parse, resolve, find the credential, and ask the provider whether it works
    Check(Check),
    /// Show the runs of pipelines, or all about one run
    Runs(Runs),
    /// Look at rows that were set aside, and try them once more
    Rejects {
        #[command(subcommand)]
        verb: Rejects,
    },
    /// Show how far streams got, and take them back
    State {
        #[command(subcommand)]
        verb: State,
    },
    /// Keep credentials: make, test, change and forget them; their secrets are never shown again
    Credentials {
        #[command(subcommand)]
        verb: Credentials,
    },
    /// Show what is built in: connectors, and the streams, settings and limits of one
    Connectors(Connectors),
    /// Play the built-in providers on loopback, for trying things without an account
    Sandbox(Sandbox),
    /// Print the JSON Schema of a language, for editors
    Schema(Schema),
}

#[derive(Debug, Args)]
pub struct Run {
    /// Pipeline files, run one after the other
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only this stream; may be given several times
    #[arg(long = "stream", value_name = "NAME")]
    pub streams: Vec<String>,
    /// Forget how far the streams got, read everything, and switch the new tables in when they are whole
    #[arg(long)]
    pub full_refresh: bool,
    /// At most so many rows of each stream; nothing is remembered of how far it got
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Accept a listing without rows where the table has some
    #[arg(long)]
    pub allow_empty: bool,
    /// Memory for pages, batches and queues
    #[arg(long, value_name = "SIZE", default_value = "96MB", value_parser = memory)]
    pub memory: usize,
    /// Keep the pipelines' state in this folder [default: .sync beside each file]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Print one JSON object a file on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    /// Pipeline files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print one JSON object a file on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Runs {
    /// Show all about this run; a beginning of its name is enough
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// The runs of this pipeline file; may be given several times [default: every pipeline whose state is here]
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Look into this folder [default: .sync]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// At most so many runs
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A pipeline and where its state is.
#[derive(Debug, Args)]
pub struct Of {
    /// The pipeline file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Look into this folder [default: .sync beside the file]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Rejects {
    /// List rows that were set aside, oldest first
    List {
        #[command(flatten)]
        of: Of,
        /// Only of this stream
        #[arg(long, value_name = "NAME")]
        stream: Option<String>,
        /// Only of this run
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// At most so many rows
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show one of them whole
    Show {
        #[command(flatten)]
        of: Of,
        /// Its number
        #[arg(value_name = "ID")]
        id: i64,
    },
    /// Print them as JSON Lines
    Export {
        #[command(flatten)]
        of: Of,
        /// Only of this stream
        #[arg(long, value_name = "NAME")]
        stream: Option<String>,
        /// Only of this run
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
    },
    /// Try them once more, under the pipeline as it is now; those that land are set aside no more
    #[command(after_help = EXIT_CODES)]
    Retry {
        #[command(flatten)]
        of: Of,
        /// Only of this stream; may be given several times
        #[arg(long = "stream", value_name = "NAME")]
        streams: Vec<String>,
        /// Only these
        #[arg(value_name = "ID")]
        ids: Vec<i64>,
    },
}

#[derive(Debug, Subcommand)]
pub enum State {
    /// Show how far each stream got
    Show {
        #[command(flatten)]
        of: Of,
        /// Only this stream
        #[arg(long, value_name = "NAME")]
        stream: Option<String>,
        /// With so many of the last versions
        #[arg(long, value_name = "N", default_value_t = 0)]
        history: u32,
    },
    /// Print all of it as JSON: checkpoints, versions, schemas, rows set aside
    Export {
        #[command(flatten)]
        of: Of,
    },
    /// Forget how far streams got; their rows stay, and the next run reads from the start
    Reset {
        #[command(flatten)]
        of: Of,
        /// This stream; may be given several times
        #[arg(long = "stream", value_name = "NAME", required_unless_present = "all")]
        streams: Vec<String>,
        /// All streams
        #[arg(long, conflicts_with = "streams")]
        all: bool,
        /// Say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Take a stream back to where it was at an earlier version, or forth again
    Rewind {
        #[command(flatten)]
        of: Of,
        /// The stream
        #[arg(long, value_name = "NAME")]
        stream: String,
        /// The version, as `sync state show --history 20` lists them
        #[arg(long, value_name = "VERSION")]
        to: i64,
        /// Say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

const SECRETS: &str = "\
A secret is asked for without being shown; for scripts it comes from standard input or from the environment. There is \
no argument for it: arguments are seen by every process of the machine, and end in the shell's history.

The vault lies in SYNC_HOME/vault (by default in the platform's folder for data of programs). Its key is looked for in \
SYNC_VAULT_KEY, in the file that SYNC_VAULT_KEY_FILE names, in the systemd credential `sync-vault-key`, and in \
`master.key` beside the vault, which is made with the first credential; where SYNC_VAULT_PASSPHRASE is set then, a \
passphrase locks it.";

#[derive(Debug, Subcommand)]
pub enum Credentials {
    /// Store a credential: asks for the connector's own fields, and tests them
    #[command(after_help = SECRETS)]
    Add(AddCredential),
    /// List what is stored
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one, without its secrets
    Show {
        /// Its name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask the provider whether it takes them
    Test {
        /// Their names
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give one another secret; the old one goes on working while the provider lets it
    #[command(after_help = SECRETS)]
    Rotate {
        /// Its name
        name: String,
        #[command(flatten)]
        from: SecretsFrom,
        /// How long the old secret still works, such as 24h [default: what the connector says]
        #[arg(long, value_name = "DURATION", value_parser = sync_spec::parse_duration)]
        overlap: Option<std::time::Duration>,
    },
    /// Forget one, and say which pipelines use it
    Remove {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Write credentials into a new file, locked with a passphrase
    Export {
        /// The file
        file: PathBuf,
        /// Only these [default: all]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Store the credentials of such a file
    Import {
        /// The file
        file: PathBuf,
        /// Put them in the place of those of the same name
        #[arg(long)]
        replace: bool,
    },
    /// Lock the vault with another key, and seal everything in it anew
    Rekey {
        /// With a passphrase instead of a new key file
        #[arg(long)]
        passphrase: bool,
    },
}

#[derive(Debug, Args)]
pub struct AddCredential {
    /// What pipelines call it: small letters, digits, `-` and `_`
    pub name: String,
    /// The connector it is for: a built-in one, or the path of its file
    #[arg(long, value_name = "CONNECTOR")]
    pub connector: String,
    /// What it is, for people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Which kind of credential, where the connector takes several
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// A setting that belongs to the account, such as subdomain=acme; may be given several times
    #[arg(long = "config", value_name = "NAME=VALUE", value_parser = pair)]
    pub config: Vec<(String, String)>,
    /// Where it belongs, if not to the connector's own address
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// The account whose limits it spends, where several credentials share one
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Warn when the secret is so many days old
    #[arg(long, value_name = "DAYS")]
    pub max_age: Option<u32>,
    #[command(flatten)]
    pub from: SecretsFrom,
}

/// Where the secrets come from.
#[derive(Debug, Args)]
pub struct SecretsFrom {
    /// Read the secret from standard input; several as lines NAME=VALUE
    #[arg(long, conflicts_with = "from_env")]
    pub from_stdin: bool,
    /// Read the secrets from environment variables: the connector's own, or those named here
    #[arg(long, value_name = "[SECRET=]VARIABLE", num_args = 0..)]
    pub from_env: Option<Vec<String>>,
    /// Store it without asking the provider
    #[arg(long)]
    pub no_test: bool,
    /// Print the page to sign in at instead of opening a browser
    #[arg(long)]
    pub no_browser: bool,
    /// Print the page, and take the address that the browser ends at by paste: for machines without a browser
    #[arg(long)]
    pub paste: bool,
    /// Where the sign-in page sends the browser back to, as it is registered at the provider; on this machine
    /// [default: http://127.0.0.1 and a free port]
    #[arg(long, value_name = "URL")]
    pub redirect: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is written NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
pub struct Connectors {
    /// The connector to show [default: a list of all]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Sandbox {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9310")]
    pub listen: SocketAddr,
    /// Rows of every stream, or of one: 1000 or PROVIDER/STREAM=1000; may be given several times
    #[arg(long, value_name = "[STREAM=]N", value_parser = Rows::parse)]
    pub rows: Vec<Rows>,
    /// The same seed gives the same rows
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Answer requests beyond the providers' limits too
    #[arg(long)]
    pub no_limits: bool,
}

#[derive(Debug, Args)]
pub struct Schema {
    /// Which language
    pub language: Language,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Language {
    /// Pipeline files
    Pipeline,
    /// Connector files
    Connector,
}

/// Below this even one ordinary page would not fit.
const LEAST_MEMORY: u64 = 4_000_000;

fn memory(text: &str) -> Result<usize, String> {
    match sync_spec::parse_size(text)? {
        size if size < LEAST_MEMORY => Err("at least 4MB are needed".to_owned()),
        size => usize::try_from(size).map_err(|_| "that is more than this machine can count".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_contradict_nowhere() {
        Arguments::command().debug_assert();
    }

    #[track_caller]
    fn refused(line: &str, expect: &str) {
        let error = Arguments::try_parse_from(line.split(' ')).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(expect), "{line}: {error}");
    }

    #[test]
    fn wrong_arguments_are_refused_with_2() {
        refused("sync run", "<FILE>");
        refused("sync run a.yaml --limit 0", "0 is not in 1..");
        refused("sync run a.yaml --memory 3MB", "at least 4MB");
        refused("sync run a.yaml --memory lots", "not a size");
        refused("sync run a.yaml --jsn", "--json");
        refused("sync schema pipelin", "pipeline");
        refused("sync sandbox --listen localhost", "invalid");
        refused("sync sandbox --rows many", "PROVIDER/STREAM=N");
    }

    #[test]
    fn a_run_takes_files_and_streams() {
        let line = "sync run a.yaml b.yaml --stream x --stream y --memory 64MiB --limit 5";
        let Verb::Run(run) = Arguments::try_parse_from(line.split(' ')).expect(line).verb else {
            panic!("`run` is a run");
        };
        assert_eq!(run.files, [PathBuf::from("a.yaml"), PathBuf::from("b.yaml")]);
        assert_eq!(run.streams, ["x", "y"]);
        assert_eq!((run.memory, run.limit), (64 << 20, Some(5)));
    }
}

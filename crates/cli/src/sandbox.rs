//! `sync sandbox`: the built-in providers on loopback, until Ctrl-C.

use sync_core::{Kind, Problem};
use sync_sandbox::{Options, Running, Sandbox};

use crate::args;
use crate::hands::Tools;
use crate::signals;
use crate::talk::Talk;

/// Plays the providers until the stop is asked for.
pub async fn sandbox(args: args::Sandbox, talk: &Talk, tools: &Tools) -> Result<u8, Problem> {
    let mut options = Options::new(tools.clock.clone());
    options.seed = args.seed;
    options.limits = !args.no_limits;
    for wish in &args.rows {
        wish.apply(&mut options)?;
    }
    let sandbox = Sandbox::new(options.clone()).map_err(|error| refused(&error))?;
    signals::listen(talk.clone(), tools.stop.clone(), "closing the sandbox…").map_err(|error| {
        Problem::new(Kind::Environment, "signals", format!("signals cannot be heard: {error}"))
    })?;
    let running = sandbox.start(args.listen).await.map_err(|error| {
        let message = format!("the sandbox cannot listen on {}: {error}", args.listen);
        Problem::new(Kind::Environment, "listen", message)
            .hint("name a loopback address and a free port: --listen 127.0.0.1:0 takes any")
    })?;
    talk.data(&welcome(&running, &options))?;
    tools.stop.wait().await;
    running.stop().await;
    Ok(0)
}

/// How many rows, and of which stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// `provider/stream`; every stream without.
    pub stream: Option<String>,
    /// So many.
    pub rows: u64,
}

impl Rows {
    /// Reads `N` or `PROVIDER/STREAM=N`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (stream, rows) = match text.rsplit_once('=') {
            Some((stream, rows)) => (Some(stream.to_owned()), rows),
            None => (None, text),
        };
        let rows = rows.replace('_', "").parse().map_err(|_| "write N, or PROVIDER/STREAM=N".to_owned())?;
        Ok(Self { stream, rows })
    }

    fn apply(&self, options: &mut Options) -> Result<(), Problem> {
        if let Some(stream) = &self.stream {
            options.rows.insert(stream.clone(), self.rows);
            return Ok(());
        }
        let all = Sandbox::new(options.clone()).map_err(|error| refused(&error))?.streams();
        options.rows.extend(all.into_iter().map(|(stream, _)| (stream.to_owned(), self.rows)));
        Ok(())
    }
}

fn refused(error: &sync_sandbox::OptionsError) -> Problem {
    Problem::new(Kind::Refused, "unknown_stream", error.to_string())
}

fn welcome(running: &Running, options: &Options) -> String {
    let addr = running.addr();
    let each = options.credentials().into_iter().map(|(provider, secret, key)| {
        let (variable, base) = (sync_auth::default_variable(provider, secret), running.base_url(provider));
        format!(
            "\n{provider}\n  export {variable}={key}\n  \
             source: {{ connector: {provider}, base_url: \"{base}\" }}\n"
        )
    });
    format!(
        "The sandbox listens on http://{addr}/ and keeps nothing. Ctrl-C ends it.\n{}\n\
         Change rows, or let things go wrong:\n  curl -X POST 'http://{addr}/_sandbox/round'\n  \
         curl 'http://{addr}/'        tells what else there is\n",
        each.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_for_all_streams_or_one() {
        let check = |text, expect: Option<(Option<&str>, u64)>| {
            let read = Rows::parse(text).ok();
            assert_eq!(
                read.map(|r| (r.stream, r.rows)),
                expect.map(|(s, n)| (s.map(str::to_owned), n)),
                "{text}"
            );
        };
        check("5", Some((None, 5)));
        check("acme/things=1_000_000", Some((Some("acme/things"), 1_000_000)));
        check("acme/things", None);
        check("x=-1", None);
        check("", None);
    }
}

//! The real hands of a run: the clock, the transport, the environment. Nobody else makes them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sync_auth::{Environment as _, Passphrase, Vault};
use sync_core::{BoxFuture, Clock, Kind, Problem, Secret, Stop, Timestamp, Uptime, Watch};
use sync_engine::Hands;
use sync_http::{Client, Scrubber, Timeouts};
use sync_quota::Budgets;
use sync_state::BudgetDb;

use crate::home::home;
use crate::prompt;

/// The clock of this machine.
#[derive(Debug)]
pub struct MachineClock {
    started: Instant,
    /// Which start of the machine, where that can be told.
    boot: Option<String>,
}

impl MachineClock {
    /// A clock whose monotonic time begins now.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
    pub fn new() -> Self {
        // Time namespaces aside, it is the same for all containers of a machine, as the time since then is.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Self { started: Instant::now(), boot: boot.map(|text| text.trim().to_owned()) }
    }
}

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp::from_micros(micros)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[cfg(target_os = "linux")]
    fn uptime(&self) -> Uptime {
        let Some(boot) = self.boot.clone() else { return self.wall_time() };
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Uptime { boot, since: Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos) }
    }

    #[cfg(not(target_os = "linux"))]
    fn uptime(&self) -> Uptime {
        self.wall_time()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl MachineClock {
    /// Where the machine does not tell when it began, its processes agree on the wall clock, which a person can set.
    fn wall_time(&self) -> Uptime {
        let micros = u64::try_from(self.now().micros()).unwrap_or(0);
        Uptime { boot: "wall".to_owned(), since: Duration::from_micros(micros) }
    }
}

/// Where budgets are kept. A process without a home, such as a service of a bare machine, shares them with the others
/// until the temporary files are swept away, and says so: limits are kept all the same.
fn budget_folder() -> PathBuf {
    let home = home(|name| sync_auth::System.var(name)).unwrap_or_else(|problem| {
        let folder = std::env::temp_dir().join("sync");
        tracing::warn!("{problem}; budgets are kept in {}", folder.display());
        folder
    });
    home.join("budget")
}

/// What every command that meets a provider needs. The onlooker is added for each run.
pub struct Tools {
    pub clock: Arc<dyn Clock>,
    pub stop: Stop,
    scrubber: Arc<Scrubber>,
    client: Arc<Client>,
    budgets: Arc<Budgets>,
    pub vault: Arc<Vault>,
}

impl Tools {
    /// Makes them. Fails where the TLS roots of the system cannot be read.
    pub fn new(scrubber: Arc<Scrubber>) -> Result<Self, Problem> {
        let clock: Arc<dyn Clock> = Arc::new(MachineClock::new());
        let stop = Stop::default();
        let client = Client::new(clock.clone(), scrubber.clone(), stop.clone(), Timeouts::default())
            .map_err(|error| Problem::new(Kind::Environment, "http_client", error.message))?;
        let store = Arc::new(BudgetDb::at(&budget_folder(), clock.clone()));
        let budgets = Arc::new(Budgets::kept(clock.clone(), store));
        let vault = Arc::new(vault(&scrubber));
        Ok(Self { clock, stop, scrubber, client: Arc::new(client), budgets, vault })
    }

    /// The hands of one run.
    pub fn hands(&self, watch: Arc<dyn Watch>) -> Hands {
        Hands {
            clock: self.clock.clone(),
            fetch: self.client.clone(),
            scrubber: self.scrubber.clone(),
            stop: self.stop.clone(),
            watch,
            environment: Arc::new(sync_auth::System),
            budgets: self.budgets.clone(),
            vault: self.vault.clone(),
        }
    }
}

/// The vault of this user. A passphrase is asked for on the terminal, where there is one.
pub fn vault(scrubber: &Arc<Scrubber>) -> Vault {
    let folder = home(|name| sync_auth::System.var(name)).ok().map(|home| home.join("vault"));
    let scrubber = scrubber.clone();
    let ask = move |what: Passphrase| {
        let asked = prompt::passphrase(what)?;
        scrubber.add(&Secret::new((*asked).clone()));
        Some(asked)
    };
    Vault::new(folder, Arc::new(sync_auth::System), Some(Box::new(ask)))
}

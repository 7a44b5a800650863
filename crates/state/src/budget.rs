//! The figures of budgets, which all processes of this machine share: one database for each user.
//!
//! `DIR/budget.db` holds a row for each account. `DIR/holders/` holds a file for each process that draws on one, with
//! the operating system's lock on it, which dies with the process whatever kills it: so the others see who is gone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use sync_core::{BoxFuture, BudgetStore, Change, Clock, Explain as _, Figures, Problem, Uptime};

use crate::StateError;

/// How long to wait for other processes. Each of their steps takes less than a millisecond.
const BUSY: Duration = Duration::from_secs(20);
/// What no longer than this ago was used is kept; no limit of any provider reaches further back.
const KEPT: Duration = Duration::from_hours(40 * 24);
/// `sync` and `b` in ASCII: marks the file as ours.
const APPLICATION: i64 = 0x7379_6e62;
const FORMAT: i64 = 1;

const TABLES: &str = "
    create table figures (
        account text primary key,
        figures text not null,
        changed integer not null
    ) strict, without rowid;
";

/// Budgets of this machine's user. Nothing is opened before the first change.
pub struct BudgetDb {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    holder: u64,
    clock: Arc<dyn Clock>,
    open: Mutex<Option<Open>>,
}

struct Open {
    connection: Connection,
    /// Tells the others that we live.
    _life: File,
}

impl BudgetDb {
    /// Budgets in this folder, which is made when it is needed.
    pub fn at(dir: &Path, clock: Arc<dyn Clock>) -> Self {
        let holder = fastrand::u64(1..);
        Self { inner: Arc::new(Inner { dir: dir.to_owned(), holder, clock, open: Mutex::new(None) }) }
    }
}

impl BudgetStore for BudgetDb {
    fn change<'a>(&'a self, accounts: &'a [String], change: Change) -> BoxFuture<'a, Result<(), Problem>> {
        let (inner, accounts) = (self.inner.clone(), accounts.to_vec());
        Box::pin(async move {
            // A step is short, but it waits for the disk and for other processes.
            let changed = tokio::task::spawn_blocking(move || inner.change(&accounts, change)).await;
            match changed {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error
                    .problem()
                    .hint("see that SYNC_HOME names a folder of a disk that can be written")),
                Err(error) => {
                    let kind = sync_core::Kind::Failed;
                    Err(Problem::new(kind, "internal", format!("a step of the budget ended: {error}")))
                }
            }
        })
    }

    fn holder(&self) -> u64 {
        self.inner.holder
    }

    fn now(&self) -> Uptime {
        self.inner.clock.uptime()
    }
}

impl Inner {
    fn database(&self) -> PathBuf {
        self.dir.join("budget.db")
    }

    fn life_of(&self, holder: u64) -> PathBuf {
        self.dir.join("holders").join(format!("{holder:016x}"))
    }

    fn change(&self, accounts: &[String], mut change: Change) -> Result<(), StateError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match &mut *open {
            Some(open) => open,
            none => none.insert(self.open()?),
        };
        let now = self.clock.now().micros() / 1_000_000;
        let changed = (|| {
            let tx = open.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut figures = Vec::with_capacity(accounts.len());
            for account in accounts {
                let mut select = tx.prepare_cached("select figures from figures where account = ?")?;
                let kept: Figures = select.query_row([account], |row| row.get(0)).optional()?;
                figures.push(kept);
            }
            change(&mut figures, &|holder| self.is_dead(holder));
            for (account, figures) in accounts.iter().zip(&figures) {
                if let Some(figures) = figures {
                    let mut upsert = tx.prepare_cached(
                        "insert into figures values (?1, ?2, ?3) on conflict (account)
                         do update set figures = ?2, changed = ?3",
                    )?;
                    upsert.execute((account, figures, now))?;
                }
            }
            tx.commit()
        })();
        // No seam of the storms is in here: every few requests pass this, so that hardly a fault would reach the tables.
        changed.map_err(|e| StateError::sqlite(&self.database(), e))
    }

    fn open(&self) -> Result<Open, StateError> {
        let holders = self.dir.join("holders");
        std::fs::create_dir_all(&holders).map_err(|e| StateError::io(&holders, e))?;
        let life = self.come_alive(&holders).map_err(|e| StateError::io(&holders, e))?;
        let database = self.database();
        let sql = |e| StateError::sqlite(&database, e);
        let mut connection = Connection::open(&database).map_err(sql)?;
        connection.busy_timeout(BUSY).map_err(sql)?;
        // Some network file systems cannot do WAL; SQLite then keeps its rollback journal, which serves too.
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(sql)?;
        connection.pragma_update(None, "synchronous", "full").map_err(sql)?;
        self.prepare(&mut connection)?;
        self.bury(&holders);
        Ok(Open { connection, _life: life })
    }

    fn prepare(&self, connection: &mut Connection) -> Result<(), StateError> {
        let database = self.database();
        let oldest = self.clock.now().minus(KEPT).micros() / 1_000_000;
        let made = (|| {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let number = |name: &str| tx.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let found = (number("application_id")?, number("user_version")?);
            let empty = tx.query_row("select count(*) = 0 from sqlite_schema", [], |row| row.get(0))?;
            match found {
                (0, 0) if empty => {
                    tx.execute_batch(TABLES)?;
                    tx.pragma_update(None, "application_id", APPLICATION)?;
                    tx.pragma_update(None, "user_version", FORMAT)?;
                }
                (APPLICATION, FORMAT) => {
                    tx.execute("delete from figures where changed < ?", [oldest])?;
                }
                other => return Ok(Err(other)),
            }
            tx.commit()?;
            Ok(Ok(()))
        })();
        match made.map_err(|e| StateError::sqlite(&database, e))? {
            Ok(()) => Ok(()),
            Err((APPLICATION, found)) => Err(StateError::Newer { path: database, found, known: FORMAT }),
            Err(_) => {
                let why = "it is a database of something else".to_owned();
                Err(StateError::Damaged { path: database, why })
            }
        }
    }

    /// Makes the file that says we live. It is locked before it has its name, so nobody ever finds it unlocked while we
    /// do.
    fn come_alive(&self, holders: &Path) -> std::io::Result<File> {
        let unborn = holders.join(format!("{:016x}.new", self.holder));
        let life = File::create(&unborn)?;
        life.try_lock().map_err(std::io::Error::from)?;
        std::fs::rename(&unborn, self.life_of(self.holder))?;
        Ok(life)
    }

    /// Whether nobody holds the lock of a holder's life any more.
    fn is_dead(&self, holder: u64) -> bool {
        match File::open(self.life_of(holder)) {
            Ok(life) => life.try_lock().is_ok(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    /// Removes what dead holders have left. A missing file says dead as well.
    fn bury(&self, holders: &Path) {
        for entry in std::fs::read_dir(holders).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let holder = u64::from_str_radix(&name, 16).ok().filter(|_| name.len() == 16);
            if holder.is_some_and(|holder| self.is_dead(holder)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.open.get_mut().is_ok_and(|open| open.is_some()) {
            let _ = std::fs::remove_file(self.life_of(self.holder));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_testkit::clock::Manual;

    fn append(words: &'static str) -> Change {
        Box::new(move |figures, _| {
            for kept in figures {
                let text = kept.get_or_insert_default();
                text.push_str(words);
            }
        })
    }

    fn read(db: &BudgetDb, accounts: &[&str]) -> Vec<Figures> {
        let (kept, accounts) =
            (Arc::<Mutex<Vec<Figures>>>::default(), accounts.iter().map(|a| (*a).to_owned()));
        let seen = kept.clone();
        let look: Change =
            Box::new(move |figures, _| *seen.lock().expect("nobody panics") = figures.to_vec());
        db.inner.change(&accounts.collect::<Vec<_>>(), look).expect("a change");
        let kept = kept.lock().expect("nobody panics");
        kept.clone()
    }

    #[tokio::test]
    async fn figures_are_shared_and_outlive_their_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(Manual::new());
        let (a, b) = (BudgetDb::at(dir.path(), clock.clone()), BudgetDb::at(dir.path(), clock.clone()));
        assert!(!dir.path().join("budget.db").exists(), "nothing is opened before it is needed");
        let both = ["x".to_owned(), "y".to_owned()];
        a.change(&both, append("a")).await.expect("a change");
        b.change(&both[1..], append("b")).await.expect("a change");
        drop((a, b));
        let c = BudgetDb::at(dir.path(), clock.clone());
        assert_eq!(read(&c, &["y", "x", "z"]), [Some("ab".to_owned()), Some("a".to_owned()), None]);
        clock.advance(KEPT + Duration::from_secs(2));
        assert_eq!(read(&BudgetDb::at(dir.path(), clock), &["x"]), [None], "what nobody used is forgotten");
    }

    #[test]
    fn who_is_gone_is_dead_and_who_is_there_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(Manual::new());
        let (a, b) = (BudgetDb::at(dir.path(), clock.clone()), BudgetDb::at(dir.path(), clock));
        read(&a, &["x"]);
        read(&b, &["x"]);
        let of_a = a.holder();
        assert!(!b.inner.is_dead(of_a) && !a.inner.is_dead(of_a) && b.inner.is_dead(7));
        // A killed process leaves its file behind, unlocked.
        let file = b.inner.life_of(of_a);
        drop(a);
        std::fs::write(&file, "").expect("a file");
        assert!(b.inner.is_dead(of_a));
        b.inner.bury(&dir.path().join("holders"));
        assert!(!file.exists() && b.inner.is_dead(of_a));
    }

    #[test]
    fn another_database_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let other = Connection::open(dir.path().join("budget.db")).expect("a database");
        other.execute_batch("create table mine (x)").expect("a table");
        let db = BudgetDb::at(dir.path(), Arc::new(Manual::new()));
        let refused = db.inner.change(&["x".to_owned()], append("a")).expect_err("it is not ours");
        assert!(refused.to_string().contains("something else"), "{refused}");
    }
}

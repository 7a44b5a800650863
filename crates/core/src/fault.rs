//! The seams at which a process can die or a disk be full: every step that makes something durable passes one.
//!
//! In a debug build a plan can be given, and storms give many; in a release build every seam is nothing at all. A seam
//! is named by the place in the source that passes it.

/// What is to happen at which seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies at the n-th seam, from 1, without another word.
    Kill(u64),
    /// The disk is full from the n-th seam on.
    Full(u64),
}

impl Fault {
    /// Reads `kill@12` or `full@12`.
    pub fn parse(text: &str) -> Option<Self> {
        let (what, seam) = text.split_once('@')?;
        let seam = seam.parse().ok().filter(|seam| *seam > 0)?;
        match what {
            "kill" => Some(Self::Kill(seam)),
            "full" => Some(Self::Full(seam)),
            _ => None,
        }
    }
}

#[cfg(debug_assertions)]
mod armed {
    use std::io;
    use std::panic::Location;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Fault;

    struct Plan {
        fault: Fault,
        tell: fn(&str),
    }

    static PLAN: OnceLock<Plan> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    /// Gives the process its plan. `tell` hears the seam at which it dies or the disk is full for the first time.
    pub fn plan(fault: Fault, tell: fn(&str)) {
        let _ = PLAN.set(Plan { fault, tell });
    }

    /// Passes a seam.
    #[track_caller]
    pub fn seam() -> io::Result<()> {
        let Some(Plan { fault, tell }) = PLAN.get() else { return Ok(()) };
        let seam = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
        let place = Location::caller();
        let name = || {
            let file = place.file().rsplit_once("src/").map_or(place.file(), |(_, file)| file);
            format!("{file}:{}", place.line())
        };
        match *fault {
            Fault::Kill(at) if seam == at => {
                tell(&name());
                std::process::abort();
            }
            Fault::Full(at) if seam >= at => {
                if seam == at {
                    tell(&name());
                }
                Err(io::ErrorKind::StorageFull.into())
            }
            Fault::Kill(_) | Fault::Full(_) => Ok(()),
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::{plan, seam};

/// Passes a seam.
#[cfg(not(debug_assertions))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "it can fail where faults are planned")]
pub fn seam() -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read() {
        assert_eq!(Fault::parse("kill@12"), Some(Fault::Kill(12)));
        assert_eq!(Fault::parse("full@1"), Some(Fault::Full(1)));
        for wrong in ["kill", "kill@", "kill@0", "stop@3", "full@x"] {
            assert_eq!(Fault::parse(wrong), None, "{wrong}");
        }
    }
}

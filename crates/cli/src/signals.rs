//! Ctrl-C and SIGTERM: the first asks, the second ends.

use sync_core::{Status, Stop};

use crate::talk::Talk;

/// Signals so close together are one.
const ONE_WISH: std::time::Duration = std::time::Duration::from_millis(300);

/// Listens from now on. The first signal asks everyone to stop; the second ends the process at once, which
/// loses nothing but the pages in flight.
pub fn listen(talk: Talk, stop: Stop, farewell: &'static str) -> std::io::Result<()> {
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        signals.next().await;
        talk.say(farewell);
        stop.ask();
        // Some tools signal a process and its group at once; that is one wish.
        tokio::time::sleep(ONE_WISH).await;
        signals.next().await;
        leave(Status::Stopped.exit_code())
    });
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the second signal means now; every commit is whole without us"
)]
fn leave(code: u8) -> ! {
    std::process::exit(i32::from(code))
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

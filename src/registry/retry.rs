//! Which troubles pass, and how long to wait for it (CLI.md, "Network waits").

use std::time::{Duration, Instant};

use super::RegistryError;

/// How long the network may take. [`Waits::default`] is the contract of CLI.md.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// To connect, for reads.
    pub read_connect: Duration,
    /// Without a byte, for reads.
    pub read_idle: Duration,
    /// For a whole answer, for each MiB begun, for reads.
    pub read_per_mib: Duration,
    /// To connect, for transfers of blobs.
    pub transfer_connect: Duration,
    /// Without a byte, for transfers of blobs; they may take any time in all.
    pub transfer_idle: Duration,
    /// Before the first retry; doubled before the second.
    pub retry_pause: Duration,
    /// No retry starts later than this.
    pub retry_within: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            read_connect: Duration::from_secs(5),
            read_idle: Duration::from_secs(10),
            read_per_mib: Duration::from_secs(15),
            transfer_connect: Duration::from_secs(10),
            transfer_idle: Duration::from_mins(1),
            retry_pause: Duration::from_millis(300),
            retry_within: Duration::from_secs(5),
        }
    }
}

/// How much time a request is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Patience {
    /// Small answers that somebody waits for.
    Read,
    /// Blobs of any size.
    Transfer,
}

impl Waits {
    pub(super) fn connect(&self, patience: Patience) -> Duration {
        match patience {
            Patience::Read => self.read_connect,
            Patience::Transfer => self.transfer_connect,
        }
    }

    pub(super) fn idle(&self, patience: Patience) -> Duration {
        match patience {
            Patience::Read => self.read_idle,
            Patience::Transfer => self.transfer_idle,
        }
    }
}

/// A failed try.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Trying again would not help, or would take too long.
    Lasting(RegistryError),
    /// A cut connection, 5xx, 429: another try may go well, after `wait` if the registry named one.
    Passing { error: RegistryError, wait: Option<Duration> },
}

impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Self::Lasting(error)
    }
}

/// The tries of one request: three at most.
#[derive(Debug)]
pub(super) struct Retry<'a> {
    waits: &'a Waits,
    patience: Patience,
    started: Instant,
    paused: Duration,
    retries: u32,
}

impl<'a> Retry<'a> {
    const RETRIES_MAX: u32 = 2;

    pub(super) fn new(waits: &'a Waits, patience: Patience) -> Self {
        Self { waits, patience, started: Instant::now(), paused: Duration::ZERO, retries: 0 }
    }

    /// Waits until the next try may start.
    ///
    /// # Errors
    /// The trouble itself, if there is to be no next try.
    pub(super) async fn after(&mut self, trouble: Trouble) -> Result<(), RegistryError> {
        let (error, wait) = match trouble {
            Trouble::Lasting(error) => return Err(error),
            Trouble::Passing { error, wait } => (error, wait),
        };
        let pause = wait.unwrap_or(self.waits.retry_pause * (1 << self.retries));
        let spent = match self.patience {
            Patience::Read => self.started.elapsed(),
            Patience::Transfer => self.paused, // The blob itself may have taken long.
        };
        let late = spent.checked_add(pause).is_none_or(|end| end > self.waits.retry_within);
        if self.retries == Self::RETRIES_MAX || late {
            return Err(error);
        }
        self.retries += 1;
        self.paused += pause;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// `Retry-After` in seconds; a date counts as too late.
pub(super) fn retry_after(value: Option<&str>) -> Option<Duration> {
    value.map(|text| text.trim().parse().map_or(Duration::MAX, Duration::from_secs))
}

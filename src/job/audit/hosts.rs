//! Registries that do not answer are not asked again and again: of a thousand images of one that is down, each would
//! wait as long as the first. They rest, and their images wait for that to end, all of them at once and nobody else.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{
    model::{ImageName, Location},
    registry::RegistryError,
};

/// Failures in a row after which a registry counts as down.
const FAILURES_MAX: u32 = 6;
/// How long nobody asks it then; after that, one may try.
const REST: Duration = Duration::from_secs(30);
/// How long one step of an image waits in all for a registry that rests: two rests, and what those take who try after them.
const WAIT_MAX: Duration = Duration::from_secs(75);
/// How often it is looked whether a rest is over: whoever tries may find out early.
const POLL: Duration = Duration::from_secs(1);

/// What is known of the registries of a run.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<BTreeMap<String, Host>>);

#[derive(Debug, Default)]
struct Host {
    failures: u32,
    resting_until: Option<Instant>,
}

/// A registry that nobody asks for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resting {
    pub(super) why: String,
    left: Duration,
}

/// How long one step of an image, or a name that is looked up, goes on waiting for its registry.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
    until: Option<Instant>,
}

impl Patience {
    /// For an image that may take `limit`, and not longer than until `until`.
    pub(super) fn new(limit: Duration, until: Option<Instant>) -> Self {
        Self { left: limit.min(WAIT_MAX), until }
    }

    /// Waits for `pause`, or what is left if that is less; false if nothing was, or all is to end.
    pub(super) async fn wait(&mut self, pause: Duration, stop: &CancellationToken) -> bool {
        let left = self
            .until
            .map_or(self.left, |until| self.left.min(until.saturating_duration_since(Instant::now())));
        if left.is_zero() {
            return false;
        }
        let pause = pause.min(left);
        self.left -= pause; // At most what is left of it.
        tokio::time::timeout(pause, stop.cancelled()).await.is_err()
    }
}

impl Hosts {
    /// Whether the registry of `name` rests.
    pub(super) fn resting(&self, name: &ImageName) -> Option<Resting> {
        let host = host(name)?;
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.get(host)?.resting(host)
    }

    /// Whether `name` may be asked for now. Who is told `true` is the first after a rest, tries for all others, and says
    /// soon what came of it ([`Hosts::asked`]).
    pub(super) fn may_ask(&self, name: &ImageName) -> Result<bool, Resting> {
        let Some(host) = host(name) else { return Ok(false) };
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = hosts.get_mut(host) else { return Ok(false) };
        if let Some(resting) = known.resting(host) {
            return Err(resting);
        }
        let first = known.resting_until.is_some();
        if first {
            known.resting_until = Some(Instant::now() + REST); // The others wait for what comes of it.
        }
        Ok(first)
    }

    /// Waits as long as the registry of `name` rests. Why nobody can tell, if that is longer than `patience`.
    pub(super) async fn rested(
        &self,
        name: &ImageName,
        patience: &mut Patience,
        stop: &CancellationToken,
    ) -> Option<String> {
        loop {
            let resting = self.resting(name)?;
            if !patience.wait(resting.left.min(POLL), stop).await {
                return Some(resting.why);
            }
        }
    }

    /// Notes what came of asking for `name`: whether the registry gave any answer.
    pub(super) fn asked(&self, name: &ImageName, answered: bool) {
        let Some(host) = host(name) else { return };
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hosts.entry(host.to_owned()).or_default();
        if answered {
            *known = Host::default();
            return;
        }
        known.failures = known.failures.saturating_add(1);
        if known.failures >= FAILURES_MAX {
            known.resting_until = Some(Instant::now() + REST);
        }
    }
}

impl Host {
    fn resting(&self, host: &str) -> Option<Resting> {
        let left =
            self.resting_until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        let why = format!("{host} did not answer {} times in a row, and was not asked again", self.failures);
        Some(Resting { why, left })
    }
}

fn host(name: &ImageName) -> Option<&str> {
    match &name.location {
        Location::Registry { host, .. } => Some(host),
        Location::Layout(_) => None,
    }
}

/// Whether this failure means that the registry is down, not that it refuses one image.
pub(super) fn is_down(error: &RegistryError) -> bool {
    match error {
        RegistryError::Unreachable { .. } | RegistryError::Timeout { .. } => true,
        RegistryError::Refused { status, .. } => *status >= 500 || *status == 429,
        RegistryError::Mirrors { source, .. } => is_down(source),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_answers_is_left_alone() {
        let hosts = Hosts::default();
        let (a, b): (ImageName, ImageName) =
            ("a.example.org/x:1".parse().unwrap(), "b.example.org/x:1".parse().unwrap());
        for _ in 0..FAILURES_MAX - 1 {
            hosts.asked(&a, false);
        }
        assert_eq!(hosts.resting(&a), None);
        hosts.asked(&a, false);
        assert!(hosts.resting(&a).unwrap().why.contains("a.example.org did not answer 6 times"));
        assert!(hosts.may_ask(&a).is_err());
        assert_eq!((hosts.resting(&b), hosts.may_ask(&b)), (None, Ok(false)));
        hosts.asked(&a, true);
        assert_eq!((hosts.resting(&a), hosts.may_ask(&a)), (None, Ok(false)));
    }

    #[test]
    fn after_a_rest_one_tries_for_all() {
        let hosts = Hosts::default();
        let a: ImageName = "a.example.org/x:1".parse().unwrap();
        let over = Host { failures: FAILURES_MAX, resting_until: Some(Instant::now()) };
        hosts.0.lock().unwrap().insert("a.example.org".to_owned(), over);
        assert_eq!(hosts.resting(&a), None, "looking is not asking");
        assert_eq!(hosts.may_ask(&a), Ok(true));
        assert!(hosts.may_ask(&a).is_err(), "the others wait for what comes of it");
        hosts.asked(&a, true);
        assert_eq!(hosts.may_ask(&a), Ok(false));
    }

    #[tokio::test]
    async fn a_rest_is_waited_for_as_long_as_patience_lasts() {
        let (hosts, stop) = (Hosts::default(), CancellationToken::new());
        let a: ImageName = "a.example.org/x:1".parse().unwrap();
        let rest = |left| {
            let until = Some(Instant::now() + Duration::from_millis(left));
            let host = Host { failures: FAILURES_MAX, resting_until: until };
            hosts.0.lock().unwrap().insert("a.example.org".to_owned(), host);
        };
        let mut patience = Patience::new(Duration::from_millis(300), None);
        rest(100);
        assert_eq!(hosts.rested(&a, &mut patience, &stop).await, None);
        rest(1000);
        assert!(hosts.rested(&a, &mut patience, &stop).await.unwrap().contains("did not answer"));
        assert!(patience.left.is_zero());
        let mut late = Patience::new(Duration::MAX, Some(Instant::now()));
        assert!(hosts.rested(&a, &mut late, &stop).await.is_some(), "the budget is spent");
        stop.cancel();
        let mut stopped = Patience::new(Duration::MAX, None);
        assert!(hosts.rested(&a, &mut stopped, &stop).await.is_some(), "all is to end");
    }
}

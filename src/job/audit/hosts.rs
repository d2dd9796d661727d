//! Registries that do not answer are not asked again and again: of a thousand images of one that is down, each would
//! wait as long as the first.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    model::{ImageName, Location},
    registry::RegistryError,
};

/// Failures in a row after which a registry counts as down.
const FAILURES_MAX: u32 = 6;
/// How long nobody asks it then; after that, one may try.
const REST: Duration = Duration::from_secs(30);

/// What is known of the registries of a run.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<BTreeMap<String, Host>>);

#[derive(Debug, Default)]
struct Host {
    failures: u32,
    resting_until: Option<Instant>,
}

impl Hosts {
    /// Why `name` need not be asked for now, if so.
    pub(super) fn resting(&self, name: &ImageName) -> Option<String> {
        let host = host(name)?;
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hosts.get_mut(host)?;
        let until = known.resting_until?;
        let now = Instant::now();
        if until > now {
            return Some(format!(
                "{host} did not answer {} times in a row, and was not asked again",
                known.failures
            ));
        }
        known.resting_until = Some(now + REST); // This one tries; the others wait for what comes of it.
        None
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
        assert!(hosts.resting(&a).unwrap().contains("a.example.org did not answer 6 times"));
        assert_eq!(hosts.resting(&b), None);
        hosts.asked(&a, true);
        assert_eq!(hosts.resting(&a), None);
    }
}

//! How the outside is reached: proxies and authorities, as whoever runs reprov says.

use super::Secret;

/// Proxies between this machine and registries, mirrors and remotes. Its own loopback is always reached without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// URL of the one for http URLs; may hold a login.
    pub http: Option<Secret>,
    /// URL of the one for https URLs, which is asked to CONNECT; may hold a login.
    pub https: Option<Secret>,
    /// Hosts, domains and networks that are reached without, as in the variable `no_proxy`.
    pub none_for: String,
}

/// No proxy is asked for these: it would take them for its own.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

impl Proxies {
    /// [`Proxies::none_for`], with this machine's own addresses before it.
    #[must_use]
    pub fn direct(&self) -> String {
        format!("{LOOPBACK},{}", self.none_for)
    }
}

/// How the outside is reached. Never reaches a build, and is in no record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// What to go through.
    pub proxies: Proxies,
    /// Certificates (PEM) of authorities that are believed beside the system's.
    pub roots: Vec<String>,
}

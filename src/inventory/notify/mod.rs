//! `[[notify]]` of `inventory.toml`: who is told of changes, and in which way.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use url::Url;

use crate::model::Turn;

pub use read::receivers;

/// Why a `[[notify]]` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[[notify]] {number}{}: {reason}", if key.is_empty() { String::new() } else { format!(": `{key}`") })]
pub struct NotifyError {
    /// Which one, from 1.
    pub number: usize,
    /// What of it; empty where the reason says it.
    pub key: &'static str,
    /// What is wrong, what to write instead.
    pub reason: String,
}

/// A name of the environment, where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable(pub String);

/// A URL as it stands, or where it is, since some hold a secret themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// As written.
    Written(Url),
    /// In the environment.
    From(Variable),
}

impl Address {
    fn variable(&self) -> Option<&Variable> {
        match self {
            Self::From(variable) => Some(variable),
            Self::Written(_) => None,
        }
    }
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// In the clear first, then encrypted, or not at all.
    Starttls,
    /// Encrypted from the first byte on.
    Whole,
    /// Not encrypted, which only this machine itself may be.
    Loopback,
}

/// In which way somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A POST of JSON.
    Webhook {
        /// Where to.
        url: Address,
        /// What signs the body.
        secret: Option<Variable>,
    },
    /// A POST as Slack, Mattermost and their like take it.
    Slack {
        /// Where to.
        url: Address,
    },
    /// A mail.
    Email {
        /// The server's name.
        host: String,
        /// Its port.
        port: u16,
        /// How it is spoken to.
        tls: Tls,
        /// From whom.
        from: String,
        /// To whom.
        to: Vec<String>,
        /// Login and password.
        login: Option<(Login, Variable)>,
    },
    /// An issue at GitHub.
    Github {
        /// Base of the API.
        api: Url,
        /// `OWNER/NAME`.
        repository: String,
        /// Who writes.
        token: Variable,
        /// Of the issue.
        labels: Vec<String>,
    },
    /// An issue at GitLab.
    Gitlab {
        /// Base of the API.
        api: Url,
        /// Its number or path.
        project: String,
        /// Who writes.
        token: Variable,
        /// Of the issue.
        labels: Vec<String>,
    },
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// As written.
    Written(String),
    /// In the environment.
    From(Variable),
}

/// Who is told of what, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// What it is called.
    pub name: String,
    /// How.
    pub way: Way,
    /// Of which changes.
    pub on: BTreeSet<Turn>,
    /// Of whose images; none: of everybody's.
    pub owners: Option<BTreeSet<String>>,
    /// Of which groups' images; none: of all.
    pub groups: Option<BTreeSet<String>>,
}

impl Receiver {
    /// Whether that change is for this receiver.
    #[must_use]
    pub fn wants(&self, turn: Turn, owner: Option<&str>, group: Option<&str>) -> bool {
        let among = |names: &Option<BTreeSet<String>>, name: Option<&str>| {
            names.as_ref().is_none_or(|names| name.is_some_and(|name| names.contains(name)))
        };
        self.on.contains(&turn) && among(&self.owners, owner) && among(&self.groups, group)
    }

    /// What of the environment it takes to tell it.
    #[must_use]
    pub fn variables(&self) -> Vec<&Variable> {
        match &self.way {
            Way::Webhook { url, secret } => url.variable().into_iter().chain(secret).collect(),
            Way::Slack { url } => url.variable().into_iter().collect(),
            Way::Email { login: Some((Login::From(user), password)), .. } => vec![user, password],
            Way::Email { login, .. } => login.iter().map(|(_, password)| password).collect(),
            Way::Github { token, .. } | Way::Gitlab { token, .. } => vec![token],
        }
    }
}

/// A URL that secrets may be sent to: https, or http on this machine; without a login in it.
///
/// # Errors
/// Says what to write instead.
pub fn address(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "it is no URL".to_owned())?;
    let host = url.host_str().unwrap_or_default();
    match url.scheme() {
        _ if host.is_empty() => Err("it names no host".to_owned()),
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err("a login stands in no file; use `secret` or `token`".to_owned())
        }
        "https" => Ok(url),
        "http" if loopback(host) => Ok(url),
        _ => Err("write an https URL; http is for this machine's own address alone".to_owned()),
    }
}

/// Whether a host is this machine by its name.
fn loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

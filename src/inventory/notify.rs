//! `[[notify]]` of `inventory.toml`: who is told of changes, and in which way.

use std::collections::BTreeSet;

use serde::Deserialize;
use url::Url;

use crate::model::{Turn, nearest::distance, path::printable};

/// Most names in one list of a `[[notify]]`.
const NAMES_MAX: usize = 1000;
/// Longest text in one.
const TEXT_BYTES_MAX: usize = 2048;

/// `[[notify]]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct NotifyTable {
    /// What it is called in messages and in the ledger.
    name: String,
    /// `webhook`, `email`, `slack`, `github` or `gitlab`.
    kind: String,
    /// Where to: a URL, or `env:NAME`.
    url: Option<String>,
    /// `env:NAME` of what signs a webhook's bodies.
    secret: Option<String>,
    /// `env:NAME` of a token.
    token: Option<String>,
    /// `OWNER/NAME` at GitHub.
    repository: Option<String>,
    /// Number or path of a project at GitLab.
    project: Option<String>,
    /// Labels of issues.
    labels: Vec<String>,
    /// `HOST` or `HOST:PORT` of a mail server.
    server: Option<String>,
    /// `starttls`, `tls` or `none`.
    tls: Option<String>,
    /// Who mails come from.
    from: Option<String>,
    /// Who they go to.
    to: Vec<String>,
    /// `env:NAME` of the login at the mail server, or the login itself.
    user: Option<String>,
    /// `env:NAME` of its password.
    password: Option<String>,
    /// Codes of changes, or `all`.
    on: Option<Vec<String>>,
    /// Only changes of images of these owners.
    owners: Option<Vec<String>>,
    /// Only changes of images of these groups.
    groups: Option<Vec<String>>,
}

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
        let address = |url| match url {
            &Address::From(ref variable) => Some(variable),
            Address::Written(_) => None,
        };
        match &self.way {
            Way::Webhook { url, secret } => address(url).into_iter().chain(secret).collect(),
            Way::Slack { url } => address(url).into_iter().collect(),
            Way::Email { login: Some((Login::From(user), password)), .. } => vec![user, password],
            Way::Email { login, .. } => login.iter().map(|(_, password)| password).collect(),
            Way::Github { token, .. } | Way::Gitlab { token, .. } => vec![token],
        }
    }
}

/// All receivers, of the tables in their order; no two of one name.
///
/// # Errors
/// [`NotifyError`], which names the table.
pub fn receivers(tables: &[toml::Table]) -> Result<Vec<Receiver>, NotifyError> {
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let reader = Reader { number: index + 1 };
        let receiver = reader.receiver(reader.table(table)?)?;
        if !names.insert(receiver.name.clone()) {
            return Err(reader.refuse("name", format!("`{}` is the name of another one", receiver.name)));
        }
        all.push(receiver);
    }
    Ok(all)
}

/// Keys of a kind, beside those that all have.
const KINDS: [(&str, &[&str]); 5] = [
    ("webhook", &["url", "secret"]),
    ("slack", &["url"]),
    ("email", &["server", "tls", "from", "to", "user", "password"]),
    ("github", &["url", "repository", "token", "labels"]),
    ("gitlab", &["url", "project", "token", "labels"]),
];

struct Reader {
    number: usize,
}

impl Reader {
    fn refuse(&self, key: &'static str, reason: impl Into<String>) -> NotifyError {
        NotifyError { number: self.number, key, reason: reason.into() }
    }

    fn table(&self, table: &toml::Table) -> Result<NotifyTable, NotifyError> {
        table.clone().try_into().map_err(|error: toml::de::Error| {
            let message = error.message();
            let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
            let reason = match quoted.split_first() {
                Some((key, known)) if message.starts_with("unknown field") => {
                    let near = known.iter().min_by_key(|name| distance(name, key)).copied().unwrap_or_default();
                    format!("unknown key `{}`; did you mean `{near}`?", shown(key))
                }
                _ => shown(message),
            };
            self.refuse("", reason)
        })
    }

    fn receiver(&self, table: NotifyTable) -> Result<Receiver, NotifyError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if table.name.is_empty() || table.name.len() > 100 || !table.name.chars().all(plain) {
            return Err(self.refuse("name", "give it a name of letters, digits, `-`, `_` and `.`, 100 at most"));
        }
        self.only_its_keys(&table)?;
        let names = |key, names: Option<Vec<String>>| names.map(|names| self.names(key, names)).transpose();
        Ok(Receiver {
            on: self.turns(table.on.as_deref())?,
            owners: names("owners", table.owners.clone())?,
            groups: names("groups", table.groups.clone())?,
            name: table.name.clone(),
            way: self.way(table)?,
        })
    }

    /// A key that the kind does not know would do nothing.
    fn only_its_keys(&self, table: &NotifyTable) -> Result<(), NotifyError> {
        let Some((kind, keys)) = KINDS.iter().find(|(kind, _)| *kind == table.kind) else {
            let kinds = KINDS.map(|(kind, _)| kind);
            let near = kinds.iter().min_by_key(|kind| distance(kind, &table.kind)).copied().unwrap_or_default();
            let found = shown(&table.kind);
            return Err(self.refuse("kind", format!("`{found}` is none; did you mean `{near}`? There are {}", kinds.join(", "))));
        };
        let written = [
            ("url", table.url.is_some()),
            ("secret", table.secret.is_some()),
            ("token", table.token.is_some()),
            ("repository", table.repository.is_some()),
            ("project", table.project.is_some()),
            ("labels", !table.labels.is_empty()),
            ("server", table.server.is_some()),
            ("tls", table.tls.is_some()),
            ("from", table.from.is_some()),
            ("to", !table.to.is_empty()),
            ("user", table.user.is_some()),
            ("password", table.password.is_some()),
        ];
        match written.into_iter().find(|(key, there)| *there && !keys.contains(key)) {
            Some((key, _)) => Err(self.refuse(key, format!("a {kind} has none; it has {}", keys.join(", ")))),
            None => Ok(()),
        }
    }

    fn turns(&self, on: Option<&[String]>) -> Result<BTreeSet<Turn>, NotifyError> {
        let Some(on) = on else {
            return Ok(Turn::ALL.into_iter().filter(|turn| turn.worse() || turn.better()).collect());
        };
        let mut turns = BTreeSet::new();
        for name in on {
            if name == "all" {
                turns.extend(Turn::ALL);
            } else if let Some(turn) = Turn::of(name) {
                turns.insert(turn);
            } else {
                let near = Turn::ALL.into_iter().map(Turn::name).min_by_key(|known| distance(known, name));
                let near = near.unwrap_or_default();
                return Err(self.refuse("on", format!("there is no change `{}`; did you mean `{near}`?", shown(name))));
            }
        }
        if turns.is_empty() {
            return Err(self.refuse("on", "an empty list tells nobody anything; leave it out, or write `all`"));
        }
        Ok(turns)
    }

    fn names(&self, key: &'static str, names: Vec<String>) -> Result<BTreeSet<String>, NotifyError> {
        if names.is_empty() || names.len() > NAMES_MAX {
            return Err(self.refuse(key, format!("1 to {NAMES_MAX} names; without the key it is everybody")));
        }
        names.into_iter().map(|name| self.text(key, Some(name))).collect()
    }

    /// A text that must be there, on one line.
    fn text(&self, key: &'static str, text: Option<String>) -> Result<String, NotifyError> {
        let text = text.filter(|text| !text.is_empty()).ok_or_else(|| self.refuse(key, "it is missing"))?;
        if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(self.refuse(key, format!("one line of at most {TEXT_BYTES_MAX} bytes")));
        }
        Ok(text)
    }

    fn variable(&self, key: &'static str, text: Option<String>) -> Result<Variable, NotifyError> {
        let text = self.text(key, text)?;
        let name = text.strip_prefix("env:").unwrap_or_default();
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || !plain || name.as_bytes()[0].is_ascii_digit() {
            return Err(self.refuse(key, "a secret stands in no file; write `env:NAME`"));
        }
        Ok(Variable(name.to_owned()))
    }

    fn url(&self, text: Option<String>) -> Result<Url, NotifyError> {
        let text = self.text("url", text)?;
        address(&text).map_err(|reason| self.refuse("url", reason))
    }

    fn address(&self, text: Option<String>) -> Result<Address, NotifyError> {
        if text.as_deref().is_some_and(|text| text.starts_with("env:")) {
            return Ok(Address::From(self.variable("url", text)?));
        }
        Ok(Address::Written(self.url(text)?))
    }

    /// The base of an API: what comes after is appended.
    fn api(&self, text: Option<String>, default: &str) -> Result<Url, NotifyError> {
        self.url(Some(text.unwrap_or_else(|| default.to_owned())))
    }

    fn way(&self, table: NotifyTable) -> Result<Way, NotifyError> {
        let labels = table.labels.iter().map(|label| self.text("labels", Some(label.clone())));
        let labels: Vec<String> = labels.collect::<Result<_, _>>()?;
        Ok(match table.kind.as_str() {
            "webhook" => Way::Webhook {
                url: self.address(table.url)?,
                secret: table.secret.map(|secret| self.variable("secret", Some(secret))).transpose()?,
            },
            "slack" => Way::Slack { url: self.address(table.url)? },
            "github" => {
                let repository = self.text("repository", table.repository)?;
                let parts: Vec<&str> = repository.split('/').collect();
                let plain = |part: &&str| {
                    let fits = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
                    fits && !part.is_empty() && !part.starts_with('.')
                };
                if parts.len() != 2 || !parts.iter().all(plain) {
                    return Err(self.refuse("repository", "write `OWNER/NAME`"));
                }
                let api = self.api(table.url, "https://api.github.com")?;
                Way::Github { api, repository, token: self.variable("token", table.token)?, labels }
            }
            "gitlab" => Way::Gitlab {
                api: self.api(table.url, "https://gitlab.com/api/v4")?,
                project: self.text("project", table.project)?,
                token: self.variable("token", table.token)?,
                labels,
            },
            _ => self.email(table)?, // `only_its_keys` knows no other.
        })
    }

    fn email(&self, table: NotifyTable) -> Result<Way, NotifyError> {
        let server = self.text("server", table.server)?;
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse().map_err(|_| self.refuse("server", "write `HOST` or `HOST:PORT`"))?;
                (host.trim_matches(['[', ']']).to_owned(), Some(port))
            }
            _ => (server, None),
        };
        let tls = match table.tls.as_deref() {
            None | Some("starttls") => Tls::Starttls,
            Some("tls") => Tls::Whole,
            Some("none") if loopback(&host) => Tls::Loopback,
            Some("none") => return Err(self.refuse("tls", "`none` is for this machine's own address alone")),
            Some(_) => return Err(self.refuse("tls", "write `starttls`, `tls` or, on this machine, `none`")),
        };
        let port = port.unwrap_or(match tls {
            Tls::Starttls => 587,
            Tls::Whole => 465,
            Tls::Loopback => 25,
        });
        if table.to.is_empty() || table.to.len() > NAMES_MAX {
            return Err(self.refuse("to", format!("1 to {NAMES_MAX} addresses")));
        }
        let to = table.to.into_iter().map(|to| self.mailbox("to", Some(to))).collect::<Result<_, _>>()?;
        let login = match (table.user, table.password) {
            (None, None) => None,
            (Some(user), Some(password)) => {
                let password = self.variable("password", Some(password))?;
                let user = if user.starts_with("env:") {
                    Login::From(self.variable("user", Some(user))?)
                } else {
                    Login::Written(self.text("user", Some(user))?)
                };
                Some((user, password))
            }
            _ => return Err(self.refuse("user", "`user` and `password` come together")),
        };
        Ok(Way::Email { host, port, tls, from: self.mailbox("from", table.from)?, to, login })
    }

    fn mailbox(&self, key: &'static str, text: Option<String>) -> Result<String, NotifyError> {
        let text = self.text(key, text)?;
        let parts = text.split_once('@').filter(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !text.contains(char::is_whitespace)
        });
        if parts.is_none() || text.contains(['<', '>', ',', ';']) {
            return Err(self.refuse(key, format!("`{}` is no address; write `name@example.org`", shown(&text))));
        }
        Ok(text)
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

fn shown(text: &str) -> String {
    printable(&text.chars().take(100).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        notify: Vec<toml::Table>,
    }

    fn read(text: &str) -> Result<Vec<Receiver>, String> {
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        receivers(&file.notify).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_is_read() {
        let all = read(
            r#"
            [[notify]]
            name = "hook"
            kind = "webhook"
            url = "https://hooks.example.org/reprov"
            secret = "env:HOOK_SECRET"
            on = ["drift", "failed"]
            owners = ["base-team"]
            [[notify]]
            name = "chat"
            kind = "slack"
            url = "env:CHAT_URL"
            on = ["all"]
            [[notify]]
            name = "mail"
            kind = "email"
            server = "mail.example.org"
            from = "reprov@example.org"
            to = ["team@example.org"]
            user = "reprov"
            password = "env:MAIL_PASSWORD"
            [[notify]]
            name = "hub"
            kind = "github"
            url = "https://git.example.org/api/v3"
            repository = "team/images"
            token = "env:HUB_TOKEN"
            labels = ["drift"]
            [[notify]]
            name = "lab"
            kind = "gitlab"
            project = "team/images"
            token = "env:LAB_TOKEN"
            groups = ["base"]
            "#,
        )
        .unwrap();
        let names: Vec<_> = all.iter().flat_map(Receiver::variables).map(|variable| variable.0.as_str()).collect();
        assert_eq!(names, ["HOOK_SECRET", "CHAT_URL", "MAIL_PASSWORD", "HUB_TOKEN", "LAB_TOKEN"]);
        assert!(all[0].wants(Turn::Drift, Some("base-team"), None) && !all[0].wants(Turn::Drift, None, None));
        assert!(!all[0].wants(Turn::Cured, Some("base-team"), None) && all[1].wants(Turn::NewImage, None, None));
        assert!(all[4].wants(Turn::Cured, None, Some("base")) && !all[4].wants(Turn::NewImage, None, Some("base")));
        assert!(matches!(&all[2].way, Way::Email { port: 587, tls: Tls::Starttls, .. }));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let hook = "[[notify]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://h.example\"\n";
        let mail = "[[notify]]\nname = \"a\"\nkind = \"email\"\nserver = \"mail.example\"\nfrom = \"a@b.example\"\n";
        let refused = |text: &str, words: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        };
        refused(&format!("{hook}ur1 = \"x\"\n"), "[[notify]] 1: unknown key `ur1`; did you mean `url`?");
        refused(&format!("{hook}secret = \"s3cret\"\n"), "[[notify]] 1: `secret`: a secret stands in no file");
        refused(&format!("{hook}token = \"env:A\"\n"), "a webhook has none; it has url, secret");
        refused(&format!("{hook}on = [\"drifts\"]\n"), "did you mean `drift`?");
        refused(&format!("{hook}on = []\n"), "tells nobody");
        refused(&format!("{hook}owners = []\n"), "1 to 1000 names");
        refused(&format!("{hook}{hook}"), "[[notify]] 2: `name`: `a` is the name of another one");
        refused(&hook.replace("https", "http"), "write an https URL");
        refused(&hook.replace("https://", "https://u:p@"), "a login stands in no file");
        refused(&hook.replace("webhook", "webhok"), "did you mean `webhook`?");
        refused(&hook.replace("\"a\"", "\"a b\""), "`name`");
        refused(&format!("{mail}to = [\"x\"]\n"), "`x` is no address");
        refused(&format!("{mail}to = [\"a@b.example>\"]\n"), "is no address");
        refused(mail, "`to`: 1 to 1000 addresses");
        refused(&format!("{mail}to = [\"a@b.example\"]\ntls = \"none\"\n"), "this machine's own address");
        refused(&format!("{mail}to = [\"a@b.example\"]\nuser = \"u\"\n"), "come together");
        assert!(read(&hook.replace("https://h.example", "http://127.0.0.1:1/x")).is_ok());
        assert!(read(&hook.replace("https://h.example", "http://[::1]:1/x")).is_ok());
    }
}

//! Tables → [`Receiver`]s.

use std::collections::BTreeSet;

use serde::Deserialize;
use url::Url;

use super::{Address, Login, NotifyError, Receiver, Tls, Variable, Way, address, loopback};
use crate::model::{
    Turn,
    nearest::distance,
    syntax::{Syntax, shown},
};

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
        table.clone().try_into().map_err(|error: toml::de::Error| match Syntax::of("", &error) {
            Syntax::UnknownKey { key, nearest, .. } => {
                self.refuse("", format!("unknown key `{key}`; did you mean `{nearest}`?"))
            }
            Syntax::Other { message, .. } => self.refuse("", message),
        })
    }

    fn receiver(&self, table: NotifyTable) -> Result<Receiver, NotifyError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if table.name.is_empty() || table.name.len() > 100 || !table.name.chars().all(plain) {
            return Err(
                self.refuse("name", "give it a name of letters, digits, `-`, `_` and `.`, 100 at most")
            );
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
            let near =
                kinds.iter().min_by_key(|kind| distance(kind, &table.kind)).copied().unwrap_or_default();
            let found = shown(&table.kind);
            return Err(self.refuse(
                "kind",
                format!("`{found}` is none; did you mean `{near}`? There are {}", kinds.join(", ")),
            ));
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
                return Err(self
                    .refuse("on", format!("there is no change `{}`; did you mean `{near}`?", shown(name))));
            }
        }
        if turns.is_empty() {
            return Err(
                self.refuse("on", "an empty list tells nobody anything; leave it out, or write `all`")
            );
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
                    let fits =
                        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
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
            !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && !text.contains(char::is_whitespace)
        });
        if parts.is_none() || text.contains(['<', '>', ',', ';']) {
            return Err(
                self.refuse(key, format!("`{}` is no address; write `name@example.org`", shown(&text)))
            );
        }
        Ok(text)
    }
}

//! Where a ledger is: a file, or a database on a server.

use std::{fmt, path::PathBuf, str::FromStr};

use url::Url;

use crate::model::nearest::distance;

/// What a URL of PostgreSQL may set, beside host, port, user, password and database.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "application_name",
    "options",
];

/// A place that cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Another scheme than PostgreSQL's.
    #[error("a ledger is a file, or postgres://USER@HOST/DATABASE; `{0}:` is neither")]
    Scheme(String),
    /// No URL at all.
    #[error("the ledger's URL cannot be read")]
    Url(#[from] url::ParseError),
    /// A parameter that would be passed over.
    #[error("the ledger's URL has the unknown parameter `{name}`{}", nearest.map(|near| format!(" (near: `{near}`)")).unwrap_or_default())]
    Parameter {
        /// As it is written.
        name: String,
        /// The known one that is most like it.
        nearest: Option<&'static str>,
    },
    /// An empty path.
    #[error("the ledger's path is empty")]
    Empty,
}

/// Where a ledger is. Neither `Debug` nor `Display` shows a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of SQLite.
    File(PathBuf),
    /// A database of PostgreSQL.
    Postgres(Url),
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if text.is_empty() {
            return Err(PlaceError::Empty);
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Self::File(text.into()));
        };
        if !["postgres", "postgresql"].contains(&scheme) {
            return Err(PlaceError::Scheme(scheme.to_owned()));
        }
        let url: Url = text.parse()?;
        for (name, _) in url.query_pairs() {
            if !PARAMETERS.contains(&&*name) {
                let near = PARAMETERS.iter().copied().min_by_key(|known| distance(&name, known));
                let nearest = near.filter(|known| distance(&name, known) <= 2);
                return Err(PlaceError::Parameter { name: name.into_owned(), nearest });
            }
        }
        Ok(Self::Postgres(url))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "{}", path.display()),
            Self::Postgres(url) => {
                let mut shown = url.clone();
                if shown.password().is_some() {
                    let _ = shown.set_password(Some("***")); // A URL that had one may have another.
                }
                write!(out, "{shown}")
            }
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Place({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_or_a_database_and_shows_no_password() {
        let file: Place = "some/ledger.sqlite".parse().unwrap();
        assert_eq!(file, Place::File("some/ledger.sqlite".into()));
        let database: Place =
            "postgres://reprov:sesame@db.example.org/audit?sslmode=require".parse().unwrap();
        assert!(!format!("{database} {database:?}").contains("sesame"));
        assert!(database.to_string().starts_with("postgres://reprov:***@db.example.org/audit"));
    }

    #[test]
    fn what_is_no_place_is_said() {
        let error = |text: &str| text.parse::<Place>().unwrap_err().to_string();
        assert!(error("mysql://db.example.org/audit").contains("`mysql:`"));
        assert!(error("postgres://h/d?sslmod=require").contains("near: `sslmode`"));
        assert!(error("").contains("empty"));
    }
}

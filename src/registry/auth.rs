//! Credentials as docker and podman keep them (FORMATS.md §9). Reads files; knows no network.
#![expect(clippy::disallowed_methods, reason = "an edge: reads the user's credential files")]

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::RegistryError;
use crate::model::{json, limits};

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// `auth`: user and password.
    Password { user: String, password: String },
    /// `identitytoken`: a refresh token.
    Identity(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// What the files say about one repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The login, if a file holds one.
    pub login: Option<Login>,
    /// The credential program named instead.
    pub credential_program: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AuthFile {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    identitytoken: String,
}

/// Looks for `host/repository` in `files`, in order; within one file the most specific key wins. A file that does
/// not exist is passed over.
///
/// # Errors
/// [`RegistryError::AuthFile`] for a file that is there but cannot be read or understood.
pub(super) fn find(files: &[PathBuf], host: &str, repository: &str) -> Result<Found, RegistryError> {
    let mut credential_program = None;
    for path in files {
        let fail = |source| RegistryError::AuthFile { path: path.clone(), source };
        let Some(file) = read(path).map_err(fail)? else { continue };
        if let Some(login) = file.login(host, repository).map_err(|problem| fail(problem.into()))? {
            return Ok(Found { login: Some(login), credential_program: None });
        }
        credential_program = credential_program.or(file.credential_program(host));
    }
    Ok(Found { login: None, credential_program })
}

fn read(path: &Path) -> Result<Option<AuthFile>, super::error::Cause> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let bytes = limits::read_bounded(file, limits::AUTH_FILE_SIZE_BYTES_MAX, "file of credentials")?;
    Ok(Some(json::parse_as(&bytes)?))
}

impl AuthFile {
    fn login(&self, host: &str, repository: &str) -> Result<Option<Login>, &'static str> {
        let full = format!("{host}/{repository}");
        let specific = |(key, entry): (&String, &Entry)| {
            let key = normal(key);
            let covers = full == key || full.strip_prefix(&key).is_some_and(|rest| rest.starts_with('/'));
            (covers && !(entry.auth.is_empty() && entry.identitytoken.is_empty())).then_some(key.len())
        };
        let best = self
            .auths
            .iter()
            .filter_map(|pair| Some((specific(pair)?, pair.1)))
            .max_by_key(|(specific, _)| *specific);
        best.map(|(_, entry)| entry.login()).transpose()
    }

    fn credential_program(&self, host: &str) -> Option<String> {
        let helper = self.cred_helpers.iter().find(|(key, _)| normal(key) == host).map(|(_, name)| name);
        helper.or(self.creds_store.as_ref()).cloned()
    }
}

impl Entry {
    fn login(&self) -> Result<Login, &'static str> {
        if !self.identitytoken.is_empty() {
            return Ok(Login::Identity(self.identitytoken.clone()));
        }
        let bytes = STANDARD.decode(&self.auth).map_err(|_| "an `auth` is not base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "an `auth` is not UTF-8")?;
        let (user, password) = text.split_once(':').ok_or("an `auth` is not USER:PASSWORD")?;
        // Docker of old padded with NULs.
        Ok(Login::Password { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
    }
}

/// A key as `host[/path]`: docker writes some as URLs of the API.
fn normal(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    match bare.split_once('/') {
        None if bare == "index.docker.io" => "docker.io".to_owned(),
        _ => bare.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(text: &str, host: &str, repository: &str) -> Result<Found, RegistryError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        fs::write(&path, text).unwrap();
        find(&[dir.path().join("absent.json"), path], host, repository)
    }

    fn user(text: &str, host: &str, repository: &str) -> Option<String> {
        match found(text, host, repository).unwrap().login? {
            Login::Password { user, password } => Some(format!("{user}/{password}")),
            Login::Identity(token) => Some(token),
        }
    }

    #[test]
    fn the_most_specific_key_wins() {
        // a:1, b:2, c:3
        let text = r#"{"auths":{"h.example":{"auth":"YTox"},"h.example/team":{"auth":"Yjoy"},
            "h.example/team/app":{"auth":"Yzoz"},"h.example/te":{"auth":"eDp4"}}}"#;
        let check = |repository, expected: &str| {
            assert_eq!(user(text, "h.example", repository).as_deref(), Some(expected), "{repository}");
        };
        check("team/app", "c/3");
        check("team/other", "b/2");
        check("teams/app", "a/1");
        assert_eq!(user(text, "other.example", "x"), None);
        assert_eq!(user(text, "h.example:5000", "team/app"), None);
    }

    #[test]
    fn reads_docker_spellings() {
        let check = |key: &str, host: &str| {
            let text = format!(r#"{{"auths":{{"{key}":{{"auth":"YTox"}}}}}}"#);
            assert_eq!(user(&text, host, "r").as_deref(), Some("a/1"), "{key}");
        };
        check("https://index.docker.io/v1/", "docker.io");
        check("https://h.example/v2/", "h.example");
        check("http://h.example:5000", "h.example:5000");
        let text = r#"{"auths":{"h.example":{"auth":"YTox","identitytoken":"T"}}}"#;
        assert_eq!(user(text, "h.example", "r").as_deref(), Some("T"));
    }

    #[test]
    fn names_a_credential_program() {
        let text = r#"{"auths":{"h.example":{}},"credHelpers":{"i.example":"cloud"},"credsStore":"desktop"}"#;
        let check = |host, expected: &str| {
            let found = found(text, host, "r").unwrap();
            assert_eq!(found, Found { login: None, credential_program: Some(expected.into()) });
        };
        check("h.example", "desktop");
        check("i.example", "cloud");
    }

    #[test]
    fn a_broken_file_is_an_error_and_shows_no_secret() {
        for text in ["", "7", r#"{"auths":{"h":{"auth":"%%"}}}"#, r#"{"auths":{"h":{"auth":"YQ=="}}}"#] {
            assert!(matches!(found(text, "h", "r"), Err(RegistryError::AuthFile { .. })), "{text}");
        }
        let login = Login::Password { user: "u".into(), password: "hunter2".into() };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}

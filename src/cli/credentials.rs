//! Credentials of repositories and secrets of steps, from where the caller says they are: environment and files.

use std::{collections::BTreeMap, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::failure::Failure;
use crate::{
    job::{build::Wanted, execute::Secrets},
    model::{
        Secret,
        limits::{AUTH_FILE_SIZE_BYTES_MAX, SECRET_SIZE_BYTES_MAX, SECRETS_MAX, read_bounded},
    },
    recipe::Auth,
};

/// What `auth` of each repository stands for: values of an `Authorization` header, by the repository's name.
pub(super) fn resolve(wanted: &[Wanted]) -> Result<BTreeMap<String, Secret>, Failure> {
    let credential = |wanted: &Wanted| {
        let found = match &wanted.auth {
            Auth::Env(name) => from_environment(name),
            Auth::Netrc => from_netrc(&wanted.host),
        };
        let failed = |why| Failure::usage_text(format!("[[repository]] `{}`: {why}", wanted.repository));
        Ok((wanted.repository.clone(), found.map_err(failed)?))
    };
    wanted.iter().map(credential).collect()
}

fn from_environment(name: &str) -> Result<Secret, String> {
    let value = std::env::var(name).map_err(|_| format!("auth is `env:{name}`, and {name} is not set"))?;
    header(&value).ok_or_else(|| format!("{name} holds neither `user:password` nor `Bearer TOKEN`"))
}

fn from_netrc(host: &str) -> Result<Secret, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = set("NETRC").or_else(|| set("HOME").map(|home| home.join(".netrc")));
    let path = path.ok_or("auth is `netrc`, and neither HOME nor NETRC is set")?;
    let read = std::fs::File::open(&path)
        .and_then(|file| read_bounded(file, AUTH_FILE_SIZE_BYTES_MAX, "the file of credentials"));
    let bytes = read.map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8", path.display()))?;
    let none = || format!("`{}` has no login and password for {host}", path.display());
    let (login, password) = login(&text, host).ok_or_else(none)?;
    Ok(basic(&format!("{login}:{password}")))
}

/// `Bearer …` as it stands, `user:password` as Basic.
fn header(value: &str) -> Option<Secret> {
    let value = value.trim_end_matches(['\r', '\n']);
    if value.contains(char::is_control) {
        return None;
    }
    match value.strip_prefix("Bearer ") {
        Some(token) => (!token.trim().is_empty()).then(|| Secret::new(value)),
        None => value.contains(':').then(|| basic(value)),
    }
}

fn basic(pair: &str) -> Secret {
    Secret::new(format!("Basic {}", STANDARD.encode(pair)))
}

/// Login and password of `host` in a netrc(5), else of its `default`.
fn login(text: &str, host: &str) -> Option<(String, String)> {
    let mut words = Words(text);
    let (mut ours, mut login, mut password) = (false, None, None);
    while let Some(word) = words.keyword() {
        let start = matches!(word.as_str(), "machine" | "default");
        if start && login.is_some() && password.is_some() {
            break;
        }
        match word.as_str() {
            "machine" => (ours, login, password) = (words.next()?.eq_ignore_ascii_case(host), None, None),
            "default" => (ours, login, password) = (true, None, None),
            "login" => login = words.next().filter(|_| ours),
            "password" => password = words.next().filter(|_| ours),
            "macdef" => words.skip_macro(),
            "account" => drop(words.next()),
            _ => {}
        }
    }
    login.zip(password)
}

/// Words between white space, or in double quotes with `\` before what stands for itself.
struct Words<'a>(&'a str);

impl Words<'_> {
    /// The next word that is no comment.
    fn keyword(&mut self) -> Option<String> {
        while self.0.trim_start().starts_with('#') {
            self.0 = self.0.trim_start().split_once('\n').map_or("", |(_, rest)| rest);
        }
        self.next()
    }

    fn next(&mut self) -> Option<String> {
        let text = self.0.trim_start();
        let Some(quoted) = text.strip_prefix('"') else {
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            self.0 = &text[end..];
            return (end > 0).then(|| text[..end].to_owned());
        };
        let (mut word, mut escaped) = (String::new(), false);
        for (at, letter) in quoted.char_indices() {
            match letter {
                '"' if !escaped => {
                    self.0 = &quoted[at + 1..];
                    return Some(word);
                }
                '\\' if !escaped => escaped = true,
                _ => {
                    word.push(letter);
                    escaped = false;
                }
            }
        }
        None
    }

    /// A macro goes on to the next empty line.
    fn skip_macro(&mut self) {
        self.0 = self.0.split_once("\n\n").map_or("", |(_, rest)| rest);
    }
}

/// Reads every `--secret`.
pub(super) fn secrets(flags: &[String]) -> Result<Secrets, Failure> {
    if flags.len() > SECRETS_MAX {
        return Err(Failure::usage_text(format!("more than {SECRETS_MAX} --secret flags")));
    }
    let mut secrets = Secrets::new();
    for flag in flags {
        let (id, bytes) = secret(flag).map_err(Failure::usage_text)?;
        if secrets.insert(id.clone(), bytes).is_some() {
            return Err(Failure::usage_text(format!("two secrets are called `{id}`")));
        }
    }
    Ok(secrets)
}

/// `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`. The text is never repeated: somebody may have put the secret there.
fn secret(flag: &str) -> Result<(String, Secret), String> {
    let (mut id, mut file, mut variable) = (None, None, None);
    for field in flag.split(',') {
        match field.split_once('=') {
            Some(("id", name)) if id.is_none() => id = Some(name),
            Some(("src" | "source", path)) if file.is_none() => file = Some(path),
            Some(("env", name)) if variable.is_none() => variable = Some(name),
            _ => return Err("--secret is not id=NAME,src=FILE or id=NAME,env=VARIABLE".to_owned()),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or("--secret has no id=NAME")?;
    let bytes = match (file, variable) {
        (Some(path), None) => {
            let read = std::fs::File::open(path)
                .and_then(|file| read_bounded(file, SECRET_SIZE_BYTES_MAX, "the secret"));
            read.map_err(|error| format!("--secret id={id}: cannot read `{path}`: {error}"))?
        }
        (None, Some(name)) => {
            let value = std::env::var_os(name).ok_or(format!("--secret id={id}: {name} is not set"))?;
            value.into_encoded_bytes()
        }
        _ => return Err(format!("--secret id={id}: name one src=FILE or one env=VARIABLE")),
    };
    Ok((id.to_owned(), Secret::new(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_login(text: &str, host: &str, expected: Option<(&str, &str)>) {
        let found = login(text, host);
        assert_eq!(found.as_ref().map(|(login, password)| (login.as_str(), password.as_str())), expected);
    }

    #[test]
    fn finds_the_login_of_a_host() {
        let text = "# mine\nmachine a.example login u password #p\nmachine b.example\n  login v\n  account x\n  password \"p \\\" q\"\n\
                    macdef init\nmachine c.example login no password no\n\ndefault login d password e\n";
        check_login(text, "a.example", Some(("u", "#p")));
        check_login(text, "B.example", Some(("v", "p \" q")));
        check_login(text, "c.example", Some(("d", "e")));
        check_login("machine a.example login u password p", "b.example", None);
        check_login("machine a.example login u", "a.example", None);
        check_login("machine a.example login u\nmachine b.example password p", "a.example", None);
        check_login("machine a.example password \"open", "a.example", None);
        check_login("", "a.example", None);
    }

    #[test]
    fn makes_a_header_of_what_a_variable_holds() {
        let shown = |value| header(value).map(|secret| String::from_utf8(secret.expose().to_vec()).unwrap());
        assert_eq!(shown("u:p"), Some("Basic dTpw".to_owned()));
        assert_eq!(shown("u:p\n"), Some("Basic dTpw".to_owned()));
        assert_eq!(shown("Bearer x:y"), Some("Bearer x:y".to_owned()));
        for wrong in ["", "token", "Bearer ", "u:p\nX-Other: 1", "Bearer x\r\nX: 1"] {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn reads_a_secret_and_never_repeats_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x\0y").unwrap();
        let read = secret(&format!("id=a,src={}", file.path().display())).unwrap();
        assert_eq!(read, ("a".to_owned(), Secret::new("x\0y")));
        let wrong = |flag: &str, expected: &str| {
            let said = secret(flag).unwrap_err();
            assert!(said.contains(expected) && !said.contains("s3cret"), "{said}");
        };
        wrong("s3cret", "is not id=NAME,src=FILE");
        wrong("id=a,value=s3cret", "is not id=NAME,src=FILE");
        wrong("src=/etc/hostname", "no id=NAME");
        wrong("id=,src=/etc/hostname", "no id=NAME");
        wrong("id=a", "one src=FILE");
        wrong("id=a,src=x,env=Y", "one src=FILE");
        wrong("id=a,src=/nonexistent", "cannot read `/nonexistent`");
        wrong("id=a,env=REPROV_NO_SUCH_VARIABLE", "is not set");
    }
}

//! Credential programs, as docker and podman use them: `docker-credential-NAME get`, the registry on standard input, a
//! JSON object with user and secret on standard output.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{RegistryError, auth::Login};
use crate::{model::json, process};

/// Such a program may ask a person, or a service far away.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The user name that stands for an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// What `docker-credential-NAME`, found in one of `dirs`, has for `host`; none if it says that it has nothing.
///
/// # Errors
/// [`RegistryError::CredentialProgram`] if it is not there, fails, or answers what makes no sense.
pub(super) async fn ask(name: &str, dirs: &[PathBuf], host: &str) -> Result<Option<Login>, RegistryError> {
    let program = format!("docker-credential-{name}");
    let fail = |source: super::error::Cause| RegistryError::CredentialProgram {
        program: program.clone(),
        host: host.to_owned(),
        source,
    };
    if name.is_empty() || name.contains('/') {
        return Err(fail("its name is none that a program can have".into()));
    }
    let path = dirs.iter().map(|dir| dir.join(&program)).find(|path| path.is_file());
    let path = path.ok_or_else(|| fail("it is not installed (no directory of PATH has it)".into()))?;
    // Docker keeps its own registry's login under the name it had at first.
    let key = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
    let asked = process::ask(&path, "get", key.as_bytes(), TIMEOUT).await;
    let (well, said) = asked.map_err(|error| fail(error.into()))?;
    if !well {
        let text = String::from_utf8_lossy(&said).to_lowercase();
        return if text.contains("credentials not found") { Ok(None) } else { Err(fail("it failed".into())) };
    }
    let answer: Answer = json::parse_as(&said).map_err(|_| fail("it gave no user and secret".into()))?;
    Ok(Some(match answer.user.as_str() {
        TOKEN_USER => Login::Identity(answer.secret),
        _ => Login::Password { user: answer.user, password: answer.secret },
    }))
}

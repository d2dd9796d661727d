//! Logging in: what a registry asked for becomes an `Authorization` header (distribution-spec, token and basic).
//!
//! The crate `oci-distribution` can do this too, but reads the token service's answer without a bound; so this is
//! ours, and the crate is handed the result ([`super::push`]).

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Method, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::Value;
use url::{Origin, Url, form_urlencoded};

use super::{
    RegistryError,
    auth::{self, Login},
    challenge::Challenge,
    http::{Action, Ask, Body, Http},
    place::Place,
    program,
    retry::{Retry, Trouble},
};
use crate::model::{json, limits::TOKEN_SIZE_BYTES_MAX};

/// What one origin accepts as proof of who we are.
#[derive(Clone)]
pub(super) struct Credentials {
    /// The only origin that may see it.
    pub origin: Origin,
    /// Ready for the header.
    pub value: HeaderValue,
    /// The same, in parts.
    pub grant: Grant,
}

/// A token, or user and password.
#[derive(Clone)]
pub(super) enum Grant {
    Bearer(String),
    Basic { user: String, password: String },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

type Key = (String, String, Action);

/// What a registry wants to see before an action.
#[derive(Clone)]
enum Wanted {
    Nothing,
    This(Credentials),
}

/// Logins found and tokens given, by registry, repository and action.
pub(super) struct Access {
    files: Vec<PathBuf>,
    programs: Vec<PathBuf>,
    known: Mutex<BTreeMap<Key, Wanted>>,
}

impl Access {
    pub(super) fn new(files: Vec<PathBuf>, programs: Vec<PathBuf>) -> Self {
        Self { files, programs, known: Mutex::default() }
    }

    /// What was last accepted there.
    pub(super) fn known(&self, place: &Place, action: Action) -> Option<Credentials> {
        match self.wanted(place, action)? {
            Wanted::Nothing => None,
            Wanted::This(credentials) => Some(credentials),
        }
    }

    fn wanted(&self, place: &Place, action: Action) -> Option<Wanted> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key(place, action)).cloned()
    }

    fn remember(&self, place: &Place, action: Action, wanted: Wanted) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key(place, action), wanted);
    }

    /// What `place` wants before `action`, asking it if need be.
    pub(super) async fn grant(
        &self,
        http: &Http,
        place: &Place,
        action: Action,
    ) -> Result<Option<Credentials>, RegistryError> {
        if self.wanted(place, action).is_none() {
            let ask = Ask { action, ..Ask::get(place, place.root(), format!("login at {}", place.host)) };
            http.fetch(&ask, TOKEN_SIZE_BYTES_MAX).await?;
            if self.wanted(place, action).is_none() {
                self.remember(place, action, Wanted::Nothing); // It did not ask.
            }
        }
        Ok(self.known(place, action))
    }

    /// Answers `challenges` of `place`.
    pub(super) async fn log_in(
        &self,
        http: &Http,
        place: &Place,
        action: Action,
        challenges: &[Challenge],
    ) -> Result<Credentials, RegistryError> {
        let with = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let login = match self.login(place).await {
            Err(error) if !matches!(error, RegistryError::CredentialProgram { .. }) => return Err(error),
            login => login,
        };
        let grant = match (with("bearer"), with("basic"), login) {
            (Some(bearer), _, login) => {
                // Much can be read without a login; that the program gave none counts if it cannot.
                let (login, no_login) = login.map_or_else(|error| (None, Some(error)), |login| (login, None));
                let mut retry = Retry::new(&http.options.waits, super::retry::Patience::Read);
                loop {
                    match self.token(http, place, action, bearer, login.as_ref()).await {
                        Ok(token) => break Grant::Bearer(token),
                        Err(Trouble::Lasting(error @ RegistryError::Unauthorized { .. })) => {
                            return Err(no_login.unwrap_or(error));
                        }
                        Err(trouble) => retry.after(trouble).await?,
                    }
                }
            }
            (None, Some(_), Ok(Some(Login::Password { user, password }))) => Grant::Basic { user, password },
            (None, Some(_), Err(error)) => return Err(error),
            _ => return Err(self.unauthorized(place)?),
        };
        let credentials = Credentials::new(&place.root(), grant)
            .ok_or_else(|| RegistryError::answer(&place.host, "gave a token that no header can carry"))?;
        self.remember(place, action, Wanted::This(credentials.clone()));
        Ok(credentials)
    }

    /// The login in a file, else the one that a credential program has.
    async fn login(&self, place: &Place) -> Result<Option<Login>, RegistryError> {
        let found = auth::find(&self.files, &place.host, &place.repository)?;
        match (found.login, found.credential_program) {
            (None, Some(name)) => program::ask(&name, &self.programs, &place.host).await,
            (login, _) => Ok(login),
        }
    }

    /// Asks the token service that `bearer` names.
    async fn token(
        &self,
        http: &Http,
        place: &Place,
        action: Action,
        bearer: &Challenge,
        login: Option<&Login>,
    ) -> Result<String, Trouble> {
        let what = format!("token for {}/{}", place.host, place.repository);
        let mut realm = realm(place, bearer).map_err(|problem| RegistryError::answer(&what, problem))?;
        let mut fields = scope(place, action, bearer);
        let mut credentials = None;
        let body;
        let ask = if let Some(Login::Identity(token)) = login {
            let grant = [("grant_type", "refresh_token"), ("client_id", "reprov"), ("refresh_token", token)];
            fields.extend(grant.map(|(key, value)| (key, value.to_owned())));
            body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            Ask {
                method: Method::POST,
                body: Some(Body::Bytes(body.as_bytes())),
                ..Ask::get(place, realm, what)
            }
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        } else {
            if let Some(Login::Password { user, password }) = login.cloned() {
                credentials = Credentials::new(&realm, Grant::Basic { user, password });
            }
            realm.query_pairs_mut().extend_pairs(fields);
            Ask::get(place, realm, what)
        };
        let answer = http.follow(&ask, credentials.as_ref()).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.unauthorized(place)?.into()),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(answer.passing(&http.options.waits).await);
            }
            _ => return Err(answer.refused(&http.options.waits).await.into()),
        }
        let mut text = Vec::new();
        let keep = |bytes: &[u8]| {
            text.extend_from_slice(bytes);
            Ok(())
        };
        answer.pour(&http.options.waits, TOKEN_SIZE_BYTES_MAX, keep).await?;
        Ok(token_in(&text).ok_or_else(|| RegistryError::answer(&ask.what, "the answer holds no token"))?)
    }

    /// The error that says what to do about a login.
    pub(super) fn unauthorized(&self, place: &Place) -> Result<RegistryError, RegistryError> {
        let found = auth::find(&self.files, &place.host, &place.repository)?;
        let host = place.host.clone();
        let remedy = match found.credential_program {
            Some(name) => format!(
                "the credential program `docker-credential-{name}` has none: run `docker login {host}`, or pass --authfile FILE"
            ),
            None => format!("run `docker login {host}`, or pass --authfile FILE"),
        };
        Ok(RegistryError::Unauthorized { host, remedy })
    }
}

impl Credentials {
    fn new(url: &Url, grant: Grant) -> Option<Self> {
        let text = match &grant {
            Grant::Bearer(token) => format!("Bearer {token}"),
            Grant::Basic { user, password } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
            }
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(Self { origin: url.origin(), value, grant })
    }
}

fn key(place: &Place, action: Action) -> Key {
    (place.host.clone(), place.repository.clone(), action)
}

/// The token service's URL; it is as safe as the registry itself.
fn realm(place: &Place, bearer: &Challenge) -> Result<Url, &'static str> {
    let realm = bearer.parameters.get("realm").and_then(|realm| Url::parse(realm).ok());
    let realm = realm.ok_or("the challenge names no token service")?;
    match realm.scheme() {
        "https" => Ok(realm),
        "http" if place.is_plain() => Ok(realm),
        _ => Err("the token service is neither HTTPS nor as safe as the registry"),
    }
}

/// What the token is for.
fn scope(place: &Place, action: Action, bearer: &Challenge) -> Vec<(&'static str, String)> {
    let verbs = match action {
        Action::Pull => "pull",
        Action::Push => "pull,push",
    };
    let service = bearer.parameters.get("service").map(|service| ("service", service.clone()));
    let scope = ("scope", format!("repository:{}:{verbs}", place.repository));
    service.into_iter().chain([scope]).collect()
}

fn token_in(text: &[u8]) -> Option<String> {
    let value = json::parse(text).ok()?;
    let token = |key: &str| value.get(key).and_then(Value::as_str).filter(|token| !token.is_empty());
    token("token").or_else(|| token("access_token")).map(ToOwned::to_owned)
}

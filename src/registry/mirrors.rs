//! Reading from the first place that has it (`registries.conf`).

use super::{
    Registries, RegistryError,
    conf::{Source, Sources},
    place::Place,
};
use crate::model::{ImageName, Location};

impl Registries {
    /// What the short name `text` may stand for (`registries.conf`); full names.
    #[must_use]
    pub fn full_names(&self, text: &str) -> Vec<String> {
        self.http.options.conf.full_names(text)
    }

    pub(super) fn sources(
        &self,
        name: &ImageName,
        host: &str,
        repository: &str,
        by_digest: bool,
    ) -> Result<Sources, RegistryError> {
        let found = self.http.options.conf.sources(host, repository, by_digest)?;
        found.ok_or_else(|| RegistryError::Blocked { what: name.repository() })
    }

    pub(super) fn place(&self, source: &Source) -> Result<Place, RegistryError> {
        let plain_http = &self.http.options.plain_http;
        let plain = source.plain || plain_http.iter().any(|plain| plain.eq_ignore_ascii_case(&source.host));
        Place::new(&source.host, &source.repository, plain)
    }

    /// What `read` gets from the first mirror of `name` that has it, else from `place`.
    pub(super) async fn first<T, Reading: Future<Output = Result<T, RegistryError>>>(
        &self,
        name: &ImageName,
        by_digest: bool,
        place: Place,
        read: impl Fn(Place) -> Reading,
    ) -> Result<T, RegistryError> {
        match self.mirrors(name, by_digest, &read).await? {
            (Some(found), _) => Ok(found),
            (None, failed) => read(place).await.map_err(|error| match error {
                error if failed.is_empty() || error.is_not_found() => error,
                error => RegistryError::Mirrors { mirrors: failed.join("; "), source: Box::new(error) },
            }),
        }
    }

    /// What `read` gets from the first mirror of `name` that has it, and why those before have not.
    pub(super) async fn mirrors<T, Reading: Future<Output = Result<T, RegistryError>>>(
        &self,
        name: &ImageName,
        by_digest: bool,
        read: impl Fn(Place) -> Reading,
    ) -> Result<(Option<T>, Vec<String>), RegistryError> {
        let mut failed = Vec::new();
        let Location::Registry { host, repository } = &name.location else { return Ok((None, failed)) };
        for source in self.sources(name, host, repository, by_digest)?.mirrors {
            match read(self.place(&source)?).await {
                Ok(found) => return Ok((Some(found), failed)),
                Err(RegistryError::Store(error)) => return Err(error.into()),
                Err(error) => failed.push(format!("{}/{}: {error}", source.host, source.repository)),
            }
        }
        Ok((None, failed))
    }
}

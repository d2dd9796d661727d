//! Small things that are read into memory, or only looked at: attestations, and whether what they name is there.

use reqwest::StatusCode;

use super::{
    Registries, RegistryError, Site, blocking,
    http::{Ask, Http},
    place::Place,
    pull,
    retry::{Patience, Retry, Trouble},
};
use crate::model::{Descriptor, Digest, Hasher, ImageName};

impl Registries {
    /// The bytes of the blob `wanted` of `name`'s place, which have exactly its digest and size. They go through no
    /// store: the caller bounds how many are held.
    ///
    /// # Errors
    /// Those of [`Registries::fetch_evidence`].
    pub async fn read_blob(&self, name: &ImageName, wanted: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        match self.site(name)? {
            Site::Registry(place) => {
                let read = |place| async move { blob(&self.http, &place, wanted).await };
                self.first(name, true, place, read).await
            }
            Site::Layout(layout) => {
                let wanted = wanted.clone();
                blocking(&layout.dir.clone(), move || layout.read(&wanted)).await
            }
        }
    }

    /// The bytes of the blob `digest`, at most `size_bytes_max`, of whatever size.
    ///
    /// # Errors
    /// Those of [`Registries::check_blob`].
    pub async fn read_named(
        &self,
        name: &ImageName,
        digest: &Digest,
        size_bytes_max: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        match self.site(name)? {
            Site::Registry(place) => {
                let read = |place| async move { named(&self.http, &place, digest, size_bytes_max).await };
                self.first(name, true, place, read).await
            }
            Site::Layout(layout) => {
                let digest = *digest;
                blocking(&layout.dir.clone(), move || layout.read_named(&digest, size_bytes_max)).await
            }
        }
    }

    /// Reads the blob `digest` to its end, at most `size_bytes_max`, keeps nothing of it, and holds it against its
    /// digest; its size.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::Mismatch`] if its bytes are others; [`RegistryError::TooLarge`];
    /// those of network and disk.
    pub async fn check_blob(
        &self,
        name: &ImageName,
        digest: &Digest,
        size_bytes_max: u64,
    ) -> Result<u64, RegistryError> {
        match self.site(name)? {
            Site::Registry(place) => {
                let read = |place| async move { checked(&self.http, &place, digest, size_bytes_max).await };
                self.first(name, true, place, read).await
            }
            Site::Layout(layout) => {
                let digest = *digest;
                blocking(&layout.dir.clone(), move || layout.check(&digest, size_bytes_max)).await
            }
        }
    }
}

async fn blob(http: &Http, place: &Place, wanted: &Descriptor) -> Result<Vec<u8>, RegistryError> {
    let bytes = named(http, place, &wanted.digest, wanted.size).await?;
    if bytes.len() as u64 != wanted.size {
        let problem = format!("{} bytes instead of {}", bytes.len(), wanted.size);
        return Err(RegistryError::answer(&format!("blob {}", wanted.digest), problem));
    }
    Ok(bytes)
}

async fn named(
    http: &Http,
    place: &Place,
    digest: &Digest,
    size_bytes_max: u64,
) -> Result<Vec<u8>, RegistryError> {
    let what = format!("blob {}", place.name(&digest.to_string()));
    let ask = Ask::get(place, place.url(&format!("blobs/{digest}")), what.clone());
    let whole = http.fetch(&ask, size_bytes_max).await?.success(&what)?;
    pull::matches(&what, &digest.to_string(), Digest::of(&whole.body))?;
    Ok(whole.body)
}

async fn checked(
    http: &Http,
    place: &Place,
    digest: &Digest,
    size_bytes_max: u64,
) -> Result<u64, RegistryError> {
    let what = format!("blob {}", place.name(&digest.to_string()));
    let ask = Ask::get(place, place.url(&format!("blobs/{digest}")), what.clone());
    let mut retry = Retry::new(&http.options.waits, Patience::Read);
    loop {
        let mut hasher = Hasher::default();
        match hashed(http, &ask, size_bytes_max, &mut hasher).await {
            Ok(()) => {
                let size_bytes = hasher.size_bytes();
                pull::matches(&what, &digest.to_string(), hasher.finish())?;
                return Ok(size_bytes);
            }
            Err(trouble) => retry.after(trouble).await?,
        }
    }
}

/// One try.
async fn hashed(http: &Http, ask: &Ask<'_>, size_bytes_max: u64, hasher: &mut Hasher) -> Result<(), Trouble> {
    let answer = http.send(ask).await?;
    if answer.status() != StatusCode::OK {
        return Err(answer.refused(&http.options.waits).await.into());
    }
    let keep = |bytes: &[u8]| {
        hasher.update(bytes);
        Ok(())
    };
    answer.pour(&http.options.waits, size_bytes_max, keep).await
}

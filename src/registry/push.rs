//! Writing blobs and manifests to a registry. Mounts are done by the crate `oci-distribution`.
//!
//! The crate reads error texts without a bound and waits for ever, so it is used only here, towards a registry that is
//! handed our bytes anyway: within a time, and with credentials that we got, so that it never logs in by itself.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use oci_distribution::{
    Client, Reference, RegistryOperation,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    secrets::RegistryAuth,
    token_cache::{RegistryToken, RegistryTokenType},
};
use reqwest::header::{CONTENT_TYPE, HeaderName, IF_MATCH};

use super::{
    Pushed, Registries, RegistryError, Site,
    access::{Credentials, Grant},
    http::{Action, Ask, Http, USER_AGENT, Whole, unreachable},
    place::Place,
    pull,
    retry::{Patience, Retry, Trouble},
};
use crate::{
    model::{
        Descriptor, Digest, ImageName, Secret, limits::ERROR_TEXT_SIZE_BYTES_MAX,
        limits::MANIFEST_SIZE_BYTES_MAX,
    },
    store::{Store, StoreError},
};

impl Registries {
    /// Sends the small blob `wanted` from `store` to `name`'s place without asking first whether it is there: two
    /// requests instead of three for what is most likely new.
    ///
    /// # Errors
    /// Those of [`Registries::push_blob`].
    pub async fn push_fresh(
        &self,
        name: &ImageName,
        wanted: &Descriptor,
        store: &Store,
    ) -> Result<(), RegistryError> {
        match self.site(name)? {
            Site::Registry(place) => upload(&self.http, &place, wanted, store).await,
            Site::Layout(_) => self.push_blob(name, wanted, store, None).await.map(drop),
        }
    }
}

/// The crate's clients, one a registry.
#[derive(Default)]
pub(super) struct Uploads {
    clients: Mutex<BTreeMap<String, Client>>,
}

/// Sends the blob `wanted` from `store` unless the registry has it or can mount it from one of `mount_from`.
pub(super) async fn blob(
    http: &Http,
    uploads: &Uploads,
    place: &Place,
    wanted: &Descriptor,
    store: &Store,
    mount_from: &[Place],
) -> Result<Pushed, RegistryError> {
    if let Some(pushed) = existing(http, uploads, place, wanted, mount_from).await? {
        return Ok(pushed);
    }
    upload(http, place, wanted, store).await.map(|()| Pushed::Sent)
}

/// How the registry came to have the blob, if nothing has to be sent.
pub(super) async fn existing(
    http: &Http,
    uploads: &Uploads,
    place: &Place,
    wanted: &Descriptor,
    mount_from: &[Place],
) -> Result<Option<Pushed>, RegistryError> {
    if pull::has_blob(http, place, &wanted.digest).await? {
        return Ok(Some(Pushed::Existing));
    }
    let mut tried = Vec::new();
    for from in mount_from.iter().filter(|from| from.host == place.host) {
        if tried.contains(&&from.repository) || from.repository == place.repository {
            continue;
        }
        if mount(http, uploads, place, from, &wanted.digest).await? {
            return Ok(Some(Pushed::Mounted));
        }
        tried.push(&from.repository);
    }
    Ok(None)
}

/// Sends the blob from `store`, without asking whether the registry has it.
pub(super) async fn upload(
    http: &Http,
    place: &Place,
    wanted: &Descriptor,
    store: &Store,
) -> Result<(), RegistryError> {
    let (ours, digest, size) = (store.clone(), wanted.digest, wanted.size);
    super::blocking(store.root(), move || whole(&ours, &digest, size)).await?;
    let mut retry = Retry::new(&http.options.waits, Patience::Transfer);
    loop {
        let error = match super::upload::send(http, place, wanted, &store.path(&wanted.digest)).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // Somebody may have sent the same blob at the same time, and the registry have stumbled over it.
        if pull::has_blob(http, place, &wanted.digest).await? {
            return Ok(());
        }
        retry.after(stumbled(error)).await?;
    }
}

/// Writes a manifest at `reference`, a tag or its digest; the registry's answer.
pub(super) async fn manifest(
    http: &Http,
    place: &Place,
    reference: &str,
    media_type: &str,
    bytes: &[u8],
    if_match: Option<&str>,
) -> Result<Whole, RegistryError> {
    let what = format!("manifest {}", place.name(reference));
    if bytes.len() as u64 > MANIFEST_SIZE_BYTES_MAX {
        return Err(RegistryError::TooLarge { what, most: MANIFEST_SIZE_BYTES_MAX, unit: "bytes" });
    }
    let url = place.url(&format!("manifests/{reference}"));
    let mut ask = Ask::put(place, url, bytes, what.clone()).header(CONTENT_TYPE, media_type);
    if let Some(etag) = if_match {
        ask = ask.header(IF_MATCH, etag);
    }
    let mut retry = Retry::new(&http.options.waits, Patience::Transfer);
    let whole = loop {
        match http.fetch(&ask, ERROR_TEXT_SIZE_BYTES_MAX).await?.success(&what) {
            Ok(whole) => break whole,
            // Somebody sends one of the blobs too: docker-registry then sees a link that is not written yet.
            Err(error) if error.says("MANIFEST_BLOB_UNKNOWN") => {
                retry.after(Trouble::Passing { error, wait: None }).await?;
            }
            Err(error) => return Err(error),
        }
    };
    if let Some(promised) = pull::promised(&whole) {
        pull::matches(&what, promised, Digest::of(bytes))?;
    }
    Ok(whole)
}

/// Whether the answer to a manifest's PUT says that its subject lists it (distribution-spec, "Pushing Manifests with
/// Subject").
pub(super) fn lists_subject(whole: &Whole) -> bool {
    whole.headers.contains_key(HeaderName::from_static("oci-subject"))
}

/// The store's blob, unaltered.
fn whole(store: &Store, digest: &Digest, size_bytes: u64) -> Result<(), RegistryError> {
    store.check(digest)?;
    match store.size(digest) {
        Some(size) if size != size_bytes => {
            Err(StoreError::Size { digest: *digest, expected_bytes: size_bytes, actual_bytes: size }.into())
        }
        _ => Ok(()),
    }
}

/// A registry that two senders confused takes the blob the next time.
fn stumbled(error: Trouble) -> Trouble {
    match error {
        Trouble::Lasting(error)
            if ["DIGEST_INVALID", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN"]
                .iter()
                .any(|code| error.says(code)) =>
        {
            Trouble::Passing { error, wait: None }
        }
        other => other,
    }
}

/// Whether the registry took the blob over from its repository `from`; any refusal means "send it".
async fn mount(
    http: &Http,
    uploads: &Uploads,
    place: &Place,
    from: &Place,
    digest: &Digest,
) -> Result<bool, RegistryError> {
    let client = uploads.client(http, place).await?;
    let (image, source) = (image(place, digest), image(from, digest));
    let patience = http.options.waits.idle(Patience::Transfer);
    let digest = digest.to_string();
    let mounting = client.mount_blob(&image, &source, &digest);
    Ok(matches!(tokio::time::timeout(patience, mounting).await, Ok(Ok(())))) // Silence is a refusal too.
}

fn image(place: &Place, digest: &Digest) -> Reference {
    Reference::with_digest(place.endpoint().to_owned(), place.repository.clone(), digest.to_string())
}

impl Uploads {
    /// The client for `place`, holding what the registry wants to see.
    async fn client(&self, http: &Http, place: &Place) -> Result<Client, RegistryError> {
        let granted = http.access.grant(http, place, Action::Push).await?;
        let client = self.get(http, place)?;
        if let Some(credentials) = granted {
            show(&client, place, &credentials).await;
        }
        Ok(client)
    }

    fn get(&self, http: &Http, place: &Place) -> Result<Client, RegistryError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&place.host) {
            return Ok(client.clone());
        }
        let made = Client::try_from(config(http, place)?);
        let client = made.map_err(|error| match error {
            OciDistributionError::RequestError(error) => unreachable(place.host.clone(), error),
            other => RegistryError::answer(&place.host, other.to_string()),
        })?;
        clients.insert(place.host.clone(), client.clone());
        Ok(client)
    }
}

/// Puts the credentials where the crate looks first; as a stored login too, so that it never asks by itself.
async fn show(client: &Client, place: &Place, credentials: &Credentials) {
    let (token, login) = match &credentials.grant {
        Grant::Bearer(token) => {
            let granted = RegistryTokenType::Bearer(RegistryToken::Token { token: token.clone() });
            (granted, RegistryAuth::Bearer(token.clone()))
        }
        Grant::Basic { user, password } => (
            RegistryTokenType::Basic(user.clone(), password.clone()),
            RegistryAuth::Basic(user.clone(), password.clone()),
        ),
    };
    let image = image(place, &Digest::of(b""));
    client.store_auth_if_needed(place.endpoint(), &login).await;
    client.tokens.insert(&image, RegistryOperation::Push, token).await;
}

fn config(http: &Http, place: &Place) -> Result<ClientConfig, RegistryError> {
    let pem = |data: Vec<u8>| Certificate { encoding: CertificateEncoding::Pem, data };
    let mut config = ClientConfig {
        use_monolithic_push: true,
        connect_timeout: Some(http.options.waits.transfer_connect),
        user_agent: USER_AGENT,
        ..ClientConfig::default()
    };
    if place.is_plain() {
        config.protocol = ClientProtocol::Http;
        // The crate cannot be told to trust nobody, and fails where the system has no certificates. This one's key is
        // thrown away, so it trusts nobody.
        let nobody = rcgen::generate_simple_self_signed(vec!["nobody.invalid".to_owned()])
            .map_err(|error| RegistryError::answer(&place.host, error.to_string()))?;
        config.tls_certs_only = vec![pem(nobody.cert.pem().into_bytes())];
    }
    let named = http.options.ca.iter().filter(|(host, _)| host.eq_ignore_ascii_case(&place.host));
    let roots = http.options.network.roots.iter().map(|root| pem(root.clone().into_bytes()));
    config.extra_root_certificates = roots.chain(named.map(|(_, bytes)| pem(bytes.clone()))).collect();
    let proxies = &http.options.network.proxies;
    let url = |proxy: &Option<Secret>| proxy.as_ref().map(|url| url.text().into_owned());
    (config.http_proxy, config.https_proxy) = (url(&proxies.http), url(&proxies.https));
    config.no_proxy = Some(proxies.direct());
    if config.http_proxy.is_none() && config.https_proxy.is_none() {
        // The crate has no word for "none of the environment's"; one that is asked for nothing keeps them away.
        let nothing = if place.is_plain() { &mut config.https_proxy } else { &mut config.http_proxy };
        *nothing = Some("http://127.0.0.1:9".to_owned());
    }
    Ok(config)
}

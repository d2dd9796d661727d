//! The programs a build is done with: the host's, or those of a buildroot image, fetched, judged and unpacked.

use serde_json::Value;

use super::{
    Ports,
    bases::{self, Base, BaseError},
    evidence::{EvidenceError, Trust},
    standing::Standing,
};
use crate::{
    attest::{self, BuildDefinition, BuildrootMode},
    buildroot::{BuildrootError, RootImage, Tools},
    host,
    model::{Digest, ResourceDescriptor, reference},
    progress::Update,
    recipe::Buildroot,
};

/// Why there is nothing to build with.
#[derive(Debug, thiserror::Error)]
pub enum BuilderError {
    /// It cannot be fetched.
    #[error("cannot use buildroot `{name}`")]
    Fetch {
        /// Which.
        name: String,
        /// Why not.
        source: BaseError,
    },
    /// Nobody who is trusted says how it was made.
    #[error("buildroot `{name}` is not believed: {why}")]
    Untrusted {
        /// Which.
        name: String,
        /// One reason a candidate, or that there is none.
        why: String,
    },
    /// Only the source asks for it.
    #[error(
        "the recipe asks to build in `{name}`; say whose buildroots to believe: --trust KEY.pub, or --buildroot `{name}` to use it as it is"
    )]
    Unasked {
        /// Which.
        name: String,
    },
    /// Its programs are for other machines.
    #[error("buildroot `{name}` is for {platform}, this machine is {machine}")]
    Platform {
        /// Which.
        name: String,
        /// Whose programs it holds.
        platform: String,
        /// What runs here.
        machine: String,
    },
    /// Its attestations cannot be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// Engine or runtime.
    #[error(transparent)]
    Buildroot(#[from] BuildrootError),
}

/// Programs to build with, and where they come from.
#[derive(Debug, Clone)]
pub struct Builder {
    /// Engine and runtime.
    pub tools: Tools,
    /// Digest of the buildroot image; none: the host's programs.
    pub image: Option<Digest>,
    /// The dependency on that image.
    pub dependency: Option<ResourceDescriptor>,
}

impl Builder {
    /// The host's own programs.
    ///
    /// # Errors
    /// [`BuilderError::Buildroot`] if one is missing or too old.
    pub async fn host() -> Result<Self, BuilderError> {
        Ok(Self { tools: Tools::find().await?, image: None, dependency: None })
    }

    /// What `buildroot` names. With `trust` an image must have provenance by one of these keys; without, what stands
    /// beside it is only noted.
    ///
    /// # Errors
    /// [`BuilderError`].
    pub async fn of(
        ports: &Ports,
        buildroot: &Buildroot,
        trust: Option<&Trust>,
    ) -> Result<Self, BuilderError> {
        let Buildroot::Image(name) = buildroot else { return Self::host().await };
        ports.progress.update(Update::Phase("buildroot", &name.to_string()));
        let fetched = bases::fetch(ports, name, &host::platform()).await;
        let base = fetched.map_err(|source| BuilderError::Fetch { name: name.to_string(), source })?;
        let standing = Standing::of(ports, &base.name, base.manifest.digest, trust).await?;
        if trust.is_some() && standing != Standing::Verified {
            let (name, why) = (base.name.to_string(), standing.why().to_owned());
            return Err(BuilderError::Untrusted { name, why });
        }
        Self::of_image(ports, &base, Some(standing.word())).await
    }

    /// The programs of an image that is in the store; `standing` is what is known of its own provenance.
    ///
    /// # Errors
    /// [`BuilderError::Platform`], [`BuilderError::Buildroot`].
    pub async fn of_image(
        ports: &Ports,
        base: &Base,
        standing: Option<&'static str>,
    ) -> Result<Self, BuilderError> {
        let name = base.name.to_string();
        let digest = base.manifest.digest;
        let image = RootImage { name: &name, manifest: digest, layers: base.image.manifest.layers() };
        let root = ports.store.root();
        let (platform, machine) = (base.image.config.platform(), host::platform());
        if platform.split('/').take(2).ne(machine.split('/')) {
            return Err(BuilderError::Platform { name, platform, machine });
        }
        if !Tools::is_unpacked(root, &image)? {
            let checked = bases::check_layers(&ports.store, base).await;
            checked.map_err(|source| BuilderError::Fetch { name: name.clone(), source })?;
        }
        let tools = Tools::of_image(root, &root.join("blobs/sha256"), &image, &ports.cancel).await?;
        let mut dependency = attest::definition::buildroot(&reference::uri(&base.name), &digest);
        if let Some(standing) = standing {
            dependency.annotations.insert("provenance".to_owned(), Value::from(standing));
        }
        Ok(Self { tools, image: Some(digest), dependency: Some(dependency) })
    }
}

/// Digest of the image that `definition` was built in; none: with the host's programs.
#[must_use]
pub fn image_of(definition: &BuildDefinition) -> Option<Digest> {
    let named = definition.role("buildroot").find_map(ResourceDescriptor::sha256);
    named.filter(|_| definition.internal.mode == BuildrootMode::Image)
}

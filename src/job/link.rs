//! `attest --link`: runs a command of the caller's own as one step of a supply chain, and signs what went in and what came
//! out, as in-toto's `in-toto-run` does.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::{
    Ports,
    layout::{LayoutError, recorded_at},
};
use crate::{
    attest::{Form, Functionary, Link, Metadata, MetadataError},
    model::{Digest, ImageName},
    process::{self, ProcessError},
    registry::RegistryError,
    signing::{SignError, Signer},
};

/// What is done, and what is looked at before and after.
#[derive(Debug)]
pub struct Request {
    /// The step's name.
    pub step: String,
    /// The command; none: files are looked at, and nothing is run.
    pub command: Vec<String>,
    /// Files and directories that go in.
    pub materials: Vec<PathBuf>,
    /// Files and directories that come out.
    pub products: Vec<PathBuf>,
    /// An image that is a product: looked up when the command has ended.
    pub image: Option<ImageName>,
    /// How it is signed.
    pub form: Form,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What was seen.
    pub link: Link,
    /// Its file's usual name, `STEP.KEYID8.link`.
    pub file_name: String,
    /// Its file.
    pub bytes: Vec<u8>,
    /// The id of the key that signed.
    pub key_id: String,
    /// How the command ended: 0 if it did well, or if there was none.
    pub return_value: i32,
    /// The image that is a product, by digest.
    pub image: Option<(ImageName, Digest)>,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A name that is no part of a file's.
    #[error("`{0}` cannot be a step's name: the link is a file named after it")]
    Step(String),
    /// A file that goes in or comes out.
    #[error(transparent)]
    Files(#[from] LayoutError),
    /// The command.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The image that is a product.
    #[error("cannot look up the product `{image}`")]
    Image {
        /// Which.
        image: String,
        /// Why not.
        source: RegistryError,
    },
    /// It cannot be written so.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Nobody would believe it.
    #[error("in-toto has no scheme for signatures of this key; sign links with Ed25519, P-256 or P-384")]
    Scheme,
}

/// Looks at the materials, runs the command with the caller's environment and terminal, looks at the products, signs.
///
/// # Errors
/// [`LinkError`]. A command that fails is an [`Outcome`], as for the reference.
pub async fn link(ports: &Ports, request: &Request, key: &Signer) -> Result<Outcome, LinkError> {
    let step = &request.step;
    if step.is_empty() || step.starts_with('.') || step.contains(['/', '\\', '*', '?', '[', '\0']) {
        return Err(LinkError::Step(step.clone()));
    }
    let materials = recorded_at(&request.materials).await?;
    let runs = !request.command.is_empty();
    let return_value = if runs { process::attended(&request.command).await? } else { 0 };
    let mut products = recorded_at(&request.products).await?;
    let mut image = None;
    if let Some(name) = &request.image {
        let found = ports.registries.manifest(name).await;
        let (found, _) = found.map_err(|source| LinkError::Image { image: name.to_string(), source })?;
        let digest = [("sha256".to_owned(), found.digest.hex())].into();
        products.insert(name.repository(), digest);
        image = Some((name.at(found.digest), found.digest));
    }
    let mut byproducts = Map::new();
    for (name, value) in
        [("return-value", Value::from(return_value)), ("stderr", "".into()), ("stdout", "".into())]
    {
        byproducts.insert(name.to_owned(), value);
    }
    let (name, command) = (step.clone(), request.command.clone());
    let link = Link { name, command, materials, products, byproducts, environment: Map::new() };
    let functionary = Functionary::of(key.public());
    let signature = key.sign(&link.signed_bytes(request.form)?).await?;
    let bytes = link.file(request.form, functionary.id(), &signature);
    if !Metadata::parse(&bytes)?.signed_by(&functionary) {
        return Err(LinkError::Scheme);
    }
    let (file_name, key_id) = (Link::file_name(step, functionary.id()), functionary.id().to_owned());
    Ok(Outcome { link, file_name, bytes, key_id, return_value, image })
}

impl LinkError {
    /// Whether the caller has to ask otherwise.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Step(_) | Self::Scheme)
    }
}

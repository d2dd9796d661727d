//! `ledger rebuild`: from the signed attestations beside images to the entries they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Ports,
    verify::{Request, Room, VerifyError, counter, gather, now_s},
};
use crate::{
    entry::{Entry, Kind},
    model::{Digest, ImageName, limits::REMEMBERED_MAX},
    oci::{self, Index},
    policy::Policy,
    registry::RegistryError,
    signing::keyless::TrustedRoot,
    verify::{Roots, order, remembered_all},
};

/// Whom to believe.
#[derive(Debug, Clone)]
pub struct By {
    /// Signers.
    pub roots: Arc<Roots>,
    /// Whose certificates, where identities are trusted.
    pub trusted_root: Option<Arc<TrustedRoot>>,
}

/// What the attestations say.
#[derive(Debug, Clone, Default)]
pub struct Remembered {
    /// Entries, by time; of each attestation one.
    pub entries: Vec<Entry>,
    /// Images that were looked at, by digest.
    pub images: Vec<ImageName>,
}

/// Why the history cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum RememberError {
    /// An image, or the list of what refers to it.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// An attestation that is there and was not read: it might be part of the history.
    #[error("cannot read attestation {} of `{image}`: {why}", at.map(|at| at.to_string()).unwrap_or_default())]
    Unread {
        /// Of which image.
        image: String,
        /// Which.
        at: Option<Digest>,
        /// Why not.
        why: String,
    },
    /// The images of an index.
    #[error("cannot look into the index `{image}`")]
    Index {
        /// Which.
        image: String,
        /// Why not.
        source: RegistryError,
    },
    /// An index that is none.
    #[error("cannot read the index `{image}`")]
    Oci {
        /// Which.
        image: String,
        /// Why not.
        source: oci::OciError,
    },
    /// More than anybody has.
    #[error("more than {REMEMBERED_MAX} attestations; make several ledgers")]
    TooMany,
}

/// Reads what stands beside `images`, beside the images of those that are indexes, and beside what their tags named before
/// they were promoted.
///
/// # Errors
/// [`RememberError`]: a history with holes would not be one.
pub async fn remember(ports: &Ports, by: &By, images: &[ImageName]) -> Result<Remembered, RememberError> {
    let request = Request {
        roots: Arc::clone(&by.roots),
        trusted_root: by.trusted_root.clone(),
        policy: Arc::new(Policy::none()),
        now_s: now_s(),
        platform: None,
        room: Room::default(),
        visited: counter(),
    };
    let mut entries: BTreeMap<Digest, Entry> = BTreeMap::new();
    let mut remembered = Remembered::default();
    let mut seen = BTreeSet::new();
    let mut open: Vec<(ImageName, bool)> = images.iter().rev().map(|image| (image.clone(), true)).collect();
    while let Some((image, asked)) = open.pop() {
        let evidence = match gather(ports, &request, &image).await {
            // What a tag named long ago may be gone; what was asked for must be there.
            Err(error) if !asked && error.is_not_found() => continue,
            evidence => evidence?,
        };
        let digest = evidence.judged.digest();
        let by_digest = image.at(digest);
        if !seen.insert((image.repository(), digest)) {
            continue;
        }
        if let Some(unread) = evidence.unread.first() {
            return Err(RememberError::Unread {
                image: image.to_string(),
                at: unread.at,
                why: unread.why.clone(),
            });
        }
        let found = remembered_all(&evidence, &image.repository());
        open.extend(before(&found, &image).map(|image| (image, false)));
        for entry in found {
            if let Some(at) = entry.evidence {
                entries.entry(at).or_insert(entry);
            }
        }
        if entries.len() > REMEMBERED_MAX {
            return Err(RememberError::TooMany);
        }
        if evidence.judged.index {
            open.extend(inside(ports, &by_digest).await?.into_iter().map(|image| (image, true)));
        }
        remembered.images.push(by_digest);
    }
    remembered.entries = entries.into_values().collect();
    remembered.entries.sort_by_cached_key(order);
    Ok(remembered)
}

/// Images that the tag of a promotion named before, in the same repository.
fn before<'a>(found: &'a [Entry], image: &'a ImageName) -> impl Iterator<Item = ImageName> + 'a {
    let moved = found.iter().filter(|entry| matches!(entry.kind, Kind::Promoted | Kind::Undone));
    moved
        .filter(|entry| entry.repository == image.repository())
        .filter_map(|entry| Some(image.at(entry.before?)))
}

async fn inside(ports: &Ports, index: &ImageName) -> Result<Vec<ImageName>, RememberError> {
    let name = index.to_string();
    let (_, bytes) = ports
        .registries
        .manifest(index)
        .await
        .map_err(|source| RememberError::Index { image: name.clone(), source })?;
    let read = Index::parse(&bytes).map_err(|source| RememberError::Oci { image: name, source })?;
    Ok(read.manifests().iter().map(|entry| index.at(entry.digest)).collect())
}

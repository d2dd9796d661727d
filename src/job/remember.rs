//! `ledger rebuild`: from the signed attestations beside images to the entries they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};

use super::{
    Ports,
    audit::{AuditError, named, unclear},
    verify::{Request, Room, VerifyError, counter, gather, now_s},
};
use crate::{
    entry::{Entry, Kind},
    inventory::Inventory,
    model::{
        Digest, ImageName,
        limits::{REMEMBERED_MAX, VERIFIED_AT_ONCE_MAX},
    },
    oci::{self, Index},
    policy::Policy,
    registry::RegistryError,
    signing::keyless::TrustedRoot,
    verify::{Code, Refused, Roots, order, remembered_all},
};

/// Whom to believe.
#[derive(Debug, Clone)]
pub struct By {
    /// Signers.
    pub roots: Arc<Roots>,
    /// Whose certificates, where identities are trusted.
    pub trusted_root: Option<Arc<TrustedRoot>>,
}

/// Images that are judged alike.
#[derive(Debug, Clone)]
pub struct Group {
    /// Whom to believe about them.
    pub by: By,
    /// They, by tag or digest.
    pub images: Vec<ImageName>,
    /// What an inventory calls them.
    pub name: Option<String>,
    /// Who is told, by the inventory.
    pub owner: Option<String>,
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
    /// The inventory, or a file that it names.
    #[error(transparent)]
    Inventory(#[from] AuditError),
    /// Which images there are.
    #[error("nobody can tell which images there are: {0}")]
    Unclear(String),
    /// More than anybody has.
    #[error("more than {REMEMBERED_MAX} attestations; make several ledgers")]
    TooMany,
}

/// Images of an inventory, by its groups.
///
/// # Errors
/// [`RememberError`]; also where a list of tags or a pod says not which images there are.
pub async fn listed(
    ports: &Ports,
    inventory: &Inventory,
    dir: &Path,
) -> Result<Vec<Vec<ImageName>>, RememberError> {
    let mut notices = Vec::new();
    let names = named(ports, (inventory, dir), &mut notices).await?;
    if let Some(unclear) = unclear(notices) {
        return Err(RememberError::Unclear(unclear));
    }
    let mut groups = vec![Vec::new(); inventory.groups.len()];
    for (name, group) in names {
        groups[group].push(name);
    }
    Ok(groups)
}

/// Reads what stands beside the images of all `groups`, beside the images of those that are indexes, and beside what their
/// tags named before they were promoted.
///
/// # Errors
/// [`RememberError`]: a history with holes would not be one.
pub async fn remember(ports: &Ports, groups: &[Group]) -> Result<Remembered, RememberError> {
    let mut entries: BTreeMap<Digest, Entry> = BTreeMap::new();
    let mut remembered = Remembered::default();
    for group in groups {
        let request = Request {
            roots: Arc::clone(&group.by.roots),
            trusted_root: group.by.trusted_root.clone(),
            policy: Arc::new(Policy::none()),
            now_s: now_s(),
            platform: None,
            room: Room::default(),
            visited: counter(),
        };
        let mut seen = BTreeSet::new();
        let mut wave: Vec<(ImageName, bool)> =
            group.images.iter().map(|image| (image.clone(), true)).collect();
        while !wave.is_empty() {
            let each: Vec<_> =
                wave.into_iter().map(|(image, asked)| look(ports, &request, image, asked)).collect();
            let mut looks = stream::iter(each).buffered(VERIFIED_AT_ONCE_MAX);
            let mut next = Vec::new();
            while let Some(look) = looks.next().await {
                let Some(look) = look? else { continue };
                if !seen.insert((look.image.repository(), look.image.selector.digest)) {
                    continue;
                }
                next.extend(look.further);
                for mut entry in look.entries {
                    (entry.group, entry.owner) = (group.name.clone(), group.owner.clone());
                    if let Some(at) = entry.evidence {
                        entries.entry(at).or_insert(entry);
                    }
                }
                if entries.len() > REMEMBERED_MAX {
                    return Err(RememberError::TooMany);
                }
                remembered.images.push(look.image);
            }
            wave = next
                .into_iter()
                .filter(|(image, _)| !seen.contains(&(image.repository(), image.selector.digest)))
                .collect();
        }
    }
    remembered.entries = entries.into_values().collect();
    remembered.entries.sort_by_cached_key(order);
    Ok(remembered)
}

/// What stands beside one image.
struct Look {
    /// By its digest.
    image: ImageName,
    entries: Vec<Entry>,
    /// Images to look at next, and whether they must be there.
    further: Vec<(ImageName, bool)>,
}

/// None if the image need not be there and is not.
async fn look(
    ports: &Ports,
    request: &Request,
    image: ImageName,
    asked: bool,
) -> Result<Option<Look>, RememberError> {
    let evidence = match gather(ports, request, &image).await {
        // What a tag named long ago may be gone; what was asked for must be there.
        Err(error) if !asked && error.is_not_found() => return Ok(None),
        evidence => evidence?,
    };
    if let Some(unread) = evidence.unread.first() {
        return Err(RememberError::Unread {
            image: image.to_string(),
            at: unread.at,
            why: unread.why.clone(),
        });
    }
    // What was not looked at, as it is too large or not what its digest promises, may be part of the history.
    let unseen = |refused: &&Refused| !refused.seen || refused.code == Code::TooLarge;
    if let Some(refused) = evidence.refusals().find(unseen) {
        let (image, why) = (image.to_string(), refused.why.clone());
        return Err(RememberError::Unread { image, at: refused.at, why });
    }
    let entries = remembered_all(&evidence, &image.repository());
    let by_digest = image.at(evidence.judged.digest());
    let mut further: Vec<_> = before(&entries, &image).map(|image| (image, false)).collect();
    if evidence.judged.index {
        further.extend(inside(ports, &by_digest).await?.into_iter().map(|image| (image, true)));
    }
    Ok(Some(Look { image: by_digest, entries, further }))
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

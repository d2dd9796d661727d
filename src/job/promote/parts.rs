//! The images in an index, at any depth. What only describes one of them is none.

use std::collections::BTreeSet;

use super::{Parts, PromoteError};
use crate::{
    job::Ports,
    model::{
        Descriptor, ImageName, chain,
        limits::PROMOTED_IMAGES_MAX,
        names::{DOCKER_LIST, OCI_INDEX, REFERENCE_TYPE},
    },
    oci::{Index, Manifest, platform_name},
    registry::is_image_layer,
};

/// What `name` means now, and what is in it.
///
/// # Errors
/// [`PromoteError::Read`], [`PromoteError::Index`].
pub(super) async fn parts(ports: &Ports, name: &ImageName) -> Result<Parts, PromoteError> {
    let (root, bytes) = read(ports, name).await?;
    if !is_index(&root) {
        let images = vec![(None, root.digest)];
        return Ok(Parts { root, index: false, images });
    }
    let problem = |problem: String| PromoteError::Index { image: name.at(root.digest).to_string(), problem };
    let mut images = Vec::new();
    let mut seen = BTreeSet::from([root.digest]);
    let mut open = vec![bytes];
    while let Some(bytes) = open.pop() {
        let index = Index::parse(&bytes).map_err(|error| problem(chain(&error)))?;
        for entry in index.manifests() {
            if !seen.insert(entry.digest) {
                continue;
            }
            if seen.len() > PROMOTED_IMAGES_MAX {
                return Err(problem(format!("it names more than {PROMOTED_IMAGES_MAX} manifests")));
            }
            if is_index(entry) {
                open.push(read(ports, &name.at(entry.digest)).await?.1);
            } else if !describes(ports, name, entry).await? {
                images.push((entry.platform.as_ref().map(platform_name), entry.digest));
            }
        }
    }
    Ok(Parts { root, index: true, images })
}

async fn read(ports: &Ports, name: &ImageName) -> Result<(Descriptor, Vec<u8>), PromoteError> {
    let read = ports.registries.manifest(name).await;
    read.map_err(|source| PromoteError::Read { what: format!("`{name}`"), source })
}

fn is_index(descriptor: &Descriptor) -> bool {
    [OCI_INDEX, DOCKER_LIST].contains(&descriptor.media_type.as_str())
}

/// Whether an entry is no image but says something of one, as `BuildKit` attests. The index's word alone does not count:
/// it must have no layer that could be run.
async fn describes(ports: &Ports, name: &ImageName, entry: &Descriptor) -> Result<bool, PromoteError> {
    let unknown = entry.platform.as_ref().map(platform_name).as_deref() == Some("unknown/unknown");
    // It writes both; what has a platform might be run.
    if !(unknown && entry.annotations.contains_key(REFERENCE_TYPE)) {
        return Ok(false);
    }
    let (_, bytes) = read(ports, &name.at(entry.digest)).await?;
    let Ok(manifest) = Manifest::parse(&bytes) else { return Ok(false) };
    let layers = manifest.layers();
    Ok(!layers.is_empty() && !layers.iter().any(|layer| is_image_layer(&layer.media_type)))
}

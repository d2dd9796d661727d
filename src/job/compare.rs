//! Which images of two names are to be compared: by platform.

use std::collections::BTreeMap;

use super::{
    Ports,
    bases::{self, Base, BaseError},
};
use crate::{
    model::ImageName,
    oci::{Index, OciError},
};

/// What two names have for one platform.
#[derive(Debug)]
pub struct Beside {
    /// `os/architecture[/variant]`; none where neither name means an index.
    pub platform: Option<String>,
    /// The first's image, if it has one.
    pub a: Option<Base>,
    /// The second's.
    pub b: Option<Base>,
}

/// Fetches the images of two names, platform by platform: the one asked for, else all that either index has, in order of their
/// names. An image that stands alone stands for its platform.
///
/// # Errors
/// Those of fetching; a platform that was asked for and is not there.
pub async fn fetch(
    ports: &Ports,
    names: [&ImageName; 2],
    platform: Option<&str>,
) -> Result<Vec<Beside>, BaseError> {
    let [a, b] = [indexed(ports, names[0]).await?, indexed(ports, names[1]).await?];
    let one = |platform: String| async move {
        let a = bases::fetch(ports, names[0], &platform).await?;
        let b = bases::fetch(ports, names[1], &platform).await?;
        Ok::<_, BaseError>(vec![Beside { platform: Some(platform), a: Some(a), b: Some(b) }])
    };
    if let Some(platform) = platform {
        return one(platform.to_owned()).await;
    }
    let (a, b) = match (a, b) {
        (None, None) => {
            let [a, b] = [bases::fetch(ports, names[0], "").await?, bases::fetch(ports, names[1], "").await?];
            return Ok(vec![Beside { platform: None, a: Some(a), b: Some(b) }]);
        }
        (Some(_), None) => {
            return one(bases::fetch(ports, names[1], "").await?.image.config.platform()).await;
        }
        (None, Some(_)) => {
            return one(bases::fetch(ports, names[0], "").await?.image.config.platform()).await;
        }
        (Some(a), Some(b)) => (a, b),
    };
    let mut platforms: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for (side, index) in [&a, &b].into_iter().enumerate() {
        for platform in index.platforms() {
            platforms.entry(platform).or_default()[side] = true;
        }
    }
    let mut all = Vec::new();
    for (platform, [in_a, in_b]) in platforms {
        let a = if in_a { Some(bases::fetch(ports, names[0], &platform).await?) } else { None };
        let b = if in_b { Some(bases::fetch(ports, names[1], &platform).await?) } else { None };
        all.push(Beside { platform: Some(platform), a, b });
    }
    Ok(all)
}

/// The index that `name` means, if it means one.
async fn indexed(ports: &Ports, name: &ImageName) -> Result<Option<Index>, BaseError> {
    let failed = |source| BaseError::Fetch { name: name.to_string(), source };
    let (_, bytes) = ports.registries.manifest(name).await.map_err(failed)?;
    let odd = |source: OciError| BaseError::Image { name: name.to_string(), source };
    let value: serde_json::Value = crate::model::json::parse(&bytes).unwrap_or_default();
    if value.get("manifests").is_none() {
        return Ok(None);
    }
    Index::parse(&bytes).map(Some).map_err(odd)
}

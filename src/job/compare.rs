//! Which images of two names are to be compared: by platform.

use std::collections::BTreeMap;

use super::{
    Ports,
    bases::{self, Base, BaseError},
};
use crate::{
    model::ImageName,
    oci::{Index, OciError, usual_platform as usual},
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
    // From here on by digest: a tag may move meanwhile.
    let (found_a, a) = indexed(ports, names[0]).await?;
    let (found_b, b) = indexed(ports, names[1]).await?;
    let names = [&found_a, &found_b];
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
            platforms.entry(usual(&platform).to_owned()).or_default()[side] = true;
        }
    }
    let [others_a, others_b] = [&a, &b].map(Index::others);
    if platforms.is_empty() && others_a.len() == 1 && others_b.len() == 1 {
        return one(String::new()).await;
    }
    let mut all = Vec::new();
    for (platform, [in_a, in_b]) in platforms {
        let a = if in_a { Some(bases::fetch(ports, names[0], &platform).await?) } else { None };
        let b = if in_b { Some(bases::fetch(ports, names[1], &platform).await?) } else { None };
        all.push(Beside { platform: Some(platform), a, b });
    }
    // What no platform names is not paired; it is said, unless both have the same.
    for (in_a, one, other) in [(true, &others_a, &others_b), (false, &others_b, &others_a)] {
        for digest in one.iter().filter(|digest| !other.contains(digest)) {
            let name = names[usize::from(!in_a)].at(*digest);
            let found = Some(bases::fetch(ports, &name, "").await?);
            let platform = Some(format!("{digest} (of no platform of its own)"));
            let (a, b) = if in_a { (found, None) } else { (None, found) };
            all.push(Beside { platform, a, b });
        }
    }
    Ok(all)
}

/// `name` by digest, and the index that it means, if it means one.
async fn indexed(ports: &Ports, name: &ImageName) -> Result<(ImageName, Option<Index>), BaseError> {
    let failed = |source| BaseError::Fetch { name: name.to_string(), source };
    let (descriptor, bytes) = ports.registries.manifest(name).await.map_err(failed)?;
    let odd = |source: OciError| BaseError::Image { name: name.to_string(), source };
    let value: serde_json::Value = crate::model::json::parse(&bytes).unwrap_or_default();
    if value.get("manifests").is_none() {
        return Ok((name.at(descriptor.digest), None));
    }
    Ok((name.at(descriptor.digest), Some(Index::parse(&bytes).map_err(odd)?)))
}

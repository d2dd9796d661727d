//! `reprov trace --format koji`.

use super::{
    console,
    failure::{Exit, Failure},
};
use crate::{
    attest::Origin,
    job::{Ports, evidence::Evidence},
    model::{ImageName, limits::CONFIG_SIZE_BYTES_MAX},
    oci::{Image, Manifest},
    report::koji as view,
};

/// What `trace` has found out.
pub(super) struct Known<'a> {
    pub ports: &'a Ports,
    pub name: &'a ImageName,
    pub bytes: &'a [u8],
    pub evidence: &'a Evidence,
}

/// Prints koji's metadata of the image.
pub(super) async fn print(known: &Known<'_>, origin: &Origin) -> Result<Exit, Failure> {
    let manifest = Manifest::parse(known.bytes).map_err(Failure::unavailable)?;
    let config = manifest.config();
    if config.size > CONFIG_SIZE_BYTES_MAX {
        return Err(Failure::unavailable(format!("its config is larger than {CONFIG_SIZE_BYTES_MAX} bytes")));
    }
    let ports = known.ports;
    ports.registries.fetch_evidence(known.name, config, &ports.store).await.map_err(Failure::unavailable)?;
    let config = ports.store.read(&config.digest, config.size).map_err(Failure::unavailable)?;
    let image = Image::parse(known.bytes, &config).map_err(Failure::unavailable)?;
    let metadata = view::metadata(
        origin,
        &view::Known {
            repository: &known.name.repository(),
            tag: known.name.selector.tag.as_deref(),
            media_type: manifest.media_type(),
            image: &image,
            sizes: known.evidence.sizes(),
        },
    );
    console::print(&metadata.map_err(Failure::findings)?);
    Ok(Exit::Ok)
}

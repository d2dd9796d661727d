//! From a blob's bytes to the tar archive inside.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;

use super::LayerError;
use crate::model::limits::{INFLATE_FREE_BYTES, INFLATE_RATIO_MAX};

/// Opens a layer blob of `media_type` as its uncompressed archive. Reads to the physical end of `reader`:
/// what follows the last gzip member or zstd frame is an error, not ignored.
///
/// The returned reader fails once it gave more than `INFLATE_FREE_BYTES` and more than `INFLATE_RATIO_MAX`
/// times what it took.
///
/// # Errors
/// [`LayerError::MediaType`] for what is no layer, or those of the decoder's set-up.
pub fn inflate<'a>(
    media_type: &str,
    reader: impl Read + Send + 'a,
) -> Result<Box<dyn Read + Send + 'a>, LayerError> {
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: reader, taken: Arc::clone(&taken) };
    match compression(media_type) {
        Some(Compression::None) => Ok(Box::new(counted)),
        Some(Compression::Gzip) => Ok(Box::new(Guarded::new(MultiGzDecoder::new(counted), taken))),
        Some(Compression::Zstd) => {
            let decoder = zstd::stream::read::Decoder::new(counted).map_err(LayerError::Read)?;
            Ok(Box::new(Guarded::new(decoder, taken)))
        }
        None => Err(LayerError::MediaType(media_type.to_owned())),
    }
}

enum Compression {
    None,
    Gzip,
    Zstd,
}

/// OCI writes `.tar+gzip`, Docker `.tar.gzip`; `nondistributable` and `foreign` layers end alike.
fn compression(media_type: &str) -> Option<Compression> {
    let (_, ending) = media_type.strip_prefix("application/vnd.")?.rsplit_once(".tar")?;
    match ending {
        "" => Some(Compression::None),
        "+gzip" | ".gzip" => Some(Compression::Gzip),
        "+zstd" | ".zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

struct Counted<R> {
    inner: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

struct Guarded<R> {
    inner: R,
    given: u64,
    taken: Arc<AtomicU64>,
}

impl<R> Guarded<R> {
    fn new(inner: R, taken: Arc<AtomicU64>) -> Self {
        Self { inner, given: 0, taken }
    }
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.given += count as u64;
        let allowed = self.taken.load(Ordering::Relaxed).saturating_mul(INFLATE_RATIO_MAX);
        if self.given > allowed.max(INFLATE_FREE_BYTES) {
            let message = format!("it inflates to more than {INFLATE_RATIO_MAX} times its size");
            return Err(io::Error::other(message));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::model::names::{DOCKER_LAYER, DOCKER_LAYER_GZIP, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(media_type: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let mut reader = inflate(media_type, bytes).map_err(|error| error.to_string())?;
        reader.read_to_end(&mut out).map_err(|error| error.to_string())?;
        Ok(out)
    }

    #[test]
    fn opens_every_kind() {
        let two_members = [gzip(b"ab"), gzip(b"c")].concat();
        let zstd = zstd::encode_all(&b"abc"[..], 1).unwrap();
        for (media_type, bytes) in [
            (OCI_LAYER, b"abc".to_vec()),
            (DOCKER_LAYER, b"abc".to_vec()),
            (OCI_LAYER_GZIP, two_members.clone()),
            (DOCKER_LAYER_GZIP, two_members),
            (OCI_LAYER_ZSTD, zstd),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", gzip(b"abc")),
        ] {
            assert_eq!(read(media_type, &bytes).as_deref(), Ok(&b"abc"[..]), "{media_type}");
        }
    }

    #[test]
    fn refuses() {
        assert!(read("text/plain", b"").unwrap_err().contains("text/plain"));
        assert!(read("application/vnd.oci.image.layer.v1.tar+xz", b"").is_err());
        let whole = gzip(b"abc");
        assert!(read(OCI_LAYER_GZIP, &whole[..whole.len() - 1]).is_err());
        assert!(read(OCI_LAYER_GZIP, &[&whole[..], b"junk"].concat()).is_err());
        let whole = zstd::encode_all(&b"abc"[..], 1).unwrap();
        assert!(read(OCI_LAYER_ZSTD, &whole[..whole.len() - 1]).is_err());
        assert!(read(OCI_LAYER_ZSTD, &[&whole[..], b"junk"].concat()).is_err());
    }

    #[test]
    fn stops_a_bomb() {
        let zeros = vec![0; usize::try_from(INFLATE_FREE_BYTES).unwrap() + (8 << 20)];
        assert!(read(OCI_LAYER_GZIP, &gzip(&zeros)).unwrap_err().contains("1000 times"));
        assert!(read(OCI_LAYER_GZIP, &gzip(&zeros[..60 << 20])).is_ok());
    }
}

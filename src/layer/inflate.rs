//! From a blob's bytes to the tar archive inside.

use std::{
    io::{self, BufReader, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::LayerError;
use crate::model::limits::{INFLATE_FREE_BYTES, INFLATE_RATIO_MAX, XZ_MEMORY_KIB_MAX};

/// Opens a layer blob of `media_type` as its uncompressed archive; see [`Compression::open`].
///
/// # Errors
/// [`LayerError::MediaType`] for what is no layer, or those of the decoder's set-up.
pub fn inflate<'a>(
    media_type: &str,
    reader: impl Read + Send + 'a,
) -> Result<Box<dyn Read + Send + 'a>, LayerError> {
    compression(media_type).ok_or_else(|| LayerError::MediaType(media_type.to_owned()))?.open(reader)
}

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, one member or several (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// xz; no layer's, but root file systems come in it.
    Xz,
}

impl Compression {
    /// Of what begins with `head` (six bytes are enough); without a known magic number it is an archive itself.
    #[must_use]
    pub fn of_magic(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }

    /// `none`, `gzip`, `zstd` or `xz`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        }
    }

    /// Opens what `reader` holds as its uncompressed archive. Reads to the physical end of `reader`: what follows
    /// the last gzip member, zstd frame or xz stream is an error, not ignored.
    ///
    /// The returned reader fails once it gave more than `INFLATE_FREE_BYTES` and more than `INFLATE_RATIO_MAX`
    /// times what it took, and if xz asks for more than `XZ_MEMORY_KIB_MAX`.
    ///
    /// # Errors
    /// Those of the decoder's set-up.
    pub fn open<'a>(self, reader: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, LayerError> {
        let taken = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: reader, taken: Arc::clone(&taken) };
        Ok(match self {
            Self::None => Box::new(counted),
            Self::Gzip => Box::new(Guarded::new(MultiGzDecoder::new(counted), taken)),
            Self::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(counted).map_err(LayerError::Read)?;
                Box::new(Guarded::new(decoder, taken))
            }
            Self::Xz => {
                // It reads its headers a few bytes at a time.
                let buffered = BufReader::with_capacity(64 << 10, counted);
                Box::new(Guarded::new(XzReader::new_mem_limit(buffered, true, XZ_MEMORY_KIB_MAX), taken))
            }
        })
    }
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

    /// `printf abc | xz -9`
    const XZ: [u8; 60] = [
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x1c,
        0x00, 0x00, 0x00, 0x10, 0xcf, 0x58, 0xcc, 0x01, 0x00, 0x02, 0x61, 0x62, 0x63, 0x00, 0x00, 0x27, 0x76,
        0x27, 0x1a, 0x4a, 0x09, 0xd8, 0x2c, 0x00, 0x01, 0x1b, 0x03, 0x0b, 0x2f, 0xb9, 0x10, 0x1f, 0xb6, 0xf3,
        0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
    ];

    fn read(media_type: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        all(inflate(media_type, bytes))
    }

    fn all(reader: Result<Box<dyn Read + Send + '_>, LayerError>) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        reader
            .map_err(|error| error.to_string())?
            .read_to_end(&mut out)
            .map_err(|error| error.to_string())?;
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
    fn knows_each_by_its_magic() {
        let zstd = zstd::encode_all(&b"abc"[..], 1).unwrap();
        for (compression, bytes) in [
            (Compression::None, b"abc".to_vec()),
            (Compression::Gzip, gzip(b"abc")),
            (Compression::Zstd, zstd),
            (Compression::Xz, XZ.to_vec()),
        ] {
            assert_eq!(Compression::of_magic(&bytes), compression);
            assert_eq!(all(compression.open(&bytes[..])).as_deref(), Ok(&b"abc"[..]), "{compression:?}");
        }
        assert_eq!(Compression::of_magic(b""), Compression::None);
    }

    #[test]
    fn xz_is_read_to_its_end_and_no_further() {
        let read = |bytes: &[u8]| all(Compression::Xz.open(bytes));
        assert_eq!(read(&[XZ, XZ].concat()).as_deref(), Ok(&b"abcabc"[..]));
        for cut in 0..XZ.len() {
            assert!(read(&XZ[..cut]).is_err(), "{cut}");
        }
        for junk in [&b"j"[..], b"junk", &[1; 64], &[0, 0, 0]] {
            assert!(read(&[&XZ[..], junk].concat()).is_err(), "{junk:?}");
        }
        for at in 0..XZ.len() {
            let mut flipped = XZ;
            flipped[at] ^= 0x10;
            assert!(read(&flipped).is_err(), "{at}");
        }
    }

    #[test]
    fn xz_asks_for_no_more_memory_than_allowed() {
        // The LZMA2 filter's one property byte is its dictionary: 40 means 4 GiB. CRC of the block header follows it.
        let at = XZ.windows(3).position(|bytes| bytes[..2] == [0x21, 0x01]).unwrap() + 2;
        let mut greedy = XZ;
        greedy[at] = 40;
        let mut crc = flate2::Crc::new();
        crc.update(&greedy[12..20]);
        greedy[20..24].copy_from_slice(&crc.sum().to_le_bytes());
        assert!(all(Compression::Xz.open(&greedy[..])).unwrap_err().contains("memory"));
    }

    #[test]
    fn stops_a_bomb() {
        let zeros = vec![0; usize::try_from(INFLATE_FREE_BYTES).unwrap() + (8 << 20)];
        let zstd = |zeros| zstd::encode_all(zeros, 1).unwrap();
        assert!(read(OCI_LAYER_ZSTD, &zstd(&zeros[..])).unwrap_err().contains("1100 times"));
        assert!(read(OCI_LAYER_ZSTD, &zstd(&zeros[..60 << 20])).is_ok());
        assert_eq!(read(OCI_LAYER_GZIP, &gzip(&zeros)).map(|bytes| bytes.len()), Ok(zeros.len()));
    }
}

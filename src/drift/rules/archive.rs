//! Archives and compressed files inside the image.

use std::io::{BufReader, Read};

use super::{Cause, Finding, zip};
use crate::{drift::view::View, model::limits::INFLATE_FREE_BYTES};

/// gzip whose header's time alone differs (RFC 1952, MTIME).
pub(super) fn gzip_timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let gzip = is_gzip(a) && is_gzip(b) && a.len() == b.len() && a.len() > 18;
    (gzip && a[..4] == b[..4] && a[8..] == b[8..]).then(|| Finding::certain(Cause::GzipTimestamp))
}

/// zip, jar, wheel: members' times alone differ.
pub(super) fn zip_timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let (one, other) = (zip::without_times(a)?, zip::without_times(b)?);
    (one == other).then(|| Finding::certain(Cause::ZipTimestamp))
}

/// tar: members' times (and so their headers' checksums) alone differ.
pub(super) fn tar_timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    (tar_without_times(a)? == tar_without_times(b)?).then(|| Finding::certain(Cause::TarTimestamp))
}

/// ar: members' times alone differ.
pub(super) fn ar_timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    (ar_without_times(a)? == ar_without_times(b)?).then(|| Finding::certain(Cause::ArTimestamp))
}

/// gzip and zstd whose contents are equal.
pub(super) fn compressed_member(view: &View<'_>) -> Option<Finding> {
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    let (a, b) = view.contents()?;
    let inflate = |bytes| -> Option<Vec<u8>> {
        if is_gzip(bytes) {
            whole(flate2::read::MultiGzDecoder::new(bytes))
        } else if bytes.starts_with(ZSTD) {
            whole(zstd::stream::read::Decoder::with_buffer(BufReader::new(bytes)).ok()?)
        } else {
            None
        }
    };
    (inflate(a)? == inflate(b)?).then(|| Finding::certain(Cause::CompressedMember))
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8])
}

/// All of `reader`, if it is not too much.
fn whole(reader: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    reader.take(INFLATE_FREE_BYTES + 1).read_to_end(&mut out).ok()?;
    (out.len() as u64 <= INFLATE_FREE_BYTES).then_some(out)
}

fn tar_without_times(bytes: &[u8]) -> Option<Vec<u8>> {
    const BLOCK: usize = 512;
    let mut out = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = out.get_mut(at..at + BLOCK).filter(|header| header[0] != 0) {
        if header[257..262] != *b"ustar" {
            return None;
        }
        header[136..156].fill(0); // Time and checksum.
        let digits = header[124..136].iter().take_while(|byte| byte.is_ascii_digit());
        let size = digits
            .fold(0_usize, |size, digit| size.saturating_mul(8).saturating_add(usize::from(digit - b'0')));
        at = at.checked_add(BLOCK)?.checked_add(size.checked_next_multiple_of(BLOCK)?)?;
    }
    (at > 0).then_some(out)
}

fn ar_without_times(bytes: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 60;
    let mut out = bytes.to_vec();
    let mut at = bytes.starts_with(b"!<arch>\n").then_some(8)?;
    while let Some(header) = out.get_mut(at..at + HEADER) {
        if header[58..60] != *b"`\n" {
            return None;
        }
        header[16..28].fill(b' ');
        let size: usize = str::from_utf8(&header[48..58]).ok()?.trim_end().parse().ok()?;
        at = at.checked_add(HEADER)?.checked_add(size.checked_next_multiple_of(2)?)?;
    }
    Some(out)
}

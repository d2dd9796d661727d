//! An rpm package: its main header is signed, and names the digest of what follows it (rpm's format manual).

use std::io::Read;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use super::{PinError, Signers, signers::bounded};
use crate::model::limits::{RPM_HEADER_ENTRIES_MAX, RPM_HEADER_SIZE_BYTES_MAX};

const LEAD_SIZE_BYTES: usize = 96;
const HEADER: [u8; 8] = [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
/// Signatures of the main header alone: RSA (EdDSA too), DSA, and from rpm 6 on any number in base64.
const SIGNATURES: [u32; 2] = [268, 267];
const SIGNATURES_BASE64: u32 = 278;
const PAYLOAD_DIGEST: u32 = 5092;
const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;
const SHA256: [u8; 4] = [0, 0, 0, 8];
const STRINGS: u32 = 8;
const NOT_SIGNED: PinError =
    PinError::Form("an rpm whose header is signed and names its content by SHA-256 (rpm 4.14 or later)");

/// Whether what `rpm` gives is a package whose header one of `signers` signed, and which is whole.
///
/// # Errors
/// [`PinError`].
pub fn package(signers: &Signers, rpm: &mut impl Read) -> Result<(), PinError> {
    let mut lead = [0; LEAD_SIZE_BYTES];
    read(rpm, &mut lead)?;
    if !lead.starts_with(&[0xed, 0xab, 0xee, 0xdb]) {
        return Err(PinError::Form("an rpm package"));
    }
    let signature = Header::read(rpm)?;
    read(rpm, &mut vec![0; signature.bytes.len().wrapping_neg() % 8])?; // Padded to eight.
    let main = Header::read(rpm)?;
    signers.detached(&signature.signatures(), &main.bytes)?;
    let algorithm = main.value(PAYLOAD_DIGEST_ALGORITHM).and_then(|value| value.get(..4));
    let expected = main.strings(PAYLOAD_DIGEST).into_iter().next();
    let (Some(expected), true) = (expected, algorithm == Some(&SHA256)) else { return Err(NOT_SIGNED) };
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = rpm.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        hasher.update(&chunk[..count]);
    }
    let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found.as_bytes() == expected { Ok(()) } else { Err(PinError::Content) }
}

/// Fills `bytes`; a package that is too short is none.
fn read(rpm: &mut impl Read, bytes: &mut [u8]) -> Result<(), PinError> {
    rpm.read_exact(bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => PinError::Form("an rpm package"),
        _ => error.into(),
    })
}

/// A header as it stands in the file: magic, counts, index, values.
struct Header {
    bytes: Vec<u8>,
    entries: usize,
}

impl Header {
    fn read(rpm: &mut impl Read) -> Result<Self, PinError> {
        let mut intro = [0; 16];
        read(rpm, &mut intro)?;
        let (entries, values) = (number(&intro[8..12]), number(&intro[12..16]));
        if intro[..8] != HEADER {
            return Err(PinError::Form("an rpm package"));
        }
        if entries > RPM_HEADER_ENTRIES_MAX || u64::from(values) > RPM_HEADER_SIZE_BYTES_MAX {
            return Err(PinError::Size("a header of the package"));
        }
        let size_bytes = u64::from(entries) * 16 + u64::from(values);
        let mut bytes = intro.to_vec();
        bytes.extend(bounded(&mut rpm.take(size_bytes), size_bytes, "a header of the package")?);
        if bytes.len() as u64 != 16 + size_bytes {
            return Err(PinError::Form("an rpm package"));
        }
        Ok(Self { bytes, entries: entries as usize })
    }

    /// Kind, count, and the values from where `tag`'s begin.
    fn entry(&self, tag: u32) -> Option<(u32, u32, &[u8])> {
        let (index, values) = self.bytes[16..].split_at(self.entries * 16);
        let entry = index.chunks_exact(16).find(|entry| number(&entry[..4]) == tag)?;
        let values = values.get(number(&entry[8..12]) as usize..)?;
        Some((number(&entry[4..8]), number(&entry[12..16]), values))
    }

    fn value(&self, tag: u32) -> Option<&[u8]> {
        self.entry(tag).map(|(_, _, values)| values)
    }

    /// The texts of an array of strings.
    fn strings(&self, tag: u32) -> Vec<&[u8]> {
        match self.entry(tag) {
            Some((STRINGS, count, values)) => values.split(|byte| *byte == 0).take(count as usize).collect(),
            _ => Vec::new(),
        }
    }

    fn signatures(&self) -> Vec<Vec<u8>> {
        let binary = SIGNATURES.iter().filter_map(|tag| {
            let (_, count, values) = self.entry(*tag)?;
            Some(values.get(..count as usize)?.to_vec())
        });
        let base64 =
            self.strings(SIGNATURES_BASE64).into_iter().filter_map(|text| STANDARD.decode(text).ok());
        binary.chain(base64).take(16).collect()
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(entries: u32, values: u32) -> Vec<u8> {
        let mut bytes = vec![0xed, 0xab, 0xee, 0xdb];
        bytes.resize(LEAD_SIZE_BYTES, 0);
        bytes.extend(HEADER);
        bytes.extend(entries.to_be_bytes());
        bytes.extend(values.to_be_bytes());
        bytes
    }

    /// The signature header's entry (tag, kind, offset, count) and values.
    fn parsed(entry: [u32; 4], values: &[u8]) -> Header {
        let mut bytes = header(1, u32::try_from(values.len()).unwrap());
        bytes.extend(entry.iter().flat_map(|number| number.to_be_bytes()));
        bytes.extend(values);
        Header::read(&mut &bytes[LEAD_SIZE_BYTES..]).unwrap()
    }

    #[test]
    fn entries_stay_within_their_header() {
        let binary = |offset, count| parsed([268, 7, offset, count], b"0123").signatures();
        assert_eq!(binary(1, 2), [b"12"]);
        for (offset, count) in [(0, 5), (5, 0), (u32::MAX, 1), (4, 1)] {
            assert_eq!(binary(offset, count), Vec::<Vec<u8>>::new(), "{offset} {count}");
        }
        assert_eq!(parsed([278, 8, 0, 2], b"MTI=\0MzQ=\0").signatures(), [b"12", b"34"]);
        assert_eq!(parsed([278, 8, 0, u32::MAX], b"MTI=").signatures(), [b"12"]);
        assert!(parsed([268, 7, 0, 4], b"0123").strings(PAYLOAD_DIGEST).is_empty());
    }

    #[test]
    fn what_is_no_package_or_too_large_ends() {
        let read =
            |bytes: &[u8]| Header::read(&mut &bytes[LEAD_SIZE_BYTES.min(bytes.len())..]).err().unwrap();
        assert!(matches!(read(b""), PinError::Form(_)));
        assert!(matches!(read(&header(1, 0)), PinError::Form(_)));
        assert!(matches!(read(&header(u32::MAX, 0)), PinError::Size(_)));
        assert!(matches!(read(&header(0, u32::MAX)), PinError::Size(_)));
    }
}

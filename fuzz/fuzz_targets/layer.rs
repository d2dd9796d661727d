//! A layer from anywhere; the first byte chooses the compression. What is listed can be read out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reprov::layer::{capture, index, inflate};

const MEDIA_TYPES: [&str; 3] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, blob)) = bytes.split_first() else { return };
    let open = || inflate(MEDIA_TYPES[usize::from(*choice) % MEDIA_TYPES.len()], blob).expect("known");
    let Ok(entries) = index(open()) else { return };
    let contents = entries.iter().filter(|entry| entry.content.is_some());
    let wanted: Vec<_> = contents.map(|entry| (entry.offset, entry.size_bytes)).collect();
    assert_eq!(capture(open(), &wanted).expect("what was listed is there").len(), wanted.len());
});

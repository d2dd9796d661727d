//! A manifest or index from anywhere: read, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reprov::oci::{Index, Manifest};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert_eq!(manifest.bytes(), bytes);
    }
    let _ = Index::parse(bytes); // Either way will do.
});

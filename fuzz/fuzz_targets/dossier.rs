//! An archive of evidence from anywhere: there is one way to write what can be read.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use reprov::dossier::{read, write};

fuzz_target!(|bytes: &[u8]| {
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let opened = read(bytes, |member, body| {
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes)?;
        bodies.insert(member.path.clone(), bytes);
        Ok(())
    });
    let Ok(opened) = opened else { return };
    let mut again = Vec::new();
    write(&opened.contents, &mut again, |member| Ok(&bodies[&member.path][..])).unwrap();
    assert!(again == bytes, "not the one form");
});

//! A link or a layout of in-toto's from anywhere; the first byte says whether it is judged as a layout or as the link of one.
#![no_main]

use std::{collections::BTreeMap, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use reprov::{
    attest::{Body, Form, Functionary, Metadata, PublicKey},
    verify::layout::judge,
};

/// A supply chain of the reference's: its layout, its owner, its links.
static GOOD: LazyLock<(Vec<u8>, Vec<Functionary>, BTreeMap<String, Vec<u8>>)> = LazyLock::new(|| {
    let cases: serde_json::Value =
        serde_json::from_str(include_str!("../../fixtures/in-toto/cases.json")).unwrap();
    let files = cases.as_array().unwrap().iter().find(|case| case["name"] == "good").unwrap()["files"].clone();
    let text = |name: &str| files[name].as_str().unwrap().to_owned();
    let owner = Functionary::of(PublicKey::from_pem(&text("owner.pub")).unwrap());
    let links = files.as_object().unwrap().keys().filter(|name| name.ends_with(".link"));
    (text("root.layout").into_bytes(), vec![owner], links.map(|name| (name.clone(), text(name).into_bytes())).collect())
});

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let (layout, owners, links) = &*GOOD;
    if let Ok(metadata) = Metadata::parse(bytes)
        && let Body::Link(link) = metadata.body
    {
        let again = Metadata::parse(&link.file(Form::Dsse, "00", b"x")).unwrap();
        assert_eq!(again.body, Body::Link(link));
    }
    if kind % 2 == 0 {
        let _ = judge(bytes, owners, links, 0);
    } else {
        let mut links = links.clone();
        let first = links.keys().next().cloned().unwrap();
        links.insert(first, bytes.to_vec());
        let judged = judge(layout, owners, &links, 0);
        assert!(judged.links.len() <= 2);
    }
});

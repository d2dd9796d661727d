//! koji's content-generator metadata from anywhere, as `attest --koji` reads it: it is bounded, and the statement that is
//! made of it can be read again.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use reprov::{
    attest::{
        Attested, Names, Statement, Subject, SubjectKind, adapters,
        assemble::{Frame, Piece, assemble},
    },
    model::{
        Digest,
        limits::{ATTESTED_DEPENDENCIES_MAX, ATTESTED_PARAMETERS_MAX},
        names::BUILDER_ATTESTED,
    },
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(all) = adapters::read(bytes) else { return };
    let digest = Digest::of(bytes);
    for claims in all {
        assert!(claims.dependencies.len() + claims.byproducts.len() <= ATTESTED_DEPENDENCIES_MAX);
        assert!(claims.parameters.len() + claims.build_args.len() <= ATTESTED_PARAMETERS_MAX);
        if claims.kind == "koji-v0" {
            assert!(claims.subjects.is_sorted_by(|one, other| one < other));
        }
        let frame = Frame {
            subject: SubjectKind::Manifest,
            platform: None,
            platforms: BTreeMap::new(),
            builder_id: BUILDER_ATTESTED.to_owned(),
            builder_version: BTreeMap::new(),
            byproducts: Vec::new(),
        };
        let piece = Piece { claims, digest: Some(digest), names: Names::Nothing };
        let Ok(made) = assemble(&[piece], frame) else { continue };
        let written = made.attested.statement(Subject::new("app", &digest)).to_bytes();
        let read = Statement::parse(&written).expect("what is written is a statement");
        assert!(Attested::read(&read).is_ok());
    }
});

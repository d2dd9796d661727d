//! Reading and verifying a provenance with as many inputs as a statement lists.

use reprov::{
    attest::{Bundle, Envelope, Provenance, Statement, Subject, pae, provenance},
    model::{Digest, ResourceDescriptor, limits::INLINE_INPUTS_MAX, names},
    signing::{KeyType, PrivateKey},
};

use crate::{
    run::timed,
    table::{Row, Target},
};

const EXAMPLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/attestations/build/v1/example.json"));

pub(crate) fn row() -> Row {
    eprintln!("provenance");
    let key = PrivateKey::generate(KeyType::P256);
    let bytes = bundle(&key);
    let keys = [key.public()];
    let ours = timed(|| {
        let bundle = Bundle::parse(&bytes).unwrap();
        assert!(bundle.envelope.verified_by(&keys).is_some());
        let read = Provenance::read(&bundle.envelope.statement().unwrap()).unwrap();
        assert_eq!(read.run.inputs.len(), INLINE_INPUTS_MAX);
    });
    let payload = Bundle::parse(&bytes).unwrap().envelope.statement().unwrap().to_bytes();
    let peer = timed(|| assert!(serde_json::from_slice::<serde_json::Value>(&payload).unwrap().is_object()));
    Row {
        what: "parsing and verifying provenance of 2,000 inputs; peer: serde_json reads the payload",
        ours: format!("{:.1} ms", ours * 1000.0),
        peer: format!("{:.1} ms", peer * 1000.0),
        figure: ours * 1000.0,
        unit: " ms",
        target: Target::AtMost(20.0),
    }
}

/// The documented example, with more inputs, signed.
fn bundle(key: &PrivateKey) -> Vec<u8> {
    let example = Statement::parse(EXAMPLE.as_bytes()).unwrap();
    let read = Provenance::read(&example).unwrap();
    let mut run = read.run;
    let input = |number: usize| ResourceDescriptor {
        uri: format!(
            "https://mirror.example.org/debian/pool/main/p/package/package-{number}_1.0-1_amd64.deb"
        ),
        ..run.inputs[0].clone()
    };
    run.inputs = (0..INLINE_INPUTS_MAX).map(input).collect();
    for (number, input) in run.inputs.iter_mut().enumerate() {
        input.digest = [("sha256".to_owned(), Digest::of(number.to_string().as_bytes()).hex())].into();
    }
    let subject = Subject::new("registry.example.org/app", &Digest::of(b"image"));
    let statement = provenance(&read.definition, &run, &[subject]);
    let payload = statement.to_bytes();
    let signatures = vec![key.sign(&pae(names::IN_TOTO_JSON, &payload))];
    let envelope = Envelope { payload, payload_type: names::IN_TOTO_JSON.to_owned(), signatures };
    Bundle { hint: key.public().hint(), envelope }.to_bytes()
}

//! A sigstore of a test's own: an authority that certifies whoever asks, its certificate log, and a log of signatures.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber, SigningKey as _,
    date_time_ymd,
};
use reprov::attest::pae;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_cert::der::{Decode as _, Encode as _};

const STATEMENT: &str = "application/vnd.in-toto+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Noon of the day on which certificates are valid, 2025-06-01.
const SIGNED_S: i64 = 1_748_779_200;
const ISSUER: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
const SCTS: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

pub(crate) struct Sigstore {
    authority: Issuer<'static, KeyPair>,
    certificate: Certificate,
    key: Vec<u8>,
    log: KeyPair,
    certificate_log: KeyPair,
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A DER value of less than 65,536 bytes.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match content.len() {
        0..128 => vec![length[1]],
        128..256 => vec![0x81, length[1]],
        _ => vec![0x82, length[0], length[1]],
    };
    [&[tag][..], &length, content].concat()
}

/// After its length in two bytes.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

impl Sigstore {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap();
        Self {
            key: key.subject_public_key_info(),
            authority: Issuer::new(params, key),
            certificate,
            log: KeyPair::generate().unwrap(),
            certificate_log: KeyPair::generate().unwrap(),
        }
    }

    /// Its `trusted_root.json`.
    pub(crate) fn trusted_root(&self) -> Value {
        let valid = json!({"start": "2025-01-01T00:00:00Z"});
        let log = |key: &KeyPair| {
            let spki = key.subject_public_key_info();
            json!({
                "baseUrl": "https://log.example.org", "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": STANDARD.encode(&spki), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid},
                "logId": {"keyId": STANDARD.encode(sha256(&spki))},
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.log)],
            "ctlogs": [log(&self.certificate_log)],
            "certificateAuthorities": [{
                "subject": {"organization": "example.org", "commonName": "test authority"},
                "uri": "https://ca.example.org",
                "certChain": {"certificates": [{"rawBytes": STANDARD.encode(self.certificate.der())}]},
                "validFor": valid,
            }],
            "timestampAuthorities": [],
        })
    }

    /// A bundle around a statement, signed by `identity` by the word of `issuer`, and logged as an envelope.
    pub(crate) fn bundle(&self, identity: &str, issuer: &str, payload: &[u8]) -> Value {
        self.logged(identity, issuer, payload, |signature, certificate| {
            let hash = |bytes: &[u8]| json!({"algorithm": "sha256", "value": hex(&sha256(bytes))});
            let spec = json!({
                "envelopeHash": hash(signature.as_bytes()),
                "payloadHash": hash(payload),
                "signatures": [{"signature": signature, "verifier": STANDARD.encode(certificate)}],
            });
            ("dsse", spec)
        })
    }

    /// The same, logged as a file: the log knows what was signed, not that it is an envelope.
    pub(crate) fn bundle_as_file(&self, identity: &str, issuer: &str, payload: &[u8]) -> Value {
        self.logged(identity, issuer, payload, |signature, certificate| {
            let value = hex(&sha256(&pae(STATEMENT, payload)));
            let spec = json!({
                "data": {"hash": {"algorithm": "sha256", "value": value}},
                "signature": {"content": signature, "publicKey": {"content": STANDARD.encode(certificate)}},
            });
            ("hashedrekord", spec)
        })
    }

    /// `entry` says kind and content of the log's entry, of a signature and a certificate.
    fn logged(
        &self,
        identity: &str,
        issuer: &str,
        payload: &[u8],
        entry: impl FnOnce(&str, &str) -> (&'static str, Value),
    ) -> Value {
        let key = KeyPair::generate().unwrap();
        let certificate = self.certify(&key, identity, issuer);
        let signature = STANDARD.encode(key.sign(&pae(STATEMENT, payload)).unwrap());
        let (kind, spec) = entry(&signature, &certificate.pem());
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": {"rawBytes": STANDARD.encode(certificate.der())},
                "tlogEntries": [self.entry(kind, &spec)],
            },
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload),
                "payloadType": STATEMENT,
                "signatures": [{"sig": signature}],
            },
        })
    }

    /// A certificate with the timestamp of the certificate log in it (RFC 6962, 3.2 and 3.3).
    fn certify(&self, key: &KeyPair, identity: &str, issuer: &str) -> Certificate {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2025, 6, 1);
        params.not_after = date_time_ymd(2025, 6, 2);
        params.serial_number = Some(SerialNumber::from(7_u64));
        params.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let issuer = CustomExtension::from_oid_content(&ISSUER, der(0x0c, issuer.as_bytes()));
        params.custom_extensions = vec![issuer];
        let before = params.signed_by(key, &self.authority).unwrap();
        let before =
            x509_cert::Certificate::from_der(before.der()).unwrap().tbs_certificate.to_der().unwrap();
        let time = u64::try_from(SIGNED_S * 1000).unwrap().to_be_bytes();
        let length = u32::try_from(before.len()).unwrap().to_be_bytes();
        let signed =
            [&[0, 0][..], &time, &[0, 1], &sha256(&self.key), &length[1..], &before, &[0, 0]].concat();
        let signature = self.certificate_log.sign(&signed).unwrap();
        let id = sha256(&self.certificate_log.subject_public_key_info());
        let timestamp = [&[0][..], &id, &time, &[0, 0], &[4, 3], &counted(&signature)].concat();
        let list = der(4, &counted(&counted(&timestamp)));
        params.custom_extensions.push(CustomExtension::from_oid_content(&SCTS, list));
        params.signed_by(key, &self.authority).unwrap()
    }

    /// An entry of Rekor's: the only one of its log, with promise, proof and checkpoint.
    fn entry(&self, kind: &str, spec: &Value) -> Value {
        let body = json!({"apiVersion": "0.0.1", "kind": kind, "spec": spec}).to_string();
        let id = sha256(&self.log.subject_public_key_info());
        let encoded = STANDARD.encode(&body);
        let promised = format!(
            r#"{{"body":"{encoded}","integratedTime":{SIGNED_S},"logID":"{}","logIndex":0}}"#,
            hex(&id)
        );
        let root = STANDARD.encode(sha256(&[&[0], body.as_bytes()].concat()));
        let note = format!("log.example.org - 1\n1\n{root}\n");
        let signed = [&id[..4], &self.log.sign(note.as_bytes()).unwrap()].concat();
        let checkpoint = format!("{note}\n— log.example.org {}\n", STANDARD.encode(signed));
        json!({
            "logIndex": "0",
            "logId": {"keyId": STANDARD.encode(&id)},
            "kindVersion": {"kind": kind, "version": "0.0.1"},
            "integratedTime": SIGNED_S.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(self.log.sign(promised.as_bytes()).unwrap())},
            "inclusionProof": {
                "logIndex": "0", "rootHash": root, "treeSize": "1", "hashes": [],
                "checkpoint": {"envelope": checkpoint},
            },
            "canonicalizedBody": encoded,
        })
    }
}

//! A registry with one image, an honest provenance of it, and keys to sign with.

use std::{fs, sync::LazyLock};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use pkcs8::SecretDocument;
use reprov::attest::{PublicKey, pae};
use serde_json::{Value, json};

use crate::support::{ApiRegistry, Lab, Ran, Settings, fixtures, sha256};

pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(crate) const STATEMENT: &str = "application/vnd.in-toto+json";
pub(crate) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
pub(crate) const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
pub(crate) const REBUILD: &str = "https://reprov.example/rebuild/v1";
pub(crate) const PROMOTION: &str = "https://reprov.example/promotion/v1";
pub(crate) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const BUILDER: &str = "https://ci.example.org/reprov@v1";
/// The time at which the honest provenance is young.
pub(crate) const NOW: &str = "2026-01-03T00:00:00Z";
pub(crate) const REPOSITORY: &str = "app/web";

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The key that is trusted, P-256.
    Ours,
    /// Another that some policies trust, Ed25519.
    Other,
    /// Nobody trusts this one.
    Stranger,
}

static STRANGER: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().unwrap());

fn document(name: &str) -> SecretDocument {
    let text = fs::read_to_string(fixtures("interop/keys").join(name)).unwrap();
    SecretDocument::from_pem(&text).unwrap().1
}

impl By {
    /// A signature of `message` as it is.
    pub(crate) fn sign(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ours => {
                let der = document("TEST-ONLY-p256.pem");
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.as_bytes()).unwrap();
                pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_owned()
            }
            Self::Other => {
                let der = document("TEST-ONLY-ed25519.pem");
                Ed25519KeyPair::from_pkcs8(der.as_bytes()).unwrap().sign(message).as_ref().to_owned()
            }
            Self::Stranger => STRANGER.sign(message).as_ref().to_owned(),
        }
    }

    /// The file with its public half.
    pub(crate) fn public(self) -> String {
        let name = match self {
            Self::Ours => "TEST-ONLY-p256.pub",
            Self::Other => "TEST-ONLY-ed25519.pub",
            Self::Stranger => unreachable!("nobody trusts a stranger"),
        };
        fixtures("interop/keys").join(name).to_str().unwrap().to_owned()
    }

    fn hint() -> String {
        let text = fs::read_to_string(By::Ours.public()).unwrap();
        PublicKey::from_pem(&text).unwrap().hint() // Also a stranger says it is ours.
    }

    /// A DSSE envelope of `payload`.
    pub(crate) fn envelope(self, payload: &[u8]) -> Value {
        let signature = self.sign(&pae(STATEMENT, payload));
        json!({
            "payload": STANDARD.encode(payload),
            "payloadType": STATEMENT,
            "signatures": [{"sig": STANDARD.encode(signature)}],
        })
    }

    /// A bundle of it.
    pub(crate) fn bundle(self, payload: &[u8]) -> Value {
        bundle_of(&self.envelope(payload), &Self::hint())
    }
}

/// A bundle around an envelope.
pub(crate) fn bundle_of(envelope: &Value, hint: &str) -> Value {
    json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": hint}},
        "dsseEnvelope": envelope,
    })
}

/// The image, and where it is.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) registry: ApiRegistry,
    pub(crate) lab: Lab,
    /// Digest of the image's manifest.
    pub(crate) image: String,
    /// Its bytes' length.
    pub(crate) size: usize,
}

impl Stand {
    pub(crate) fn new() -> Self {
        Self::of(Settings::default())
    }

    pub(crate) fn of(settings: Settings) -> Self {
        let registry = settings.start();
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let config_digest = registry.put_blob(REPOSITORY, config);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len()},
            "layers": [],
        });
        let size = manifest.to_string().len();
        let image = registry.put_manifest(REPOSITORY, &manifest);
        registry.set_tag(REPOSITORY, "1", &image);
        registry.put_blob(REPOSITORY, b"{}");
        Self { registry, lab: Lab::new(), image, size }
    }

    /// `HOST/REPOSITORY:1`
    pub(crate) fn name(&self) -> String {
        self.registry.name(REPOSITORY)
    }

    /// A subject that is the image.
    pub(crate) fn subject(&self) -> Value {
        let hex = self.image.strip_prefix("sha256:").unwrap();
        json!([{"name": "web", "digest": {"sha256": hex}}])
    }

    /// A statement about the image.
    pub(crate) fn statement(&self, kind: &str, predicate: &Value) -> Value {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": self.subject(),
            "predicateType": kind,
            "predicate": predicate,
        })
    }

    /// Provenance with nothing to object to; what it names is in the registry.
    pub(crate) fn predicate(&self) -> Value {
        let text = fs::read_to_string(fixtures("../attestations/build/v1/example.json")).unwrap();
        let mut predicate = serde_json::from_str::<Value>(&text).unwrap()["predicate"].take();
        predicate["runDetails"].as_object_mut().unwrap().remove("reprov_tainted");
        let transcript = format!("{}\n", json!({"schema": "reprov.transcript/v1", "tainted": []}));
        for (index, bytes) in ["the log\n", "{}\n", &transcript].iter().enumerate() {
            let digest = self.registry.put_blob(REPOSITORY, bytes.as_bytes());
            let hex = digest.strip_prefix("sha256:").unwrap();
            predicate["runDetails"]["byproducts"][index]["digest"]["sha256"] = hex.into();
        }
        for dependency in predicate["buildDefinition"]["resolvedDependencies"].as_array_mut().unwrap() {
            if dependency["annotations"]["role"] == "base" {
                let digest = dependency["digest"]["sha256"].as_str().unwrap();
                let pinned =
                    format!("{}@sha256:{digest}", dependency["annotations"]["written"].as_str().unwrap());
                dependency["annotations"]["used"] = pinned.into();
            }
        }
        predicate
    }

    /// Attaches the honest provenance and what is kept with it.
    pub(crate) fn honest(&self) -> String {
        self.artifact("application/vnd.reprov.inputs.v1", b"inputs");
        self.attach(By::Ours, PROVENANCE, &self.predicate())
    }

    /// Attaches a statement; the digest of its referrer.
    pub(crate) fn attach(&self, by: By, kind: &str, predicate: &Value) -> String {
        self.attach_bytes(by, self.statement(kind, predicate).to_string().as_bytes())
    }

    /// Attaches a rightly signed payload.
    pub(crate) fn attach_bytes(&self, by: By, payload: &[u8]) -> String {
        self.attach_blob(BUNDLE, by.bundle(payload).to_string().as_bytes())
    }

    /// Attaches a blob as one layer of a referrer.
    pub(crate) fn attach_blob(&self, media_type: &str, bytes: &[u8]) -> String {
        let digest = self.registry.put_blob(REPOSITORY, bytes);
        let layer = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.attach_layers(media_type, &json!([layer]), &json!({}))
    }

    /// Attaches what is no attestation.
    pub(crate) fn artifact(&self, media_type: &str, bytes: &[u8]) -> String {
        self.attach_blob(media_type, bytes)
    }

    /// Attaches a manifest with these layers and annotations.
    pub(crate) fn attach_layers(&self, artifact_type: &str, layers: &Value, annotations: &Value) -> String {
        self.registry.put_manifest(REPOSITORY, &self.referrer(artifact_type, layers, annotations))
    }

    /// A manifest that refers to the image.
    pub(crate) fn referrer(&self, artifact_type: &str, layers: &Value, annotations: &Value) -> Value {
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(b"{}"), "size": 2},
            "layers": layers, "annotations": annotations,
            "subject": {"mediaType": MANIFEST, "digest": self.image, "size": self.size},
        })
    }

    /// Puts envelopes where cosign 2 puts them.
    pub(crate) fn legacy(&self, envelopes: &[Vec<u8>]) {
        let layers: Vec<Value> = envelopes
            .iter()
            .map(|bytes| {
                let digest = self.registry.put_blob(REPOSITORY, bytes);
                json!({"mediaType": ENVELOPE, "digest": digest, "size": bytes.len(),
                    "annotations": {"dev.cosignproject.cosign/signature": "", "predicateType": PROVENANCE}})
            })
            .collect();
        self.set_legacy(&layers);
    }

    pub(crate) fn set_legacy(&self, layers: &[Value]) {
        let config = br#"{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[]},"config":{}}"#;
        let config_digest = self.registry.put_blob(REPOSITORY, config);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len()},
            "layers": layers,
        });
        let digest = self.registry.put_manifest(REPOSITORY, &manifest);
        self.registry.set_tag(REPOSITORY, &format!("{}.att", self.image.replace(':', "-")), &digest);
    }

    /// Verifies the image with the trusted key and these arguments, JSON.
    pub(crate) fn verify(&self, more: &[&str]) -> Ran {
        self.verify_name(&self.name(), more)
    }

    pub(crate) fn verify_name(&self, name: &str, more: &[&str]) -> Ran {
        let (store, key) = (self.lab.path("store"), By::Ours.public());
        let mut args = vec!["verify", name, "--store", &store];
        if !more.contains(&"--trust") && !more.contains(&"--untrusting") {
            args.extend(["--trust", &key]);
        }
        if !more.contains(&"--format") {
            args.extend(["--format", "json"]);
        }
        if !more.contains(&"--as-of") {
            args.extend(["--as-of", NOW]);
        }
        args.extend(more.iter().filter(|word| **word != "--untrusting"));
        self.lab.reprov(&args)
    }

    /// Verifies by a policy of this text.
    pub(crate) fn by_policy(&self, text: &str, more: &[&str]) -> Ran {
        let path = self.lab.path("policy.toml");
        fs::write(&path, text).unwrap();
        self.verify(&[&["--policy", &path], more].concat())
    }
}

/// Codes of the first image's findings that refuse it.
pub(crate) fn denials(ran: &Ran) -> Vec<String> {
    codes(ran, |finding| finding["severity"] == "deny" && finding["waived_by"].is_null())
}

/// Codes of the first image's findings, as far as `wanted`.
pub(crate) fn codes(ran: &Ran, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    let answer = ran.json();
    let findings = answer["images"][0]["findings"].as_array().unwrap().clone();
    let mut codes: Vec<String> = findings
        .iter()
        .filter(|finding| wanted(finding))
        .map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect();
    codes.dedup();
    codes
}

/// Codes of all findings.
pub(crate) fn all_codes(ran: &Ran) -> Vec<String> {
    codes(ran, |_| true)
}

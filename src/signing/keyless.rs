//! Keyless signatures: a certificate that names an identity, logged or timestamped, judged offline against a trusted root
//! that the caller gives (sigstore client specification).
//!
//! The judging is the `sigstore-verify` crate's, fed only with bundles that [`crate::attest::SigstoreBundle`] has read. Whom to
//! believe is decided here: the crate is never asked to let anybody through, for it knows no patterns.

mod second;

use std::fs::File;

use serde_json::Value;
use sigstore_verify::{
    Error, Policy, PublicKeyVerificationPolicy, TransparencyLogError, VerificationPolicy, VerificationResult,
    Verifier,
    crypto::Keyring,
    trust_root::TrustedRoot as Root,
    types::{
        Artifact, ArtifactDigest, Bundle, DerPublicKey, DigestBytes, DsseEnvelope, HashAlgorithm,
        KindVersion, SignatureContent, bundle::MessageSignature,
    },
};

use crate::{
    attest::{PublicKey, Statement},
    model::Digest,
};

/// Certificate authorities, logs and timestamp authorities that are trusted, each for its time.
pub struct TrustedRoot {
    verifier: Verifier,
    log_keys: Keyring,
    /// Whether it names logs; where it names none, a timestamp must do.
    logs: bool,
    digest: Digest,
}

/// Whose signature is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who: the subject alternative name.
    pub subject: Pattern,
    /// Who vouched for that: the issuer's URL.
    pub issuer: Pattern,
}

/// What a text must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Letter by letter.
    Exact(String),
    /// With `*` for any letters; from its beginning to its end.
    Like(String),
}

/// What is signed.
#[derive(Debug)]
pub enum Signed<'a> {
    /// All of it.
    Bytes(&'a [u8]),
    /// A file that is not held.
    File(&'a File),
    /// Only its digest is known: `sha256` or `sha512`, and the bytes.
    Digest(&'static str, &'a [u8]),
}

/// A signature that is good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signer {
    /// Who; empty for a key.
    pub subject: String,
    /// Who vouched for that; empty for a key.
    pub issuer: String,
    /// When it was signed, as far as logs and timestamps say: seconds since 1970.
    pub times_s: Vec<i64>,
    /// Whether a log has it.
    pub logged: bool,
}

/// What is wrong with a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its form, or something in it that is not supported.
    Form,
    /// The certificate: chain, dates, use, certificate transparency.
    Certificate,
    /// Who signed.
    Identity,
    /// Entries of transparency logs.
    Log,
    /// Timestamps, or that there is no time that can be trusted.
    Time,
    /// The signature.
    Signature,
    /// What was signed is something else.
    Subject,
}

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What is wrong.
    pub fault: Fault,
    /// In words; may hold a stranger's.
    pub message: String,
}

/// Why a file is no trusted root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Not the JSON of one.
    #[error("not a sigstore trusted root: {0}")]
    Form(String),
    /// It holds a certificate or key that cannot be used.
    #[error("trusted root cannot be used: {0}")]
    Unusable(String),
}

impl std::fmt::Debug for TrustedRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrustedRoot")
            .field("digest", &self.digest)
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}

impl TrustedRoot {
    /// Reads a `trusted_root.json` (sigstore protobuf specs, `trustroot.v1`).
    ///
    /// # Errors
    /// If it is something else, or has a key or certificate that cannot be used.
    pub fn parse(text: &str) -> Result<Self, RootError> {
        let root = Root::from_json(text).map_err(|error| RootError::Form(error.to_string()))?;
        let logs = !root.tlogs.is_empty() || !root.ctlogs.is_empty();
        let unusable = |error: &dyn std::error::Error| RootError::Unusable(error.to_string());
        let verifier = Verifier::new(&root).map_err(|error| unusable(&error))?;
        let log_keys = root.rekor_keys().map_err(|error| unusable(&error))?;
        Ok(Self { verifier, log_keys, logs, digest: Digest::of(text.as_bytes()) })
    }

    /// Of the text it was read from.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Judges a bundle with a certificate: chain, dates at every time that is known, certificate transparency, log entries,
    /// timestamps, signature, and that it is about `signed`; then whether `identity` made it. If this root names no logs, and
    /// the bundle brings no entries, a timestamp is enough.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify(&self, bundle: &str, signed: &Signed<'_>, identity: &Identity) -> Result<Signer, Refused> {
        let bundle = Read::parse(bundle)?;
        // Nobody in particular: who it may be is asked below, of the certificate that was found good.
        let mut policy = VerificationPolicy::any_identity();
        if bundle.entries_are_gone() {
            policy = policy.skip_tlog_unsafe(); // They are judged below.
        } else if !self.logs && bundle.has_no_entries() {
            policy = policy.skip_tlog_unsafe().skip_sct();
        }
        let mut signer = signer(&self.good(&bundle, signed, &policy)?);
        let certificate = bundle
            .bundle
            .signing_certificate()
            .map(sigstore_verify::types::DerCertificate::as_bytes)
            .unwrap_or_default();
        signer.logged |= self.second(&bundle, second::Verifier::Certificate(certificate))?;
        let wrong = |what, found: &str, wanted: &Pattern| Refused {
            fault: Fault::Identity,
            message: format!("the {what} is `{found}`, not {wanted}"),
        };
        if !identity.issuer.matches(&signer.issuer) {
            return Err(wrong("issuer", &signer.issuer, &identity.issuer));
        }
        if !identity.subject.matches(&signer.subject) {
            return Err(wrong("identity", &signer.subject, &identity.subject));
        }
        Ok(signer)
    }

    /// Judges the log entries and timestamps of a bundle that `key` signed.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify_key(&self, bundle: &str, signed: &Signed<'_>, key: &PublicKey) -> Result<Signer, Refused> {
        let bundle = Read::parse(bundle)?;
        let mut policy = PublicKeyVerificationPolicy::new(DerPublicKey::new(key.spki().to_vec()));
        if bundle.entries_are_gone() || bundle.has_no_entries() {
            policy = policy.skip_tlog_unsafe(); // They are judged below, or there is none to skip.
        }
        let checked = !bundle.evidence_is_gone();
        let mut signer =
            if checked { signer(&self.good(&bundle, signed, &policy)?) } else { Signer::default() };
        signer.logged |= self.second(&bundle, second::Verifier::Key(key.spki()))?;
        Ok(signer)
    }

    fn good(
        &self,
        bundle: &Read,
        signed: &Signed<'_>,
        policy: &impl Policy,
    ) -> Result<VerificationResult, Refused> {
        Ok(match (&bundle.framed, signed) {
            (Some(message), _) => self.verifier.verify(message.as_slice(), &bundle.bundle, policy)?,
            (None, Signed::File(file)) => self.verifier.verify_reader(*file, &bundle.bundle, policy)?,
            (None, held) => self.verifier.verify(artifact(held)?, &bundle.bundle, policy)?,
        })
    }

    /// Judges entries that were taken out; whether there are any.
    fn second(&self, bundle: &Read, verifier: second::Verifier<'_>) -> Result<bool, Refused> {
        for entry in &bundle.second {
            let Some(envelope) = &bundle.envelope else {
                let message = "a log entry about an envelope, and the bundle has none".to_owned();
                return Err(Refused { fault: Fault::Log, message });
            };
            second::judge(entry, envelope, verifier, &self.log_keys)?;
        }
        Ok(!bundle.second.is_empty())
    }
}

/// A bundle as the crate reads it, but for two kinds of entries that it does not judge.
struct Read {
    bundle: Bundle,
    /// The envelope in it, if it has one.
    envelope: Option<DsseEnvelope>,
    /// What was signed of an envelope whose entries know it as a file (`hashedrekord`), or which is about commits and so about
    /// nothing whose digest could be given: then the bundle holds a signature over these bytes instead, and the caller
    /// asks what they are about.
    framed: Option<Vec<u8>>,
    /// Entries that were taken out.
    second: Vec<Value>,
}

impl Read {
    fn parse(text: &str) -> Result<Self, Refused> {
        let form = |message: String| Refused { fault: Fault::Form, message };
        let mut value: Value = serde_json::from_str(text).map_err(|error| form(error.to_string()))?;
        let second = second::take(&mut value);
        let bundle = Bundle::from_json(&value.to_string());
        let mut bundle = bundle.map_err(|error| form(error.to_string()))?;
        let envelope = match &bundle.content {
            SignatureContent::DsseEnvelope(envelope) => Some(envelope.clone()),
            _ => None,
        };
        let first = |entry: &sigstore_verify::types::TransparencyLogEntry| {
            entry.kind_version == KindVersion::HashedRekordV001
        };
        let of_commits = |envelope: &DsseEnvelope| {
            Statement::parse(envelope.payload.as_bytes()).is_ok_and(|said| said.commits().is_some())
        };
        let entries = &bundle.verification_material.tlog_entries;
        let framed = match &envelope {
            Some(envelope) if entries.iter().any(first) || of_commits(envelope) => {
                let whole = [KindVersion::DsseV001, KindVersion::IntotoV002];
                if let Some(entry) = entries.iter().find(|entry| whole.contains(&entry.kind_version)) {
                    let (kind, version) = (entry.kind_version.kind(), entry.kind_version.version());
                    let message = format!(
                        "its log entry is of kind {kind} {version}, which cannot be judged of a statement about a commit"
                    );
                    return Err(Refused { fault: Fault::Log, message });
                }
                let signature = MessageSignature::new(envelope.signature.sig.clone());
                bundle.content = SignatureContent::MessageSignature(signature);
                Some(envelope.pae())
            }
            _ => None,
        };
        Ok(Self { bundle, envelope, framed, second })
    }

    fn has_no_entries(&self) -> bool {
        self.bundle.verification_material.tlog_entries.is_empty() && self.second.is_empty()
    }

    /// Whether all entries were taken out.
    fn entries_are_gone(&self) -> bool {
        self.bundle.verification_material.tlog_entries.is_empty() && !self.second.is_empty()
    }

    /// Whether nothing is left that the crate could judge of a bundle that a key signed.
    fn evidence_is_gone(&self) -> bool {
        let timestamps = &self.bundle.verification_material.timestamp_verification_data.rfc3161_timestamps;
        self.entries_are_gone() && timestamps.is_empty()
    }
}

fn artifact<'a>(signed: &Signed<'a>) -> Result<Artifact<'a>, Refused> {
    match signed {
        Signed::Bytes(bytes) => Ok(Artifact::Blob(bytes)),
        Signed::Digest(algorithm, bytes) => {
            let algorithm =
                if *algorithm == "sha512" { HashAlgorithm::Sha2512 } else { HashAlgorithm::Sha2256 };
            ArtifactDigest::new(algorithm, DigestBytes::new(bytes.to_vec()))
                .map(Artifact::Digest)
                .map_err(|error| Refused { fault: Fault::Subject, message: error.to_string() })
        }
        Signed::File(_) => Ok(Artifact::Blob(&[])), // Files are read, not held; nobody asks.
    }
}

fn signer(good: &VerificationResult) -> Signer {
    Signer {
        subject: good.identity().map(|name| name.as_str().to_owned()).unwrap_or_default(),
        issuer: good.issuer().unwrap_or_default().to_owned(),
        times_s: good.verified_timestamps().iter().map(|time| time.as_second()).collect(),
        logged: good.tlog_verified(),
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let fault = match &error {
            Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => Fault::Identity,
            Error::SignatureInvalid(_) => Fault::Signature,
            Error::ArtifactMismatch(_) | Error::UnsupportedArtifact(_) | Error::ArtifactRead(_) => {
                Fault::Subject
            }
            Error::Certificate(_) => Fault::Certificate,
            Error::TransparencyLog(TransparencyLogError::IntegratedTime(_)) | Error::Timestamp(_) => {
                Fault::Time
            }
            Error::TransparencyLog(_) => Fault::Log,
            Error::Bundle(error) => of_bundle(error),
            _ => Fault::Form,
        };
        Self { fault, message: error.to_string() }
    }
}

fn of_bundle(error: &sigstore_verify::bundle::Error) -> Fault {
    use sigstore_verify::bundle::Error as Form;
    match error {
        Form::MissingTimestamp => Fault::Time,
        Form::MissingInclusionPromise(_)
        | Form::MissingInclusionProof(_)
        | Form::MissingSigningTimeEvidence
        | Form::MissingCheckpoint
        | Form::LogIndexOutOfRange { .. }
        | Form::CheckpointRootMismatch => Fault::Log,
        _ => Fault::Form,
    }
}

impl Pattern {
    /// Whether `text` is it.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == text,
            Self::Like(pattern) => like(pattern, text),
        }
    }

    /// Whether it lets through whatever has letters at all.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        matches!(self, Self::Like(pattern) if pattern.chars().all(|letter| letter == '*'))
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "`{text}`"),
            Self::Like(pattern) => write!(f, "like `{pattern}`"),
        }
    }
}

/// Each part between stars is looked for once, leftmost first, so time is no more than the product of both lengths.
fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        };
        check("a", "a", true);
        check("a", "ab", false);
        check("a", "ba", false);
        check("a*", "abc", true);
        check("*c", "abc", true);
        check("a*c", "ac", true);
        check("a*bc", "abc", true);
        check("a*ab", "ab", false);
        check("a*b*c", "axbxbc", true);
        check("*@refs/tags/v*", "w.yml@refs/tags/v1", true);
        check("*@refs/tags/v*", "w.yml@refs/heads/v1", false);
        check("https://github.com/o/*", "https://github.com.evil.example/o/r", false);
        check("**", "", true);
        check("", "", true);
    }

    #[test]
    fn any_is_known_as_such() {
        assert!(Pattern::Like("**".to_owned()).is_anything());
        assert!(!Pattern::Like("a*".to_owned()).is_anything());
        assert!(!Pattern::Exact("*".to_owned()).is_anything());
    }

    #[test]
    fn what_is_no_trusted_root_says_so() {
        for text in ["", "[]", "{}", "{\"mediaType\":1}"] {
            assert!(TrustedRoot::parse(text).is_err(), "{text}");
        }
    }
}

//! Judges a sigstore bundle on disk: who signed what, by keys that are trusted, or by an identity under a trusted root.
//!
//! Everything is on this machine; nothing is asked of any network. A refusal is a value with a stable code; that a file cannot
//! be read is an error.
#![expect(clippy::disallowed_methods, reason = "it reads the bundle and the file that is signed")]

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256, Sha512};
use x509_cert::der::Decode as _;

use crate::{
    attest::{
        Checked, Envelope, EnvelopeError, PublicKey, SigstoreBundle, SigstoreError, Statement,
        StatementError, pae,
        sigstore::{Content, Material, Message, Version},
    },
    model::{
        Digest, chain,
        limits::{BUNDLE_SIZE_BYTES_MAX, SUBJECT_HELD_SIZE_BYTES_MAX, read_bounded},
    },
    signing::keyless::{Fault, Identity, Refused, Signed, TrustedRoot},
    verify::Code,
};

/// What the bundle must be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A file.
    File(PathBuf),
    /// Something that has this digest: `sha256` or `sha512`, lower-case hex.
    Digest(&'static str, String),
}

/// Whom to believe.
#[derive(Debug)]
pub enum Signers {
    /// Any of these keys. With a root, log entries and timestamps are judged too.
    Keys(Vec<PublicKey>, Option<TrustedRoot>),
    /// An identity that this root vouches for.
    Identity(TrustedRoot, Identity),
}

/// What to judge.
#[derive(Debug)]
pub struct Request {
    /// The bundle.
    pub bundle: PathBuf,
    /// What it must be about.
    pub subject: Subject,
    /// Whom to believe.
    pub signers: Signers,
    /// What kind of statement it must be; none: any, or a signature over the file itself.
    pub predicate_type: Option<String>,
}

/// Something found: its code, and a sentence that may hold a stranger's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its code.
    pub code: Code,
    /// What exactly.
    pub message: String,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Of the bundle's bytes.
    pub bundle: Digest,
    /// Of the statement in it, if it has one that can be read.
    pub statement: Option<Digest>,
    /// What kind of statement it is, if it can be read.
    pub predicate_type: Option<String>,
    /// Who signed, if that is proven: `key sha256:…`, or identity and issuer.
    pub signer: Option<String>,
    /// When, as far as logs and timestamps prove it; seconds since 1970.
    pub times_s: Vec<i64>,
    /// Why it is refused; none: it is not.
    pub refused: Option<Found>,
    /// What is worth knowing beside.
    pub notes: Vec<Found>,
}

/// Why nobody can tell.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`", path.display())]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

impl Subject {
    /// Takes `sha256:HEX` or `sha512:HEX` for a digest if it is a whole one, anything else for a file, as sigstore's clients do.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        for (algorithm, length) in [("sha256", 64), ("sha512", 128)] {
            let hex = text.strip_prefix(algorithm).and_then(|rest| rest.strip_prefix(':'));
            let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            if let Some(hex) = hex.filter(|hex| hex.len() == length && hex.bytes().all(digit)) {
                return Self::Digest(algorithm, hex.to_owned());
            }
        }
        Self::File(text.into())
    }
}

/// Judges the bundle of `request`. The first thing that is wrong is told.
///
/// 1. Its form: one content, one signature, one answer to who signed.
/// 2. The signature, by whom it must be; with a trusted root also certificate, log entries and timestamps.
/// 3. That it is about the subject, and of the kind that is wanted.
///
/// # Errors
/// [`ReadError`].
pub fn judge(request: &Request) -> Result<Outcome, ReadError> {
    let bytes = open(&request.bundle)
        .and_then(|file| read_bounded(file, BUNDLE_SIZE_BYTES_MAX + 1, "the bundle"))
        .map_err(|source| ReadError { path: request.bundle.clone(), source })?;
    let subject = Known::read(&request.subject)?;
    let mut outcome = Outcome {
        bundle: Digest::of(&bytes),
        statement: None,
        predicate_type: None,
        signer: None,
        times_s: Vec::new(),
        refused: None,
        notes: Vec::new(),
    };
    outcome.refused = judged(request, &bytes, &subject, &mut outcome).err();
    if outcome.refused.is_some() {
        outcome.signer = None; // What is refused was signed by nobody.
    }
    Ok(outcome)
}

fn judged(request: &Request, bytes: &[u8], subject: &Known, outcome: &mut Outcome) -> Result<(), Found> {
    let bundle = SigstoreBundle::parse(bytes).map_err(|error| of_bundle(&error))?;
    match &request.signers {
        Signers::Keys(keys, root) => by_key(&bundle, bytes, subject, (keys, root.as_ref()), outcome)?,
        Signers::Identity(root, identity) => by_identity(&bundle, bytes, subject, (root, identity), outcome)?,
    }
    match (&bundle.content, &request.predicate_type) {
        (Content::Envelope(envelope), wanted) => about(envelope, subject, wanted.as_deref(), outcome),
        (Content::Message(_), None) => Ok(()),
        (Content::Message(_), Some(wanted)) => Err(found(
            Code::PredicateMissing,
            format!("it is a signature over a file, not a statement of type {wanted}"),
        )),
    }
}

fn by_key(
    bundle: &SigstoreBundle,
    bytes: &[u8],
    subject: &Known,
    (keys, root): (&[PublicKey], Option<&TrustedRoot>),
    outcome: &mut Outcome,
) -> Result<(), Found> {
    let Material::Key(hint) = &bundle.material else {
        let text = "it is signed with a certificate, and only keys are trusted; give --trusted-root, --identity and --issuer";
        return Err(found(Code::CertificateUntrusted, text));
    };
    let key = match &bundle.content {
        Content::Envelope(envelope) => {
            let message = pae(&envelope.payload_type, &envelope.payload);
            let signature = envelope.signatures.first().map(Vec::as_slice).unwrap_or_default();
            signed_by(keys, |key| Some(key.check(&message, signature)))?
        }
        Content::Message(message) => {
            fits(message, subject)?;
            signed_by(keys, |key| subject.check(key, &message.signature))?
        }
    };
    let Some((key, checked)) = key else {
        return Err(if keys.iter().any(|key| key.hint() == *hint) {
            found(Code::SignatureInvalid, "it names a trusted key, and that key did not make its signature")
        } else {
            found(Code::SignerUntrusted, "no trusted key made its signature")
        });
    };
    readable(&bundle.content)?;
    if bundle.version < Version::V03 && bundle.entries == 0 {
        return Err(found(
            Code::EntryMissing,
            "a bundle of this version has a log entry, and this one has none",
        ));
    }
    if let Checked::Unportable(by, _) = checked {
        outcome.notes.push(found(
            Code::SignatureUnportable,
            format!("signed with {by}, which cosign does not verify"),
        ));
    }
    if bundle.entries + bundle.timestamps > 0 {
        match root {
            None => outcome.notes.push(found(
                Code::EntryUnchecked,
                "it has log entries or timestamps, which were not looked at; give --trusted-root to have them judged",
            )),
            Some(root) => {
                let text = String::from_utf8_lossy(bytes);
                outcome.times_s = root.verify_key(&text, &subject.signed(), key).map_err(of_refused)?.times_s;
            }
        }
    }
    outcome.signer = Some(format!("key {}", key.fingerprint()));
    Ok(())
}

/// The first of `keys` that made a signature, and how. A key that signs bytes cannot tell by a digest: `check` gives none.
fn signed_by(
    keys: &[PublicKey],
    check: impl Fn(&PublicKey) -> Option<Checked>,
) -> Result<Option<(&PublicKey, Checked)>, Found> {
    let mut untold = false;
    for key in keys {
        match check(key) {
            Some(Checked::No) => {}
            Some(checked) => return Ok(Some((key, checked))),
            None => untold = true,
        }
    }
    if untold {
        let text = "an Ed25519 signature is over the whole file, up to 32 MiB, not over its digest; give such a file as --subject";
        return Err(found(Code::SubjectUnheld, text));
    }
    Ok(None)
}

fn by_identity(
    bundle: &SigstoreBundle,
    bytes: &[u8],
    subject: &Known,
    (root, identity): (&TrustedRoot, &Identity),
    outcome: &mut Outcome,
) -> Result<(), Found> {
    let Material::Certificates(certificates) = &bundle.material else {
        return Err(found(
            Code::SignerUntrusted,
            "it is signed by a key, and an identity is wanted; trust keys with --trust",
        ));
    };
    if certificates.iter().any(|der| own_issuer(der)) {
        return Err(found(
            Code::CertificateInvalid,
            "it brings a root certificate; roots are trusted where they are given, nowhere else",
        ));
    }
    if let Content::Message(message) = &bundle.content {
        fits(message, subject)?;
    }
    readable(&bundle.content)?;
    let text = String::from_utf8_lossy(bytes);
    let signer = root.verify(&text, &subject.signed(), identity).map_err(of_refused)?;
    outcome.signer = Some(format!("{} (by {})", signer.subject, signer.issuer));
    outcome.times_s = signer.times_s;
    Ok(())
}

/// Whether a statement can be read, if it is one: said in our own words, before the log's reader says it in its.
fn readable(content: &Content) -> Result<(), Found> {
    match content {
        Content::Envelope(envelope) => envelope.statement().map(drop).map_err(|error| of_statement(&error)),
        Content::Message(_) => Ok(()),
    }
}

/// Whether a certificate is issued by its own subject.
fn own_issuer(der: &[u8]) -> bool {
    x509_cert::Certificate::from_der(der)
        .is_ok_and(|certificate| certificate.tbs_certificate.issuer == certificate.tbs_certificate.subject)
}

/// Whether the digest that a message signature brings is that of the subject.
fn fits(message: &Message, subject: &Known) -> Result<(), Found> {
    let Some((algorithm, digest)) = &message.digest else { return Ok(()) };
    let name = match algorithm.as_str() {
        "SHA2_256" => "sha256",
        "SHA2_512" => "sha512",
        _ => return Ok(()), // What it says is looked at by nobody; the signature is.
    };
    match subject.digests.get(name) {
        Some(hex) if *hex != hex_of(digest) => Err(found(
            Code::SubjectMismatch,
            format!("it is about {name}:{}, not {name}:{hex}", hex_of(digest)),
        )),
        _ => Ok(()),
    }
}

/// Whether the statement in `envelope` is one, about the subject, and of the kind that is wanted.
fn about(
    envelope: &Envelope,
    subject: &Known,
    wanted: Option<&str>,
    outcome: &mut Outcome,
) -> Result<(), Found> {
    let statement = envelope.statement().map_err(|error| of_statement(&error))?;
    outcome.statement = Some(Digest::of(&envelope.payload));
    outcome.predicate_type = Some(statement.predicate_type.clone());
    if !statement.names_digests(&subject.digests) {
        return Err(found(Code::SubjectMismatch, mismatch(&statement)));
    }
    match wanted {
        Some(wanted) if wanted != statement.predicate_type => Err(found(
            Code::PredicateMissing,
            format!("it is a {}, not a {wanted}", statement.predicate_type),
        )),
        _ => Ok(()),
    }
}

fn mismatch(statement: &Statement) -> String {
    let first = statement.subject.iter().flat_map(|subject| &subject.digest).next();
    let first = first.map(|(algorithm, hex)| format!("{algorithm}:{hex}")).unwrap_or_default();
    match statement.subject.len() {
        0 | 1 => format!("its subject is {first}"),
        count => format!("none of its {count} subjects is this; the first is {first}"),
    }
}

/// What is known of the subject.
struct Known {
    /// Algorithm to hex.
    digests: BTreeMap<String, String>,
    held: Held,
}

enum Held {
    Bytes(Vec<u8>),
    File(File),
    Digest(&'static str, Vec<u8>),
}

impl Known {
    fn read(subject: &Subject) -> Result<Self, ReadError> {
        match subject {
            Subject::Digest(algorithm, hex) => Ok(Self {
                digests: BTreeMap::from([((*algorithm).to_owned(), hex.clone())]),
                held: Held::Digest(algorithm, of_hex(hex)),
            }),
            Subject::File(path) => {
                Self::of_file(path).map_err(|source| ReadError { path: path.clone(), source })
            }
        }
    }

    fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        let (mut sha256, mut sha512) = (Sha256::new(), Sha512::new());
        let (mut buffer, mut bytes, mut size_bytes) = (vec![0; 1 << 18], Vec::new(), 0_u64);
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            let read = &buffer[..count];
            sha256.update(read);
            sha512.update(read);
            size_bytes += count as u64;
            if size_bytes <= SUBJECT_HELD_SIZE_BYTES_MAX {
                bytes.extend_from_slice(read);
            } else {
                bytes = Vec::new();
            }
        }
        let (sha256, sha512) = (hex_of(&sha256.finalize()), hex_of(&sha512.finalize()));
        let held = if size_bytes <= SUBJECT_HELD_SIZE_BYTES_MAX {
            Held::Bytes(bytes)
        } else {
            file.rewind()?;
            Held::File(file)
        };
        Ok(Self {
            digests: [("sha256", sha256), ("sha512", sha512)]
                .map(|(name, hex)| (name.to_owned(), hex))
                .into(),
            held,
        })
    }

    fn signed(&self) -> Signed<'_> {
        match &self.held {
            Held::Bytes(bytes) => Signed::Bytes(bytes),
            Held::File(file) => Signed::File(file),
            Held::Digest(algorithm, bytes) => Signed::Digest(algorithm, bytes),
        }
    }

    /// What `key` says of a signature over the subject's bytes; nothing if it cannot tell by what is held.
    fn check(&self, key: &PublicKey, signature: &[u8]) -> Option<Checked> {
        if let Held::Bytes(bytes) = &self.held {
            return Some(key.check(bytes, signature));
        }
        let digest: Digest = format!("sha256:{}", self.digests.get("sha256")?).parse().ok()?;
        let good = key.verify_digest(&digest, signature)?;
        Some(if good { Checked::Portable } else { Checked::No })
    }
}

/// Opens a regular file; never waits for a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default(); // Both are small.
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()? {
        metadata if metadata.is_file() => Ok(file),
        metadata if metadata.is_dir() => Err(io::Error::other("it is a directory")),
        _ => Err(io::Error::other("it is no regular file")),
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of digits that were looked at before.
fn of_hex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte.saturating_sub(b'a') + 10 };
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn found(code: Code, message: impl Into<String>) -> Found {
    Found { code, message: message.into() }
}

fn of_bundle(error: &SigstoreError) -> Found {
    let code = match error {
        SigstoreError::Json(error) => error.into(),
        SigstoreError::Version(_) => Code::BundleVersion,
        SigstoreError::Envelope(EnvelopeError::PayloadType(_)) => Code::PayloadType,
        SigstoreError::Envelope(EnvelopeError::Signatures(0)) => Code::SignatureMissing,
        SigstoreError::Envelope(EnvelopeError::Signatures(_)) | SigstoreError::Signatures(_) => {
            Code::SignaturesTooMany
        }
        SigstoreError::Envelope(_) => Code::EnvelopeMalformed,
        _ => Code::BundleMalformed,
    };
    found(code, chain(error))
}

fn of_statement(error: &StatementError) -> Found {
    let code = match error {
        StatementError::Json(error) => error.into(),
        StatementError::Type(_) => Code::StatementType,
        StatementError::Field("`predicate` object") => Code::PredicateEmpty,
        StatementError::Field("`subject` list")
        | StatementError::Subjects(_)
        | StatementError::Subject { .. }
        | StatementError::NoDigest => Code::SubjectMalformed,
        StatementError::Field(_) => Code::StatementMalformed,
    };
    found(code, chain(error))
}

fn of_refused(refused: Refused) -> Found {
    let code = match refused.fault {
        Fault::Form => Code::BundleMalformed,
        Fault::Certificate => Code::CertificateInvalid,
        Fault::Identity => Code::IdentityMismatch,
        Fault::Log => Code::EntryInvalid,
        Fault::Time => Code::TimeUnproven,
        Fault::Signature => Code::SignatureInvalid,
        Fault::Subject => Code::SubjectMismatch,
    };
    found(code, refused.message)
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;

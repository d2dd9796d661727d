//! From bytes to a statement that is believed, or the reason why not: signature, form, subject, kind, and whether this
//! signer may say it; in this order.

use super::{Believed, Candidate, Code, Form, Judged, Opened, Refused, Roots, Said, State};
use crate::{
    attest::{
        Bundle, BundleError, Envelope, EnvelopeError, JsonError, Promoted, PublicKey, Rebuilt, Statement,
        StatementError, Summary, View, ViewError, pae,
    },
    model::{
        Digest, chain,
        limits::ATTESTATION_DOUBTED_BYTES_MAX,
        names::{
            IN_TOTO_JSON, PROMOTION_PREDICATE, REBUILD_PREDICATE, SLSA_PROVENANCE, SLSA_PROVENANCE_V02,
            SLSA_SUMMARY,
        },
    },
};

/// A refusal in the making.
type No = (Code, String);

/// Looks at one attestation of `judged`.
#[must_use]
pub fn open(candidate: Candidate, roots: &Roots, judged: &Judged) -> Opened {
    let (at, annotated) = (candidate.at, candidate.annotated.clone());
    let mut opened = Opened {
        at,
        predicate_type: None,
        statement: None,
        signer: None,
        annotated: None,
        of_commits: None,
        state: State::Refused(Refused::new(None, Code::Unsigned, "")), // Replaced below.
    };
    opened.state = match look(candidate, roots, judged, &mut opened) {
        Ok(believed) => State::Believed(Box::new(believed)),
        Err((code, why)) => State::Refused(Refused::new(Some(at.digest()), code, &why)),
    };
    opened.annotated = annotated.filter(|kind| Some(kind) != opened.predicate_type.as_ref());
    opened
}

fn look(candidate: Candidate, roots: &Roots, judged: &Judged, opened: &mut Opened) -> Result<Believed, No> {
    let (envelope, hint) = match candidate.form {
        Form::Bundle => {
            let bundle = Bundle::parse(&candidate.bytes).map_err(|error| of_bundle(&error))?;
            (bundle.envelope, bundle.hint)
        }
        Form::Envelope => {
            (Envelope::parse(&candidate.bytes).map_err(|error| of_envelope(&error))?, String::new())
        }
        Form::Statement => return Err((Code::Unsigned, "nobody signed it".to_owned())),
    };
    // A large one is let go now: it is held twice already.
    let small = candidate.bytes.len() <= ATTESTATION_DOUBTED_BYTES_MAX;
    let bytes = Some(candidate.bytes).filter(|_| small);
    opened.statement = Some(Digest::of(&envelope.payload));
    let vouching = signers(&envelope, &hint, roots);
    let vouching = match (vouching, candidate.vouched) {
        (Ok(keys), identities) => [keys, identities].concat(),
        (Err(_), identities) if !identities.is_empty() => identities,
        (Err(no), _) => {
            let Some(bytes) = &bytes else { return Err(no) };
            // What a stranger says it is may be told, not believed.
            opened.predicate_type = Statement::parse(&envelope.payload).ok().map(|said| said.predicate_type);
            return Err(certified(bytes, no, candidate.doubt));
        }
    };
    opened.signer = vouching.first().map(|index| roots.0[*index].name.clone());
    let statement = Statement::parse(&envelope.payload).map_err(|error| of_statement(&error))?;
    opened.predicate_type = Some(statement.predicate_type.clone());
    if let Err(no) = about(&statement, judged) {
        opened.of_commits = of_commits(statement, vouching, roots)?;
        return Err(no);
    }
    allowed(statement, vouching, roots)
}

/// A summary about commits alone (SLSA 1.2, "Source verification summary attestation"), if it is one and its signer may make
/// it. Any other statement that is not about the image is about something else.
fn of_commits(
    statement: Statement,
    vouching: Vec<usize>,
    roots: &Roots,
) -> Result<Option<Box<Believed>>, No> {
    if statement.predicate_type != SLSA_SUMMARY || statement.commits().is_none() {
        return Ok(None);
    }
    allowed(statement, vouching, roots).map(|believed| Some(Box::new(believed)))
}

/// Roots whose key made one of the signatures.
fn signers(envelope: &Envelope, hint: &str, roots: &Roots) -> Result<Vec<usize>, No> {
    let keys: Vec<PublicKey> = roots.keys().into_iter().cloned().collect();
    if let Some(index) = envelope.verified_by(&keys) {
        // Other keys may have signed too; each counts for itself.
        let more = keys
            .iter()
            .skip(index + 1)
            .filter(|key| envelope.verified_by(std::slice::from_ref(key)).is_some());
        return Ok(std::iter::once(&keys[index]).chain(more).flat_map(|key| roots.of_key(key)).collect());
    }
    if keys.iter().any(|key| signed_otherwise(envelope, key)) {
        return Err((Code::SignatureForm, "a trusted key signed it, but without the DSSE frame".to_owned()));
    }
    if keys.iter().any(|key| key.hint() == hint) {
        return Err((
            Code::SignatureInvalid,
            "the signature is not that of the trusted key it names".to_owned(),
        ));
    }
    Err((Code::SignerUntrusted, "no signature by a trusted key".to_owned()))
}

/// Of a bundle by nobody who is trusted: whether it brings a certificate, which nobody here vouches for.
fn certified(bundle: &[u8], no: No, doubt: Option<String>) -> No {
    let read = serde_json::from_slice::<serde_json::Value>(bundle).unwrap_or_default();
    let brings = |name: &str| {
        read.pointer(&format!("/verificationMaterial/{name}")).is_some_and(|value| !value.is_null())
    };
    if no.0 == Code::SignerUntrusted && (brings("certificate") || brings("x509CertificateChain")) {
        let none = "it brings its own certificate, and no identity is trusted".to_owned();
        return (Code::CertificateUntrusted, doubt.unwrap_or(none));
    }
    no
}

/// Whether `key` signed the bare payload, or its base64: a mistake worth a word of its own.
fn signed_otherwise(envelope: &Envelope, key: &PublicKey) -> bool {
    let Some(signature) = envelope.signatures.first() else { return false };
    if envelope.payload.len() > ATTESTATION_DOUBTED_BYTES_MAX {
        return false;
    }
    let framed = [pae("application/json", &envelope.payload), pae("text/plain", &envelope.payload)];
    key.verify(&envelope.payload, signature) || framed.iter().any(|bytes| key.verify(bytes, signature))
}

/// Whether it is about what is judged. A subject that also has a digest of another kind must be right in both.
fn about(statement: &Statement, judged: &Judged) -> Result<(), No> {
    let sha256 = judged.digest().hex();
    let fits = |algorithm: &str, own: &str, digest: &std::collections::BTreeMap<String, String>| {
        digest.get(algorithm).map(|said| said == own)
    };
    let matches = statement.subject.iter().any(|subject| {
        let both =
            [fits("sha256", &sha256, &subject.digest), fits("sha512", &judged.sha512, &subject.digest)];
        both.contains(&Some(true)) && !both.contains(&Some(false))
    });
    if matches {
        return Ok(());
    }
    let first = statement.subject.iter().find_map(|subject| subject.digest.iter().next());
    let named = first.map(|(algorithm, hex)| format!("{algorithm}:{hex}")).unwrap_or_default();
    let more = match statement.subject.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    Err((Code::SubjectMismatch, format!("it is about {named}{more}, not about {}", judged.digest())))
}

/// Keeps those of `vouching` that may say this.
fn allowed(mut statement: Statement, mut vouching: Vec<usize>, roots: &Roots) -> Result<Believed, No> {
    let kind = &statement.predicate_type;
    vouching.retain(|index| roots.0[*index].may_say(kind));
    if vouching.is_empty() {
        return Err((
            Code::PredicateNotAllowed,
            format!("its signer may not make statements of type {kind}"),
        ));
    }
    let said = match kind.as_str() {
        SLSA_PROVENANCE | SLSA_PROVENANCE_V02 => {
            let view = View::take(&mut statement).map_err(|error| match error {
                ViewError::Builder => (Code::BuilderMissing, error.to_string()),
                _ => (Code::ProvenanceMalformed, error.to_string()),
            })?;
            vouching.retain(|index| roots.0[*index].builders.has(&view.builder_id));
            if vouching.is_empty() {
                let why = format!("its signer may not speak for the builder `{}`", view.builder_id);
                return Err((Code::BuilderNotAllowed, why));
            }
            Said::Provenance(Box::new(view))
        }
        REBUILD_PREDICATE => {
            let rebuilt =
                Rebuilt::read(&statement).map_err(|error| (Code::RebuildMalformed, chain(&error)))?;
            vouching.retain(|index| roots.0[*index].rebuilders.has(&rebuilt.rebuilder.id));
            if vouching.is_empty() {
                let why = format!("its signer may not speak for the rebuilder `{}`", rebuilt.rebuilder.id);
                return Err((Code::RebuilderNotAllowed, why));
            }
            Said::Rebuilt(Box::new(rebuilt))
        }
        SLSA_SUMMARY => {
            let summary =
                Summary::read(&statement).map_err(|error| (Code::SummaryMalformed, chain(&error)))?;
            vouching.retain(|index| roots.0[*index].verifiers.contains(&summary.verifier.id));
            if vouching.is_empty() {
                let why = format!("its signer may not speak for the verifier `{}`", summary.verifier.id);
                return Err((Code::VerifierNotAllowed, why));
            }
            Said::Summary(Box::new(summary))
        }
        PROMOTION_PREDICATE => {
            let promoted =
                Promoted::read(&statement).map_err(|error| (Code::PromotionMalformed, chain(&error)))?;
            Said::Promoted(Box::new(promoted))
        }
        _ => Said::Other,
    };
    Ok(Believed { statement, said, roots: vouching })
}

fn of_bundle(error: &BundleError) -> No {
    let code = match error {
        BundleError::Json(error) => return of_json(error),
        BundleError::Version(_) => Code::BundleVersion,
        BundleError::Field(_) | BundleError::Unknown(_) => Code::BundleMalformed,
        BundleError::Envelope(error) => return of_envelope(error),
    };
    (code, chain(error))
}

fn of_envelope(error: &EnvelopeError) -> No {
    let code = match error {
        EnvelopeError::Json(error) => return of_json(error),
        EnvelopeError::PayloadType(_) => Code::PayloadType,
        EnvelopeError::Signatures(0) => Code::SignatureMissing,
        EnvelopeError::Signatures(_) => Code::SignaturesTooMany,
        EnvelopeError::Field("`sig`" | "`signatures` list" | "object for a signature") => {
            Code::SignatureMissing
        }
        EnvelopeError::Field(_) | EnvelopeError::Base64(_) => Code::EnvelopeMalformed,
    };
    let more =
        if code == Code::PayloadType { format!(" (`{IN_TOTO_JSON}` is signed)") } else { String::new() };
    (code, format!("{}{more}", chain(error)))
}

fn of_json(error: &JsonError) -> No {
    (error.into(), chain(error))
}

impl From<&JsonError> for Code {
    fn from(error: &JsonError) -> Self {
        match error {
            JsonError::Size { .. } | JsonError::Values => Self::TooLarge,
            error if error.stands_twice() => Self::JsonDuplicateKey,
            JsonError::Syntax(_) => Self::JsonMalformed,
        }
    }
}

fn of_statement(error: &StatementError) -> No {
    let code = match error {
        StatementError::Json(error) => return of_json(error),
        StatementError::Type(_) => Code::StatementType,
        StatementError::Field("`predicate` object") => Code::PredicateEmpty,
        StatementError::Field(_) => Code::StatementMalformed,
        StatementError::Subjects(0) | StatementError::Subject { .. } | StatementError::NoDigest => {
            Code::SubjectMalformed
        }
        StatementError::Subjects(_) => Code::TooLarge,
    };
    (code, chain(error))
}

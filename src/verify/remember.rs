//! What a statement is in the ledger. Whoever attests writes this entry, and whoever reads the attestations again arrives
//! at the same one.

use serde_json::Value;

use super::{Evidence, RootSigner};
use crate::{
    attest::{Rebuilt, Statement, Summary, View, rebuilt::InputsFrom},
    entry::{Entry, Kind, Waived},
    model::{
        Digest, ImageName,
        names::{PROMOTION_PREDICATE, REBUILD_PREDICATE, SLSA_PROVENANCE, SLSA_PROVENANCE_V02, SLSA_SUMMARY},
        reference,
        time::parse_rfc3339,
    },
};

/// in-toto's predicate of test results; the prefix of every version.
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/";

/// Where a statement stands.
#[derive(Debug, Clone)]
pub struct Placed<'a> {
    /// The repository in which it was found, `HOST/NAME`; what the statement says itself goes before.
    pub repository: &'a str,
    /// The manifest it is about.
    pub image: Digest,
    /// The referrer's manifest.
    pub evidence: Digest,
    /// Who signed it, as [`signer_id`] calls it; none: nobody.
    pub signer: Option<String>,
}

/// How the ledger calls a signer: a key by its fingerprint in hex, an identity by its name.
#[must_use]
pub fn signer_id(signer: &RootSigner) -> String {
    match signer {
        RootSigner::Key(key) => key.fingerprint().hex(),
        RootSigner::Identity { identity, issuer } => format!("{identity} ({issuer})"),
    }
}

/// The entry that `statement` is; none if it is of another kind, cannot be read, or says not when it was made.
#[must_use]
pub fn remembered(statement: &Statement, placed: &Placed<'_>) -> Option<Entry> {
    match statement.predicate_type.as_str() {
        SLSA_PROVENANCE | SLSA_PROVENANCE_V02 => built(statement, placed),
        SLSA_SUMMARY => verified(statement, placed),
        REBUILD_PREDICATE => rebuilt(statement, placed),
        PROMOTION_PREDICATE => promoted(statement, placed),
        kind if kind.starts_with(TEST_RESULT) => tested(statement, placed),
        _ => None,
    }
}

/// Every entry that stands beside one image, of what is believed, by time.
#[must_use]
pub fn remembered_all(evidence: &Evidence, repository: &str) -> Vec<Entry> {
    let entry = |(opened, believed): (&super::Opened, &super::Believed)| {
        let signer = believed.roots.first().map(|index| signer_id(&evidence.roots.0[*index].signer));
        let (image, evidence) = (evidence.judged.digest(), opened.at.digest());
        remembered(&believed.statement, &Placed { repository, image, evidence, signer })
    };
    let mut entries: Vec<_> = evidence.believed().filter_map(entry).collect();
    entries.sort_by_cached_key(order);
    entries
}

/// The order in which entries that were read again are written.
#[must_use]
pub fn order(entry: &Entry) -> (i64, String, Option<Digest>, Kind, Option<Digest>) {
    (entry.at_s, entry.repository.clone(), entry.digest, entry.kind, entry.evidence)
}

/// What all of them have.
fn entry(statement: &Statement, placed: &Placed<'_>, kind: Kind, at_s: i64, outcome: &str) -> Entry {
    let hex = placed.image.hex();
    let named = statement.subject.iter().find(|subject| subject.digest.get("sha256") == Some(&hex));
    let is_place = |name: &&str| name.parse::<ImageName>().is_ok_and(|image| image.repository() == **name);
    let repository = named.map(|subject| subject.name.as_str()).filter(is_place);
    Entry {
        at_s,
        kind,
        repository: repository.unwrap_or(placed.repository).to_owned(),
        tag: None,
        digest: Some(placed.image),
        outcome: outcome.to_owned(),
        evidence: Some(placed.evidence),
        by: String::new(),
        tool: String::new(),
        signer: placed.signer.clone(),
        policy: None,
        conditions: None,
        group: None,
        owner: None,
        codes: std::collections::BTreeMap::new(),
        waived: Vec::new(),
        from: None,
        before: None,
        took_ms: None,
        report: None,
        error: None,
    }
}

fn built(statement: &Statement, placed: &Placed<'_>) -> Option<Entry> {
    let view = View::read(statement).ok()?;
    let at_s = view.finished_on_s.or(view.started_on_s)?;
    let version = statement.predicate.pointer("/runDetails/builder/version");
    Some(Entry {
        by: view.builder_id.clone(),
        tool: tool(version),
        took_ms: took_ms(view.started_on_s, view.finished_on_s),
        ..entry(statement, placed, Kind::Built, at_s, "built")
    })
}

fn verified(statement: &Statement, placed: &Placed<'_>) -> Option<Entry> {
    let summary = Summary::read(statement).ok()?;
    let outcome = if summary.passed() { "passed" } else { "failed" };
    let name = reference::from_uri(&summary.resource_uri).ok();
    let policy = summary.policy.digest.get("sha256").and_then(|hex| Digest::from_hex(hex));
    Some(Entry {
        tag: name.and_then(|name| name.selector.tag),
        by: summary.verifier.id.clone(),
        tool: tool(statement.predicate.pointer("/verifier/version")),
        policy,
        ..entry(statement, placed, Kind::Verified, summary.verified_on_s()?, outcome)
    })
}

fn rebuilt(statement: &Statement, placed: &Placed<'_>) -> Option<Entry> {
    let rebuilt = Rebuilt::read(statement).ok()?;
    let kind = match rebuilt.inputs {
        InputsFrom::Replay => Kind::Rebuilt,
        InputsFrom::Live => Kind::RebuiltLive,
    };
    Some(Entry {
        by: rebuilt.rebuilder.id.clone(),
        tool: format!("reprov {}", rebuilt.rebuilder.version),
        codes: rebuilt.drifts.by_cause.clone(),
        took_ms: took_ms(Some(rebuilt.started_on_s), Some(rebuilt.finished_on_s)),
        ..entry(statement, placed, kind, rebuilt.finished_on_s, rebuilt.verdict.name())
    })
}

/// in-toto's `test-result`: `result` is PASSED, WARNED or FAILED. When and by whom it has no field for; ours adds them.
fn tested(statement: &Statement, placed: &Placed<'_>) -> Option<Entry> {
    let text = |pointer: &str| statement.predicate.pointer(pointer).and_then(Value::as_str);
    let outcome = match text("/result")? {
        "PASSED" | "WARNED" => "passed",
        "FAILED" => "failed",
        _ => return None,
    };
    let at_s = parse_rfc3339(text("/finishedOn").or_else(|| text("/timestamp"))?)?;
    let failed = statement.predicate.pointer("/failedTests").and_then(Value::as_array).map_or(0, Vec::len);
    Some(Entry {
        by: text("/tester/id").unwrap_or_default().to_owned(),
        tool: tool(statement.predicate.pointer("/tester/version")),
        codes: (failed > 0).then(|| ("test-failed".to_owned(), failed as u64)).into_iter().collect(),
        took_ms: took_ms(text("/startedOn").and_then(parse_rfc3339), Some(at_s)),
        ..entry(statement, placed, Kind::Tested, at_s, outcome)
    })
}

/// `attestations/promotion/v1`. It is about the tag it names, wherever it was found.
fn promoted(statement: &Statement, placed: &Placed<'_>) -> Option<Entry> {
    let text = |pointer: &str| statement.predicate.pointer(pointer).and_then(Value::as_str);
    let digest = |pointer: &str| text(pointer).and_then(|text| text.parse::<Digest>().ok());
    let kind = if text("/action")? == "undo" { Kind::Undone } else { Kind::Promoted };
    // The tag was moved to the first subject; the others are the images in it, which have the statement beside them too.
    let moved_to = statement.subject.first()?.digest.get("sha256")?;
    if *moved_to != placed.image.hex() {
        return None;
    }
    let list = statement.predicate.pointer("/waived").and_then(Value::as_array);
    let waived = |value: &Value| {
        let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        Some(Waived { code: text("code")?, owner: text("owner")?, until: text("until")? })
    };
    let mut waived: Vec<_> = list.into_iter().flatten().filter_map(waived).collect();
    waived.sort();
    waived.dedup();
    Some(Entry {
        repository: text("/to").filter(|to| !to.is_empty())?.to_owned(),
        tag: Some(text("/tag").filter(|tag| !tag.is_empty())?.to_owned()),
        by: text("/promoter/id")?.to_owned(),
        tool: tool(statement.predicate.pointer("/promoter/version")),
        policy: digest("/policy/digest"),
        waived,
        from: text("/from").map(str::to_owned),
        before: digest("/before"),
        ..entry(statement, placed, kind, parse_rfc3339(text("/promotedOn")?)?, "promoted")
    })
}

/// The first part and its version: `reprov 0.1.0`.
fn tool(version: Option<&Value>) -> String {
    let parts = version.and_then(Value::as_object);
    let ours = parts.and_then(|parts| parts.get_key_value("reprov").or_else(|| parts.iter().next()));
    ours.map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default())).unwrap_or_default()
}

fn took_ms(started_s: Option<i64>, finished_s: Option<i64>) -> Option<u64> {
    u64::try_from(finished_s?.checked_sub(started_s?)?).ok()?.checked_mul(1000)
}

//! FORMATS.md §12, rows 1 to 48 but 40: each is refused, by its own word or because nobody can tell. The list in
//! `docs/verification.md` is made from this table (`make attacks`).

use std::{fs, path::Path, time::Instant};

use crate::support::Ran;

use super::{bytes, network, sources, stand::denials};

/// What an attack ends with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// Exit 1, with this word among those that refuse the image.
    No(&'static str),
    /// Exit 3: nobody can tell.
    Unknown,
}

use Answer::{No, Unknown};

/// Row of FORMATS.md §12, what is done, and what comes of it; each with the run that shows it.
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) what: &'static str,
    pub(crate) answer: Answer,
    pub(crate) run: fn() -> Ran,
}

const fn row(number: u8, what: &'static str, answer: Answer, run: fn() -> Ran) -> Row {
    Row { number, what, answer, run }
}

/// Longest that any of them may take.
const SECONDS_MAX: u64 = 40;

pub(crate) const ROWS: &[Row] = &[
    row(1, "no attestation", No("no-attestation"), bytes::nothing),
    row(2, "a stranger's signature", No("signer-untrusted"), bytes::stranger),
    row(
        2,
        "a stranger's signature with our hint and key id",
        No("signature-invalid"),
        bytes::stranger_with_our_hint,
    ),
    row(3, "a bit of the signature flipped", No("signature-invalid"), bytes::flipped_signature),
    row(3, "a bit of the payload flipped", No("signature-invalid"), bytes::flipped_payload),
    row(4, "signed without the DSSE frame", No("signature-form"), bytes::without_pae),
    row(4, "signed in the frame of another type", No("signature-form"), bytes::pae_of_another_type),
    row(5, "another payload type, rightly signed", No("payload-type"), bytes::another_payload_type),
    row(6, "no signatures", No("signature-missing"), bytes::no_signatures),
    row(6, "signatures null", No("signature-missing"), bytes::null_signatures),
    row(6, "an empty signature", No("signature-missing"), bytes::empty_signature),
    row(6, "r = s = 0", No("signature-invalid"), bytes::zero_signature),
    row(7, "a byte after the signature's DER", No("signature-invalid"), bytes::der_and_more),
    row(7, "Ed25519 with S + L", No("signature-invalid"), bytes::malleable),
    row(7, "a signature over SHA-1", No("signature-invalid"), bytes::sha1),
    row(8, "the bundle brings its own certificate", No("certificate-untrusted"), bytes::own_certificate),
    row(8, "the bundle brings its own key", No("signer-untrusted"), bytes::own_key),
    row(9, "only a message signature", No("bundle-malformed"), bytes::message_signature),
    row(9, "an envelope and a message signature", No("bundle-malformed"), bytes::both_contents),
    row(10, "five thousand signatures", No("signatures-too-many"), bytes::many_signatures),
    row(11, "base64 with a foreign character", No("envelope-malformed"), bytes::foreign_base64),
    row(11, "the payload is an object", No("envelope-malformed"), bytes::object_payload),
    row(12, "about another image", No("subject-mismatch"), bytes::another_image),
    row(
        12,
        "a source's summary, about another commit",
        No("source-unattested"),
        sources::summary_of_another_commit,
    ),
    row(
        12,
        "a source's summary, about another repository",
        No("source-unattested"),
        sources::summary_of_another_repository,
    ),
    row(13, "the right name, a wrong digest", No("subject-mismatch"), bytes::right_name),
    row(13, "the digest of the config", No("subject-mismatch"), bytes::config_digest),
    row(13, "the commit that it was built from", No("subject-mismatch"), sources::provenance_of_the_commit),
    row(14, "no subject", No("subject-malformed"), bytes::no_subject),
    row(14, "a subject without a digest", No("subject-malformed"), bytes::subject_without_digest),
    row(14, "a short digest", No("subject-malformed"), bytes::short_digest),
    row(14, "a made-up algorithm", No("subject-malformed"), bytes::made_up_algorithm),
    row(15, "`subject` twice, ours last", No("json-duplicate-key"), bytes::subject_twice_last),
    row(15, "`subject` twice, ours first", No("json-duplicate-key"), bytes::subject_twice_first),
    row(15, "`payload` twice", No("json-duplicate-key"), bytes::payload_twice),
    row(15, "`builder` twice", No("json-duplicate-key"), bytes::builder_twice),
    row(16, "`Subject`", No("statement-malformed"), bytes::subject_in_another_case),
    row(16, "`PredicateType`", No("statement-malformed"), bytes::type_in_another_case),
    row(17, "a byte order mark", No("json-malformed"), bytes::byte_order_mark),
    row(17, "bytes after the statement", No("json-malformed"), bytes::bytes_after),
    row(17, "bad UTF-8", No("json-malformed"), bytes::bad_utf8),
    row(17, "an array", No("statement-malformed"), bytes::array),
    row(18, "an unknown `_type`", No("statement-type"), bytes::unknown_type),
    row(18, "no `_type`", No("statement-type"), bytes::no_type),
    row(19, "`predicate` null", No("predicate-empty"), bytes::null_predicate),
    row(
        20,
        "the annotation says provenance, the statement does not",
        No("predicate-missing"),
        bytes::lying_annotation,
    ),
    row(21, "a builder that is not allowed", No("builder-not-allowed"), bytes::another_builder),
    row(21, "an allowed builder's id with a suffix", No("builder-not-allowed"), bytes::builder_and_more),
    row(21, "an allowed builder's id and NUL", No("builder-not-allowed"), bytes::builder_and_nul),
    row(
        22,
        "ESC and bidirectional marks in a builder's id",
        No("builder-not-allowed"),
        bytes::steering_builder,
    ),
    row(23, "200,000 brackets", No("json-malformed"), bytes::brackets),
    row(23, "two million subjects", No("too-large"), bytes::many_subjects),
    row(24, "a statement of 40 MiB", No("too-large"), bytes::large_statement),
    row(25, "an unknown version of bundle", No("bundle-version"), bytes::unknown_bundle),
    row(26, "the referrer is an index", No("referrer-malformed"), bytes::referrer_is_index),
    row(26, "the fallback tag names itself", No("referrer-malformed"), bytes::fallback_names_itself),
    row(27, "a descriptor's digest is a path", No("referrer-malformed"), bytes::path_digest),
    row(27, "a descriptor's size is -1", No("referrer-malformed"), bytes::negative_size),
    row(27, "a descriptor's size is 2^63", No("referrer-malformed"), bytes::absurd_size),
    row(27, "a descriptor's size is one off", No("referrer-malformed"), bytes::size_off),
    row(28, "100,000 layers", No("too-large"), bytes::many_layers),
    row(28, "20,000 envelopes in `.att`", No("referrer-malformed"), bytes::many_envelopes),
    row(29, "`data` in the descriptor differs from the blob", No("descriptor-data"), bytes::embedded_data),
    row(
        29,
        "`data` that would pass, of a blob that would not",
        No("descriptor-data"),
        bytes::embedded_in_place_of,
    ),
    row(30, "a child was attested, the index is asked for", No("no-attestation"), bytes::child_of_index),
    row(31, "a summary that says FAILED", No("predicate-missing"), bytes::failed_summary),
    row(32, "`.att` about another image", No("subject-mismatch"), bytes::legacy_of_another),
    row(32, "`.att` with a lying annotation", No("predicate-missing"), bytes::legacy_lying),
    row(
        32,
        "`.att` with our signature in the annotation",
        No("signer-untrusted"),
        bytes::legacy_signature_annotated,
    ),
    row(33, "a blob of other bytes", No("bytes-mismatch"), bytes::altered_blob),
    row(33, "a referrer's manifest of other bytes", No("bytes-mismatch"), bytes::altered_manifest),
    row(34, "another manifest for the image's digest", No("image-mismatch"), bytes::altered_image),
    row(35, "`Docker-Content-Digest` of a tag lies", No("image-mismatch"), network::lying_header),
    row(36, "referrers 403", Unknown, network::forbidden),
    row(36, "referrers 429, come back tomorrow", Unknown, network::busy),
    row(36, "referrers 500", Unknown, network::broken),
    row(36, "the fallback tag 401", Unknown, network::fallback_unauthorized),
    row(36, "page 2 of the referrers fails", Unknown, network::second_page_fails),
    row(37, "referrers are a web page", No("no-attestation"), network::web_page),
    row(38, "the only attestation's blob is 404", Unknown, network::blob_gone),
    row(39, "the token's realm is `file:`", Unknown, network::file_realm),
    row(39, "redirects in a circle", Unknown, network::circle),
    row(39, "a redirect to `file:`", No("referrer-malformed"), network::file_redirect),
    row(41, "a stall after the headers", Unknown, network::stall),
    row(41, "one byte a second", Unknown, network::trickle),
    row(41, "a mute registry", Unknown, network::mute),
    row(42, "an endless list of referrers", Unknown, network::endless_referrers),
    row(42, "an endless error text", Unknown, network::endless_error),
    row(42, "an endless token", Unknown, network::endless_token),
    row(43, "an endless manifest", Unknown, network::endless_manifest),
    row(43, "a blob longer than its size", No("too-large"), network::long_blob),
    row(44, "gzip, 2 MiB that become 2 GiB", Unknown, network::gzip),
    row(45, "endless pages", Unknown, network::endless_pages),
    row(45, "a page on another host", Unknown, network::page_elsewhere),
    row(46, "300,000 referrers", Unknown, network::many_referrers),
    row(46, "3,000 bundles of strangers", Unknown, network::many_strangers),
    row(46, "1,000 attestations of 1 MiB", Unknown, network::large_attestations),
    row(47, "endless headers", Unknown, network::endless_headers),
    row(47, "a header of 16 MiB", Unknown, network::large_header),
    row(47, "no HTTP", Unknown, network::no_http),
    row(47, "a bad chunk", Unknown, network::bad_chunk),
    row(48, "indexes of indexes", No("no-attestation"), bytes::nested_indexes),
];

/// Runs the rows `from` to `to`, and fails with all that went wrong.
#[track_caller]
fn check(from: u8, to: u8) {
    let mut wrong = Vec::new();
    for row in ROWS.iter().filter(|row| (from..=to).contains(&row.number)) {
        let begun = Instant::now();
        let ran = (row.run)();
        let good = match row.answer {
            No(code) => ran.code == Some(1) && denials(&ran).iter().any(|found| found == code),
            Unknown => ran.code == Some(3),
        };
        let printable = ran.out.chars().chain(ran.err.chars()).all(|c| c == '\n' || !c.is_control());
        if !good || !printable || ran.err.contains("panicked") || begun.elapsed().as_secs() > SECONDS_MAX {
            wrong.push(format!(
                "row {}: {} {:?} after {:?}: {ran}",
                row.number,
                row.what,
                row.answer,
                begun.elapsed()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn rows_1_to_11_signatures_and_envelopes() {
    check(1, 11);
}

#[test]
fn rows_12_to_22_statements() {
    check(12, 22);
}

#[test]
fn rows_23_to_35_sizes_and_digests() {
    check(23, 35);
}

#[test]
fn rows_36_to_40_registries_that_refuse() {
    check(36, 40);
}

#[test]
fn rows_41_to_44_registries_that_do_not_end() {
    check(41, 44);
}

#[test]
fn rows_45_to_48_registries_with_too_much() {
    check(45, 48);
}

#[test]
fn every_row_is_there() {
    let missing: Vec<u8> =
        (1..=48).filter(|number| *number != 40 && !ROWS.iter().any(|row| row.number == *number)).collect();
    assert_eq!(missing, [0; 0]);
}

const BEGIN: &str = "<!-- attacks: made by `make attacks` -->\n";
const END: &str = "<!-- end of attacks -->\n";

#[test]
fn the_list_in_the_documents_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verification.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    let line = |row: &Row| {
        let answer = match row.answer {
            No(code) => format!("no: `{code}`"),
            Unknown => "could not tell".to_owned(),
        };
        format!("| {} | {} | {answer} |\n", row.number, row.what)
    };
    let table: String = ROWS.iter().map(line).collect();
    let wanted = format!("| row | what is done | answer |\n|---|---|---|\n{table}");
    if std::env::var_os("REPROV_WRITE_ATTACKS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, wanted, "docs/verification.md is out of date; `make attacks` writes it");
}

//! Every bound in one place; each fails loudly.

use std::io::{self, Read};

/// Largest manifest read or written.
pub const MANIFEST_SIZE_BYTES_MAX: u64 = 4 << 20;
/// Largest image config read.
pub const CONFIG_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Largest statement (decoded payload).
pub const STATEMENT_SIZE_BYTES_MAX: u64 = 32 << 20;
/// Largest bundle (base64 of a statement and its frame).
pub const BUNDLE_SIZE_BYTES_MAX: u64 = 48 << 20;
/// Most signatures tried of one envelope.
pub const ENVELOPE_SIGNATURES_MAX: usize = 64;
/// Most subjects of one statement.
pub const STATEMENT_SUBJECTS_MAX: usize = 1024;
/// Most artifacts of one list of an in-toto link.
pub const LINK_ARTIFACTS_MAX: usize = 100_000;
/// Most keys of an in-toto layout.
pub const LAYOUT_KEYS_MAX: usize = 1000;
/// Most steps of an in-toto layout, and most inspections.
pub const LAYOUT_ITEMS_MAX: usize = 1000;
/// Most rules of one list of an in-toto layout.
pub const LAYOUT_RULES_MAX: usize = 1000;
/// Deepest in-toto layout in place of a link.
pub const LAYOUT_DEPTH_MAX: usize = 4;
/// Most links read for one layout.
pub const LINK_FILES_MAX: usize = 10_000;
/// Bytes of links read for one layout.
pub const LINK_FILES_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Largest archive of evidence.
pub const DOSSIER_SIZE_BYTES_MAX: u64 = 4 << 30;
/// Largest list in an archive of evidence.
pub const DOSSIER_CONTENTS_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Most members of an archive of evidence.
pub const DOSSIER_MEMBERS_MAX: usize = 50_000;
/// Largest blob beside an image that goes into its archive of evidence; logs may be larger.
pub const DOSSIER_BLOB_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Deepest nesting of JSON from outside.
pub const JSON_DEPTH_MAX: usize = 128;
/// Most layers of one image.
pub const LAYERS_MAX: usize = 512;
/// Most files of an archive of images.
pub const ARCHIVE_FILES_MAX: usize = 100_000;
/// Largest blob a manifest may name.
pub const BLOB_SIZE_BYTES_MAX: u64 = 1 << 40;
/// Largest extension record (PAX, GNU long name) of one tar entry.
pub const TAR_EXTENSION_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Most parts of a sparse file.
pub const SPARSE_SEGMENTS_MAX: usize = 65_536;
/// Largest sparse file, with its holes.
pub const SPARSE_SIZE_BYTES_MAX: u64 = 16 << 30;
/// Most bytes of names, links and attributes of one layer.
pub const LAYER_NAMES_SIZE_BYTES_MAX: u64 = 1 << 30;
/// Largest drifted file whose bytes are held to be explained.
pub const CAPTURE_FILE_BYTES_MAX: u64 = 8 << 20;
/// Most bytes of drifted files of one comparison that are held to be explained, on disk for the most part.
pub const CAPTURE_SIZE_BYTES_MAX: u64 = 1 << 30;
/// Largest of these that is held in memory.
pub const KEPT_FILE_BYTES_MAX: u64 = 256 << 10;
/// Most bytes of these in memory.
pub const KEPT_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Bytes of these that are read back from disk to be explained at once, or one file's if that has more.
pub const READ_BACK_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Most differences of one layer that are told.
pub const LAYER_CHANGES_MAX: usize = 1_000_000;
/// Most bytes of equal layers that are opened, however small those that differ, to tell whether two images merge to one file
/// system.
pub const MERGE_FREE_BYTES: u64 = 1 << 20;
/// Bytes of a layer's entries that one sort holds in memory; beyond, they go through a temporary file.
pub const SORT_RUN_SIZE_BYTES: usize = 8 << 20;
/// Most entries of one layer.
pub const LAYER_ENTRIES_MAX: u64 = 5_000_000;
/// Longest path in a layer.
pub const PATH_SIZE_BYTES_MAX: usize = 4096;
/// Largest decompression ratio, beyond [`INFLATE_FREE_BYTES`]. More than deflate can have (1,032), so a layer of zeros that
/// we wrote can be read; zstd and xz have no such bound of their own.
pub const INFLATE_RATIO_MAX: u64 = 1100;
/// Uncompressed bytes that are not held against the ratio.
pub const INFLATE_FREE_BYTES: u64 = 64 << 20;
/// Largest database of a package tool that is put at rest.
pub const DATABASE_SIZE_BYTES_MAX: u64 = 1 << 30;
/// Most paths that a recipe's drops took and that are held against lists of packages.
pub const DROPPED_PATHS_MAX: usize = 10_000;
/// Most memory an xz archive may ask for (`xz -9` needs 65 MiB).
pub const XZ_MEMORY_KIB_MAX: u32 = 160 << 10;
/// Deepest directory of a root file system on disk.
pub const ROOTFS_DEPTH_MAX: usize = 256;
/// User and group ids a build has: 0 to one less (65,536 subordinate ids).
pub const CONTAINER_IDS: u64 = 65_536;
/// Largest file of a package database that is read.
pub const PACKAGES_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Deepest base image of a base image that `trace` follows.
pub const LINEAGE_DEPTH_MAX: usize = 16;
/// Most replays that look for the variation that changed an image, beside the first and the control.
pub const VARY_REPLAYS_MAX: usize = 40;
/// Most places that a rebuild's answer and statement list of one variation; their number is said too.
pub const VARY_PLACES_MAX: usize = 100;
/// Most redirects followed.
pub const REDIRECTS_MAX: usize = 5;
/// Largest HTTP request or answer head.
pub const HTTP_HEAD_SIZE_BYTES_MAX: usize = 64 << 10;
/// Largest metalink or mirror list.
pub const MIRROR_LIST_SIZE_BYTES_MAX: u64 = 4 << 20;
/// Largest file of keys that pin a repository.
pub const SIGNER_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Most keys in it.
pub const SIGNER_KEYS_MAX: usize = 64;
/// Largest signed index of a pinned repository (`InRelease`).
pub const SIGNED_INDEX_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Longest line of an index of packages.
pub const INDEX_LINE_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Most files that the indexes of pinned repositories may name.
pub const PINNED_FILES_MAX: usize = 2_000_000;
/// Most entries of an rpm header.
pub const RPM_HEADER_ENTRIES_MAX: u32 = 64 << 10;
/// Most bytes of values in an rpm header.
pub const RPM_HEADER_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Longest URL a build may ask for.
pub const URL_SIZE_BYTES_MAX: usize = 8 << 10;
/// Bytes of the events of one build but for output; the last few, which say how it ended, come on top.
pub const EVENTS_SIZE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of the events of one build that are lines of output; the log has them all.
pub const EVENTS_OUTPUT_SIZE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of one line of output in an event; the log has the whole.
pub const EVENT_TEXT_SIZE_BYTES_MAX: usize = 4 << 10;
/// Bytes of an instruction's text in an event; its line says which it is.
pub const EVENT_STEP_SIZE_BYTES_MAX: usize = 256;
/// Largest event log whose output is compared with a rebuild's.
pub const LOG_COMPARED_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Longest event read back.
pub const EVENT_SIZE_BYTES_MAX: usize = 1 << 20;
/// Most of what the shim announces of one build that is read.
pub const STEPS_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Most refused or undeclared requests of one build listed; the taint stands for the others.
pub const REFUSALS_MAX: usize = 10_000;
/// Largest request body the gateway takes from a build.
pub const REQUEST_BODY_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Largest answer body the gateway records.
pub const INPUT_SIZE_BYTES_MAX: u64 = 16 << 30;
/// Most exchanges of one build.
pub const EXCHANGES_MAX: usize = 500_000;
/// Referrers opened for one image.
pub const REFERRERS_MAX: usize = 1000;
/// Bytes of referrers opened for one image.
pub const REFERRERS_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Pages of referrers followed.
pub const REFERRER_PAGES_MAX: usize = 100;
/// Tags of a repository asked for at once.
pub const TAGS_PAGE: usize = 1000;
/// Pages of tags followed.
pub const TAG_PAGES_MAX: usize = 100;
/// Most manifests copied at once: an image or index, and all that refers to it.
pub const COPY_MANIFESTS_MAX: usize = 10_000;
/// Most bytes of those manifests.
pub const COPY_MANIFESTS_SIZE_BYTES_MAX: u64 = 256 << 20;
/// Most blobs they may name.
pub const COPY_BLOBS_MAX: usize = 100_000;
/// Most blobs of an OCI layout looked at in search of referrers.
pub const LAYOUT_BLOBS_MAX: usize = 100_000;
/// Largest transcript that is held against a policy.
pub const TRANSCRIPT_JUDGED_SIZE_BYTES_MAX: u64 = 32 << 20;
/// Largest policy.
pub const POLICY_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Largest inventory, but for the files it names.
pub const INVENTORY_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Largest file of references that an inventory names.
pub const INVENTORY_LIST_SIZE_BYTES_MAX: u64 = 32 << 20;
/// Largest list of pods that an inventory names; it is read as a stream.
pub const INVENTORY_PODS_SIZE_BYTES_MAX: u64 = 1 << 30;
/// Most images of an inventory, wherever they are named.
pub const INVENTORY_IMAGES_MAX: usize = 100_000;
/// Findings of one code listed for one image; beyond, their number is said.
pub const FINDINGS_OF_CODE_MAX: usize = 20;
/// Images of an inventory that are promoted at the same time.
pub const PROMOTED_AT_ONCE_MAX: usize = 4;
/// Images of an index that is promoted, each of which is judged.
pub const PROMOTED_IMAGES_MAX: usize = 256;
/// Images that one stands on, at any depth, that are verified with it.
pub const DEPENDENCIES_MAX: usize = 64;
/// Requests to one registry at once.
pub const REGISTRY_REQUESTS_MAX: usize = 16;
/// Images verified at once.
pub const VERIFIED_AT_ONCE_MAX: usize = 16;
/// Threads that these are shared out to.
pub const VERIFYING_THREADS_MAX: usize = 4;
/// Bytes of attestations held at once, over all images.
pub const EVIDENCE_HELD_BYTES_MAX: u64 = 32 << 20;
/// Bytes of attestations of one image held at once.
pub const ATTESTATIONS_BATCH_BYTES_MAX: u64 = 16 << 20;
/// Bytes that are read and judged in less than a millisecond, so by whichever thread waits for them.
pub const COMPUTED_HERE_BYTES_MAX: u64 = 64 << 10;
/// Largest attestation that is verified; one of 5,000 dependencies has two MiB.
pub const ATTESTATION_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Largest attestation of which is told apart in which wrong way it was signed.
pub const ATTESTATION_DOUBTED_BYTES_MAX: usize = 1 << 20;
/// Largest file of registry credentials.
pub const AUTH_FILE_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Largest answer of a token service.
pub const TOKEN_SIZE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of a registry's error text that are read.
pub const ERROR_TEXT_SIZE_BYTES_MAX: u64 = 8 << 10;
/// Largest Dockerfile.
pub const DOCKERFILE_SIZE_BYTES_MAX: u64 = 4 << 20;
/// Most instructions of one Dockerfile.
pub const INSTRUCTIONS_MAX: usize = 5000;
/// Most stages of one Dockerfile.
pub const STAGES_MAX: usize = 256;
/// Most heredocs of one instruction.
pub const HEREDOCS_MAX: usize = 64;
/// Most bytes that variables may add to one word.
pub const EXPANSION_SIZE_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of `${a:-${b:-…}}`.
pub const EXPANSION_DEPTH_MAX: usize = 32;
/// Largest sum of the variables of one build stage.
pub const ENVIRONMENT_SIZE_BYTES_MAX: usize = 1 << 20;
/// Most bytes made of one Dockerfile by expansion, triggers and the words of its shells.
pub const EXPANDED_SIZE_BYTES_MAX: usize = 64 << 20;
/// Largest transcript read.
pub const TRANSCRIPT_SIZE_BYTES_MAX: u64 = 256 << 20;
/// Largest recipe.
pub const RECIPE_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Largest build log.
pub const LOG_SIZE_BYTES_MAX: u64 = 1 << 30;
/// Most entries of a build context.
pub const CONTEXT_ENTRIES_MAX: usize = 2_000_000;
/// Most repositories of one recipe.
pub const REPOSITORIES_MAX: usize = 256;
/// Largest file taken from a commit.
pub const SOURCE_FILE_SIZE_BYTES_MAX: u64 = 2 << 30;
/// Bytes of one build context.
pub const CONTEXT_SIZE_BYTES_MAX: u64 = 64 << 30;
/// Deepest directory of a commit.
pub const SOURCE_DEPTH_MAX: usize = 256;
/// Largest pack of a kept commit.
pub const SOURCE_PACK_SIZE_BYTES_MAX: u64 = 16 << 30;
/// Largest `.dockerignore`.
pub const IGNORE_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Largest `.gitmodules`.
pub const GITMODULES_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Most submodules of one build context, those of submodules included.
pub const SUBMODULES_MAX: usize = 1000;
/// Deepest submodule of a submodule.
pub const SUBMODULE_DEPTH_MAX: usize = 16;
/// Most tags of one commit.
pub const TAGS_MAX: usize = 256;
/// Most processes and threads of one build at once.
pub const PROCESSES_MAX: u64 = 8192;
/// Bytes of answers that the gateway takes in for one build, if nothing else is chosen.
pub const INPUTS_SIZE_BYTES_MAX: u64 = 64 << 30;
/// Memory of the machine that a build leaves free, or [`RESERVE_SHARE`] if that is less.
pub const MEMORY_RESERVE_BYTES: u64 = 256 << 20;
/// Disk that a build leaves free, or [`RESERVE_SHARE`] if that is less.
pub const DISK_RESERVE_BYTES: u64 = 1 << 30;
/// Files that the disk can still take when a build ends, or [`RESERVE_SHARE`] if that is less.
pub const FILES_RESERVE: u64 = 100_000;
/// A reserve is at most this share of what there is: a twentieth.
pub const RESERVE_SHARE: u64 = 20;
/// Smallest memory, disk or inputs that a caller may allow: less is a unit forgotten.
pub const MAXIMUM_BYTES_MIN: u64 = 1 << 20;
/// Fewest files that a caller may allow: the engine itself makes some hundred.
pub const FILES_MIN: u64 = 1000;
/// Longest build: a week.
pub const BUILD_TIMEOUT_S_MAX: u64 = 7 * 24 * 3600;
/// A body this large is an input layer of its own; smaller ones go into packs.
pub const INPUT_OWN_LAYER_BYTES: u64 = 1 << 20;
/// Largest pack of small inputs.
pub const PACK_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Most layers of one inputs manifest.
pub const INPUT_LAYERS_MAX: usize = 500;
/// Inputs listed in the statement itself; beyond, the transcript stands in their place.
pub const INLINE_INPUTS_MAX: usize = 2000;
/// Most values (members, items) of one JSON document from outside; bounds the memory a parse takes.
pub const JSON_VALUES_MAX: usize = 500_000;
/// A list of the layers of every stage.
pub const STAGE_LAYERS_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Of each list of what two transcripts differ in, as many are listed.
pub const COMPARED_LISTED_MAX: usize = 1000;
/// An index of a repository that is read for its dates.
pub const DATED_INDEX_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Layer pairs listed in a rebuild statement.
pub const REBUILT_LAYERS_MAX: usize = 256;
/// Most secrets of one build.
pub const SECRETS_MAX: usize = 64;
/// Longest id of a secret.
pub const SECRET_ID_SIZE_BYTES_MAX: usize = 128;
/// Largest secret.
pub const SECRET_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Most files of evidence of one `attest`.
pub const EVIDENCE_FILES_MAX: usize = 256;
/// Most documents in one file of evidence.
pub const EVIDENCE_DOCUMENTS_MAX: usize = 64;
/// Most dependencies that one attested build may name.
pub const ATTESTED_DEPENDENCIES_MAX: usize = 10_000;
/// Most parameters that one attested build may have.
pub const ATTESTED_PARAMETERS_MAX: usize = 1000;
/// Longest parameter of an attested build.
pub const ATTESTED_PARAMETER_SIZE_BYTES_MAX: usize = 64 << 10;
/// Largest file that is only hashed, as a material.
pub const MATERIAL_SIZE_BYTES_MAX: u64 = 64 << 30;
/// Platforms of one index that are attested at once.
pub const ATTESTED_PLATFORMS_MAX: usize = 64;
/// Largest key file.
pub const KEY_SIZE_BYTES_MAX: u64 = 64 << 10;
/// Largest trusted root read; the public one has 7 KiB.
pub const TRUSTED_ROOT_SIZE_BYTES_MAX: u64 = 4 << 20;
/// Largest file that is held in memory to check a signature over it; of larger ones the digest is.
pub const SUBJECT_HELD_SIZE_BYTES_MAX: u64 = 32 << 20;
/// Largest answer of a signer command: a signature of RSA-8192 in base64 has 1,368.
pub const SIGNER_ANSWER_SIZE_BYTES_MAX: u64 = 16 << 10;
/// How long a signer command may take, if nothing else is chosen.
pub const SIGNER_TIMEOUT_S: u64 = 60;
/// Largest entry of the ledger, as JSON.
pub const ENTRY_SIZE_BYTES_MAX: usize = 256 << 10;
/// Most entries that are added to the ledger at once.
pub const ENTRIES_AT_ONCE_MAX: usize = 1000;
/// Rows of the ledger that are held at once while reading.
pub const LEDGER_PAGE_ROWS: i64 = 1000;
/// How long a ledger that is locked, or whose server restarts, is waited for.
pub const LEDGER_WAIT_S: u64 = 60;
/// Connections of one process to the ledger.
pub const LEDGER_CONNECTIONS_MAX: u32 = 4;
/// Most faults of a ledger that are told one by one.
pub const LEDGER_FAULTS_MAX: usize = 1000;
/// Most rows in one answer of `history`.
pub const HISTORY_ROWS_MAX: usize = 100_000;
/// Most attestations that one `ledger rebuild` reads into a ledger.
pub const REMEMBERED_MAX: usize = 1_000_000;
/// Longest name of a claim or message.
pub const LEDGER_NAME_SIZE_BYTES_MAX: usize = 1024;
/// Largest message that is kept until it is delivered.
pub const MESSAGE_SIZE_BYTES_MAX: usize = 4 << 20;

/// Nights that a report draws.
pub const NIGHTS_SHOWN_MAX: i64 = 30;
/// How long nobody may have looked at an image before reports leave it out: it was retired, most likely.
pub const RETIRED_AFTER_S: i64 = 90 * 24 * 3600;
/// How long before its end a waiver is told of.
pub const WAIVER_ENDING_S: i64 = 30 * 24 * 3600;
/// Images of one list of a report that is ordered by something.
pub const REPORT_TOP_MAX: usize = 10;
/// Images that a page of a report shows one by one; JSON, `JUnit` and SARIF have all.
pub const REPORT_ROWS_MAX: usize = 500;

/// Most tests of one file.
pub const TESTS_MAX: usize = 1000;
/// Longest name of a test.
pub const TEST_NAME_SIZE_BYTES_MAX: usize = 256;
/// Longest regular expression of a test.
pub const TEST_PATTERN_SIZE_BYTES_MAX: usize = 4 << 10;
/// Most memory of a compiled regular expression.
pub const TEST_PATTERN_PROGRAM_BYTES_MAX: usize = 2 << 20;
/// Largest file of tests.
pub const TEST_FILE_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Most values in a file of tests in YAML.
pub const TEST_FILE_NODES_MAX: usize = 100_000;
/// Deepest nesting of such a file.
pub const TEST_FILE_DEPTH_MAX: usize = 16;
/// Most aliases of such a file, and most anchors.
pub const TEST_FILE_ALIASES_MAX: usize = 1000;
/// Most files of tests given at once.
pub const TEST_FILES_MAX: usize = 64;
/// How long a test may take, if it does not say.
pub const TEST_TIMEOUT_S: u64 = 300;
/// Bytes of each stream of a test's command that are kept, and of each file that it looks at; the rest is lost, which fails
/// those who need it.
pub const TEST_KEPT_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Least memory that a test may be given: the engine beside it takes some of it.
pub const TEST_MEMORY_BYTES_MIN: u64 = 128 << 20;
/// Most processes and threads of a test.
pub const TEST_PROCESSES_MAX: u64 = 512;
/// Most entries of all layers of an image whose files are looked at.
pub const TEST_ENTRIES_MAX: usize = 5_000_000;
/// Files of an image whose contents its tests may ask for, each up to [`TEST_KEPT_SIZE_BYTES_MAX`].
pub const TEST_FILES_KEPT_MAX: usize = 256;
/// Most links followed to one path.
pub const TEST_LINKS_MAX: usize = 40;

/// Fails, rather than truncates, past its bound: a short read must not look like an end.
#[derive(Debug)]
pub struct Bounded<R> {
    inner: R,
    left_bytes: u64,
    what: &'static str,
}

impl<R> Bounded<R> {
    /// Lets `size_bytes_max` bytes of `inner` through; `what` is named in the error.
    pub fn new(inner: R, size_bytes_max: u64, what: &'static str) -> Self {
        Self { inner, left_bytes: size_bytes_max, what }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left_bytes = self
            .left_bytes
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(format!("{} is larger than allowed", self.what)))?;
        Ok(count)
    }
}

/// Reads all of `reader`, at most `size_bytes_max` bytes.
///
/// # Errors
/// Those of the reader, and one naming `what` past the bound.
pub fn read_bounded(reader: impl Read, size_bytes_max: u64, what: &'static str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Bounded::new(reader, size_bytes_max, what).read_to_end(&mut bytes)?;
    Ok(bytes)
}

//! Constants of the wire: URIs and media types (ours and the field's), in one file.

/// Our `buildType`.
pub const BUILD_TYPE: &str = "https://reprov.example/build/v1";
/// Our `buildType` of `import`.
pub const IMPORT_TYPE: &str = "https://reprov.example/import/v1";
/// Our `buildType` of what `attest` says of a build that it did not see.
pub const ATTESTED_TYPE: &str = "https://reprov.example/attested/v1";
/// Our rebuild predicate.
pub const REBUILD_PREDICATE: &str = "https://reprov.example/rebuild/v1";
/// Our predicate about a build that made no image.
pub const FAILURE_PREDICATE: &str = "https://reprov.example/failure/v1";
/// Our predicate about a tag that was moved to an image.
pub const PROMOTION_PREDICATE: &str = "https://reprov.example/promotion/v1";
/// `builder.id` unless `--builder-id` sets another.
pub const BUILDER_LOCAL: &str = "https://reprov.example/builder/local-unverified/v1";
/// `verifier.id` of a summary unless `--verifier-id` sets another.
pub const VERIFIER_LOCAL: &str = "https://reprov.example/verifier/local-unverified/v1";
/// `promoter.id` of a promotion unless `--promoter` sets another.
pub const PROMOTER_LOCAL: &str = "https://reprov.example/promoter/local-unverified/v1";
/// `builder.id` of what `attest` puts together, unless `--builder-id` sets another: nobody vouches for the build.
pub const BUILDER_ATTESTED: &str = "https://reprov.example/builder/attested-unverified/v1";
/// `limits.enforcedBy`: the first process of the cage looks, and ends it.
pub const ENFORCED_BY: &str = "watch";
/// SLSA provenance v1 predicate type.
pub const SLSA_PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// SLSA provenance v0.2 predicate type, read but never written.
pub const SLSA_PROVENANCE_V02: &str = "https://slsa.dev/provenance/v0.2";
/// SLSA verification summary predicate type.
pub const SLSA_SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
/// The highest level of SLSA's source track.
pub const SOURCE_LEVEL_MAX: u8 = 4;
/// in-toto statement v1 `_type`.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";
/// in-toto statement v0.1 `_type`, read but never written.
pub const STATEMENT_V01: &str = "https://in-toto.io/Statement/v0.1";
/// DSSE payload type, and media type of an unsigned statement.
pub const IN_TOTO_JSON: &str = "application/vnd.in-toto+json";
/// What the types of bundles of every version begin with.
pub const BUNDLE_FAMILY: &str = "application/vnd.dev.sigstore.bundle";
/// What the types of our own artifacts begin with; none of them is an attestation.
pub const OWN_ARTIFACTS: &str = "application/vnd.reprov.";
/// sigstore bundle v0.3.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Annotation on a bundle's referrer: what it holds.
pub const BUNDLE_CONTENT: &str = "dev.sigstore.bundle.content";
/// Annotation on a bundle's referrer: its predicate type.
pub const BUNDLE_PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// Layer of an attachment of cosign 2: a bare DSSE envelope.
pub const DSSE_ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// Annotation on a layer of an attachment of cosign 2; empty for attestations, but it must be there.
pub const COSIGN_SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Annotation on a layer of an attachment of cosign 2: the predicate's type.
pub const PREDICATE_TYPE: &str = "predicateType";

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer, uncompressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// The empty config of artifacts.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Bytes of the empty config.
pub const OCI_EMPTY_BYTES: &[u8] = b"{}";
/// Docker image manifest v2 schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker layer, uncompressed.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What the gateway saw (WIRE.md §3).
pub const TRANSCRIPT: &str = "application/vnd.reprov.transcript.v1+jsonl";
/// Who asked when, and every refusal.
pub const EVENTS: &str = "application/vnd.reprov.events.v1+jsonl";
/// The engine's output.
pub const LOG: &str = "application/vnd.reprov.log.v1";
/// What a build left that made no image: log, events, statement.
pub const FAILURE: &str = "application/vnd.reprov.failure.v1";
/// Annotation: names the build that an artifact is of.
pub const BUILD: &str = "reprov.build";
/// Recorded input files.
pub const INPUTS: &str = "application/vnd.reprov.inputs.v1";
/// Small inputs, packed.
pub const PACK: &str = "application/vnd.reprov.pack.v1+tar";
/// A kept git commit.
pub const SOURCE: &str = "application/vnd.reprov.source.v1";
/// A kept base image.
pub const BASE: &str = "application/vnd.reprov.base.v1";
/// A drift report.
pub const REPORT: &str = "application/vnd.reprov.report.v1+json";
/// What an image was attested from: logs, and documents of other builders.
pub const EVIDENCE: &str = "application/vnd.reprov.evidence.v1";
/// A list of packages of ours, and documents of other builders.
pub const JSON: &str = "application/json";
/// Annotation on a layer: the name of the file it was (OCI image-spec, "Annotations").
pub const TITLE: &str = "org.opencontainers.image.title";
/// Annotation of BuildKit's on an index's entry: what the entry is.
pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// Annotation of BuildKit's on an index's entry: the image that it is about.
pub const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// Annotation of BuildKit's on a layer: the predicate type of the statement in it.
pub const IN_TOTO_PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// An input body of its own.
pub const OCTETS: &str = "application/octet-stream";
/// Annotation: number of a part of the inputs.
pub const PART: &str = "reprov.part";

/// Layer writer (WIRE.md §6).
pub const WRITER: &str = "tar1.gzip1";
/// Newest rules profile.
pub const PROFILE: &str = "default-2";
/// Every rules profile, the newest first.
pub const PROFILES: [&str; 3] = [PROFILE, "default-1", "none"];

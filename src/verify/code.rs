//! What verifying can find, with its codes. Codes are only ever added.

use crate::policy::Severity;

/// What a finding is about, and so who may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// One attestation that is not believed: it counts for nothing. Whether that matters, what is left says. No policy
    /// can change it.
    Attestation,
    /// The image as a whole, or a policy's rule; a policy may put it off, tone it down or waive it.
    Image,
    /// Something told beside; nothing hangs on it.
    Notice,
}

macro_rules! codes {
    ($($name:ident $code:literal $about:ident $severity:ident $meaning:literal $remedy:literal $example:literal;)+) => {
        pages! { Code: $($name $code $meaning $remedy $example;)+ }

        impl Code {
            /// What it is about.
            #[must_use]
            pub fn about(self) -> About {
                match self { $(Self::$name => About::$about,)+ }
            }

            /// How much it counts by itself.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }
        }
    };
}

codes! {
NoAttestation "no-attestation" Image Deny "Nothing beside the image says anything about it. Referrers API, fallback tag and cosign 2's tag were all looked at." "Attest the image (`reprov attest`, or `reprov build --key`), or look whether another digest was attested." "no attestation of sha256:0e14…";
PredicateMissing "predicate-missing" Image Deny "A kind of statement that must be there is not. What there is of that kind is of strangers, broken, or about something else." "Have a trusted signer make the statement, or take its type out of `predicates`." "no https://slsa.dev/provenance/v1 by a trusted signer";
ImageMismatch "image-mismatch" Image Deny "The registry gave other bytes than those of the digest that was asked for, or that it named itself. Whoever pulls there may get something else than what was attested." "Look into the registry; pull by digest from another place." "expected sha256:0e14…, got sha256:77aa…";
Unsigned "unsigned" Attestation Info "A statement lies beside the image without a signature. Anybody who may write to the repository can have put it there." "Sign it: give `--key` to whatever made it." "attestation 0e1425798d5a: nobody signed it";
SignerUntrusted "signer-untrusted" Attestation Info "A signature is by nobody who is trusted. Whoever signed may be anybody." "If the signer is to be trusted, give the public key with --trust, or in the policy's [[trust]]." "attestation 0e1425798d5a: no signature by a trusted key";
SignatureInvalid "signature-invalid" Attestation Info "A signature names a trusted key, or has its place, but is not this key's signature of these bytes. The statement was changed, signed in another form, or somebody uses the key's name." "Attest again with the real key; if the registry was written to by a stranger, find out how." "attestation 0e1425798d5a: the signature is not that of the key it names";
SignatureForm "signature-form" Attestation Info "A trusted key signed these bytes, but not as DSSE wants it: over the bare payload, or under another type. What was meant by such a signature nobody can know." "Sign the pre-authentication encoding (DSSE, PAE) of type `application/vnd.in-toto+json`." "attestation 0e1425798d5a: signed without the DSSE frame";
SignatureMissing "signature-missing" Attestation Info "An envelope has no signatures, or empty ones. It says nothing about who made it." "Attest again; look what wrote it." "attestation 0e1425798d5a: envelope has 0 signatures";
SignaturesTooMany "signatures-too-many" Attestation Info "An envelope has more signatures than are ever tried. None of them was looked at." "Attest again with one signature for each signer." "attestation 0e1425798d5a: envelope has 5000 signatures";
CertificateUntrusted "certificate-untrusted" Attestation Info "A bundle brings a certificate instead of naming a key, and no trusted root vouches for it as an identity that is trusted. A certificate that comes with what it is to prove proves nothing." "Give the trusted root and the identity, if it is one to trust." "attestation 0e1425798d5a: it brings its own certificate";
CertificateInvalid "certificate-invalid" Attestation Info "A bundle's certificate does not hold under the trusted root: nobody there issued it, or not at the time of the signature, or for another use, or no certificate log has it. So the name in it binds nobody." "Look whether the trusted root is that of the instance that signed; else have it signed again." "bundle: certificate chain is invalid: UnknownIssuer";
IdentityMismatch "identity-mismatch" Attestation Info "A bundle is signed by an identity, but not by the one that is wanted. Identity and issuer are compared letter by letter, or with the whole pattern." "If this identity is to be believed, name it with --identity and --issuer." "bundle: the identity is `a@example.org`, not `b@example.org`";
EntryInvalid "entry-invalid" Attestation Info "An entry of a transparency log does not hold: it is of no log that is trusted, is not proven to be in it, or is about something else than this bundle. What was signed in secret nobody can notice." "Look whether the trusted root names the log; else have it signed and logged again." "bundle: invalid inclusion proof";
EntryMissing "entry-missing" Attestation Info "A bundle of this version carries an entry of a transparency log, and this one has none. Only bundles of version 0.3 that a key signed do without." "Sign again with a tool that writes version 0.3, or with one that logs." "a bundle of this version has a log entry, and this one has none";
EntryUnchecked "entry-unchecked" Notice Info "A bundle brings log entries or timestamps, and no trusted root was given to judge them by. That a trusted key signed is proven, when it did is not." "Give --trusted-root." "it has log entries or timestamps, which were not looked at";
TimeUnproven "time-unproven" Attestation Info "Nobody who is trusted says when a bundle was signed, or a timestamp does not hold. Certificates are good for minutes, so without a time they prove nothing." "Look whether the trusted root names the timestamp authority; else have it signed again." "bundle: invalid RFC 3161 timestamp";
SignatureUnportable "signature-unportable" Notice Info "A signature is good, and by an algorithm that other tools do not check: Ed25519 over a digest, or P-384 with SHA-384. cosign 3 writes both and verifies neither." "Sign with P-256, with pure Ed25519, or with SHA-256." "signed with Ed25519ph, which cosign does not verify";
SubjectUnheld "subject-unheld" Attestation Info "A signature is over the bytes of a file, and only their digest is known, or the file is too large to hold. So nobody can tell whether it is good." "Give the file itself as --subject." "an Ed25519 signature is over the whole file";
BundleMalformed "bundle-malformed" Attestation Info "A blob that should be a sigstore bundle is not one that can be read. It has fields that bundles do not have, or lacks some." "Attest again; look what wrote it." "attestation 0e1425798d5a: bundle has a field `surprise`, which is not read";
BundleVersion "bundle-version" Attestation Info "A bundle is of a version that is not read. Beside an image only version 0.3 is; `--bundle` reads 0.1 to 0.3." "Attest again with a tool that writes bundles of version 0.3." "attestation 0e1425798d5a: media type is `application/vnd.dev.sigstore.bundle.v0.4+json`";
EnvelopeMalformed "envelope-malformed" Attestation Info "What should be a DSSE envelope is not one: a field is missing or of another type, or base64 has foreign characters. It was not believed in any part." "Attest again; look what wrote it." "attestation 0e1425798d5a: `payload` is not base64";
PayloadType "payload-type" Attestation Info "A signed envelope holds something else than an in-toto statement, by its own word. The signature may be good, but is about something else." "Sign the statement with payload type `application/vnd.in-toto+json`." "attestation 0e1425798d5a: payload type is `text/plain`";
JsonMalformed "json-malformed" Attestation Info "Signed bytes are not JSON that can be read in one way only: a mark before it, bytes after it, no UTF-8, too deep. Another program may read something else in it." "Attest again with a tool that writes plain JSON." "attestation 0e1425798d5a: not strict JSON";
JsonDuplicateKey "json-duplicate-key" Attestation Info "A key stands twice in one object of signed JSON. Some programs take the first, some the last, so it says two things." "Attest again with a tool that writes each key once." "attestation 0e1425798d5a: key \"subject\" stands twice";
TooLarge "too-large" Attestation Info "An attestation is larger than any that is read, in bytes or in values. It was not looked at, so that nobody can exhaust this machine with one." "Put lists into blobs of their own, and name them by digest in the statement." "attestation 0e1425798d5a: 41943040 bytes are more than the 33554432 allowed";
StatementType "statement-type" Attestation Info "What was signed is no in-toto statement of a version that is read. It says so itself in `_type`, or says nothing." "Attest again with `_type` `https://in-toto.io/Statement/v1`." "attestation 0e1425798d5a: `_type` is `x`";
StatementMalformed "statement-malformed" Attestation Info "A signed statement lacks a field that statements have, or has it in another form. Keys are told apart by their case." "Attest again; look what wrote it." "attestation 0e1425798d5a: statement has no `subject` list";
PredicateEmpty "predicate-empty" Attestation Info "A signed statement makes no statement: its predicate is null or no object. It has the type of a claim without one." "Attest again; look what wrote it." "attestation 0e1425798d5a: statement has no `predicate` object";
SubjectMalformed "subject-malformed" Attestation Info "A statement does not say which bytes it is about: no subject, none with a digest, or digests that are none. A name is no subject." "Attest again by digest; digests are lower-case hex of full length." "attestation 0e1425798d5a: statement has 0 subjects";
SubjectMismatch "subject-mismatch" Attestation Info "A statement is about something else than this image. It was made for another one, or copied here from there." "Attest this digest; of an index each image has its own." "attestation 0e1425798d5a: its subject is sha256:77aa…";
PredicateNotAllowed "predicate-not-allowed" Attestation Info "A trusted signer made a kind of statement that the policy does not let this signer make. So it is as if nobody had made it." "Add the type to `predicates` of this signer's [[trust]], or have the right signer make it." "attestation 0e1425798d5a: this signer may not make https://spdx.dev/Document";
BuilderMissing "builder-missing" Attestation Info "A provenance names no builder. Trust is in a builder that a signer speaks for, so nobody is trusted here." "Set `builder.id` (`--builder-id`)." "attestation 0e1425798d5a: provenance has no `runDetails.builder.id`";
BuilderNotAllowed "builder-not-allowed" Attestation Info "A trusted signer speaks for a builder that the policy does not let this signer speak for. Ids are compared letter by letter." "If this builder may build, add its id to `builders`; else build where it may." "attestation 0e1425798d5a: builder `https://ci.example.org/reprov@v1/x` is not allowed";
ProvenanceMalformed "provenance-malformed" Attestation Info "A provenance by a trusted signer lacks what its version demands, or has it in another form. What cannot be read cannot be judged." "Attest again; look what wrote it." "attestation 0e1425798d5a: provenance has no `buildDefinition.buildType`";
RebuildMalformed "rebuild-malformed" Attestation Info "A rebuild verdict by a trusted signer cannot be read. It counts for nothing." "Rebuild again with this release." "attestation 0e1425798d5a: unknown verdict";
RebuilderNotAllowed "rebuilder-not-allowed" Attestation Info "A trusted signer speaks for a rebuilder that the policy does not let this signer speak for. Its verdict counts for nothing." "Add the id to `rebuilders` of this signer's [[trust]], or rebuild with another `--rebuilder-id`." "attestation 0e1425798d5a: rebuilder `https://x.example` is not allowed";
PromotionMalformed "promotion-malformed" Attestation Info "A statement with the type of our promotion predicate is not of its shape. Nobody can tell what was promoted where." "Promote again with this program." "attestation 0e1425798d5a: promotion predicate is not of its shape";
SummaryMalformed "summary-malformed" Attestation Info "A verification summary by a trusted signer lacks what SLSA demands of one, or has it in another form. It stands in for nothing." "Verify again with --key, which writes a new one." "attestation 0e1425798d5a: summary has no `verificationResult`";
VerifierNotAllowed "verifier-not-allowed" Attestation Info "A summary is by a verifier that the policy does not let its signer speak for. Somebody verified something, but nobody who is trusted for that." "Add the id to `verifiers` of this signer's [[trust]], if its word is to count." "attestation 0e1425798d5a: verifier `https://x.example` is not allowed";
ReferrerMalformed "referrer-malformed" Attestation Info "Something that refers to the image is no manifest that can be read: an index, a list without end, a descriptor that cannot be. It was not followed." "Remove it from the registry, if nothing needs it." "referrer 0e1425798d5a: it lists `manifests`, so it is an index";
DescriptorData "descriptor-data" Attestation Info "A descriptor carries data that are not the bytes of its digest. Who reads the data gets something else than who fetches the blob." "Attest again; look what wrote it." "referrer 0e1425798d5a: `data` differs from its digest";
BytesMismatch "bytes-mismatch" Attestation Info "The registry gave other bytes than those of the digest in a manifest. They were not read." "Look into the registry; attest again." "referrer 0e1425798d5a: expected sha256:0e14…, got sha256:77aa…";
AnnotationMismatch "annotation-mismatch" Attestation Info "The unsigned annotation beside an attestation names another kind of statement than the one in it. Only what is signed counts." "Attest again, so that tools that go by annotations find it." "referrer 0e1425798d5a: annotated https://slsa.dev/provenance/v1, signed https://x.example";
EvidenceUnread "evidence-unread" Notice Warn "An attestation could not be fetched. It may be a good one, a stranger's, or one about something else; nobody can tell." "Try again; if it is gone for good, remove its referrer." "attestation 0e1425798d5a: the registry answered 404";
NoPolicy "no-policy" Notice Info "No policy was given. That a trusted key signed a provenance of this image is all that was looked at: not by which builder, from which source, with what." "Give --policy FILE, or one of the starter policies: --policy slsa-l2." "no policy was applied";
AnyBuilder "any-builder" Notice Info "The policy lets trusted signers speak for any builder. So whoever has the key can claim to be the best of builders." "Name the builders: `builders = [\"https://…\"]`." "`builders = [\"*\"]`: any builder is accepted";
LevelLow "level-low" Image Deny "The image has a lower SLSA build level than the policy asks for. Its level is the most that the policy grants to the signer of its provenance." "Build where the level is higher, or set `level` of the signer's [[trust]] if the builder really fulfils it." "SLSA build level 1, 2 wanted";
BuildTypeNotAllowed "build-type-not-allowed" Image Deny "The image was built in a way that the policy does not name. The meaning of everything else in its provenance depends on the build type." "Build it in one of the ways named by `build-types`, or add this one." "build type `https://x.example/v1` is not allowed";
SourceMissing "source-missing" Image Deny "Provenance names no commit of a version control system as the source. So nobody can look at what was built." "Build from a git commit, and let provenance name it by `gitCommit`." "no dependency is a git commit";
SourceNotAllowed "source-not-allowed" Image Deny "The image was built from a repository that the policy does not name. What is in there nobody here has reviewed." "Build from one of `sources`, or add this one." "source `git+https://evil.example/app` is not allowed";
RefNotAllowed "ref-not-allowed" Image Deny "The image was built from a branch or tag that the policy does not name, or provenance does not say from which. Other branches may have other rules of review." "Build from one of `refs`." "ref `refs/heads/wip` is not allowed";
SourceDirty "source-dirty" Image Deny "The source had changes that were in no commit. They are in the image, and in no repository." "Commit, then build." "built from 1f2e3d… with uncommitted changes";
SourceUnattested "source-unattested" Image Deny "The policy asks what a verifier says of the commit that the image was built from, and no summary of that commit in that repository is by one who is trusted. What else lies beside the image is named, with why it does not count." "Attach the commit's source summary to the image (docs/verification.md, \"Sources\"), and name its signer with `verifiers` in a [[trust]]." "no trusted verifier vouches for the commit 1f2e3d… of git.example.org/app: none lies beside the image";
SourceFailed "source-failed" Image Deny "A trusted verifier says that the commit FAILED its policy of the source. It only warns where another summary of the same commit is good." "Ask that verifier what it found, and build from a commit that passes." "`https://forge.example.org/source` says that the commit FAILED";
SourceLevelLow "source-level-low" Image Deny "The commit has a lower level of SLSA's source track than the policy asks for. It is the one that the verifier says, and no more than the policy grants its signer." "Have the repository guarded as that level wants, or set `source-level` of the signer's [[trust]] if its word is good for more." "SLSA source level 2, 3 wanted";
SourceRefNotAllowed "source-ref-not-allowed" Image Deny "The summary of the commit names no branch or tag that the policy wants, or none at all. What was in force for one branch was not for another." "Build from a branch or tag of `refs` under [source]." "`https://forge.example.org/source` verified it as `refs/heads/wip`";
SourceStale "source-stale" Image Deny "The summary of the commit is older than the policy allows, says no time, or is from the future. Rules and people may have changed since." "Have the source verified again, and attach the new summary." "the summary of the commit of 2025-01-01T00:00:00Z is older than the 30d allowed";
ParameterUnknown "parameter-unknown" Image Warn "The caller of the build chose something that nobody here knows the meaning of. It may have changed what was built in any way." "Add it to `known` under [parameters], if it is harmless; else build without it." "external parameter `runner` is not known";
ParameterUnexpected "parameter-unexpected" Image Deny "The caller of the build chose another value than the policy expects, or none. So it is another build than the one that was agreed on." "Build with the value that `expected` under [parameters] names." "`clock` is `real`, not `commit`";
Stale "stale" Image Deny "What was said of the image, or made of it, is older than the policy allows. Much may have come to light since." "Build, test or scan again." "https://slsa.dev/provenance/v1 of 2025-01-01T00:00:00Z is older than 30d";
FromTheFuture "from-the-future" Image Deny "A statement says it was made later than now. Either the clock of its maker is wrong or it lies; its age means nothing." "Set the clock right and attest again, or judge with a later --as-of." "finished on 2099-01-01T00:00:00Z";
TimeMissing "time-missing" Image Deny "A statement must be fresh, but does not say when it was made. So its age cannot be told." "Attest again with a tool that says when." "https://spdx.dev/Document says no time";
ClaimUnchecked "claim-unchecked" Notice Info "Provenance praises itself: it says that its build is reproducible, or hermetic. That is the word of whoever built it, and was not looked at." "Have it rebuilt (`reprov rebuild --key`), and ask for the verdict in the policy." "provenance says of itself that the build is reproducible";
BaseNotAllowed "base-not-allowed" Image Deny "A base image is from a registry or repository that the policy does not name. All that is in it is in this image too." "Build on a base from one of `registries`, or map it with `--from OLD=NEW`." "base image `docker.io/library/debian:12` is from no registry that is allowed";
BaseUnpinned "base-unpinned" Image Deny "A base image is written by a tag. The tag may name another image tomorrow, and then the same Dockerfile makes another image." "Write it as NAME@sha256:DIGEST in the Dockerfile, in `[from]` or with `--from`." "base image `debian:12` is not written by digest";
BaseUnverified "base-unverified" Image Deny "A base image was to be verified too, and was not, or was refused. What it says of itself is below its name." "Verify it by itself (`reprov verify BASE`) and mend what is found; have bases attested." "base `debian@sha256:77aa…`: no-attestation";
BuildrootMissing "buildroot-missing" Image Deny "The image was built with programs of the builder's own machine, not with those of an image that is named by its digest. Nobody else can get the same programs." "Build with `--buildroot IMAGE@DIGEST`." "it was built with programs of the builder's machine";
BuildrootUnverified "buildroot-unverified" Image Deny "The image of the programs that built it was to be verified too, and was not, or was refused. Whoever made these programs decides what they build." "Verify it by itself (`reprov verify BUILDROOT`) and mend what is found." "buildroot `registry.example.org/buildroot@sha256:77aa…`: no-attestation";
RepositoryNotAllowed "repository-not-allowed" Image Deny "The build could fetch from a repository that the policy does not name. Whatever is in there may be in the image." "Build with repositories that the policy names, or add this one." "repository `extra` (https://evil.example/apt) is not allowed";
RepositoryKeyNotAllowed "repository-key-not-allowed" Image Deny "A repository is pinned by other keys than the policy names, or by none. So other people than agreed may sign what comes from there." "Pin it with the key file whose digest is in `keys`." "repository `debian` is pinned by no key";
RepositoriesUnknown "repositories-unknown" Image Deny "The policy says from where a build may fetch, and this provenance does not say from where it could. Builders other than reprov write no such list." "Build with reprov, or have the image's contents listed and refuse packages instead." "provenance does not say from which repositories it could fetch";
InputRefused "input-refused" Image Deny "Something came in from a place that the policy refuses. It may be in the image in any form." "Build without it." "`http://evil.example/x.tar` came in: plain HTTP";
PackageRefused "package-refused" Image Deny "A package that the policy refuses is in the image, or was fetched while it was built. It was found by name, and version if one is named." "Build with another version, or without it." "`event-stream` 3.3.6 is in it: stole wallets";
InputsUnknown "inputs-unknown" Image Deny "The policy refuses some inputs, and nobody can tell what came in. Neither a transcript nor a list of contents could be read." "Build with reprov, or have the contents listed by a trusted signer." "neither provenance nor a list of contents says all that came in";
NotHermetic "not-hermetic" Image Deny "Not everything that came into the build is on record, or some of it came from where the build names nothing. So the image may hold what nobody knows of." "Build with reprov, and with repositories instead of open doors." "its builder keeps no record of what came in";
Learned "learned" Image Deny "The image was built with `--learn`, which lets every request through to find out what is needed. Nothing was refused that should have been." "Write the repositories it printed into reprov.toml, and build without `--learn`." "it was built with --learn";
Tainted "tainted" Image Deny "The builder says itself that its record is not the whole truth: a request was refused or failed, or something found a way around the gateway. `reprov explain` knows each reason." "Read the reasons in the events (`reprov trace --events`) and build again." "not everything that came in is on record: refused";
TranscriptMissing "transcript-missing" Image Deny "The record of what came in cannot be read: provenance names none, or the registry no longer has it. Without it nobody can say that nothing else came in." "Copy images with all that refers to them (`reprov copy`); build again if it is gone." "transcript sha256:77aa… is not beside the image any more";
LogMissing "log-missing" Image Deny "Provenance names no log of the build. What the build said is lost." "Build with reprov, or attest with `--log`." "provenance names no log";
LogGone "log-gone" Image Deny "Provenance names a log, and it is not where it was kept. Somebody removed it, or copied the image without it." "Copy images with all that refers to them (`reprov copy`); keep logs as long as images." "the log sha256:77aa… is not beside the image any more";
LogAltered "log-altered" Image Deny "The registry's log has other bytes than the one that was signed. Somebody changed it afterwards, or the storage rots." "Find out who can write to that registry's storage; look for another copy by digest." "expected sha256:77aa…, got sha256:0e14…";
EvidenceGone "evidence-gone" Image Deny "Provenance names something that was kept beside the image, and it is not there any more. The image cannot be looked into as deep as on the day it was built." "Copy images with all that refers to them (`reprov copy`); keep evidence as long as images." "events sha256:77aa… is not beside the image any more";
EvidenceAltered "evidence-altered" Image Deny "Something that was kept beside the image has other bytes than those that were signed. Somebody changed it afterwards, or the storage rots." "Find out who can write to that registry's storage; look for another copy by digest." "packages: expected sha256:77aa…, got sha256:0e14…";
InputsGone "inputs-gone" Image Deny "Provenance says that what came in is kept in the registry, and no list of it is beside the image. So the image cannot be made again from what it was made of." "Copy images with all that refers to them (`reprov copy`)." "no list of inputs is beside the image";
RebuildMissing "rebuild-missing" Image Deny "Nobody who is trusted says that the image was built again. That it can be is a claim until somebody did." "Run `reprov rebuild IMAGE --key` at a rebuilder that the policy trusts." "no trusted signer says that it was rebuilt";
RebuildVerdict "rebuild-verdict" Image Deny "Somebody built it again, and what came out is not what the policy takes for a yes. The report beside the image says what differs." "Read the report (`reprov rebuild IMAGE`), cure the drift, build anew." "`https://rebuild.example.org` says `unexplained`";
RebuildQuorum "rebuild-quorum" Image Deny "Fewer independent rebuilders say yes than the policy asks for. Two count as independent if both their ids and their signers differ." "Have it rebuilt by others, with keys of their own." "1 of 2 independent rebuilders say yes";
RebuildDisputed "rebuild-disputed" Image Warn "A trusted rebuilder says no. It does not refuse the image, since enough others say yes or the policy asks nobody; but one of them saw something else." "Read that rebuilder's report." "`https://rebuild.example.org` says `unexplained`";
SbomMissing "sbom-missing" Image Deny "No list of contents by a trusted signer is beside the image. Nobody can look a vulnerability up in it." "Attest one: `reprov attest IMAGE --statement FILE`." "no list of contents (SPDX, CycloneDX) by a trusted signer";
SbomMalformed "sbom-malformed" Image Deny "What is signed as a list of contents is no such document. It lacks the field by which SPDX and CycloneDX say what they are." "Make the list again; look what wrote it." "what is signed as https://spdx.dev/Document is no such document";
SbomEmpty "sbom-empty" Image Deny "A list of contents has fewer packages than an image can have. The tool that made it found nothing, or looked at something else." "Make the list with a tool that knows this image's package databases." "the list has 0 packages; 1 are the least";
TestsMissing "tests-missing" Image Deny "No test result by a trusted signer is beside the image. Whether it runs at all nobody says." "Test it, and have the result attested." "no test result by a trusted signer";
TestsFailed "tests-failed" Image Deny "Tests of this image failed, by the word of a trusted signer. The latest result counts." "Mend it, build it, test it." "tests failed: starts";
TestsWarned "tests-warned" Image Deny "Tests of this image warned, and the policy takes a warning for a no. The latest result counts." "Look into the warnings, or set `strict = false` under [tests]." "tests warned: size";
TestAbsent "test-absent" Image Deny "A test that must pass is not among those that passed. It may not have been run." "Run it, and have the result attested." "not among the tests that passed: starts";
PromotionMissing "promotion-missing" Image Deny "No trusted signer says that the image was promoted to where the policy wants it to be. It may be here without having been let through." "Promote it: `reprov promote SRC DST --policy FILE --key FILE`." "no trusted signer says that it was promoted there; it was promoted to `registry.example.org/staging/app:1`";
Closed "closed" Image Deny "The policy says that nothing is released on this day. The image may be as good as any." "Come back later; for an emergency write a waiver." "nothing is released on 2026-12-24T10:00:00Z";
SummaryUsed "summary-used" Notice Info "A trusted verifier verified this image by this very policy before, and that was taken instead of doing it again. The policy allows it for as long as the summary is fresh." "Nothing is to be done; without `[summaries]` in the policy everything is verified again." "`https://verify.example.org` verified it on 2026-11-30T10:00:00Z";
SummaryFailed "summary-failed" Notice Warn "A trusted verifier says that this image FAILED. It was verified again here; what came of that is told beside." "Ask that verifier what it found." "`https://verify.example.org` says that it FAILED";
SummaryStale "summary-stale" Notice Warn "A summary is older than the policy allows, says no time, or is from the future. So the image was verified again." "Nothing is to be done if it passed; `--key` writes a fresh one." "the summary of 2025-01-01T00:00:00Z is older than the 7d allowed";
SummaryPolicy "summary-policy" Notice Warn "A summary is of a verification by another policy, or by another version of this one. So the image was verified again." "Nothing is to be done if it passed; `--key` writes one by this policy." "`https://verify.example.org` verified it by another policy";
SummaryResource "summary-resource" Notice Warn "A summary names the image otherwise than the policy expects. It may have been promised to somebody else, so the image was verified again." "Set `resource` under [summaries], if that name is right." "`https://verify.example.org` verified `registry.example.org/other`";
SummaryLevel "summary-level" Notice Warn "A summary vouches for a lower SLSA build level than the policy asks for, or its signer is granted no more. So the image was verified again." "Build where the level is higher." "the summary vouches for SLSA build level 1";
WaiverPending "waiver-pending" Notice Warn "A waiver begins later. It waives nothing yet." "Wait, or set `from` earlier." "the waiver of sbom-missing by ops begins on 2027-01-01T00:00:00Z";
WaiverExpiring "waiver-expiring" Notice Warn "A waiver that is in use ends within thirty days. After that the image is refused." "Mend what it waives, or agree on a later `until`." "the waiver of sbom-missing by ops ends on 2026-12-24";
WaiverExpired "waiver-expired" Notice Warn "A waiver has ended. It waives nothing, and stands in the policy without a use." "Mend what it waived and remove it, or agree on a later `until`." "the waiver of sbom-missing by ops ended on 2026-11-01";
WaiverUnused "waiver-unused" Notice Info "A waiver holds, and there is nothing for it to waive. What it was for may be mended." "Remove it, if that is so for all its images." "the waiver of sbom-missing by ops waives nothing here";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Code {
    /// The codes that a policy may change.
    #[must_use]
    pub fn of_policies() -> Vec<&'static str> {
        Self::ALL.iter().filter(|code| code.about() == About::Image).map(|code| code.name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_image_refuses_it_by_itself() {
        for code in Code::ALL {
            assert!(code.about() == About::Image || code.severity() < Severity::Deny, "{code}");
        }
    }
}

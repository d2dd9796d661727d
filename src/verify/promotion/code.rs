//! What deciding on a promotion can find beside what verifying finds, with its codes. No policy changes these; the flags
//! of `promote` and its policy's `[promote]` do. Codes are only ever added.

use crate::policy::Severity;

macro_rules! codes {
    ($($name:ident $code:literal $severity:ident $meaning:literal $remedy:literal $example:literal;)+) => {
        pages! { PromotionCode: $($name $code $meaning $remedy $example;)+ }

        impl PromotionCode {
            /// How much it counts by itself.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }
        }
    };
}

codes! {
Source "promotion-source" Deny "The image comes from a place that the policy's `[promote]` does not name under `from`. It may be as good as any, but it did not come the agreed way." "Promote from a place that `from` names, or add this one." "`registry.example.org/scratch/app:1` is none of the places that may be promoted from";
Target "promotion-target" Deny "The target is none of those that the policy's `[promote]` names under `to`. A policy of one environment says nothing of another." "Use the target's own policy, or add it to `to`." "`registry.example.org/prod/app:1` is none of the places that this policy promotes to";
Platform "promotion-platform" Deny "An image of the index is refused, or nobody can tell of it. An index is promoted with all its images or not at all." "Mend what is found at that image; it is told below its platform." "linux/arm64 is refused, so nothing of the index is promoted";
Empty "promotion-empty" Deny "The index names no image that could be run. There is nothing to judge, so nothing is let through." "Look what wrote the index." "the index names no image";
Index "promotion-index" Deny "Nobody who is trusted attested the index itself, and the policy's `[promote]` wants that (`index = true`). Each image in it may be good, but nobody vouches that these belong together." "Attest the index too (`reprov attest --all-platforms`)." "the index is not attested: no-attestation";
Downgrade "promotion-downgrade" Deny "What the tag names now was built of a later commit, or later, by the word of both provenances. Whoever pulls the tag would get the older one." "Promote the newer one; if the older one is meant, say --allow-downgrade, or --undo." "its commit is of 2026-11-01T00:00:00Z, and that of the image there of 2026-11-20T00:00:00Z";
AgeUnknown "promotion-age-unknown" Warn "Nobody can tell whether the image is older than the one that the tag names now. If one of them has no provenance that is believed, or it says no time, that is said and refuses nothing. If the image there, or what may say when one was built, could not be read, nothing is promoted as long as that is so." "Look at both with `reprov verify`; attest the older one, if it is to be compared. If it cannot be read for good, and may be replaced whatever it is, say --allow-downgrade." "the image there has no provenance that is believed";
PlatformDropped "promotion-platform-dropped" Warn "The image that the tag names now has a platform that this one lacks. Whoever pulls the tag there will find nothing." "Build for that platform too, if it is still used." "linux/arm64 is not in it any more";
TagMoved "promotion-tag-moved" Deny "Somebody moved the tag while it was decided and copied. What was compared and approved is not what would be replaced, so the tag was left as it was found." "Look who else writes there; then promote again." "`registry.example.org/prod/app:1` was sha256:77aa… and is sha256:0e14… now";
DecisionChanged "promotion-decision-changed" Deny "The decision is another than the one that was expected with --expect. Image, target, policy or findings changed since it was printed." "Read the new decision (`--dry-run`), and expect that one if it is right." "the decision is sha256:77aa…, not sha256:0e14…: the policy changed";
NothingToUndo "promotion-nothing-to-undo" Deny "No trusted signer says what the tag named before its image was promoted: it was never promoted there, or there was no tag before, or somebody moved it otherwise since. So nobody knows where to go back to." "Promote the image that is meant, with --allow-downgrade." "`registry.example.org/prod/app:1` names sha256:77aa…, which was not promoted to it";
UndoGone "promotion-undo-gone" Deny "The image that the tag named before is not in the repository any more. Registries remove what no tag names, if they are told to." "Promote the image again from where it still is, with --allow-downgrade; keep images as long as one may go back." "sha256:77aa…, which the tag named before, is gone";
}

impl std::fmt::Display for PromotionCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

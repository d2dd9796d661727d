//! What judging a layout can find, with its codes. Codes are only ever added.

macro_rules! codes {
    ($($name:ident $code:literal $refuses:literal $meaning:literal $remedy:literal $example:literal;)+) => {
        pages! { LayoutCode: $($name $code $meaning $remedy $example;)+ }

        impl LayoutCode {
            /// Whether it refuses the supply chain; otherwise it is told beside.
            #[must_use]
            pub fn refuses(self) -> bool {
                match self { $(Self::$name => $refuses,)+ }
            }
        }
    };
}

codes! {
LayoutUnreadable "layout-unreadable" true "The file that should be an in-toto layout is not one that is read: no JSON, a field that in-toto does not know or one too few, a rule that is none, an OpenPGP key. Nothing in it was believed." "Make the layout with in-toto 3; use Ed25519, P-256 or RSA keys." "layout: its key `1a2b…`: it is an OpenPGP key, which is not supported";
LayoutSignature "layout-signature" true "The layout has no good signature of a key that was given with --layout-key. Every one of these keys must have signed it; a key in the layout itself proves nothing." "Give the keys of the layout's owners; if they are right, the layout was changed after it was signed." "layout: no signature by 4f1c…";
LayoutExpired "layout-expired" true "The layout was good until a time that is past. Its owner no longer stands for it." "Ask the owner for a layout that is signed again." "layout: it expired at 2026-01-01T00:00:00Z";
LayoutParameter "layout-parameter" true "A rule of the layout holds a parameter in braces that was to be replaced before verifying. reprov replaces none, and taken literally the rule would not say what its owner meant." "Write the value into the layout, and sign that." "build: rule `ALLOW {source}` holds a parameter";
LinkMissing "link-missing" true "A step has fewer links than the layout asks for. Somebody who was to do the step has not said that they did." "Look for files STEP.KEYID8.link in the directory of --links; have the step's functionaries sign theirs." "pack: 0 of 1 links of its functionaries are there";
LinkUnreadable "link-unreadable" true "A file with the name of a functionary's link is no link. The reference verifier refuses the whole supply chain then, and so does reprov." "Have the functionary make the link again." "build: build.1a2b3c4d.link: it cannot be read";
LinkSignature "link-signature" false "A link names its functionary's key, but the signature is not that key's over these bytes. It counts for nothing; it was changed after it was signed, or by a tool that writes fields that in-toto does not know." "Have the functionary make the link again." "build: the signature of build.1a2b3c4d.link is not by the key it names";
LinkFunctionary "link-functionary" false "A link is signed by somebody whom the layout does not let do this step. It counts for nothing." "Have somebody do the step who may; or have the owner add the key to the step." "pack: pack.9f8e7d6c.link is by nobody who may do this step";
LinkName "link-name" true "A link was made for another step than the one its file is named after. Whoever renamed it passes off one step as another." "Put every link back under the name of its own step." "pack: pack.1a2b3c4d.link is a link of `build`";
LinkThreshold "link-threshold" true "Fewer people than the layout asks for have signed a good link of a step. One key under two ids is one person." "Have more of the step's functionaries do it and sign their links." "build: 1 of 2 functionaries have signed a good link";
LinksDiffer "links-differ" true "The functionaries of a step do not agree on what went in or what came out. So at least one of them had something else." "Do the step again, each for themselves, from the same materials." "build: its links differ in their products";
LinksDifferOne "links-differ-one" false "Several functionaries signed links of a step that asks for one, and they do not agree. The one whose key the layout names first was taken, as the reference verifier does." "Raise the step's threshold if they should agree; else remove the links that are not meant." "build: its links differ; that of 1a2b3c4d was taken";
StepCommand "step-command" false "A step was done with another command than the layout expects. The in-toto specification wants this told, and no more." "Look at the command; if it is right, have the owner change the layout." "build: `rm -rf /` was run, not `cc main.c`";
ArtifactRule "artifact-rule" true "What went into a step or came out of it is not what the layout allows. A rule found a file that may not be there, or did not find one that must be." "Look where the file comes from; a MATCH rule that takes nothing is not told, the DISALLOW after it is." "build: materials: DISALLOW * matches `etc/passwd`";
SublayoutDepth "sublayout-depth" true "Layouts stand in place of links deeper than is followed. Nothing below was looked at." "Write the steps into fewer layouts." "a/b/c/d: layouts are 4 deep";
InspectionNotRun "inspection-not-run" true "The layout asks the verifier to run commands of its owner's choice on this machine. They run only if that is asked for, and those of a layout in place of a link never." "Read the commands; then give --run-inspections, in a directory that holds the product and nothing else." "look: `tar xf app.tar` was not run";
InspectionFailed "inspection-failed" true "A command that the layout has the verifier run did not end well, or could not be run. What it was to look for is not known." "Run it by hand in the same directory." "look: `tar xf app.tar` ended with exit status: 2";
ImageNotProduct "image-not-product" true "The supply chain may be good, but its last step does not say that this image came out. It is another image, or was made otherwise." "Look at the products of the last step: one must have the image's manifest digest as its sha256." "sha256:0e14… is no product of `pack`";
}

impl std::fmt::Display for LayoutCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

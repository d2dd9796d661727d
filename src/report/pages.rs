//! What the codes of `reprov explain` mean, but for causes of drift: meaning, remedy, example.

use super::{audit::NoticeKind, explain::ErrorKind};
use crate::model::{Reason, Taint, Turn, Verdict};

/// Two sentences or more on what happened, one on what to do, and how it looks.
pub(super) type Page = (&'static str, &'static str, &'static str);

/// Meaning, remedy and example of a verdict.
pub(super) fn verdict(verdict: Verdict) -> Page {
    match verdict {
        Verdict::Reproduced => (
            "The rebuilt image has the same manifest digest. Every byte of config and layers is so the same.",
            "Nothing is to be done.",
            "reproduced  registry.example.org/app:1@sha256:fa5a…",
        ),
        Verdict::CompressionOnly => (
            "Every layer holds the same archive, compressed otherwise; the configs agree too. What runs is the same, but the digests are not.",
            "Pin the compressor and its version.",
            "3 layers, one diffID each on both sides, two digests",
        ),
        Verdict::BuilderNormalised => (
            "The images are the same once the marks of the builder are taken away: its labels, its mount points, how it writes modes and deletions. What the Dockerfile made is the same.",
            "Pin the builder's version.",
            "mode 0100755 → 0755 in every entry of a layer",
        ),
        Verdict::SameFilesystem => (
            "The layers differ, but merged they give the same files with the same owners and modes. Only how the files are spread over layers is another.",
            "Pin the builder; what runs is the same.",
            "3 layers → 2 layers, every file the same",
        ),
        Verdict::Explained => (
            "The images differ, and each difference has a cause with a name. Drift that is explained is still drift: it hides whatever else changes in the same file.",
            "Follow the remedy of each cause; `reprov explain CODE` has more on it.",
            "etc/build-date: clock-in-text (known)",
        ),
        Verdict::Unexplained => (
            "The images differ, and for at least one difference nothing is known that makes it. This is the verdict to look into: a changed program looks like this too.",
            "Look at the differences of cause `unexplained`, those marked as security first.",
            "usr/bin/app: content, unexplained",
        ),
        Verdict::BuilderChanged => (
            "Buildroot, engine, runtime or layer writer here is not the recorded one, and the images differ. So nobody can tell whether build or builder made the difference.",
            "Rebuild with the recorded versions; an image that is built in a buildroot image (`build --buildroot`) brings them along.",
            "engine buildah: recorded 1.28.2, here 1.43.2",
        ),
        Verdict::Unbuildable => (
            "The build failed although everything it recorded was at hand. The end of its log is shown.",
            "Read the log; a step that fails only sometimes, or after a date, is the usual reason.",
            "line 4: RUN make test: exit code 2",
        ),
        Verdict::InputsMissing => (
            "Something that the build fetched is gone or altered, or the rebuild asked for what nobody recorded and then failed. Without its inputs a build cannot be run again.",
            "Keep the inputs beside the image (`build --inputs-to same`), and copy an image with its referrers.",
            "http://mirror.example.org/pool/a.deb: its body is in no store and not beside the image",
        ),
        Verdict::Unverifiable => (
            "There is no provenance that can be believed: none at all, none signed by a trusted key, or one about another image. Nothing was rebuilt.",
            "Name the right key with --trust, or build with --key.",
            "attestation cac11bd56368: no signature by a trusted key",
        ),
    }
}

/// Meaning, remedy and example of a refusal or a failed fetch.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn reason(reason: Reason) -> Page {
    match reason {
        Reason::NotAllowed => (
            "The URL is under no repository that the build may fetch from. Nothing was asked upstream.",
            "Allow what is meant with a [[repository]] table or --allow NAME=URL; --learn prints what a build needs.",
            "line 4: refused GET http://registry.example.org/tool.tar.gz: under no allowed repository",
        ),
        Reason::IpLiteral => (
            "The URL names an address or this machine, and no repository has exactly that address. A build must not look around in the builder's network, so --learn does not let it through either.",
            "Use the host's name, or add a [[repository]] table with exactly this address.",
            "GET http://127.0.0.1:8080/x",
        ),
        Reason::Url => (
            "The request's URL is none that a repository can have. Two programs could understand it differently, so nobody is asked for it.",
            "Correct the URL where the build has it from.",
            "GET http://mirror.example.org/a/%2e%2e/b",
        ),
        Reason::Method => (
            "Only GET, HEAD and POST are let through. Whatever changes something upstream cannot be replayed.",
            "Do not upload from a build.",
            "PUT http://mirror.example.org/report",
        ),
        Reason::Connect => (
            "The step asked for a tunnel that is none to a host and port under an allowed repository. Tunnels end at the gateway, which must see what is fetched.",
            "Allow the host with a [[repository]] table of an https URL.",
            "CONNECT registry.example.org:443",
        ),
        Reason::Upgrade => (
            "The step asked to speak another protocol on the connection (a websocket, HTTP/2 without TLS). Such a talk has no answer that could be frozen.",
            "Fetch with plain HTTP requests.",
            "Connection: upgrade",
        ),
        Reason::Form => (
            "The bytes that came are not a whole proxy request. Either the tool speaks to the gateway as if it were the server, or it broke off.",
            "Let the tool use the proxy in its environment.",
            "GET /pool/a.deb without a host, or a body that ended early",
        ),
        Reason::Size => (
            "A request's or an answer's body is larger than is ever recorded. It was not cut off, since a shortened file would look whole.",
            "Fetch the file in parts, or bring it in with the source.",
            "the answer is larger than 17179869184 bytes",
        ),
        Reason::Mirrors => (
            "A metalink or mirror list names no mirror that is under an allowed repository. A list is cut to the first one that is, since a list of others would lead nowhere.",
            "Add a [[repository]] table for one of the mirrors that it names.",
            "GET http://mirror.example.org/metalink?repo=main",
        ),
        Reason::Checksum => (
            "The body is not the one that `ADD --checksum` names. The file changed upstream, or the checksum is of another file.",
            "Find out which of the two is right.",
            "GET http://mirror.example.org/a.tar.gz gave sha256:12…, but its checksum is sha256:ab…",
        ),
        Reason::Signer => (
            "The repository's `key` pins who signs it, and what came is not signed by that key: an InRelease, or an rpm package. The build got no byte of it, whatever its own tools would have let pass.",
            "Find out who signed it. If the signer has a new key, put that into the file that `key` names.",
            "GET http://mirror.example.org/dists/x/InRelease is refused, since repository `main` is pinned to key 7A3F…: no signature on it is by a pinned key (signed by 9C41…)",
        ),
        Reason::Unlisted => (
            "The repository's `key` pins who signs it, and the file is named by no signed index that this build fetched. An index that came with the base image does not count, since nobody saw who signed it here.",
            "Run `apt-get update` in the Dockerfile before; a repository without InRelease cannot be pinned.",
            "GET http://mirror.example.org/pool/a.deb is refused, since repository `main` is pinned to key 7A3F…: no index that this key signed and that was fetched in this build names it",
        ),
        Reason::Changed => (
            "The file has another digest than the signed index says. A mirror that is updated while a build runs looks like this, since each answer is kept for the whole build; a file that somebody changed does too.",
            "Build again; if it stays so, ask those who run the mirror.",
            "GET http://mirror.example.org/pool/a.deb: it is sha256:12…, and the signed index names sha256:ab…",
        ),
        Reason::ShortBody => (
            "The answer ended before the length it promised. Nothing of it was recorded.",
            "Build again; if it stays so, ask those who run the mirror.",
            "connection closed before message completed",
        ),
        Reason::Certificate => (
            "The server's certificate was not believed: expired, for another name, or signed by nobody this machine trusts. Nothing was asked.",
            "Correct the certificate, or add its authority to this machine's trusted ones.",
            "cannot fetch from mirror.example.org: invalid peer certificate: Expired",
        ),
        Reason::Malformed => (
            "What the server sent is no HTTP, or a head without end. Nothing of it was recorded, and nobody asked again.",
            "Ask those who run the mirror, or use another (`replace` in [[repository]]).",
            "cannot fetch from mirror.example.org: invalid HTTP header parsed",
        ),
        Reason::Inputs => (
            "The build has fetched more bytes, or asked more often, than it may. It was ended, since what is recorded must be kept.",
            "Raise --max-inputs if the build needs that much.",
            "the build has fetched more than it may",
        ),
        Reason::Timeout => (
            "The server did not answer in time, or stopped in the middle. Silence is waited for once, not tried again.",
            "Build again, or use a nearer mirror (`replace` in [[repository]]).",
            "cannot fetch from mirror.example.org: operation timed out",
        ),
        Reason::Unreachable => (
            "No connection to the server came about, or it broke. Retries had the same end.",
            "See whether this machine reaches the host at all.",
            "cannot fetch from mirror.example.org: connection refused",
        ),
        Reason::Store => (
            "The answer could not be written to the store. The disk is full or not writable, most often.",
            "Make room (`reprov store gc`), or name another --store.",
            "cannot write a blob in the store: no space left on device",
        ),
        Reason::Transcript => (
            "The answer has a form that a transcript cannot hold. What cannot be written down cannot be replayed.",
            "Report it, with the URL.",
            "an answer whose URL cannot be written down",
        ),
    }
}

/// Meaning, remedy and example of a taint.
pub(super) fn taint(taint: Taint) -> Page {
    match taint {
        Taint::Learn => (
            "The build ran with --learn, so every host name was let through. What came is recorded and can be replayed, but nobody chose it before.",
            "Put the tables that --learn printed into reprov.toml, and build without it.",
            "reprov_tainted: [\"learn\"]",
        ),
        Taint::Refused => (
            "A request was refused and the build went on without it (`on-refused = \"record\"`). The step may have done something else instead.",
            "Allow the request, or remove what asks for it.",
            "curl … || true",
        ),
        Taint::Failed => (
            "The build saw a fetch fail, and no good answer to the same request followed. A rebuild cannot show it the same failure.",
            "Build again; if the failure is meant, remove the fetch.",
            "503 from a mirror, and the step went on",
        ),
        Taint::EventsFull => (
            "There were more events than are kept. The list of who asked for what ends early; the transcript is whole.",
            "Look for a step that asks in a loop.",
            "a step that asks a million times",
        ),
    }
}

/// Meaning, remedy and example of a change.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn turn(turn: Turn) -> Page {
    match turn {
        Turn::EvidenceLost => (
            "Something that the image is judged by was there and is not any more: a statement, a log, a transcript, recorded inputs. The image may be as it was, but nobody can show it.",
            "Copy the image again with its referrers (`reprov copy`) from where they still are, and look who deletes them.",
            "registry.example.org/app:1  evidence is missing: no-attestation",
        ),
        Turn::Gone => (
            "The registry was reached and says that there is no such image. Somebody deleted it, or its tag.",
            "Take it out of the inventory if that is meant; else push it again.",
            "registry.example.org/app:1  the registry says that it is not there",
        ),
        Turn::Drift => (
            "A rebuild gives another image than the one that is there, and the last one did not. Causes are named beside it.",
            "Open the report of the drift, and follow the remedy of each cause.",
            "registry.example.org/app:1  drifts: it was reproduced, and is explained: clock-in-text",
        ),
        Turn::NewCause => (
            "The image drifted before, and now it drifts for a cause that was not there. What was known of its drift does not say all any more.",
            "Look at the new cause; accept none of it because of the old one.",
            "registry.example.org/app:1  drifts for another cause (unexplained): unexplained",
        ),
        Turn::Failed => (
            "The policy says no to an image that it did not say no to before. Image, evidence, policy or time changed.",
            "Look at the findings (`reprov verify IMAGE`), each with its remedy.",
            "registry.example.org/app:1  does not pass its policy any more: stale",
        ),
        Turn::NewFinding => (
            "The policy said no before, and now it has one reason more. To mend the old one is not enough.",
            "Look at the findings (`reprov verify IMAGE`).",
            "registry.example.org/app:1  does not pass its policy for another reason: log-missing",
        ),
        Turn::TestsBroke => (
            "The tests of the image were run in it and failed, and did not fail before. The codes name which.",
            "Run them again with `reprov test IMAGE`.",
            "registry.example.org/app:1  its tests fail: starts",
        ),
        Turn::CannotTell => (
            "The image could not be reached, judged or rebuilt, and the last time it could. This is no verdict on the image.",
            "Look at the reason beside it; the next audit tries again.",
            "registry.example.org/app:1  could not be reached: connection refused",
        ),
        Turn::Overdue => (
            "Nobody could say anything about the image for longer than the inventory allows. What was true then may not be true now.",
            "See whether the audit runs, and whether its budget suffices (`reprov audit INVENTORY --list`).",
            "registry.example.org/app:1  is overdue: it was judged last 2026-11-20T02:11:00Z",
        ),
        Turn::WaiverEnded => (
            "A finding was put up with until a day that is past now. From now on it counts.",
            "Mend what was waived, or let its owner decide anew.",
            "registry.example.org/app:1  the waiver of log-missing by base-team ended 2026-12-01",
        ),
        Turn::WaiverEnding => (
            "A finding is put up with, and that ends within 30 days. Then it counts, and the image fails.",
            "Mend what is waived before, or let its owner decide anew.",
            "registry.example.org/app:1  the waiver of log-missing by base-team ends 2026-12-20",
        ),
        Turn::TagMoved => (
            "The tag names another image than before. What was known of the old one says nothing about the new one.",
            "Nothing is to be done if the move was meant.",
            "registry.example.org/app:1  the tag moved from sha256:0e1425798d5a to sha256:77aa0c1d2e3f",
        ),
        Turn::NewImage => (
            "The ledger has an audit of this name for the first time. There is nothing to compare it with.",
            "Nothing is to be done if it was meant to be in the inventory.",
            "registry.example.org/app:2  is audited for the first time: reproduced",
        ),
        Turn::Cured => (
            "The image drifted, or could not be rebuilt, and now its rebuild gives the same bytes. The tag may name another image than then.",
            "Nothing is to be done.",
            "registry.example.org/app:1  is reproduced again; it was explained",
        ),
        Turn::Passed => (
            "The policy said no before, and now it says yes. Image, evidence, policy or a waiver changed.",
            "Nothing is to be done.",
            "registry.example.org/app:1  passes its policy again",
        ),
        Turn::TestsMended => (
            "The tests of the image failed before, and now they pass. They were run in the image that is there now.",
            "Nothing is to be done.",
            "registry.example.org/app:1  its tests pass again",
        ),
        Turn::Back => (
            "The image could not be reached, judged or rebuilt before, and now it could. What came of it stands beside it.",
            "Nothing is to be done.",
            "registry.example.org/app:1  is there again",
        ),
    }
}

/// Meaning, remedy and example of a kind of error.
pub(super) fn error(kind: ErrorKind) -> Page {
    match kind {
        ErrorKind::Usage => (
            "The command line, the recipe, the Dockerfile, a key file or the state of the source is wrong. Trying again changes nothing.",
            "Correct what the message names.",
            "unknown key `contxt` in [image]; did you mean `context`?",
        ),
        ErrorKind::Unavailable => (
            "The question could not be answered: the network, a registry, the disk, a missing program, an interruption. It is neither a yes nor a no.",
            "Remove the cause and run again; `reprov doctor` says what this machine lacks.",
            "cannot reach registry.example.org: connection refused",
        ),
        ErrorKind::Internal => (
            "reprov itself is wrong. What it did until then is not to be relied on.",
            "Report it, with the message and the command.",
            "internal error: the layers do not match the steps",
        ),
    }
}

/// Meaning, remedy and example of a notice.
pub(super) fn notice(kind: NoticeKind) -> Page {
    match kind {
        NoticeKind::Duplicate => (
            "An image stands twice in the inventory, by one name or by two. It is done once, as the first group that names it wants.",
            "Take it out of one of the groups, if the other's policy was meant.",
            "registry.example.org/web:1 stands twice; it is done once, in group `web`",
        ),
        NoticeKind::NoTag => (
            "No tag of the repository fits a pattern of the inventory. So nothing is audited by it, which is hardly what was meant.",
            "Correct the pattern, or take it out; `reprov audit INVENTORY --list` shows what there is.",
            "no tag of registry.example.org/web fits `1.*`; it has 12 tags",
        ),
        NoticeKind::NoImage => (
            "A file that the inventory names has no image in it. Whatever writes it may have failed.",
            "Look at what writes the file.",
            "`pods.json` names no image",
        ),
        NoticeKind::Unclear => (
            "The tags of a repository could not be listed, or an image of a pod has no name that a registry knows. What is behind it was not audited.",
            "Look at the name, the registry and the login; name images by digest where tags may not be listed.",
            "the tags of registry.example.org/web could not be listed: the registry has no such repository, or does not tell",
        ),
        NoticeKind::Moved => (
            "A tag named another image when the audit was done with it than when it began. What it names now was not judged.",
            "Audit again: the new image was never judged, so it is due.",
            "registry.example.org/web:1 was sha256:… when the audit began, and is sha256:… now, which nobody judged",
        ),
    }
}

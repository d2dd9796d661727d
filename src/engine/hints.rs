//! What a failed build's log says about a limit of the buildroot: a table of words that tools print (docs/limits.md).

use bstr::ByteSlice as _;
use serde::Serialize;

/// What to tell who reads the log of a failed build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// Stable name.
    pub code: &'static str,
    /// In a sentence: what it is, what to do.
    pub text: &'static str,
    /// Where more of it stands.
    pub see: &'static str,
}

impl Hint {
    /// Sentence and place, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{} ({})", self.text, self.see)
    }
}

/// Most hints for one log.
pub(super) const HINTS_MAX: usize = 3;

/// The hint that the source needs a `.git`.
pub const GIT_DIRECTORY: &str = "git-directory";

/// Words that stand together in one line.
pub(super) type Sign = &'static [&'static str];

pub(super) struct Row {
    pub(super) hint: Hint,
    pub(super) signs: &'static [Sign],
}

/// Narrowest first: what a general row would say too is said by the first that knows better.
pub(super) const ROWS: &[Row] = &[
    Row {
        hint: Hint {
            code: GIT_DIRECTORY,
            text: "the source has no .git in a build; `git = \"minimal\"` under [image] in reprov.toml gives it one, with this commit and its tags",
            see: "docs/limits.md#git",
        },
        signs: &[
            &["not a git repository"],
            &["error obtaining VCS status"],
            &["setuptools-scm was unable to detect version"],
            &["Versioning for this project requires either an sdist tarball"],
            &["Unable to detect version control system"],
        ],
    },
    Row {
        hint: Hint {
            code: "nested-namespaces",
            text: "a step can make no namespaces, so sandboxes inside it (bubblewrap, flatpak-builder, Chromium, Nix) do not start; turn the tool's own sandbox off, the step is in one",
            see: "docs/limits.md#sandboxes",
        },
        signs: &[
            &["bwrap: "],
            &["unshare failed"],
            &["unshare: "],
            &["unshare(", "No space left on device"],
            &["No usable sandbox!"],
            &["SUID sandbox helper binary"],
            &["Failed to move to new namespace"],
            &["cannot clone: ", "No space left on device"],
            &["newuidmap"],
            &["unable to start build process", "namespace"],
        ],
    },
    Row {
        hint: Hint {
            code: "container-engine",
            text: "no container engine runs in a step, and none of the host's can be reached; make the other image a base or a stage (COPY --from)",
            see: "docs/limits.md#engines",
        },
        signs: &[
            &["Cannot connect to the Docker daemon"],
            &["docker.sock"],
            &["podman.sock"],
            &["ERROR: failed to connect to the docker API"],
        ],
    },
    Row {
        hint: Hint {
            code: "java-trust-store",
            text: "Java reads neither the proxy nor the CA of the environment; make a key store of /dev/.gw/ca.pem in /tmp and name both in JAVA_TOOL_OPTIONS",
            see: "docs/limits.md#java",
        },
        signs: &[
            &["PKIX path building failed"],
            &["unable to find valid certification path"],
            &["trustAnchors parameter must be non-empty"],
            &["java.net.UnknownHostException"],
            &["java.nio.channels.UnresolvedAddressException"],
        ],
    },
    Row {
        hint: Hint {
            code: "trust-store",
            text: "the tool brings its own certificates and does not know the gateway's; point it at /dev/.gw/ca.pem, in the step only",
            see: "docs/limits.md#certificates",
        },
        signs: &[
            &["CERTIFICATE_VERIFY_FAILED"],
            &["certificate verify failed"],
            &["SELF_SIGNED_CERT_IN_CHAIN"],
            &["UNABLE_TO_GET_ISSUER_CERT_LOCALLY"],
            &["UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
            &["self-signed certificate in certificate chain"],
            &["self signed certificate in certificate chain"],
            &["unable to get local issuer certificate"],
            &["server certificate verification failed"],
            &["certificate signed by unknown authority"],
            &["invalid peer certificate: UnknownIssuer"],
            &["SSL certificate problem"],
            &["is not trusted", "certificate"],
        ],
    },
    Row {
        hint: Hint {
            code: "ssh",
            text: "ssh, git://, rsync and ftp do not pass the gateway, and a step has no keys; fetch over https (git: url.https://….insteadOf), or as a submodule",
            see: "docs/limits.md#protocols",
        },
        signs: &[
            &["ssh: Could not resolve"],
            &["ssh: connect to host"],
            &["Could not read from remote repository"],
            &["fatal: unable to look up"],
            &["unable to connect to", "port 9418"],
            &["rsync error"],
            &["rsync: "],
            &["Host key verification failed"],
        ],
    },
    Row {
        hint: Hint {
            code: "no-network",
            text: "a step reaches nothing but the gateway, an HTTP(S) proxy at $https_proxy: there is no DNS and no route; the tool must use the proxy",
            see: "docs/limits.md#network",
        },
        signs: &[
            &["Could not resolve host"],
            &["Couldn't resolve host"],
            &["Temporary failure in name resolution"],
            &["Temporary failure resolving"],
            &["Name or service not known"],
            &["No address associated with hostname"],
            &["nodename nor servname"],
            &["bad address '"],
            &["unable to resolve host address"],
            &["getaddrinfo EAI_AGAIN"],
            &["getaddrinfo ENOTFOUND"],
            &["dial tcp", "no such host"],
            &["dial tcp", "lookup "],
            &["dial udp"],
            &["no servers could be reached"],
            &["nslookup: "],
            &["Network is unreachable"],
            &["Network unreachable"],
            &["network is unreachable"],
            &["ENETUNREACH"],
            &["failed to lookup address information"],
        ],
    },
    Row {
        hint: Hint {
            code: "repository-changed",
            text: "a file is not what the repository's index says: it changed between the two, or somebody changed the file; each answer is kept for the whole build, so build again",
            see: "docs/limits.md#repositories",
        },
        signs: &[
            &["Hash Sum mismatch"],
            &["File has unexpected size", "Mirror sync in progress"],
            &["DO NOT MATCH THE HASHES"],
            &["EINTEGRITY"],
            &["failed to verify the checksum of"],
            &["verifying module: checksum mismatch"],
            &["Downloading successful, but checksum doesn't match"],
        ],
    },
    Row {
        hint: Hint {
            code: "expired-repository",
            text: "apt takes the repository for too old; where it stands still, or is replayed, give apt `-o Acquire::Check-Valid-Until=false`",
            see: "docs/limits.md#repositories",
        },
        signs: &[&["Release file for ", "is expired (invalid since "]],
    },
    Row {
        hint: Hint {
            code: "device-nodes",
            text: "a step may make no device nodes; a container gets its /dev when it runs, so the image needs none",
            see: "docs/limits.md#devices",
        },
        signs: &[
            &["mknod: "],
            &["mknod(", "Operation not permitted"],
            &["cannot create special file"],
            &["cannot mknod"],
        ],
    },
    Row {
        hint: Hint {
            code: "devices",
            text: "a step has none of the host's devices (/dev/kvm, /dev/fuse, loop devices, GPUs)",
            see: "docs/limits.md#devices",
        },
        signs: &[
            &["Could not access KVM kernel module"],
            &["/dev/kvm"],
            &["fuse: device not found"],
            &["/dev/fuse"],
            &["losetup: "],
            &["failed to setup loop device"],
            &["/dev/loop"],
        ],
    },
    Row {
        hint: Hint {
            code: "mount",
            text: "a step may mount nothing; use RUN --mount=type=cache, tmpfs or bind, or tools that read images without mounting them",
            see: "docs/limits.md#mounts",
        },
        signs: &[
            &["mount: ", "ermission denied"],
            &["mount: ", "not permitted"],
            &["must be superuser to use mount"],
            &["mount(2) system call failed"],
        ],
    },
    Row {
        hint: Hint {
            code: "capabilities",
            text: "the capability is not one that a step has, so it can neither use nor give it; set it where the container runs",
            see: "docs/limits.md#capabilities",
        },
        signs: &[
            &["Failed to set capabilities on file"],
            &["CAP_SETFCAP"],
            &["cap_setfcap"],
            &["Failed to set capabilities"],
        ],
    },
    Row {
        hint: Hint {
            code: "clock",
            text: "a step cannot set the clock; SOURCE_DATE_EPOCH is the commit's time, and libfaketime fakes one for a program",
            see: "docs/limits.md#clocks",
        },
        signs: &[
            &["cannot set date"],
            &["date: can't set date"],
            &["settimeofday"],
            &["adjtimex"],
            &["Cannot access the Hardware Clock"],
            &["hwclock: "],
        ],
    },
];

/// What `log` (or its end) says: at most three hints, each once, in the order of the table.
#[must_use]
pub fn hints(log: &[u8]) -> Vec<Hint> {
    let said = |sign: &Sign| log.lines().any(|line| sign.iter().all(|word| line.contains_str(word)));
    let rows = ROWS.iter().filter(|row| row.signs.iter().any(said));
    rows.map(|row| row.hint).take(HINTS_MAX).collect()
}

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
const HINTS_MAX: usize = 3;

/// Words that stand together in one line.
type Sign = &'static [&'static str];

struct Row {
    hint: Hint,
    signs: &'static [Sign],
}

/// Narrowest first: what a general row would say too is said by the first that knows better.
const ROWS: &[Row] = &[
    Row {
        hint: Hint {
            code: "git-directory",
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
            &["ssh: "],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(log: &str, expected: &[&str]) {
        let codes: Vec<_> = hints(log.as_bytes()).iter().map(|hint| hint.code).collect();
        assert_eq!(codes, expected, "{log}");
    }

    /// As the tools print it; those marked (*) are also printed by the real tool in `tests/it/hostile/limits.rs`.
    #[test]
    fn what_tools_say() {
        for (code, texts) in [
            (
                "git-directory",
                &[
                    "fatal: not a git repository (or any of the parent directories): .git", // (*)
                    "error obtaining VCS status: exit status 128\n\tUse -buildvcs=false to disable VCS stamping.",
                    "LookupError: setuptools-scm was unable to detect version for /src.",
                    "Exception: Versioning for this project requires either an sdist tarball, or access to an upstream git repository.",
                    "RuntimeError: Unable to detect version control system. Checked: Git.",
                ][..],
            ),
            (
                "nested-namespaces",
                &[
                    "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)", // (*)
                    "bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user namespaces.",
                    "unshare: unshare failed: No space left on device", // (*)
                    "[1:1:FATAL:zygote_host_impl_linux.cc(126)] No usable sandbox! Update your kernel",
                    "FATAL:setuid_sandbox_host.cc(158)] The SUID sandbox helper binary was found, but is not configured correctly.",
                    "cannot clone: No space left on device\nError: cannot re-exec process",
                ],
            ),
            (
                "container-engine",
                &[
                    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
                    "dial unix /var/run/docker.sock: connect: no such file or directory",
                ],
            ),
            (
                "java-trust-store",
                &[
                    "javax.net.ssl.SSLHandshakeException: PKIX path building failed: sun.security.provider.certpath.SunCertPathBuilderException: unable to find valid certification path to requested target",
                    "Caused by: java.net.UnknownHostException: mirror.example.org", // (*)
                ],
            ),
            (
                "trust-store",
                &[
                    "curl: (60) SSL certificate problem: unable to get local issuer certificate", // (*)
                    "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain (_ssl.c:1006)",
                    "npm ERR! code SELF_SIGNED_CERT_IN_CHAIN",
                    "Error: unable to get local issuer certificate\n code: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'",
                    "fatal: unable to access 'https://mirror.example.org/x/': server certificate verification failed. CAfile: none CRLfile: none",
                    "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                    "error: invalid peer certificate: UnknownIssuer",
                    "ERROR: The certificate of 'mirror.example.org' is not trusted.",
                ],
            ),
            (
                "no-network",
                &[
                    "curl: (6) Could not resolve host: mirror.example.org", // (*)
                    "ping: bad address 'mirror.example.org'",               // (*)
                    "nc: bad address 'mirror.example.org'",
                    ";; connection timed out; no servers could be reached",
                    "npm ERR! request to https://mirror.example.org failed, reason: getaddrinfo EAI_AGAIN mirror.example.org",
                    "dial tcp: lookup mirror.example.org on 127.0.0.1:53: read udp: connection refused",
                    "ping: sendto: Network unreachable", // (*)
                    "bash: connect: Network is unreachable",
                    "socket.gaierror: [Errno -3] Temporary failure in name resolution", // (*)
                ],
            ),
            ("device-nodes", &["mknod: /x: Operation not permitted"]), // (*)
            (
                "devices",
                &[
                    "Could not access KVM kernel module: No such file or directory\nqemu-system-x86_64: failed to initialize kvm",
                    "fuse: device not found, try 'modprobe fuse' first",
                    "losetup: cannot find an unused loop device",
                ],
            ),
            (
                "mount",
                &[
                    "mount: /mnt: permission denied.\n       dmesg(1) may have more information",
                    "mount: permission denied (are you root?)", // (*)
                    "mount: mounting none on /mnt failed: Operation not permitted",
                ],
            ),
            (
                "capabilities",
                &[
                    "Failed to set capabilities on file '/bin/ping': Operation not permitted",
                    "unable to set CAP_SETFCAP effective capability: Operation not permitted",
                ],
            ),
            (
                "clock",
                &[
                    "date: cannot set date: Operation not permitted",
                    "date: can't set date: Operation not permitted", // (*)
                    "hwclock: Cannot access the Hardware Clock via any known method.",
                ],
            ),
        ] {
            texts.iter().for_each(|text| check(text, &[code]));
        }
        let ssh = "ssh: Could not resolve hostname git.example.org: Temporary failure in name resolution\nfatal: Could not read from remote repository.";
        check(ssh, &["ssh", "no-network"]);
        check(
            "fatal: unable to look up git.example.org (port 9418) (Name or service not known)",
            &["ssh", "no-network"],
        );
    }

    #[test]
    fn nothing_is_said_of_other_logs() {
        check("", &[]);
        check("make: *** [Makefile:2: all] Error 1\n\u{0}\u{fffd}", &[]);
        check("E: Unable to locate package frobnicate", &[]);
        check("the certificate\nis not trusted", &[]); // Not in one line.
    }

    #[test]
    fn few_are_said_at_once() {
        let all = ROWS.iter().map(|row| row.signs[0].join(" ")).collect::<Vec<_>>().join("\n");
        assert_eq!(hints(all.as_bytes()).len(), HINTS_MAX);
    }

    #[test]
    fn every_row_has_a_section_in_the_document() {
        let document = include_str!("../../docs/limits.md");
        for row in ROWS {
            let section = row.hint.see.strip_prefix("docs/limits.md#").unwrap();
            let headed =
                |line: &str| line.strip_prefix("## ").is_some_and(|title| title.to_lowercase() == section);
            assert!(document.lines().any(headed), "{section}");
        }
    }
}

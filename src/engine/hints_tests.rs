//! Words of tools, and the hints that come of them.

use super::hints::*;

#[track_caller]
fn check(log: &str, expected: &[&str]) {
    let codes: Vec<_> = hints(log.as_bytes()).iter().map(|hint| hint.code).collect();
    assert_eq!(codes, expected, "{log}");
}

/// As the tools print it; those marked (*) were printed by the real tool in a build.
const SAID: &[(&str, &[&str])] = &[
    (
        "git-directory",
        &[
            "fatal: not a git repository (or any of the parent directories): .git", // (*)
            "error obtaining VCS status: exit status 128\n\tUse -buildvcs=false to disable VCS stamping.",
            "LookupError: setuptools-scm was unable to detect version for /src.",
            "Exception: Versioning for this project requires either an sdist tarball, or access to an upstream git repository.",
            "RuntimeError: Unable to detect version control system. Checked: Git.",
        ],
    ),
    (
        "nested-namespaces",
        &[
            "bwrap: Creating new namespace failed: Operation not permitted", // (*)
            "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)",
            "bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user namespaces.",
            "unshare: unshare failed: No space left on device", // (*) util-linux
            "unshare: unshare(0x10000000): No space left on device", // (*) busybox
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
            "Exception in thread \"main\" java.net.UnknownHostException: mirror.example.org", // (*)
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
            "ping: sendto: Network is unreachable",               // (*)
            "nslookup: write to '127.0.0.1': Connection refused", // (*)
            "OSError: [Errno 101] Network is unreachable",        // (*)
            "bash: connect: Network is unreachable",
            "socket.gaierror: [Errno -3] Temporary failure in name resolution", // (*)
        ],
    ),
    (
        "repository-changed",
        &[
            "E: Failed to fetch http://mirror.example.org/pool/a.deb  Hash Sum mismatch", // (*)
            "E: Failed to fetch http://mirror.example.org/a.xz  File has unexpected size (1 != 2). Mirror sync in progress?",
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "npm ERR! code EINTEGRITY",
            "[MIRROR] a.rpm: Downloading successful, but checksum doesn't match. Calculated: 00(sha256)",
        ],
    ),
    (
        "expired-repository",
        &[
            "E: Release file for http://mirror.example.org/dists/x/InRelease is expired (invalid since 3d 2h 1min 5s). Updates for this repository will not be applied.",
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
];

#[test]
fn what_tools_say() {
    for (code, texts) in SAID {
        for text in *texts {
            check(text, &[code]);
        }
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

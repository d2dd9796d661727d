//! What more there is to say of a cause than its page: how it is told from others, what else helps, where to read on. By
//! code, so that a cause can be described before a rule for it exists.

use super::Cause;

/// More on a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Background {
    /// What in the two images says that it is this one.
    pub told_by: &'static str,
    /// What to do where the first remedy does not fit.
    pub more_remedies: &'static [&'static str],
    /// Specifications, manuals and bug reports.
    pub sources: &'static [&'static str],
}

impl Cause {
    /// What more there is to say of it.
    ///
    /// # Panics
    /// Never: a test holds the table against all causes.
    #[must_use]
    pub fn background(self) -> Background {
        let found = TABLE.iter().find(|(code, ..)| *code == self.code());
        let (_, told_by, more_remedies, sources) = found.expect("every cause has a row");
        Background { told_by, more_remedies, sources }
    }
}

const EPOCH: &str = "SOURCE_DATE_EPOCH: https://reproducible-builds.org/docs/source-date-epoch/";
const OCI_LAYER: &str = "OCI image specification, layer.md";
const OCI_CONFIG: &str = "OCI image specification, config.md";
const PAX: &str = "POSIX.1-2024, pax, \"pax Extended Header\"";

/// Code, how it is told, more remedies, sources; in the order of DRIFT.md 3.1b.
type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("mtime", "The entry's modification time differs and nothing else of it that a file system keeps. It is certain where both times lie within their own build.",
        &["With another builder: `buildah build --timestamp`, or BuildKit's `rewrite-timestamp=true`.", "Set times in the step: `find /opt/app -newermt @$SOURCE_DATE_EPOCH -exec touch -hd @$SOURCE_DATE_EPOCH {} +`."],
        &[EPOCH, OCI_LAYER]),
    ("pax-time", "Only the PAX records `atime` and `ctime` differ, or the fraction of a second in `mtime`.",
        &["Pack archives of your own with `tar --format=ustar`, or with `--pax-option=delete=atime,delete=ctime`."],
        &[PAX, "kaniko issue 2005"]),
    ("mode-type-bits", "The mode fields differ in the bits of the file type alone (0100000, 040000, 0120000).",
        &["Copy the image with one tool that writes its layers anew, on both sides."],
        &["inode(7)", OCI_LAYER]),
    ("builder-mount-point", "An empty file or directory at a path where builders mount something, in one image only.",
        &["Make the path yourself in both builds: what is there is not made."],
        &["OCI runtime specification, config.md, \"Mounts\""]),
    ("whiteout-form", "A whiteout in one image, and in the other an opaque mark of the same directory; or a whiteout whose header holds a link's name.",
        &["Do not remove and make a directory in one step; empty it instead."],
        &[OCI_LAYER, "overlayfs.rst of the Linux kernel, \"whiteouts and opaque directories\""]),
    ("compression", "The diffIDs are equal and were checked against the inflated layers; the blobs' digests differ.",
        &["Push without compressing again (`skopeo copy --preserve-digests`)."],
        &["RFC 1952", "RFC 8878", OCI_LAYER]),
    ("base-moved", "The annotation that names the base's digest differs, or the lowest layers do.",
        &["Map the base with `[from]` in reprov.toml, to a digest."],
        &["OCI image specification, annotations.md, org.opencontainers.image.base.digest"]),
    ("history-consequence", "Texts of the history differ in hashes of 12 or 64 hex digits alone.",
        &[], &[OCI_CONFIG, "buildah-build(1), --omit-history"]),
    ("builder-label", "A label or annotation of the builder's own name, or a time in one that holds the time of creation.",
        &["`buildah build --identity-label=false`."],
        &["OCI image specification, annotations.md", "buildah-build(1)"]),
    ("package-log", "The same lines in a log of apt, dpkg, dnf or alternatives, once times, durations, names of containers and the versions of packages that moved are taken away.",
        &["`RUN apt-get install … && rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log`.", "For dnf: `rm -f /var/log/dnf* /var/log/hawkey.log`."],
        &["dpkg(1), --log", "apt.conf(5)"]),
    ("apt-cache", "Two files at apt's place for them, both with apt's magic number (dc 76 fe 98): of one size, and different in few times; or beside lists or packages that differ, from which they are made.",
        &["Let apt not write them: `-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=`."],
        &["apt.conf(5), \"DIRECTORIES\"", "apt-get(8), clean"]),
    ("ldconfig-cache", "Two files of one size at `var/cache/ldconfig/aux-cache`, both with its magic word.",
        &["Run `ldconfig -i`, which does not use that cache, and remove it."],
        &["ldconfig(8)"]),
    ("account-backup", "`etc/passwd-`, `etc/shadow-`, `etc/group-` or `etc/gshadow-` differs in dates and salts alone, as the file without the dash may; or has no line that the file without the dash has not in that image, and that file's difference is known.",
        &[], &["shadow(5)", "passwd(5)"]),
    ("shadow-date", "Lines of `etc/shadow` differ in the third field alone, and each value is a day of its own build.",
        &["`usermod` and `useradd` of shadow 4.13 and newer take SOURCE_DATE_EPOCH; with older ones `chage -d $((SOURCE_DATE_EPOCH / 86400)) NAME`."],
        &["shadow(5)", EPOCH]),
    ("password-salt", "Lines of `etc/shadow` differ in the hash, and both hashes are of one method; elsewhere, texts that differ in nothing but such hashes. Hashes are never shown.",
        &["Give no password at build time: it is in the image for everybody. Set it when a container starts."],
        &["crypt(5)", "shadow(5)"]),
    ("machine-id", "Two files of 32 hex digits and a line end, at one of the two places for the machine's id.",
        &["`RUN : > /etc/machine-id && rm -f /var/lib/dbus/machine-id`."],
        &["machine-id(5)"]),
    ("key-material", "Private keys of one form on both sides, or what was made beside one: the public half, a revocation certificate, a link named after a hash. The key is never shown.",
        &["For OpenSSH: `rm -f /etc/ssh/ssh_host_*`, and `ssh-keygen -A` when a container starts.", "For Debian's `ssl-cert`: remove the key and its certificate, and `make-ssl-cert generate-default-snakeoil` at start."],
        &["RFC 7468", "ssh-keygen(1), -A"]),
    ("hostname", "One token of twelve hex digits on each side, the same wherever it stands, and else nothing but times.",
        &["`buildah build --hostname NAME`.", "Do not write `$HOSTNAME` into files."],
        &["hostname(7)", "reproducible-builds.org, documentation on variations in the build environment"]),
    ("random-name", "A name of mktemp's form in one image, and in the other an entry that is the same under another such name.",
        &["`trap 'rm -rf \"$dir\"' EXIT` in the script that makes it.", "Mount a tmpfs on it: `RUN --mount=type=tmpfs,target=/tmp …`."],
        &["mktemp(1)"]),
    ("random-token", "Two texts differ in tokens of equal length that look drawn at random: UUIDs, hex, base64; or in the order of a set's or a hash table's members.",
        &["For Python's hash order: `PYTHONHASHSEED=0`.", "Derive ids from content: `uuidgen --sha1`."],
        &["RFC 9562", "random(7)"]),
    ("proc-capture", "A text with the form of a file in /proc, or of a dump of the environment, differs in digits alone.",
        &["Do not keep output of `env`, `mount`, `df`, `free` in the image."],
        &["proc(5)"]),
    ("pyc-timestamp", "Compiled Python of one version, both of the timestamp form, that differ in bytes 8 to 11 alone.",
        &["`pip install --no-compile`, and compile with `python -m compileall --invalidation-mode unchecked-hash`.", "`PYTHONDONTWRITEBYTECODE=1` in the steps that import.", "For Debian's packages: they keep the times of their sources, so nothing is to be done."],
        &["PEP 552", "Python documentation, py_compile.PycInvalidationMode", EPOCH]),
    ("pyc-refs", "Compiled Python whose bodies differ in reference flags alone and unmarshal to the same code.",
        &["Run `add-determinism` over the files."],
        &["CPython, Python/marshal.c, FLAG_REF", "add-determinism, handler pyc"]),
    ("pyc-stale", "The time in a compiled file's header is not that of its source in the same image.",
        &["Compile with `--invalidation-mode unchecked-hash`."],
        &["PEP 552"]),
    ("gzip-timestamp", "Two gzip files that differ in the time of their headers alone (bytes 4 to 7).",
        &["From Python: `gzip.GzipFile(…, mtime=0)`.", "From tar: `tar -I 'gzip -n'`."],
        &["RFC 1952, 2.3, MTIME", "gzip(1), -n"]),
    ("zip-timestamp", "Zip archives that differ in times of members alone: in DOS form, and in extra fields for times.",
        &["Jars: `jar --date`, Maven's `project.build.outputTimestamp`, Gradle's `preserveFileTimestamps = false`.", "Afterwards: `strip-nondeterminism`, or `add-determinism`."],
        &["APPNOTE.TXT, 4.4.6 and 4.5", EPOCH]),
    ("tar-timestamp", "Tar archives that differ in times of members, and the headers' checksums that follow, alone.",
        &["From Python: `TarInfo.mtime`.", "`--owner=0 --group=0 --numeric-owner` and `--format=gnu` take away what differs next."],
        &["tar(5)", "https://reproducible-builds.org/docs/archives/"]),
    ("ar-timestamp", "Ar archives (static libraries) that differ in times of members alone.",
        &["`ranlib -D`.", "For CMake: set `CMAKE_C_ARCHIVE_CREATE` so that it passes `D`."],
        &["ar(1), modifier D", "ar(5)"]),
    ("cpio-timestamp", "Cpio archives that differ in times, inodes and devices of members alone.",
        &["For initramfs: `mkinitramfs` and `dracut --reproducible` take SOURCE_DATE_EPOCH."],
        &["cpio(5)", EPOCH]),
    ("compile-date", "ELF files that differ in dates and times of the forms of `__DATE__` and `__TIME__`, each within its own build, and in the build id.",
        &["Take `__DATE__`, `__TIME__` and `__TIMESTAMP__` out of the source.", "Clang 16 and newer, and GCC 7 and newer, take SOURCE_DATE_EPOCH."],
        &["GCC manual, \"Environment Variables Affecting GCC\"", EPOCH]),
    ("build-path", "Binaries that differ in random components of paths below the places where builds draw directories, and in the build id.",
        &["For pip: `CFLAGS=-g0 pip install …`, or `--no-build-isolation` in a directory of a fixed name.", "For Rust: `--remap-path-prefix`. For Go: `-trimpath`."],
        &["GCC manual, -ffile-prefix-map", "https://reproducible-builds.org/docs/build-path/"]),
    ("build-id", "ELF files that differ in the twenty bytes of the GNU build id alone.",
        &["`-Wl,--build-id=none`, where nobody needs to find debug information by it."],
        &["ld(1), --build-id", "elf(5), NT_GNU_BUILD_ID"]),
    ("record-consequence", "Every line that differs holds the checksum of a file that differs too, and holds the right one on each side.",
        &["`pip install --no-compile` keeps compiled files out of `RECORD`."],
        &["Python packaging specifications, \"Recording installed projects\"", "sha256sum(1)"]),
    ("tool-cache", "A path in a cache that only its tool reads: of pip, uv, npm, go, cargo.",
        &["pip: `--no-cache-dir`. uv: `--no-cache`. npm: `npm ci --cache /tmp/c && rm -rf /tmp/c`.", "Mount it: `RUN --mount=type=cache,target=/root/.cache …`."],
        &["pip documentation, \"Caching\"", "npm-config, cache"]),
    ("git-metadata", "An index that differs in what it copies of files' status alone; references, reflogs and objects that follow from a commit at another time.",
        &["`GIT_AUTHOR_DATE` and `GIT_COMMITTER_DATE` for commits of the build.", "`git = \"minimal\"` in reprov.toml gives the context a `.git` that is the same each time."],
        &["gitformat-index(5)", "git(1), \"Environment Variables\""]),
    ("keystore-timestamp", "Java keystores (JKS) of trusted certificates that differ in their entries' times, and the digest at the end, alone.",
        &["On Debian: `dpkg-reconfigure ca-certificates-java` at first start.", "A PKCS #12 file of your own, named by `javax.net.ssl.trustStore`."],
        &["OpenJDK, sun.security.provider.JavaKeyStore"]),
    ("fontconfig-cache", "fontconfig caches that differ in the directory's time (bytes 48 to 55) alone.",
        &["Run `fc-cache` with SOURCE_DATE_EPOCH exported."],
        &["fc-cache(1)", EPOCH]),
    ("certificate", "One certificate or certificate request on each side. Where programs look for whom to trust, only beside a private key that was made anew.",
        &["`openssl req -x509` at start, with the key it belongs to."],
        &["RFC 5280", "RFC 7468"]),
    ("rpmdb-time", "rpm's database differs in integers that are times of their own build, and counters of changes, alone.",
        &["Export SOURCE_DATE_EPOCH with rpm 4.18 or newer.", "Remove `/var/lib/rpm` in a stage of its own where nobody asks rpm."],
        &["rpm issues 2005 and 2219", "https://www.sqlite.org/fileformat2.html"]),
    ("dnf-history", "dnf's database of transactions, or the log or index beside it, differs in times of its own build alone.",
        &["`rm -rf /var/lib/dnf` in the same RUN step."],
        &["dnf issue 2274, dnf5 issues 2326 and 2584"]),
    ("sqlite-pages", "SQLite databases that differ in integers that are times of their own build, and counters of changes, alone.",
        &["Close the database (`PRAGMA journal_mode = DELETE`), and run `VACUUM` last.", "Insert in one order: sort what is inserted."],
        &["https://www.sqlite.org/fileformat2.html"]),
    ("context-mode", "An entry of a COPY or ADD differs in permissions, and perhaps times, alone.",
        &["`umask 022` before `git clone`; `git archive` instead of a checkout."],
        &["Dockerfile reference, COPY --chmod", "git(1), core.sharedRepository"]),
    ("context-mtime", "An entry of a COPY or ADD differs in its time alone.",
        &["With another builder: `touch -d @$SOURCE_DATE_EPOCH` over the context."],
        &["BuildKit issue 6348", EPOCH]),
    ("account-ids", "User and group ids differ as the numbers in `etc/passwd` and `etc/group` do.",
        &["`useradd --uid N`, `groupadd --gid N`, `adduser --system --uid N`."],
        &["useradd(8)", "sysusers.d(5)"]),
    ("line-order", "The two texts have the same lines, each as often. Programs are left out: there order is meaning.",
        &["In Python: `sorted(os.listdir(…))`. In make: `$(sort $(wildcard …))`."],
        &["sort(1)", "https://reproducible-builds.org/docs/stable-inputs/"]),
    ("cpu-dependent", "A compressed or compiled file differs as it does with another number or kind of processors.",
        &["Fix the number of threads (`xz -T1`), and `-march=x86-64` instead of `native`."],
        &["xz(1), --threads", "GCC manual, -march"]),
    ("package-version", "dpkg's status names another version of a package, and the file is one that the package's own checksums list; or it is what the package left elsewhere: its archive, its place in a list, in the linker's cache or in a lock file, a module compiled from it.",
        &["apt: `apt-get install NAME=VERSION`, or a snapshot of the archive.", "pip: `--require-hashes`. npm: `npm ci`."],
        &["deb-version(7)", "dpkg-query(1)"]),
    ("package-lists", "A file below `var/lib/apt/lists`.",
        &["`RUN --mount=type=tmpfs,target=/var/lib/apt/lists …`."],
        &["apt-get(8), update"]),
    ("expired-repository", "The build's log says that a Release file has expired.",
        &["`-o Acquire::Check-Valid-Until=false` when a frozen repository is replayed later."],
        &["apt.conf(5), Acquire::Check-Valid-Until"]),
    ("layer-shape", "The merged file systems are equal, or only what no file system keeps differs: order, dialect and padding of the archive, names of owners.",
        &["Compare what runs, not how it is packed, where the builder cannot be pinned (`--accept same-filesystem`)."],
        &[OCI_LAYER, PAX]),
    ("unexplained", "No rule accounts for every byte and field that differs; or it concerns security, where no rule is asked.",
        &["Build twice with `reprov rebuild --vary all`: what it is blamed on says more.", "Once looked into, accept it with a reason and an end (`[drift] accept`, with `until`)."],
        &["https://reproducible-builds.org/docs/"]),
    ("clock-in-text", "Texts that are the same once dates, times and epochs are taken away, each within its own build; without provenance any time from 2000 to 2100 is taken.",
        &["`date -u -d @$SOURCE_DATE_EPOCH` in shell; `datetime.fromtimestamp(int(os.environ[\"SOURCE_DATE_EPOCH\"]), UTC)` in Python.", "`clock = \"commit\"` in reprov.toml: steps see the commit's time."],
        &[EPOCH, "https://reproducible-builds.org/docs/timestamps/"]),
    ("compressed-member", "Compressed files whose contents are equal once inflated.",
        &["`xz -T1 -6`, `zstd -T1 -19`, `gzip -n -9`: say level and threads."],
        &["xz(1), --threads", "RFC 1952", "RFC 8878"]),
    ("input-changed", "The path comes from a fetched file, and the two transcripts have another digest for that file.",
        &["Name the file by checksum (`ADD --checksum=…`), or by a URL that holds its version."],
        &["Dockerfile reference, ADD --checksum"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_cause_has_a_row_and_every_row_says_something() {
        let codes: BTreeSet<_> = TABLE.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes.len(), TABLE.len());
        for cause in Cause::ALL {
            assert!(codes.contains(cause.code()), "{}: add a row to background.rs", cause.code());
            let Background { told_by, more_remedies, sources } = cause.background();
            assert!(told_by.ends_with('.') && !sources.is_empty(), "{}", cause.code());
            assert!(more_remedies.iter().all(|remedy| remedy.ends_with('.')), "{}", cause.code());
        }
    }
}

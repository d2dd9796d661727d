//! What each cause means, in a few sentences, with an example: `reprov explain`.

use super::Cause;

impl Cause {
    /// What happened, and why it differs between two builds; two sentences or more.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.page().0
    }

    /// A place where it is met, and how the two sides look there.
    #[must_use]
    pub fn example(self) -> &'static str {
        self.page().1
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn page(self) -> (&'static str, &'static str) {
        match self {
            Self::Mtime => (
                "The entry's modification time is the moment the build wrote it. Nothing else of the entry differs.",
                "opt/app/main.js: mtime 1764021600 → 1764025200",
            ),
            Self::PaxTime => (
                "The archive holds access, change or sub-second times in PAX records. Such times say when the builder read or wrote the file, which is never the same twice.",
                "etc/app.conf: pax:atime 1764021600.123 → 1764025200.456",
            ),
            Self::ModeTypeBits => (
                "Some versions of builders leave the bits of the file type in the archive's mode field, others clear them. The permissions are the same; two builder versions made the two layers.",
                "usr/bin/tool: mode 0100755 → 0755",
            ),
            Self::BuilderMountPoint => (
                "The builder mounts files of its own over a step, and makes empty files and directories to mount them on. Whether these stay in the layer depends on the builder's version.",
                "etc/hosts: only in one image, empty",
            ),
            Self::WhiteoutForm => (
                "A layer can delete a directory's contents by one opaque mark or by a mark for each name. Both say the same; which one is written depends on the storage driver.",
                "srv/a/.wh..wh..opq → srv/a/.wh.b and srv/a/.wh.c",
            ),
            Self::Compression => (
                "The two layers hold the same archive byte for byte, but were compressed by another program, version or level. So their diffIDs agree and their digests do not.",
                "layer 2: one diffID, gzip of level 6 → gzip of level 9",
            ),
            Self::BaseMoved => (
                "The tag in FROM led to another base image the second time. Everything above it may differ for that reason alone.",
                "FROM debian:bookworm: sha256:aaaa… → sha256:bbbb…",
            ),
            Self::HistoryConsequence => (
                "The config's history quotes an intermediate image, or a hash of content that drifted. It is an echo: once the layer it quotes is the same, so is this.",
                "config /history/3/comment: FROM 0123456789ab → FROM ba9876543210",
            ),
            Self::BuilderLabel => (
                "The builder wrote its name, version or the time into a label or an annotation. It says who built, not what was built.",
                "config /config/Labels/io.buildah.version: 1.28.2 → 1.43.2",
            ),
            Self::PackageLog => (
                "Package tools write down what they did and when. The lines are the same; their times are those of the build.",
                "var/log/dpkg.log: 2026-11-24 22:10:41 install jq → 2026-11-25 08:31:07 install jq",
            ),
            Self::AptCache => (
                "apt keeps its parsed package lists in binary files, with the times of the lists and a checksum over both. apt makes them again when it needs them, so no image misses them.",
                "var/cache/apt/pkgcache.bin: a few bytes of the same 40 MB",
            ),
            Self::LdconfigCache => (
                "ldconfig remembers inode numbers and change times of libraries, to be faster the next time. Both belong to the disk of the build, and mean nothing in the image.",
                "var/cache/ldconfig/aux-cache: inode and ctime of every library",
            ),
            Self::AccountBackup => (
                "Tools that change accounts keep the file as it was under the same name with a dash. The backup drifts as the original did, one step behind it.",
                "etc/shadow-: the day of the last change, 20781 → 20782",
            ),
            Self::ShadowDate => (
                "The third field of a line in /etc/shadow counts the days from 1970 to the last password change. useradd and chpasswd write today's.",
                "etc/shadow: app:!:20781: → app:!:20782:",
            ),
            Self::PasswordSalt => (
                "A password's hash starts with a salt that is drawn at random each time. The same password so gives another hash in every build.",
                "etc/shadow: app:$y$j9T$abc… → app:$y$j9T$xyz…",
            ),
            Self::MachineId => (
                "A package gave the image a machine id, 32 random hex digits. Every container of this image would share it, which is not what an id is for.",
                "etc/machine-id: 8c6f… → 1b02…",
            ),
            Self::KeyMaterial => (
                "The build generated a private or public key. Everybody who has the image has the key, so drift is the smaller trouble.",
                "etc/ssh/ssh_host_ed25519_key: another key",
            ),
            Self::Hostname => (
                "A file holds the name of the container it was made in. Many builders name it by a random id.",
                "etc/app/installed-on: 0123456789ab → ba9876543210",
            ),
            Self::RandomName => (
                "A file or directory has a name that was drawn at random, as mktemp does, and the other image has its like under another name. Mostly it was meant to be temporary.",
                "tmp/tmp.Xk3vQ9aBcD → tmp/tmp.p0LmNq7RsT",
            ),
            Self::RandomToken => (
                "A text holds a random value: a UUID, a secret, a seed. All around it is the same.",
                "etc/build-id: bedab093-849c-4ff3-ade0-6415750d73fe → 3c4ec90a-a8f9-4e36-adb7-254b74c40356",
            ),
            Self::PycTimestamp => (
                "Python's compiled files hold the modification time of their source. The source was written by the build, so the time is the build's; the code is the same.",
                "usr/lib/python3/dist-packages/x/__pycache__/y.cpython-311.pyc: bytes 8 to 11",
            ),
            Self::GzipTimestamp => (
                "The header of a gzip file holds a time, and may hold a name. Whoever compresses without `-n` writes the file's own there.",
                "usr/share/doc/app/changelog.gz: bytes 4 to 7",
            ),
            Self::ZipTimestamp => (
                "A zip archive (also a jar, a wheel) keeps a time for each member, and extra fields may keep more. The members themselves are the same.",
                "opt/app/app.jar: META-INF/MANIFEST.MF 22:10:40 → 08:31:06",
            ),
            Self::TarTimestamp => (
                "A tar archive in the image keeps a time for each member, which is when the build wrote it. The members themselves are the same.",
                "opt/app/assets.tar: mtime of index.html",
            ),
            Self::ArTimestamp => (
                "A static library is an ar archive, whose members have times. GNU ar leaves them out if it runs with `D`, its default in many distributions but not with `U`.",
                "usr/lib/libapp.a: mtime of member app.o",
            ),
            Self::CpioTimestamp => (
                "A cpio archive keeps for each member a time, an inode number and a device. All three belong to the file system of the build; the members themselves are the same.",
                "boot/initrd.img: time and inode of each member",
            ),
            Self::KeystoreTimestamp => (
                "A Java keystore (JKS) keeps for each certificate when it was put in, and ends with a digest over all of it. The certificates themselves are the same.",
                "etc/ssl/certs/java/cacerts: a time in milliseconds each entry",
            ),
            Self::GitMetadata => (
                "git's index copies times and inode numbers of files, and its reflogs say when a reference moved. A commit made by the build has the present time, so its id, and whatever names it, is another each time.",
                "srv/app/.git/index: ctime, device and inode of each file",
            ),
            Self::BuildPath => (
                "The program was compiled in a directory whose name was drawn at random, and holds that name: in debug information, or where `__FILE__` stood. pip and uv build source packages so. The build id in the same file differs as a consequence.",
                "usr/local/lib/python3.11/dist-packages/x/y.so: /tmp/pip-install-x3k9q_2a → /tmp/pip-install-m0b_7dzw",
            ),
            Self::RpmdbTime => (
                "rpm's database holds when each package was installed. rpm before 4.18 writes the present time, whatever SOURCE_DATE_EPOCH says. A `-shm` beside it is an index that every first connection makes anew.",
                "var/lib/rpm/rpmdb.sqlite: INSTALLTIME of each package",
            ),
            Self::DnfHistory => (
                "dnf keeps a database of its transactions, with begin and end of each, and does not close it. So its log (`-wal`), which has random salts, stays beside it.",
                "var/lib/dnf/history.sqlite: 2 bytes a transaction",
            ),
            Self::SqlitePages => (
                "A program wrote the present time into its SQLite database; all else in it is the same. Or only the index of its log (`-shm`) differs, which means nothing once the program has ended.",
                "var/lib/app/state.sqlite: a time in one row",
            ),
            Self::CompileDate => (
                "A program was compiled with `__DATE__` or `__TIME__`, or its like in another language. The build id in the same file differs as a consequence.",
                "usr/local/bin/app: Nov 24 2026 → Nov 25 2026",
            ),
            Self::BuildId => (
                "Only the note differs in which the linker keeps a hash of what it linked. The code came out the same, yet something that the linker read did not: a path, an option, a section that was stripped later.",
                "usr/local/lib/libapp.so: .note.gnu.build-id",
            ),
            Self::RecordConsequence => (
                "The file lists hashes of other files (a wheel's RECORD, `SHA256SUMS`, `x.md5`), and one of these drifted. It is an echo: fix the file it lists, and the list is the same.",
                "usr/lib/python3/dist-packages/app.dist-info/RECORD: sha256 of app/_build.py",
            ),
            Self::ToolCache => (
                "pip, npm, uv, cargo, go or dnf left its cache in the image, with times and random names of its own. Only the tool reads it, and makes anew what is missing.",
                "root/.npm/_cacache/index-v5/…: \"time\":1764021600123 → \"time\":1764025200456",
            ),
            Self::FontconfigCache => (
                "fontconfig's cache holds the modification time of the directory it describes. That is when the build installed the fonts.",
                "var/cache/fontconfig/….cache-8: bytes 48 to 55",
            ),
            Self::Certificate => (
                "The build issued a certificate: another key, another serial number, other dates. Everybody who has the image can have its key too.",
                "etc/ssl/certs/snakeoil.pem: serial number, validity, signature",
            ),
            Self::ContextMode => (
                "A copied file has the permissions it had in the build context, and these follow the umask of whoever checked it out. git itself keeps only whether a file is executable.",
                "opt/app/run.sh: mode 0755 → 0700",
            ),
            Self::ContextMtime => (
                "A copied file has the time it had in the build context. git keeps no times, so that is when it was checked out.",
                "opt/app/run.sh: mtime 1764021600 → 1764025200",
            ),
            Self::LineOrder => (
                "The two texts have the same lines in another order, or two archives the same members. Something was listed in the order a directory, a hash table or several processes happened to give.",
                "etc/app/plugins.list: a, b, c → b, a, c",
            ),
            Self::LayerShape => (
                "The merged file systems are the same, but are split or ordered otherwise in layers, or an archive names a path twice. Builders differ in that from version to version.",
                "3 layers → 2 layers, every file the same",
            ),
            Self::Unexplained => (
                "No rule knows why this differs. Setuid bits, owners, capabilities and devices always end here, whatever else is known: look at them first.",
                "usr/bin/app: content",
            ),
            Self::ClockInText => (
                "A text differs only in dates and times, and each lies within its own build. Whatever wrote it asked the clock.",
                "etc/build-date: Tue Nov 24 22:11:19 UTC 2026 → Tue Nov 24 22:11:28 UTC 2026",
            ),
            Self::PackageVersion => (
                "The repository had another version of a package the second time. dpkg's status says which, and the package's own checksums say which files are its own. A rebuild from recorded inputs does not have this.",
                "usr/lib/x86_64-linux-gnu/libssl.so.3: package libssl3:amd64 3.0.15-1 → 3.0.16-1",
            ),
            Self::PackageLists => (
                "The lists that `apt-get update` fetches say what the repository had at that time. Nothing in a finished image needs them.",
                "var/lib/apt/lists/…_InRelease: another day",
            ),
            Self::CompressedMember => (
                "The file is compressed, and what it holds is the same on both sides. Another version or level of the program packed it.",
                "opt/app/table.xz: level 6 → level 9",
            ),
            Self::ProcCapture => (
                "The file keeps what the kernel or a tool said of the build itself: memory, mounts, processes, inodes, its environment. The lines are the same, and only numbers in them differ, as they do from one machine or minute to the next.",
                "opt/app/meminfo.txt: MemFree: 1024 kB → MemFree: 2048 kB",
            ),
            Self::PycRefs => (
                "Python marks in a compiled file which constants are referred to again, and that depends on what else the process held at that moment. Read with the references followed, both files are the same code.",
                "usr/lib/python3/dist-packages/x/__pycache__/y.cpython-311.pyc: flag 0x80 of a constant",
            ),
            Self::PycStale => (
                "A compiled Python file holds the time of its source, and the source's own time in the image is another, since the layer's times were rewritten. Python compiles again at each start. It is said beside `pyc-timestamp`, and is never the cause of a byte that differs.",
                "x/__pycache__/y.cpython-311.pyc holds 1764021600, x/y.py has 1700000000",
            ),
            Self::AccountIds => (
                "Packages that make accounts take the next free number. Installed in another order, the same names have other numbers, in /etc/passwd and /etc/group and as owners of files; nothing of root's is among them.",
                "var/lib/app: uid 101 → 102, as app has in etc/passwd",
            ),
            Self::CpuDependent => (
                "What was written depends on the number or kind of the build machine's processors. xz with one thread makes one block, and with several it makes blocks whose headers hold their sizes; what is compressed is the same.",
                "opt/app/table.xz: 1 block → 3 blocks",
            ),
            Self::ExpiredRepository => (
                "apt refuses a repository whose Release file says that it is valid no longer, so the build fails. A repository that stands still, and a recorded one that is replayed, grows old without being wrong.",
                "E: Release file for http://mirror.example.org/dists/x/InRelease is expired (invalid since 3d 2h)",
            ),
            Self::InputChanged => (
                "The file comes from one that the build fetched, and that one has another digest in the other build. The world has changed, not the build: with the recorded inputs it would be the same.",
                "opt/app/tool: http://files.example.org/tool.tar.gz sha256:12… → sha256:ab…",
            ),
        }
    }
}

//! What a rebuild changes on purpose (`rebuild --vary`): the one table of it. docs/variation.md has the same rows.

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::nearest::distance;

/// One thing that a replay may do otherwise than its build did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variation {
    /// The date in steps, by so many seconds.
    Time(i64),
    /// The host's name.
    Hostname,
    /// One processor.
    Cpus,
    /// Another block of subordinate ids.
    Uid,
    /// Another language.
    Locale,
    /// Another place of the build's directories.
    Path,
    /// Directories are read backwards.
    Order,
    /// Another name of the kernel.
    Kernel,
    /// Addresses are not random.
    Aslr,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// On the command line, in JSON and in statements.
    pub name: &'static str,
    /// What a step finds changed.
    pub changes: &'static str,
    /// By what means.
    pub how: &'static str,
    /// What goes on seeing the old state.
    pub beyond: &'static str,
}

/// Host name of a varied replay.
pub const HOSTNAME: &str = "elsewhere";
/// Language of a varied replay.
pub const LANG: &str = "fr_FR.UTF-8";
/// Kernel release of a varied replay.
pub const RELEASE: &str = "77.7.7-elsewhere";
/// Kernel version of a varied replay.
pub const VERSION: &str = "#7 SMP Wed Jan  2 03:04:05 UTC 2069";

const DAY_S: i64 = 86_400;
/// `time` alone.
const TIME_S: i64 = 400 * DAY_S;
/// Farthest date: beyond, the certificates of the gateway are not valid (2000 to 2049).
const TIME_DAYS_MAX: i64 = 3650;

const TABLE: [(Variation, About); 9] = [
    (
        Variation::Time(TIME_S),
        About {
            name: "time",
            changes: "the date: 400 days later, or as `time=+400d`, `time=-12h` say",
            how: "a preloaded object answers for the clock, as with `clock = \"commit\"` (docs/clock.md)",
            beyond: "static programs, and what else that object does not reach; file times on disk; make and ninja, which hold the clock against file times; a build whose clock stands at its commit",
        },
    ),
    (
        Variation::Hostname,
        About {
            name: "hostname",
            changes: "the host name: `elsewhere`, also in `/etc/hostname`, `/etc/hosts` and `HOSTNAME`",
            how: "the UTS namespaces of engine and step, and the files that the shim mounts",
            beyond: "a `HOSTNAME` that image or Dockerfile set",
        },
    ),
    (
        Variation::Cpus,
        About {
            name: "cpus",
            changes: "the number of processors: one",
            how: "the affinity of everything in the cage; in steps `/proc/cpuinfo`, `/proc/stat` and the lists in `/sys/devices/system/cpu` name that one",
            beyond: "the directories `/sys/devices/system/cpu/cpuN`; a machine with one processor. Who sets an affinity is told yes and keeps this one",
        },
    ),
    (
        Variation::Uid,
        About {
            name: "uid",
            changes: "who builds, as the host sees it: another block of 65,536 subordinate ids",
            how: "the id maps of the user namespace",
            beyond: "ids inside, which stay 0 to 65,535; an ordinary user's own id, to which root inside is mapped",
        },
    ),
    (
        Variation::Locale,
        About {
            name: "locale",
            changes: "`LANG`: `fr_FR.UTF-8`; where an image does not have it, its programs fall back to `C`",
            how: "the environment of engine and steps",
            beyond: "steps whose image or Dockerfile sets `LANG` or an `LC_…`",
        },
    ),
    (
        Variation::Path,
        About {
            name: "path",
            changes: "where the build's directories are: context, engine's store, temporary files, profile",
            how: "another name at the root of the cage",
            beyond: "what steps see by constant names: the image's own files, `/dev/.gw`, `/tmp`",
        },
    ),
    (
        Variation::Order,
        About {
            name: "order",
            changes: "the order in which a directory is read: backwards, piece by piece",
            how: "init of the cage answers for getdents64(2), to static programs too",
            beyond: "32-bit programs; a directory that a program reads in pieces is turned in pieces",
        },
    ),
    (
        Variation::Kernel,
        About {
            name: "kernel",
            changes: "release and version in uname(2): `77.7.7-elsewhere`",
            how: "init of the cage answers for uname(2), to static programs too",
            beyond: "`/proc/version`, `/proc/sys/kernel`; 32-bit programs; what the kernel can do",
        },
    ),
    (
        Variation::Aslr,
        About {
            name: "aslr",
            changes: "the layout of addresses: the same for every run of a program, not random",
            how: "personality(2), inherited by everything in the cage",
            beyond: "set-id programs",
        },
    ),
];

impl Variation {
    /// Its row.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "every variation has a row")]
    pub fn about(self) -> &'static About {
        let row = TABLE.iter().find(|(variation, _)| variation.same_kind(self));
        &row.expect("the table has every variation, as a test sees").1
    }

    /// Its name, without a value.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// Every variation, with its default.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(variation, _)| *variation)
    }

    fn same_kind(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl fmt::Display for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Time(by_s) if by_s % DAY_S == 0 => write!(f, "={:+}d", by_s / DAY_S),
            Self::Time(by_s) => write!(f, "={:+}h", by_s / HOUR_S),
            _ => Ok(()),
        }
    }
}

const HOUR_S: i64 = 3600;

/// A set of them, in the order of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variations(BTreeSet<Variation>);

/// Why a text is no list of variations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaryError {
    /// Nothing is named.
    #[error("it names nothing; write `all`, or some of {}", names())]
    Empty,
    /// A name that no release knows.
    #[error("unknown variation `{name}`; did you mean `{nearest}`? There are {}", names())]
    Unknown {
        /// As written.
        name: String,
        /// The known one with the fewest letters different.
        nearest: &'static str,
    },
    /// A value of one that takes none.
    #[error("`{name}` takes no value")]
    Value {
        /// Whose.
        name: &'static str,
    },
    /// No date.
    #[error(
        "`time={value}`: write a sign, a number and `d` or `h`, at most {TIME_DAYS_MAX} days, as in `time=+400d`"
    )]
    Time {
        /// As written.
        value: String,
    },
    /// Two dates.
    #[error("two values of `time`; one replay has one date")]
    Twice,
}

fn names() -> String {
    TABLE.map(|(_, about)| about.name).join(", ")
}

impl FromStr for Variations {
    type Err = VaryError;

    /// Reads `all`, or names with commas between.
    fn from_str(text: &str) -> Result<Self, VaryError> {
        let (mut found, mut all, mut time) = (BTreeSet::new(), false, None);
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (name, value) =
                word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            if name == "all" && value.is_none() {
                all = true;
                continue;
            }
            if name == "all" {
                return Err(VaryError::Value { name: "all" });
            }
            match (read(name)?, value) {
                (Variation::Time(_), Some(value)) => {
                    let read = read_time(value)?;
                    if time.replace(read).is_some_and(|before| before != read) {
                        return Err(VaryError::Twice);
                    }
                }
                (variation, Some(_)) => return Err(VaryError::Value { name: variation.name() }),
                (variation, None) => drop(found.insert(variation)),
            }
        }
        if all {
            found.extend(Variation::all());
        }
        if let Some(by_s) = time {
            found.retain(|variation| !matches!(variation, Variation::Time(_)));
            found.insert(Variation::Time(by_s));
        }
        if found.is_empty() { Err(VaryError::Empty) } else { Ok(Self(found)) }
    }
}

fn read(name: &str) -> Result<Variation, VaryError> {
    let unknown = || {
        let nearest = TABLE.iter().map(|(_, about)| about.name).min_by_key(|known| distance(known, name));
        let name = super::path::printable(&name.chars().take(40).collect::<String>());
        VaryError::Unknown { name, nearest: nearest.unwrap_or_default() }
    };
    TABLE.iter().find(|(_, about)| about.name == name).map(|(variation, _)| *variation).ok_or_else(unknown)
}

/// Seconds of `+400d`, `-12h`.
fn read_time(value: &str) -> Result<i64, VaryError> {
    let wrong =
        || VaryError::Time { value: super::path::printable(&value.chars().take(40).collect::<String>()) };
    let units = [('d', DAY_S), ('h', HOUR_S)];
    let unit = units.into_iter().find_map(|(letter, unit_s)| Some((value.strip_suffix(letter)?, unit_s)));
    let (number, unit_s) = unit.filter(|(number, _)| number.starts_with(['+', '-'])).ok_or_else(wrong)?;
    let by_s = number.parse::<i64>().ok().and_then(|number| number.checked_mul(unit_s)).ok_or_else(wrong)?;
    let near = by_s != 0 && by_s.unsigned_abs() <= (TIME_DAYS_MAX * DAY_S).unsigned_abs();
    if near { Ok(by_s) } else { Err(wrong()) }
}

impl Variations {
    /// By how many seconds the date is another.
    #[must_use]
    pub fn time_s(&self) -> Option<i64> {
        self.0
            .iter()
            .find_map(|variation| if let Variation::Time(by_s) = variation { Some(*by_s) } else { None })
    }

    /// Whether it has `variation`.
    #[must_use]
    pub fn has(&self, variation: Variation) -> bool {
        self.0.contains(&variation)
    }

    /// Whether nothing is varied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = Variation> {
        self.0.iter().copied()
    }

    /// Each as it is written.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.iter().map(|variation| variation.to_string()).collect()
    }

    /// Without those of `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.iter().filter(|variation| !other.has(*variation)).collect()
    }

    /// The first half and the second; the first is never empty if there is anything.
    #[must_use]
    pub fn halves(&self) -> (Self, Self) {
        let half = self.len().div_ceil(2);
        (self.iter().take(half).collect(), self.iter().skip(half).collect())
    }
}

impl FromIterator<Variation> for Variations {
    fn from_iter<I: IntoIterator<Item = Variation>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl fmt::Display for Variations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&if self.is_empty() { "nothing".to_owned() } else { self.names().join(",") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_written() {
        let check = |text: &str, expected: &str| {
            let read: Variations = text.parse().unwrap();
            assert_eq!(read.to_string(), expected, "{text}");
            assert_eq!(read.to_string().parse(), Ok(read));
        };
        check("time", "time=+400d");
        check("time=+400d", "time=+400d");
        check("time=-30d,time", "time=-30d");
        check("time=+12h", "time=+12h");
        check("time=+48h", "time=+2d");
        check("aslr, hostname,aslr", "hostname,aslr");
        let all = "hostname,cpus,uid,locale,path,order,kernel,aslr";
        check("all", &format!("time=+400d,{all}"));
        check("time=-1d,all", &format!("time=-1d,{all}"));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let check = |text: &str, expected: &str| {
            let error = text.parse::<Variations>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        let names = "time, hostname, cpus, uid, locale, path, order, kernel, aslr";
        check("hostnme", "unknown variation `hostnme`; did you mean `hostname`?");
        check("hostnme", names);
        check("", names);
        check(",", "names nothing");
        check("all=1", "`all` takes no value");
        check("cpus=4", "`cpus` takes no value");
        check("time=+1d,time=+2d", "two values");
        for value in
            ["400d", "+d", "+", "", "+400", "+0d", "+1y", "++1d", "+3651d", "-99999999999999999999d", "+1dd"]
        {
            check(&format!("time={value}"), "write a sign, a number");
        }
        check("a\u{1b}[31m", "`a\\u{1b}[31m`");
    }

    #[test]
    fn every_variation_has_a_row() {
        for variation in Variation::all() {
            assert_eq!(read(variation.name()), Ok(variation));
        }
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/variation.md"));
        for (_, About { name, changes, how, beyond }) in TABLE {
            let row = format!("| `{name}` | {changes} | {how} | {beyond} |");
            assert!(PAGE.lines().any(|line| line == row), "docs/variation.md lacks:\n{row}");
        }
    }

    #[test]
    fn halves_are_all_of_it() {
        let all: Variations = "all".parse().unwrap();
        let (a, b) = all.halves();
        assert_eq!((a.len(), b.len()), (5, 4));
        assert_eq!(a.iter().chain(b.iter()).collect::<Variations>(), all);
        assert_eq!(all.without(&a), b);
    }
}

//! What the kernel, or a tool that asks it, said of the build's machine and processes: proc(5), env(1), ps(1), stat(1), ls(1).

use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::drift::{
    token,
    view::{View, lines},
};

/// A known form: what it is called, whether a text is in it, and where in a line numbers may differ.
struct Form {
    name: &'static str,
    is: fn(&[&[u8]]) -> bool,
    values: Values,
}

#[derive(Clone, Copy)]
enum Values {
    /// Behind the first of these characters; a line without it has none.
    Behind(u8),
    /// In all of a line but its first word.
    AfterWord,
    /// Anywhere.
    All,
    /// The number at the beginning.
    First,
    /// As [`Values::All`], and ids of containers and of layers of their storage.
    Mounts,
    /// Addresses of a process, devices and inodes.
    Addresses,
}

const FORMS: [Form; 21] = [
    Form::new("/proc/meminfo", |l| keyed(l) && has(l, b"MemTotal:") && has(l, b"MemFree:"), Values::Behind(b':')),
    Form::new("/proc/PID/status", |l| keyed(l) && has(l, b"Pid:") && has(l, b"PPid:"), Values::Behind(b':')),
    Form::new("/proc/PID/io", |l| keyed(l) && has(l, b"rchar:") && has(l, b"wchar:"), Values::Behind(b':')),
    Form::new("/proc/cpuinfo", |l| keyed(l) && has(l, b"processor\t"), Values::Behind(b':')),
    Form::new("/proc/interrupts", is_interrupts, Values::Behind(b':')),
    Form::new("/proc/stat", |l| has(l, b"cpu ") && has(l, b"ctxt ") && has(l, b"btime "), Values::AfterWord),
    Form::new("/proc/vmstat", |l| has(l, b"nr_free_pages ") && has(l, b"pgfault "), Values::AfterWord),
    Form::new("/proc/loadavg", is_loadavg, Values::All),
    Form::new("/proc/uptime", is_uptime, Values::All),
    Form::new("/proc/diskstats", |l| each(l, is_disk), Values::All),
    Form::new("/proc/PID/stat", is_stat, Values::All),
    Form::new("/proc/PID/mountinfo", |l| each(l, is_mount), Values::Mounts),
    Form::new("/proc/PID/cgroup", |l| each(l, is_cgroup), Values::Mounts),
    Form::new("/proc/PID/maps", |l| each(l, is_map), Values::Addresses),
    Form::new("ps", is_ps, Values::All),
    Form::new("df", |l| headed(l, b"Filesystem", b"Mounted on"), Values::Mounts),
    Form::new("free", |l| headed(l, b"total", b"available") && has(l, b"Mem:"), Values::All),
    Form::new("stat", |l| has(l, b"  File: ") && any(l, b"Inode: "), Values::All),
    Form::new("uptime", |l| each(l, |line| line.contains_str(" up ") && line.contains_str("load average: ")), Values::All),
    Form::new("ls -li", |l| each(l, is_long_inode), Values::First),
    Form::new("ls -i", is_inodes, Values::First),
];

impl Form {
    const fn new(name: &'static str, is: fn(&[&[u8]]) -> bool, values: Values) -> Self {
        Self { name, is, values }
    }
}

/// Texts of one known form in which only numbers differ, and only where the form has values.
pub(super) fn capture(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.texts()?;
    let (one, other): (Vec<_>, Vec<_>) = (lines(a).collect(), lines(b).collect());
    let found = |name: &str| Some(Finding::likely(Cause::ProcCapture).shown(format!("{name}: {}", differing(&one, &other))));
    if let Some(form) = FORMS.iter().find(|form| (form.is)(&one) && (form.is)(&other)) {
        let masked = |lines: &[&[u8]]| lines.iter().map(|line| masked(line, form.values)).collect::<Vec<_>>();
        return (masked(&one) == masked(&other)).then(|| found(form.name))?;
    }
    if is_environment(&one) && is_environment(&other) {
        return same_environment(&one, &other).then(|| found("env"))?;
    }
    is_number(view, &one, &other).then(|| found("a number of a process or an inode"))?
}

/// The first lines that differ.
fn differing(a: &[&[u8]], b: &[&[u8]]) -> String {
    let first = a.iter().zip(b).find(|(one, other)| one != other);
    first.map_or_else(String::new, |(one, other)| crate::drift::evidence::lines(one, other))
}

/// All lines but the empty last one, of which there must be some.
fn each(lines: &[&[u8]], like: fn(&[u8]) -> bool) -> bool {
    let whole = lines.strip_suffix(&[&b""[..]]).unwrap_or(lines);
    !whole.is_empty() && whole.iter().all(|line| like(line))
}

fn has(lines: &[&[u8]], start: &[u8]) -> bool {
    lines.iter().any(|line| line.starts_with(start))
}

fn any(lines: &[&[u8]], part: &[u8]) -> bool {
    lines.iter().any(|line| line.contains_str(part))
}

fn keyed(lines: &[&[u8]]) -> bool {
    lines.iter().all(|line| line.is_empty() || line.contains(&b':'))
}

/// Whether the first line begins with one word and has another behind it.
fn headed(lines: &[&[u8]], first: &[u8], other: &[u8]) -> bool {
    lines.first().is_some_and(|line| line.trim_start().starts_with(first) && line.contains_str(other))
}

fn is_interrupts(lines: &[&[u8]]) -> bool {
    headed(lines, b"CPU0", b"CPU0") && lines[1..].iter().all(|line| line.is_empty() || line.contains(&b':'))
}

/// `254 0 vda 105307 10703 …`
fn is_disk(line: &[u8]) -> bool {
    let words: Vec<_> = line.fields().collect();
    let number = |word: &&[u8]| word.iter().all(u8::is_ascii_digit);
    words.len() >= 14 && words[..2].iter().all(|word| number(&word)) && words[3..].iter().all(|word| number(&word))
}

/// `4:memory:/user.slice`
fn is_cgroup(line: &[u8]) -> bool {
    let mut parts = line.splitn_str(3, ":");
    let number = parts.next().is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit));
    number && parts.next().is_some() && parts.next().is_some_and(|path| path.starts_with(b"/"))
}

fn is_numeric(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

fn is_loadavg(lines: &[&[u8]]) -> bool {
    each(lines, |line| {
        let words: Vec<_> = line.split_str(" ").collect();
        words.len() == 5
            && words.iter().enumerate().all(|(at, word)| if at == 3 { word.contains(&b'/') } else { is_numeric(word) })
    })
}

fn is_uptime(lines: &[&[u8]]) -> bool {
    each(lines, |line| {
        let words: Vec<_> = line.split_str(" ").collect();
        words.len() == 2 && words.iter().all(|word| is_numeric(word) && word.contains(&b'.'))
    })
}

/// `1234 (cat) R 1 …`, 52 fields.
fn is_stat(lines: &[&[u8]]) -> bool {
    each(lines, |line| {
        let Some((start, rest)) = line.rsplit_once_str(") ") else { return false };
        let words = rest.split_str(" ").count();
        (30..=60).contains(&words) && start.split_once_str(" (").is_some_and(|(pid, _)| is_numeric(pid))
    })
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`
fn is_mount(line: &[u8]) -> bool {
    let words: Vec<_> = line.split_str(" ").collect();
    let device = |word: &[u8]| word.split_once_str(":").is_some_and(|(a, b)| is_numeric(a) && is_numeric(b));
    words.len() >= 9 && is_numeric(words[0]) && is_numeric(words[1]) && device(words[2]) && words.contains(&&b"-"[..])
}

/// `559e8a400000-559e8a402000 r--p 00000000 00:25 1234 /bin/cat`
fn is_map(line: &[u8]) -> bool {
    let mut words = line.fields();
    let hex = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_hexdigit);
    let range = words.next().and_then(|word| word.split_once_str("-"));
    let mode = words.next().is_some_and(|word| word.len() == 4 && word.ends_with(b"p") || word.ends_with(b"s"));
    range.is_some_and(|(from, to)| hex(from) && hex(to)) && mode && words.next().is_some_and(hex)
}

/// A header that names the columns of processes.
fn is_ps(lines: &[&[u8]]) -> bool {
    lines.first().is_some_and(|line| line.fields().any(|word| word == b"PID") && line.contains_str("CMD") | line.contains_str("COMMAND"))
}

/// `1234567 -rw-r--r-- 1 root root …`, as of `ls -li`.
fn is_long_inode(line: &[u8]) -> bool {
    let mut words = line.fields();
    let inode = words.next().is_some_and(|word| word.iter().all(u8::is_ascii_digit));
    let mode = |word: &[u8]| {
        word.len() >= 10 && b"-bcdlps".contains(&word[0]) && word[1..10].iter().all(|byte| b"rwxsStT-".contains(byte))
    };
    (inode && words.next().is_some_and(mode)) || line.starts_with(b"total ")
}

/// `1234567 name`, aligned to the right, several of them sorted by name and one large number at least: other lists of numbers
/// and names are not so.
fn is_inodes(lines: &[&[u8]]) -> bool {
    const LINES_MIN: usize = 3;
    const LARGE_DIGITS: usize = 6;
    let listed = |line: &&[u8]| {
        let (number, name) = line.trim_start().split_once_str(" ")?;
        number.iter().all(u8::is_ascii_digit).then(|| (number.len(), name.to_vec()))
    };
    let whole = lines.strip_suffix(&[&b""[..]]).unwrap_or(lines);
    let all: Option<Vec<_>> = whole.iter().map(listed).collect();
    all.is_some_and(|all| {
        all.len() >= LINES_MIN
            && all.iter().any(|(digits, _)| *digits >= LARGE_DIGITS)
            && all.windows(2).all(|pair| pair[0].1 < pair[1].1)
            && all.iter().all(|(_, name)| name != b"total")
    })
}

/// `NAME=VALUE` lines among which is what every process has.
fn is_environment(lines: &[&[u8]]) -> bool {
    let name = |name: &[u8]| {
        !name.is_empty()
            && !name[0].is_ascii_digit()
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    let usual = [&b"HOME="[..], b"PWD=", b"SHLVL=", b"_=", b"HOSTNAME="].iter().any(|start| has(lines, start));
    has(lines, b"PATH=") && usual && each(lines, |_| true) && lines.iter().all(|line| line.is_empty() || line.split_once_str("=").is_some_and(|(start, _)| name(start)))
}

/// Whether two environments differ in numbers, none of them a version; the container's name may differ beside that.
fn same_environment(a: &[&[u8]], b: &[&[u8]]) -> bool {
    const MEANT: [&[u8]; 4] = [b"VERSION", b"RELEASE", b"REVISION", b"TAG"];
    let host = |one: &[u8], other: &[u8]| {
        let (one, other) = (one.strip_prefix(b"HOSTNAME="), other.strip_prefix(b"HOSTNAME="));
        let both = one.zip(other);
        both.is_some_and(|(one, other)| token::kind(one, other) == Some(token::Kind::Container))
    };
    let numbers = |one: &[u8], other: &[u8]| {
        let name = one.split_once_str("=").map_or(&b""[..], |(name, _)| name).to_ascii_uppercase();
        MEANT.iter().all(|word| !name.contains_str(word))
            && masked(one, Values::Behind(b'=')) == masked(other, Values::Behind(b'='))
    };
    let mut differing = a.iter().zip(b).filter(|(one, other)| one != other && !host(one, other)).peekable();
    a.len() == b.len() && differing.peek().is_some() && differing.all(|(one, other)| numbers(one, other))
}

/// A file that is named after the number of a process or an inode, and holds one, or the lines of `ls -i`.
fn is_number(view: &View<'_>, a: &[&[u8]], b: &[&[u8]]) -> bool {
    let name = view.name().to_ascii_lowercase();
    let inode = name.contains_str("inode");
    let pid = name == b"pid" || name.ends_with(b".pid") || name.ends_with(b"-pid") || name.ends_with(b"_pid") || name.starts_with(b"pid.") || name == b"ppid";
    let number = |line: &[u8]| !line.is_empty() && line.len() <= 20 && line.iter().all(u8::is_ascii_digit);
    let listed = |line: &[u8]| {
        let (first, rest) = line.trim_start().split_once_str(" ").unwrap_or((line, b""));
        number(first) && (inode || rest.is_empty())
    };
    let all = |lines: &[&[u8]]| {
        let whole = lines.strip_suffix(&[&b""[..]]).unwrap_or(lines);
        !whole.is_empty() && whole.iter().all(|line| listed(line)) && (inode || whole.len() == 1)
    };
    let same = |(one, other): (&&[u8], &&[u8])| masked(one, Values::First) == masked(other, Values::First);
    (inode || pid) && all(a) && all(b) && a.len() == b.len() && a.iter().zip(b).all(same)
}

/// `line` with its numbers replaced by one mark where it has values, and blanks that align them by one.
fn masked(line: &[u8], values: Values) -> Vec<u8> {
    if let Values::Addresses = values {
        // Addresses, device and inode; access, offset and path stay.
        let words = line.fields().enumerate().filter(|(at, _)| !matches!(at, 0 | 3 | 4));
        return words.flat_map(|(_, word)| [word, b" "].concat()).collect();
    }
    let from = match values {
        Values::Behind(separator) => line.find_byte(separator).unwrap_or(line.len()),
        Values::AfterWord => line.find_byte(b' ').unwrap_or(line.len()),
        _ => 0,
    };
    let (fixed, rest) = line.split_at(from);
    let mut out = fixed.to_vec();
    let word = |byte: u8| byte.is_ascii_alphanumeric();
    let mut at = 0;
    let mut first = true;
    while at < rest.len() {
        let length = rest[at..].iter().take_while(|byte| word(**byte)).count();
        if length == 0 {
            let blanks = rest[at..].iter().take_while(|byte| **byte == b' ').count();
            out.push(rest[at]);
            at += blanks.max(1);
            continue;
        }
        let token = &rest[at..at + length];
        let whole = token.iter().all(u8::is_ascii_digit);
        match values {
            Values::Mounts if is_layer(token) => out.push(0),
            Values::First if whole && first => out.push(0),
            Values::First => out.extend_from_slice(token),
            _ => numbers(token, &mut out),
        }
        first = false;
        at += length;
    }
    out
}

/// Appends `token` with each run of digits as one mark.
fn numbers(token: &[u8], out: &mut Vec<u8>) {
    let mut digits = false;
    for byte in token {
        if !byte.is_ascii_digit() {
            out.push(*byte);
        } else if !digits {
            out.push(0);
        }
        digits = byte.is_ascii_digit();
    }
}

/// Names that engines give containers and layers: 12 or 64 hex digits, 26 capitals and digits.
fn is_layer(token: &[u8]) -> bool {
    let hex = |token: &[u8]| token.iter().all(u8::is_ascii_hexdigit);
    let short = |token: &[u8]| token.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (matches!(token.len(), 12 | 64) && hex(token)) || (token.len() == 26 && short(token))
}

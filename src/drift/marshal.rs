//! What CPython 3.8 to 3.14 write into compiled files (Python/marshal.c, version 4 and 5), with references followed: each
//! object becomes the number of what it is, the same for two objects that are the same.

use std::collections::HashMap;

/// Deepest nesting that is read; Python's own bound is 2,000.
const DEPTH_MAX: usize = 256;
/// Set on objects that something later may refer to.
const FLAG_REF: u8 = 0x80;

/// Whether sets are read as they were written or as what is in them; the order of a set of texts is drawn at random
/// (`PYTHONHASHSEED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sets {
    Ordered,
    Unordered,
}

/// Whether two bodies of compiled files of Python's magic number `magic` are the same objects; no if one is not read to
/// its end.
pub(super) fn same(a: &[u8], b: &[u8], magic: u16, sets: Sets) -> bool {
    let Some(code) = Code::of(magic) else { return false };
    let mut known = Known::default();
    let mut read = |bytes| Reader { bytes, references: Vec::new(), code, sets, known: &mut known }.whole();
    let one = read(a);
    one.is_some() && one == read(b)
}

/// How a code object is written.
#[derive(Debug, Clone, Copy)]
struct Code {
    /// Numbers before the objects.
    numbers: usize,
    /// Objects up to the number of its first line.
    before_line: usize,
    /// Objects after it.
    after_line: usize,
}

impl Code {
    fn of(magic: u16) -> Option<Self> {
        match magic {
            3400..3450 => Some(Self { numbers: 6, before_line: 8, after_line: 1 }), // 3.8 to 3.10
            3450..3650 => Some(Self { numbers: 5, before_line: 8, after_line: 2 }), // 3.11 to 3.14
            _ => None,
        }
    }
}

/// What an object is: its kind and bytes, or its kind and the objects in it.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Object<'a> {
    Plain(u8, &'a [u8]),
    Made(u8, &'a [u8], Vec<u32>),
}

/// Objects that were met before, by number.
#[derive(Debug, Default)]
struct Known<'a>(HashMap<Object<'a>, u32>);

impl<'a> Known<'a> {
    fn number(&mut self, object: Object<'a>) -> Option<u32> {
        let next = u32::try_from(self.0.len()).ok()?;
        Some(*self.0.entry(object).or_insert(next))
    }
}

struct Reader<'a, 'b> {
    bytes: &'a [u8],
    /// Numbers of the objects that may be referred to; nothing of one that is not read to its end yet.
    references: Vec<Option<u32>>,
    code: Code,
    sets: Sets,
    known: &'b mut Known<'a>,
}

impl<'a> Reader<'a, '_> {
    /// The one object that all bytes are.
    fn whole(mut self) -> Option<u32> {
        let object = self.object(0)?;
        self.bytes.is_empty().then_some(object)
    }

    fn object(&mut self, depth: usize) -> Option<u32> {
        if depth > DEPTH_MAX {
            return None;
        }
        let kind = self.take(1)?[0];
        if kind == b'r' {
            let index = self.size()?;
            return *self.references.get(index)?;
        }
        let slot = (kind & FLAG_REF != 0).then(|| {
            self.references.push(None);
            self.references.len() - 1
        });
        let object = self.of_kind(kind & !FLAG_REF, depth)?;
        let number = self.known.number(object)?;
        if let Some(slot) = slot {
            self.references[slot] = Some(number);
        }
        Some(number)
    }

    fn of_kind(&mut self, kind: u8, depth: usize) -> Option<Object<'a>> {
        Some(match kind {
            b'0' | b'N' | b'F' | b'T' | b'S' | b'.' => Object::Plain(kind, &[]),
            b'i' => Object::Plain(kind, self.take(4)?),
            b'I' | b'g' => Object::Plain(kind, self.take(8)?),
            b'y' => Object::Plain(kind, self.take(16)?),
            b'f' => self.short(kind)?,
            b'x' => {
                let (one, other) = (self.short(b'f')?, self.short(b'f')?);
                Object::Made(kind, &[], vec![self.known.number(one)?, self.known.number(other)?])
            }
            b'l' => {
                let digits = i32::from_le_bytes(self.bytes.get(..4)?.try_into().ok()?).unsigned_abs();
                Object::Plain(kind, self.take(usize::try_from(digits).ok()?.checked_mul(2)?.checked_add(4)?)?)
            }
            b's' => self.long(kind)?,
            // Texts: whether Python keeps one copy of it for all says nothing of what it is.
            b't' | b'u' | b'a' | b'A' => self.long(b'u')?,
            b'z' | b'Z' => self.short(b'u')?,
            b')' => {
                let count = usize::from(self.take(1)?[0]);
                self.several(b'(', count, depth)?
            }
            b'(' | b'[' => {
                let count = self.size()?;
                self.several(kind, count, depth)?
            }
            b'<' | b'>' => {
                let count = self.size()?;
                match self.several(kind, count, depth)? {
                    Object::Made(kind, bytes, mut members) if self.sets == Sets::Unordered => {
                        members.sort_unstable();
                        Object::Made(kind, bytes, members)
                    }
                    ordered => ordered,
                }
            }
            b':' => self.several(kind, 3, depth)?,
            b'{' => self.dictionary(depth)?,
            b'c' => self.code(depth)?,
            _ => return None,
        })
    }

    fn code(&mut self, depth: usize) -> Option<Object<'a>> {
        let numbers = self.take(self.code.numbers * 4)?;
        let numbers = self.known.number(Object::Plain(b'#', numbers))?;
        let mut members = vec![numbers];
        for _ in 0..self.code.before_line {
            members.push(self.object(depth + 1)?);
        }
        let line = self.take(4)?;
        for _ in 0..self.code.after_line {
            members.push(self.object(depth + 1)?);
        }
        Some(Object::Made(b'c', line, members))
    }

    fn dictionary(&mut self, depth: usize) -> Option<Object<'a>> {
        let mut members = Vec::new();
        while self.bytes.first()? & !FLAG_REF != b'0' {
            members.push(self.object(depth + 1)?);
            members.push(self.object(depth + 1)?);
        }
        self.take(1)?;
        Some(Object::Made(b'{', &[], members))
    }

    fn several(&mut self, kind: u8, count: usize, depth: usize) -> Option<Object<'a>> {
        if count > self.bytes.len() {
            return None; // Each takes a byte at least.
        }
        let members = (0..count).map(|_| self.object(depth + 1)).collect::<Option<_>>()?;
        Some(Object::Made(kind, &[], members))
    }

    fn short(&mut self, kind: u8) -> Option<Object<'a>> {
        let size = usize::from(self.take(1)?[0]);
        Some(Object::Plain(kind, self.take(size)?))
    }

    fn long(&mut self, kind: u8) -> Option<Object<'a>> {
        let size = self.size()?;
        Some(Object::Plain(kind, self.take(size)?))
    }

    fn size(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.take(4)?.try_into().ok()?)).ok()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &[u8], b: &[u8], sets: Sets, expected: bool) {
        assert_eq!(same(a, b, 3495, sets), expected, "{} {}", a.escape_ascii(), b.escape_ascii());
    }

    #[test]
    fn references_are_followed() {
        let referred = b")\x02\xda\x01ar\0\0\0\0";
        check(b")\x02Z\x01aZ\x01a", referred, Sets::Ordered, true);
        check(b")\x02Z\x01aZ\x01b", referred, Sets::Ordered, false);
        check(b"\xa9\x02z\x01a\xda\x01a", referred, Sets::Ordered, true);
        check(b"(\x02\0\0\0Z\x01aZ\x01a", referred, Sets::Ordered, true);
        check(b")\x02\xda\x01ar\x01\0\0\0", b")\x02\xda\x01ar\x01\0\0\0", Sets::Ordered, false); // No such object.
        check(b"\xa9\x01r\0\0\0\0", b"\xa9\x01r\0\0\0\0", Sets::Ordered, false); // In itself.
        check(b")\x01N!", b")\x01N!", Sets::Ordered, false); // More behind it.
        check(b"(\xff\xff\xff\xffN", b"(\xff\xff\xff\xffN", Sets::Ordered, false);
        check(&b")\x01".repeat(5000), &b")\x01".repeat(5000), Sets::Ordered, false);
        let sets = (b">\x02\0\0\0Z\x01aZ\x01b", b">\x02\0\0\0Z\x01bZ\x01a");
        check(sets.0, sets.1, Sets::Ordered, false);
        check(sets.0, sets.1, Sets::Unordered, true);
        assert!(!same(b"N", b"N", 3200, Sets::Ordered), "of an older Python");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            same(&bytes, &bytes, 3495, Sets::Unordered);
        }
    }
}

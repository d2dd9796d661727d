//! The next definition of a function after this object's own, as `dlsym(RTLD_NEXT, …)` would find it: from the list of
//! objects that every loader keeps for debuggers. `dlsym` itself lies in another library in each libc, and old glibc's
//! is not loaded into most programs.

use core::{
    ffi::c_void,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{
    bytes::{same, until_nul},
    sys::{auxiliary, own_dynamic},
};

/// A function of another object, looked for once. Nothing is remembered of a search in vain, since its library may be
/// loaded later.
pub(crate) struct Next {
    name: &'static str,
    found: AtomicUsize,
}

impl Next {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, found: AtomicUsize::new(0) }
    }

    pub(crate) fn find(&self) -> Option<*const c_void> {
        let mut found = self.found.load(Relaxed);
        if found == 0 {
            found = search(self.name.as_bytes())?;
            self.found.store(found, Relaxed);
        }
        Some(found as *const c_void)
    }
}

/// `struct link_map` as far as debuggers know it.
#[repr(C)]
struct Object {
    base: usize,
    name: *const u8,
    dynamic: *const [usize; 2],
    next: *const Object,
}

#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: usize,
    address: usize,
    rest: [usize; 4],
}

#[repr(C)]
struct Symbol {
    name: u32,
    kind: u8,
    other: u8,
    section: u16,
    value: usize,
    size: usize,
}

const PT_DYNAMIC: u32 = 2;
const PT_PHDR: u32 = 6;
const DT_HASH: usize = 4;
const DT_STRTAB: usize = 5;
const DT_SYMTAB: usize = 6;
const DT_DEBUG: usize = 21;
const DT_GNU_HASH: usize = 0x6fff_fef5;
const DT_VERSYM: usize = 0x6fff_fff0;
const STT_FUNC: u8 = 2;
/// A version that is there for old programs only.
const HIDDEN: u16 = 0x8000;

fn search(name: &[u8]) -> Option<usize> {
    // SAFETY: the loader made this list before any code of ours ran, and only ever adds to it.
    unsafe {
        let own = own_dynamic();
        let mut object = first()?.as_ref();
        while let Some(here) = object {
            object = here.next.as_ref();
            if here.dynamic as usize == own {
                break;
            }
        }
        while let Some(here) = object {
            if let Some(found) = in_object(here, name) {
                return Some(found);
            }
            object = here.next.as_ref();
        }
    }
    None
}

/// The first object of the list: by the program's own headers, where the loader leaves the address.
unsafe fn first() -> Option<*const Object> {
    const AT_PHDR: usize = 3;
    const AT_PHNUM: usize = 5;
    let headers = auxiliary(AT_PHDR) as *const ProgramHeader;
    if headers.is_null() {
        return None;
    }
    // SAFETY: the kernel says where the headers are and how many.
    let headers = unsafe { core::slice::from_raw_parts(headers, auxiliary(AT_PHNUM)) };
    let base = headers.iter().find(|header| header.kind == PT_PHDR);
    let base = base.map_or(0, |header| (headers.as_ptr() as usize).wrapping_sub(header.address));
    let dynamic = headers.iter().find(|header| header.kind == PT_DYNAMIC)?;
    // SAFETY: a program that was linked dynamically has this section, and its loader filled in the entry.
    unsafe {
        let debug = entry(base.wrapping_add(dynamic.address) as *const [usize; 2], DT_DEBUG)?;
        // `struct r_debug`: a version, then the list.
        (debug as *const [*const Object; 2]).as_ref().map(|debug| debug[1])
    }
}

/// The value of `tag` in a dynamic section.
unsafe fn entry(mut dynamic: *const [usize; 2], tag: usize) -> Option<usize> {
    // SAFETY: the section ends with a tag of 0.
    unsafe {
        while let Some(&[found, value]) = dynamic.as_ref().filter(|entry| entry[0] != 0) {
            if found == tag {
                return Some(value);
            }
            dynamic = dynamic.add(1);
        }
    }
    None
}

unsafe fn in_object(object: &Object, name: &[u8]) -> Option<usize> {
    // SAFETY: the tables of an object that the loader has loaded.
    unsafe {
        // glibc writes addresses into the section, musl leaves what the file has.
        let table = |tag| {
            let value = entry(object.dynamic, tag)?;
            Some(if value < object.base { value.wrapping_add(object.base) } else { value })
        };
        let (symbols, texts) = (table(DT_SYMTAB)? as *const Symbol, table(DT_STRTAB)? as *const u8);
        let versions = table(DT_VERSYM).map(|versions| versions as *const u16);
        let wanted = |index: usize| {
            let symbol = &*symbols.add(index);
            let same = symbol.section != 0
                && symbol.kind & 0xf == STT_FUNC
                && same(until_nul(texts.add(symbol.name as usize).cast()), name)
                && versions.is_none_or(|versions| *versions.add(index) & HIDDEN == 0);
            same.then(|| object.base.wrapping_add(symbol.value))
        };
        match table(DT_GNU_HASH) {
            Some(hash) => by_gnu_hash(hash as *const u32, name, wanted),
            None => by_hash(table(DT_HASH)? as *const u32, wanted),
        }
    }
}

/// The table that all linkers write by default: buckets of chains, sorted by hash.
unsafe fn by_gnu_hash(
    table: *const u32,
    name: &[u8],
    wanted: impl Fn(usize) -> Option<usize>,
) -> Option<usize> {
    let hash = name.iter().fold(5381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)));
    // SAFETY: header (buckets, first symbol, words of the filter of 8 bytes each, shift), filter, buckets, chains.
    unsafe {
        let (buckets, first, words) = (*table, *table.add(1), *table.add(2));
        let bucket_table = table.add(4 + 2 * words as usize);
        let chains = bucket_table.add(buckets as usize);
        let mut index = *bucket_table.add(hash.checked_rem(buckets)? as usize);
        while index >= first {
            let chained = *chains.add((index - first) as usize);
            if chained | 1 == hash | 1
                && let Some(found) = wanted(index as usize)
            {
                return Some(found);
            }
            if chained & 1 == 1 {
                break;
            }
            index += 1;
        }
    }
    None
}

/// The old table: here only its count of symbols is of use.
unsafe fn by_hash(table: *const u32, wanted: impl Fn(usize) -> Option<usize>) -> Option<usize> {
    // SAFETY: its second word counts the symbols.
    (0..unsafe { *table.add(1) } as usize).find_map(wanted)
}

//! PAX records (POSIX.1-2017, `pax`, "pax Extended Header"): `LENGTH KEY=VALUE\n`.

use std::collections::BTreeMap;

use super::number::decimal;

/// Reads all records of one header; keys in order.
///
/// # Errors
/// A sentence for people: malformed, or a key twice.
pub(super) fn parse(mut bytes: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, &'static str> {
    const MALFORMED: &str = "its PAX header is malformed";
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').ok_or(MALFORMED)?;
        let length = decimal(&bytes[..space]).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| (space + 1..=bytes.len()).contains(length)).ok_or(MALFORMED)?;
        let (record, rest) = bytes.split_at(length);
        let record = record[space + 1..].strip_suffix(b"\n").ok_or(MALFORMED)?;
        let equals = record.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).ok_or(MALFORMED)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if records.insert(key.to_vec(), value.to_vec()).is_some() {
            return Err("its PAX header holds one key twice");
        }
        bytes = rest;
    }
    Ok(records)
}

/// Writes records in the order of their keys.
pub(super) fn write(records: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3; // The space, the equals sign, the newline.
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        out.extend_from_slice(format!("{length} ").as_bytes());
        out.extend_from_slice(key);
        out.push(b'=');
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trips(records in prop::collection::btree_map(
            prop::collection::vec(b'a'..=b'z', 1..8), prop::collection::vec(any::<u8>(), 0..120), 0..5)
        ) {
            prop_assert_eq!(parse(&write(&records)), Ok(records));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn refuses() {
        for bad in ["6 a=b", "5 a=b\n", "0 a=b\n", "99 a=b\n", "6 =bb\n", "a=b\n", "5 ab\n", "6 a=b\n6 a=c\n"]
        {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

//! JSON read strictly and written canonically.

use std::{cell::Cell, fmt, io::Write as _};

use serde::{
    Deserialize,
    de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value, map::Entry};

use super::limits::JSON_DEPTH_MAX;

/// How the message ends that refuses a key for standing in one object twice.
pub const STANDS_TWICE: &str = "stands twice";

/// Reads one JSON value strictly: UTF-8, no BOM, nothing after it, no key twice at any depth, at most
/// [`JSON_DEPTH_MAX`] deep (FORMATS.md §2).
///
/// # Errors
/// Whatever breaks one of these, with line and column.
pub fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    read(bytes, &Count::new(usize::MAX))
}

/// [`parse`] of at most `values_max` values (members, items); nothing if there are more, of which no more are held.
///
/// # Errors
/// Those of [`parse`].
pub fn parse_at_most(bytes: &[u8], values_max: usize) -> Result<Option<Value>, serde_json::Error> {
    let count = Count::new(values_max);
    match read(bytes, &count) {
        Err(_) if count.is_exceeded() => Ok(None),
        read => read.map(Some),
    }
}

fn read(bytes: &[u8], count: &Count) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0, count }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// [`parse`], then into `T`.
///
/// # Errors
/// Those of [`parse`], and a shape that is not `T`'s.
pub fn parse_as<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_value(parse(bytes)?)
}

/// `value` in the canonical form of RFC 8785 (JCS): keys sorted by UTF-16, no spaces, shortest escapes.
/// Digested JSON of ours holds no floats (WIRE.md); integers are written in decimal.
#[must_use]
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

/// Anything serialisable in canonical form.
///
/// # Errors
/// If the value cannot be said in JSON (a map with keys that are not strings).
pub fn to_canonical(value: &impl serde::Serialize) -> Result<Vec<u8>, serde_json::Error> {
    Ok(canonical(&serde_json::to_value(value)?))
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_cached_key(|(key, _)| key.encode_utf16().collect::<Vec<_>>());
            separated(out, *b"{}", entries, |(key, value), out| {
                write(&Value::String(key.clone()), out);
                out.push(b':');
                write(value, out);
            });
        }
        Value::Array(items) => separated(out, *b"[]", items, write),
        // serde_json escapes as JCS does: \b \t \n \f \r \" \\ and \u00xx in lower case.
        scalar => write!(out, "{scalar}").expect("writing to a Vec cannot fail"),
    }
}

fn separated<T>(
    out: &mut Vec<u8>,
    [open, close]: [u8; 2],
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        each(item, out);
    }
    out.push(close);
}

/// How many values were begun, and how many may be.
struct Count {
    values: Cell<usize>,
    values_max: usize,
}

impl Count {
    fn new(values_max: usize) -> Self {
        Self { values: Cell::new(0), values_max }
    }

    fn is_exceeded(&self) -> bool {
        self.values.get() > self.values_max
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    count: &'a Count,
}

impl Strict<'_> {
    fn deeper(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > JSON_DEPTH_MAX {
            return Err(D::Error::custom(format_args!("deeper than {JSON_DEPTH_MAX} levels")));
        }
        self.count.values.set(self.count.values.get() + 1);
        if self.count.is_exceeded() {
            return Err(D::Error::custom(format_args!("more than {} values", self.count.values_max)));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.deeper())? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            match map.entry(key) {
                Entry::Vacant(place) => place.insert(access.next_value_seed(self.deeper())?),
                Entry::Occupied(twice) => {
                    return Err(A::Error::custom(format_args!("key {:?} {STANDS_TWICE}", twice.key())));
                }
            };
        }
        Ok(Value::Object(map))
    }
}

/// A [`Value`] that reads itself strictly, for use inside derived types.
#[derive(Debug, Clone, PartialEq)]
pub struct StrictValue(pub Value);

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Strict { depth: 0, count: &Count::new(usize::MAX) }.deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_be_read_two_ways() {
        for text in [r#"{"a":1,"a":2}"#, r#"[{"b":{"c":1,"c":1}}]"#, "{} x", "\u{feff}{}", ""] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse("[".repeat(200_000).as_bytes()).is_err());
    }

    #[test]
    fn counts_values() {
        let check = |text: &str, values: usize| {
            assert!(parse_at_most(text.as_bytes(), values).unwrap().is_some(), "{text}");
            assert!(parse_at_most(text.as_bytes(), values - 1).unwrap().is_none(), "{text}");
        };
        check("1", 1);
        check(r#"{"a":[1,2],"b":{}}"#, 5);
        check(r#"{"a,[{\"":",,\\","b":1}"#, 3);
        assert!(parse_at_most(b"{", 9).is_err());
    }

    #[test]
    fn canonical_sorts_and_escapes() {
        let value = parse(r#"{ "b": [1, "\u001f\n\u00e9"], "a": null }"#.as_bytes()).unwrap();
        assert_eq!(canonical(&value), "{\"a\":null,\"b\":[1,\"\\u001f\\né\"]}".as_bytes());
    }
}

//! A TOML table as written: typed access that knows lines, and refuses keys nobody reads.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::RecipeError;
use crate::model::{
    nearest::distance,
    syntax::{line_of, shown},
};

/// The text, for turning byte offsets into lines.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl Text<'_> {
    pub(super) fn line(self, start: usize) -> usize {
        line_of(self.0, start)
    }
}

/// One table, its name as users write it, and where it starts.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) text: Text<'a>,
    pub(super) name: &'static str,
    start: usize,
    table: &'a DeTable<'a>,
}

/// A value and its place.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    text: Text<'a>,
    pub(super) key: &'a str,
    start: usize,
    found: &'a DeValue<'a>,
}

impl<'a> Written<'a> {
    /// Takes `table` if all its keys are among `known`.
    pub(super) fn new(
        text: Text<'a>,
        name: &'static str,
        start: usize,
        table: &'a DeTable<'a>,
        known: &[&'static str],
    ) -> Result<Self, RecipeError> {
        let written = Self { text, name, start, table };
        let unknown = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else {
            return Ok(written);
        };
        let nearest = known.iter().min_by_key(|name| distance(name, key.get_ref()));
        Err(RecipeError::UnknownKey {
            line: text.line(key.span().start),
            key: shown(key.get_ref()),
            table: name,
            nearest: nearest.copied().unwrap_or_default(),
        })
    }

    /// The value of `key`, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        let (key, value) = self.table.get_key_value(key)?;
        Some(self.value(key, value))
    }

    /// The value of `key`, which must be there.
    pub(super) fn required(&self, key: &'static str) -> Result<Value<'a>, RecipeError> {
        self.get(key).ok_or(RecipeError::Missing { line: self.line(), key, table: self.name })
    }

    /// Where the table starts.
    pub(super) fn line(&self) -> usize {
        self.text.line(self.start)
    }

    /// All values, in the order they are written.
    pub(super) fn values(&self) -> Vec<Value<'a>> {
        let mut pairs: Vec<_> = self.table.iter().collect();
        pairs.sort_by_key(|(key, _)| key.span().start);
        pairs.into_iter().map(|(key, value)| self.value(key, value)).collect()
    }

    fn value(&self, key: &'a Spanned<toml::de::DeString<'a>>, value: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        Value {
            text: self.text,
            key: key.get_ref().as_ref(),
            start: key.span().start,
            found: value.get_ref(),
        }
    }
}

impl<'a> Value<'a> {
    /// Where its key is.
    pub(super) fn line(&self) -> usize {
        self.text.line(self.start)
    }

    /// The text.
    pub(super) fn string(&self) -> Result<&'a str, RecipeError> {
        self.found.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    /// The truth value.
    pub(super) fn boolean(&self) -> Result<bool, RecipeError> {
        self.found.as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// The whole number.
    pub(super) fn integer(&self) -> Result<i64, RecipeError> {
        let number = self.found.as_integer().ok_or_else(|| self.wrong_type("a number"))?;
        i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| self.refuse("it is too large"))
    }

    /// The table, if all its keys are among `known`.
    pub(super) fn table(
        &self,
        name: &'static str,
        known: &[&'static str],
    ) -> Result<Written<'a>, RecipeError> {
        let table = self.found.as_table().ok_or_else(|| self.wrong_type("a table"))?;
        Written::new(self.text, name, self.start, table, known)
    }

    /// The table, whatever its keys.
    pub(super) fn open_table(&self, name: &'static str) -> Result<Written<'a>, RecipeError> {
        let table = self.found.as_table().ok_or_else(|| self.wrong_type("a table"))?;
        Ok(Written { text: self.text, name, start: self.start, table })
    }

    /// The elements of the array, each with its own line.
    pub(super) fn array(&self) -> Result<Vec<Value<'a>>, RecipeError> {
        let array = self.found.as_array().ok_or_else(|| self.wrong_type("an array"))?;
        let element = |value: &'a Spanned<DeValue<'a>>| Value {
            start: value.span().start,
            found: value.get_ref(),
            ..*self
        };
        Ok(array.iter().map(element).collect())
    }

    /// The error that this value means nothing here.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> RecipeError {
        let truth = self.found.as_bool().map(|truth| truth.to_string()).unwrap_or_default();
        RecipeError::Value {
            line: self.line(),
            key: shown(self.key),
            value: shown(self.found.as_str().unwrap_or(&truth)),
            reason: reason.into(),
        }
    }

    /// The same, without repeating the value.
    pub(super) fn refuse_unseen(&self, reason: impl Into<String>) -> RecipeError {
        RecipeError::Value {
            line: self.line(),
            key: shown(self.key),
            value: "…".to_owned(),
            reason: reason.into(),
        }
    }

    fn wrong_type(&self, expected: &'static str) -> RecipeError {
        let found = match self.found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        RecipeError::Type { line: self.line(), key: shown(self.key), expected, found }
    }
}

//! What a form or a query sent: names and values, each name once.

use std::collections::BTreeMap;

/// The most fields that are read; more is not one of our forms.
const MAX_FIELDS: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadForm {
    #[error("the form cannot be read")]
    Malformed,
    #[error("the form has too many fields")]
    TooMany,
}

/// The fields of `application/x-www-form-urlencoded` text, in the order of their names.
///
/// A field that came twice has no single value: [`Fields::one`] does not give it, [`Fields::repeated`] names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Vec<String>>);

impl Fields {
    pub fn parse(text: &[u8]) -> Result<Self, BadForm> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(text).map_err(|_| BadForm::Malformed)?;
        Self::from_pairs(pairs)
    }

    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, BadForm> {
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (count, (name, value)) in pairs.into_iter().enumerate() {
            if count >= MAX_FIELDS {
                return Err(BadForm::TooMany);
            }
            fields.entry(name).or_default().push(value);
        }
        Ok(Self(fields))
    }

    /// The value of a field that was sent exactly once and is not empty (RFC 6749 §3.1: a parameter without a
    /// value counts as not sent).
    pub fn one(&self, name: &str) -> Option<&str> {
        match self.0.get(name)?.as_slice() {
            [value] if !value.is_empty() => Some(value),
            _ => None,
        }
    }

    /// The value as it is, empty if the field was not sent or sent twice.
    pub fn text(&self, name: &str) -> &str {
        self.one(name).unwrap_or_default()
    }

    /// All values of a field that may come several times.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Names that came several times, but for those that may.
    pub fn repeated<'a>(&'a self, allowed: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let several = self.0.iter().filter(|(_, values)| values.len() > 1);
        several.map(|(name, _)| name.as_str()).filter(|name| !allowed.contains(name))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value.as_str())))
    }
}

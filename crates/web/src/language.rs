//! Languages: all texts of the pages stand in `texts/<language>.json`, so that a translation is one file.

use std::collections::BTreeMap;

use http::{HeaderMap, header};

/// A language that the pages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    #[default]
    En,
}

impl Language {
    pub const ALL: &'static [Self] = &[Self::En];

    /// For `lang` (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
        }
    }

    /// The first language we have, in the order of `ui_locales` (OpenID Connect Core §3.1.2.1), then of the
    /// browser.
    pub fn choose(ui_locales: Option<&str>, headers: &HeaderMap) -> Self {
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let asked = ui_locales.unwrap_or_default().split(' ');
        let accepted = accepted.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
        asked.chain(accepted).find_map(Self::of).unwrap_or_default()
    }

    fn of(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.iter().copied().find(|language| language.tag().eq_ignore_ascii_case(primary))
    }
}

/// The texts of one language.
#[derive(Debug, Default)]
pub(crate) struct Texts(BTreeMap<String, String>);

impl Texts {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json).map(Self)
    }

    /// Texts of `other` replace those of the same name.
    pub(crate) fn overlay(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The text with `{name}` replaced; a name that is not given stays as it is. An unknown key is shown itself.
    pub(crate) fn text<'a>(&self, key: &str, values: impl Fn(&str) -> Option<String> + 'a) -> String {
        let Some(mut rest) = self.0.get(key).map(String::as_str) else {
            return key.to_owned();
        };
        let mut out = String::with_capacity(rest.len() + 32);
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, tail)) = after.split_once('}') else {
                out.push('{');
                rest = after;
                continue;
            };
            match values(name) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push('{');
                    out.push_str(name);
                    out.push('}');
                }
            }
            rest = tail;
        }
        out.push_str(rest);
        out
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

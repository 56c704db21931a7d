//! Path patterns: literal segments, `{param}` for one segment, `{rest...}` for all that is left.

use std::fmt;
use std::sync::Arc;

use crate::path::{CanonicalPath, decoded};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    pub(crate) segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Compared with the decoded segment.
    Literal {
        decoded: Box<str>,
        canonical: Box<str>,
    },
    Param(Box<str>),
    Rest(Box<str>),
}

/// Deeper patterns are a mistake, and the matcher recurses once per segment.
const MAX_SEGMENTS: usize = 64;

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(inner) = text.strip_prefix('/') else {
            return Err(format!("the path `{text}` does not begin with `/`"));
        };
        let parts: Vec<&str> = inner.split('/').collect();
        if parts.len() > MAX_SEGMENTS {
            return Err(format!("the path has more than {MAX_SEGMENTS} segments"));
        }
        let last = parts.len() - 1;
        let mut segments = Vec::with_capacity(parts.len());
        let mut names: Vec<&str> = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let braced = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            let segment = match braced {
                Some(name) => match name.strip_suffix("...") {
                    Some(_) if at != last => {
                        return Err(format!("`{part}` takes all that is left, so it stands at the end"));
                    }
                    Some(name) => Segment::Rest(parameter(name, &mut names)?),
                    None => Segment::Param(parameter(name, &mut names)?),
                },
                None if part.contains(['{', '}', '*']) => {
                    return Err(format!("a parameter is a whole segment (`{{id}}` or `{{rest...}}`), unlike `{part}`"));
                }
                None if part.is_empty() && at != last => return Err(format!("the path `{text}` has an empty segment")),
                None => literal(part)?,
            };
            segments.push(segment);
        }
        Ok(Self { text: text.into(), segments })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The leading literal segments as a path, such as `/orders` for `/orders/{id}`.
    pub fn literal_prefix(&self) -> String {
        let mut out = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal { canonical, .. } if !canonical.is_empty() => {
                    out.push('/');
                    out.push_str(canonical);
                }
                _ => break,
            }
        }
        out
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) | Segment::Rest(name) => Some(&**name),
            Segment::Literal { .. } => None,
        })
    }

    /// What this pattern, as a template, makes of a path that `matched` matches. The values are parts
    /// of a canonical path and stay in canonical form.
    pub(crate) fn fill(&self, matched: &Self, path: &CanonicalPath<'_>) -> String {
        let mut out = String::with_capacity(path.as_str().len() + self.text.len());
        for segment in &self.segments {
            out.push('/');
            match segment {
                Segment::Literal { canonical, .. } => out.push_str(canonical),
                Segment::Param(name) | Segment::Rest(name) => out.push_str(matched.value(name, path)),
            }
        }
        out
    }

    /// The value of a parameter in a path that it matches, in canonical form; empty for another name.
    pub fn value<'p>(&self, name: &str, path: &'p CanonicalPath<'_>) -> &'p str {
        let mut rest = path.as_str();
        for segment in &self.segments {
            rest = rest.strip_prefix('/').unwrap_or(rest);
            let end = rest.find('/').unwrap_or(rest.len());
            let (here, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
            match segment {
                Segment::Param(own) if **own == *name => return here,
                Segment::Rest(own) if **own == *name => return rest,
                _ => rest = tail,
            }
        }
        ""
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parameter<'a>(name: &'a str, names: &mut Vec<&'a str>) -> Result<Box<str>, String> {
    let fine =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !fine {
        return Err(format!("`{name}` is not a name for a parameter (letters, digits, `_`, `-`)"));
    }
    if names.contains(&name) {
        return Err(format!("the parameter `{name}` stands twice in the path"));
    }
    names.push(name);
    Ok(name.into())
}

fn literal(part: &str) -> Result<Segment, String> {
    let path = format!("/{part}");
    let path = CanonicalPath::new(&path).map_err(|error| format!("`{part}`: {error}"))?;
    let canonical = path.as_str().strip_prefix('/').unwrap_or_default();
    Ok(Segment::Literal { decoded: decoded(canonical).into(), canonical: canonical.into() })
}

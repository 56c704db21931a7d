//! The names that an expression may read, and which of them it does.

use std::fmt;

/// What may be read: names such as `claims` or `steps.order.body`, each a value of its own in the
/// [`Scope`](crate::Scope). An expression that reads `steps.order` as a whole is refused: only the
/// named parts exist.
#[derive(Debug, Clone, Default)]
pub struct Names(Vec<Box<str>>);

impl Names {
    pub fn new<I: IntoIterator<Item = S>, S: Into<Box<str>>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// The longest name at the begin of a path, and how many of its segments it takes.
    pub(crate) fn find(&self, path: &[Segment]) -> Option<(&str, usize)> {
        self.0
            .iter()
            .filter_map(|name| {
                let parts = name.split('.').count();
                let fits = name.split('.').zip(path).all(|(part, segment)| segment.is(part)) && parts <= path.len();
                fits.then_some((&**name, parts))
            })
            .max_by_key(|(_, parts)| *parts)
    }

    /// What to say of a path that no name begins.
    pub(crate) fn unknown(&self, path: &[Segment]) -> String {
        let written = path.iter().map_while(Segment::key).collect::<Vec<_>>().join(".");
        let inside = format!("{written}.");
        let below: Vec<&str> = self.iter().filter(|name| name.starts_with(&inside)).collect();
        if !below.is_empty() {
            return format!("`{written}` cannot be read as a whole; its parts: {}", below.join(", "));
        }
        let nearest = self
            .iter()
            .map(|name| {
                // As many segments as the name has, so that what follows does not count.
                let head = written.split('.').take(name.split('.').count()).collect::<Vec<_>>().join(".");
                (strsim::jaro_winkler(&head, name), name)
            })
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((_, name)) => format!("there is no `{written}` here, did you mean `{name}`?"),
            None => format!("there is no `{written}` here; known: {}", self.iter().collect::<Vec<_>>().join(", ")),
        }
    }
}

/// A place in a JSON value that an expression reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// One of the [`Names`].
    pub name: Box<str>,
    /// What is selected of it, as far as the text says.
    pub path: Vec<Segment>,
    pub offset: usize,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.path.iter().try_for_each(|segment| match segment {
            Segment::Key(key) => write!(f, ".{key}"),
            Segment::Index(at) => write!(f, "[{at}]"),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Key(Box<str>),
    Index(usize),
}

impl Segment {
    fn is(&self, part: &str) -> bool {
        self.key() == Some(part)
    }

    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Index(_) => None,
        }
    }
}

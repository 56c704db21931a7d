//! Parameters of statements. Columns are TEXT or BIGINT, so a value is a text, an integer or null.

use base::Time;
use base::ids::{ClientId, GrantId, KeyId, RequestId, SessionId, TokenId, UserId};

/// One parameter or one cell.
///
/// There is no boolean: a flag is a moment (`revoked_at`) or a word.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
}

/// Values may be hashes, sealed keys or mail addresses: only their kind is shown.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Int(_) => "Int(…)",
            Self::Text(_) => "Text(…)",
        })
    }
}

/// `params![a, b]`: an array of [`Value`], each made by `Value::from`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {{
        let values: [$crate::Value; _] = [$($crate::Value::from($value)),*];
        values
    }};
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<Time> for Value {
    fn from(value: Time) -> Self {
        Self::Int(value.ms())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! from_ids {
    ($($id:ty),*) => {$(
        impl From<$id> for Value {
            fn from(id: $id) -> Self {
                Self::Text(id.0)
            }
        }

        impl From<&$id> for Value {
            fn from(id: &$id) -> Self {
                Self::Text(id.0.clone())
            }
        }
    )*};
}

from_ids!(ClientId, UserId, SessionId, GrantId, KeyId, TokenId, RequestId);

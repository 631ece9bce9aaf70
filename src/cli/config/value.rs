//! The four kinds of value that a key can have, from TOML and from text.

use toml::Value;

/// What a key's value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// `true` or `false`.
    Flag,
    /// An integer from 0.
    Number,
    /// Strings.
    List,
}

impl Kind {
    /// What to say when it is something else.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Flag => "true or false",
            Self::Number => "a whole number from 0",
            Self::List => "a list of strings (in a variable or a flag: separated by commas)",
        }
    }

    /// Whether a value of a file is of this kind.
    pub(super) fn holds(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text, Value::String(_)) | (Self::Flag, Value::Boolean(_)) => true,
            (Self::Number, Value::Integer(number)) => *number >= 0,
            (Self::List, Value::Array(values)) => values.iter().all(Value::is_str),
            _ => false,
        }
    }

    /// A value of this kind from a variable or a flag.
    pub(super) fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Text => Some(Value::String(text.into())),
            Self::Flag => text.parse().ok().map(Value::Boolean),
            Self::Number => {
                let digits = text.replace('_', "");
                let legal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                legal.then(|| digits.parse().ok().map(Value::Integer))?
            }
            Self::List => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Some(Value::Array(parts.map(|part| Value::String(part.into())).collect()))
            }
        }
    }
}

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    const KIND: Kind;

    /// From a value that is of the kind.
    fn of(value: &Value) -> Option<Self>;

    fn to_value(&self) -> Value;
}

impl Setting for String {
    const KIND: Kind = Kind::Text;

    fn of(value: &Value) -> Option<Self> {
        value.as_str().map(Into::into)
    }

    fn to_value(&self) -> Value {
        Value::String(self.clone())
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Flag;

    fn of(value: &Value) -> Option<Self> {
        value.as_bool()
    }

    fn to_value(&self) -> Value {
        Value::Boolean(*self)
    }
}

impl Setting for u64 {
    const KIND: Kind = Kind::Number;

    fn of(value: &Value) -> Option<Self> {
        value.as_integer().and_then(|number| number.try_into().ok())
    }

    fn to_value(&self) -> Value {
        Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl Setting for Vec<String> {
    const KIND: Kind = Kind::List;

    fn of(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(String::of).collect()
    }

    fn to_value(&self) -> Value {
        Value::Array(self.iter().map(Setting::to_value).collect())
    }
}

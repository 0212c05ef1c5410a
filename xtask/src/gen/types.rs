//! The Rust side of a field: its type, its default, and the test whether it has the default.

use anyhow::{Result, bail};
use serde_json::Value;

use super::names;
use super::schema::{Field, Type};

impl Field {
    pub(super) fn ident(&self) -> String {
        names::field(&self.name)
    }

    pub(super) fn is_optional(&self) -> bool {
        !self.nullable.is_empty()
    }

    /// Error codes are a type of their own wherever the schema's name says that they are one.
    pub(super) fn is_error_code(&self) -> bool {
        self.ty == Type::Int16 && (self.name == "errorCode" || self.name.ends_with("ErrorCode"))
    }

    pub(super) fn rust_type(&self) -> String {
        let plain = if self.is_error_code() {
            "ErrorCode".to_owned()
        } else {
            self.ty.rust_type()
        };
        if self.is_optional() {
            format!("Option<{plain}>")
        } else {
            plain
        }
    }

    /// Whether `#[derive(Default)]` gives what the schema says.
    pub(super) fn has_derived_default(&self) -> bool {
        match &self.default {
            None => !self.is_optional(),
            Some(value) => self.is_optional() && value.is_null(),
        }
    }

    pub(super) fn default_value(&self) -> Result<String> {
        match &self.default {
            Some(Value::Null) if self.is_optional() => Ok("None".to_owned()),
            Some(value) => {
                let value = self.literal(value)?;
                Ok(if self.is_optional() {
                    format!("Some({value})")
                } else {
                    value
                })
            }
            None if self.is_optional() => Ok(format!("Some({})", self.zero())),
            None => Ok(self.zero()),
        }
    }

    /// An expression that is true if `self.<field>` has its default.
    pub(super) fn is_default(&self) -> Result<String> {
        let this = format!("self.{}", self.ident());
        Ok(match (&self.default, &self.ty) {
            (Some(Value::Null), _) if self.is_optional() => format!("{this}.is_none()"),
            (Some(Value::Bool(true)), Type::Bool) => this,
            (None, _) if self.is_optional() => format!("{this} == {}", self.default_value()?),
            (None, Type::Bool) => format!("!{this}"),
            (None, Type::Uuid) => format!("{this}.is_zero()"),
            (None, Type::String | Type::Bytes | Type::Records | Type::Array(_)) => {
                format!("{this}.is_empty()")
            }
            _ => format!("{this} == {}", self.default_value()?),
        })
    }

    fn zero(&self) -> String {
        match &self.ty {
            _ if self.is_error_code() => "ErrorCode::NONE".to_owned(),
            Type::Bool => "false".to_owned(),
            Type::Int8 | Type::Int16 | Type::Uint16 | Type::Int32 | Type::Uint32 | Type::Int64 => {
                "0".to_owned()
            }
            Type::Float64 => "0.0".to_owned(),
            Type::Uuid => "Uuid::ZERO".to_owned(),
            Type::String => "String::new()".to_owned(),
            Type::Bytes => "Bytes::new()".to_owned(),
            Type::Records => "Records::default()".to_owned(),
            Type::Array(_) => "Vec::new()".to_owned(),
            Type::Struct(name) => format!("{name}::default()"),
        }
    }

    fn literal(&self, value: &Value) -> Result<String> {
        let Some(number) = value.as_i64() else {
            return match (&self.ty, value) {
                (Type::Bool, Value::Bool(value)) => Ok(value.to_string()),
                _ => bail!("default {value} of field {}", self.name),
            };
        };
        let (name, min, max) = match self.ty {
            Type::Int8 => ("i8", i8::MIN.into(), i8::MAX.into()),
            Type::Int16 => ("i16", i16::MIN.into(), i16::MAX.into()),
            Type::Int32 => ("i32", i32::MIN.into(), i32::MAX.into()),
            Type::Int64 => ("i64", i64::MIN, i64::MAX),
            _ => bail!("default {value} of field {}", self.name),
        };
        Ok(match number {
            _ if self.is_error_code() => format!("ErrorCode({number})"),
            number if number == min => format!("{name}::MIN"),
            number if number == max => format!("{name}::MAX"),
            number => number.to_string(),
        })
    }
}

impl Type {
    pub(super) fn rust_type(&self) -> String {
        match self {
            Self::Array(element) => format!("Vec<{}>", element.rust_type()),
            Self::Struct(name) => name.clone(),
            Self::Bool => "bool".to_owned(),
            Self::Int8 => "i8".to_owned(),
            Self::Int16 => "i16".to_owned(),
            Self::Uint16 => "u16".to_owned(),
            Self::Int32 => "i32".to_owned(),
            Self::Uint32 => "u32".to_owned(),
            Self::Int64 => "i64".to_owned(),
            Self::Float64 => "f64".to_owned(),
            Self::Uuid => "Uuid".to_owned(),
            Self::String => "String".to_owned(),
            Self::Bytes => "Bytes".to_owned(),
            Self::Records => "Records".to_owned(),
        }
    }
}

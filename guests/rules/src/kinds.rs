//! The types of columns, as a configuration names them.

use gristmill_sdk::Kind;
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    #[default]
    Text,
    Int,
    Float,
    Boolean,
    Timestamp,
    EpochMs,
    EpochS,
    Date,
    Decimal,
    Json,
    Uuid,
    Bytes,
}

impl ColumnType {
    pub fn kind(self) -> Kind {
        match self {
            Self::Text => Kind::Text,
            Self::Int => Kind::Int,
            Self::Float => Kind::Float,
            Self::Boolean => Kind::Boolean,
            Self::Timestamp | Self::EpochMs | Self::EpochS => Kind::Timestamp,
            Self::Date => Kind::Date,
            Self::Decimal => Kind::Decimal,
            Self::Json => Kind::Json,
            Self::Uuid => Kind::Fixed(16),
            Self::Bytes => Kind::Bytes,
        }
    }
}

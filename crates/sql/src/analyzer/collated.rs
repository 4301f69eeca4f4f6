//! Which collation decides when texts meet, by MySQL's rules of coercibility.
//!
//! Every value has a collation and a degree to which it insists on it: COLLATE most, then columns, then
//! literals. The one that insists more decides. Two that insist alike and differ go by bytes if one of them
//! does; else a comparison is refused (1267). Where the collation that decides is not that of bytes, each
//! text gives way to its key, so that whatever compares sees bytes.

use super::fold::call;
use super::{Family, Typed};
use crate::functions::collate;
use arrow::datatypes::DataType;
use types::sql_type::LobSize;
use types::{Collation, ErrorKind, SqlError, SqlType};

/// What COERCIBILITY() says, the most insisting first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coercibility {
    /// COLLATE.
    Explicit,
    /// Made of texts that insist alike on different collations.
    None,
    /// A column, a variable, CAST.
    Implicit,
    /// USER() and the like.
    System,
    Literal,
    /// A number or date as text.
    Number,
    Null,
}

/// A value's collation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Collated {
    /// `None`: the connection's.
    pub(crate) collation: Option<Collation>,
    pub(crate) coercibility: Coercibility,
}

impl Collated {
    pub(crate) const NUMBER: Collated = Collated { collation: None, coercibility: Coercibility::Number };
    pub(crate) const LITERAL: Collated = Collated { collation: None, coercibility: Coercibility::Literal };
    pub(crate) const SYSTEM: Collated = Collated { collation: None, coercibility: Coercibility::System };
    pub(crate) const CONNECTION: Collated =
        Collated { collation: None, coercibility: Coercibility::Implicit };

    pub(crate) const fn column(collation: Collation) -> Collated {
        Collated { collation: Some(collation), coercibility: Coercibility::Implicit }
    }

    pub(crate) const fn explicit(collation: Collation) -> Collated {
        Collated { collation: Some(collation), coercibility: Coercibility::Explicit }
    }

    /// Of a value that stands for itself.
    pub(crate) fn of_constant(arrow: &DataType) -> Collated {
        match Family::of(arrow) {
            Family::Null => Collated { collation: None, coercibility: Coercibility::Null },
            Family::Text | Family::Binary => Collated::LITERAL,
            _ => Collated::NUMBER,
        }
    }

    /// The collation; one that is the connection's has no name here.
    pub(crate) fn named(self) -> Collation {
        self.collation.unwrap_or_default()
    }

    /// Of what is made of both. Two that insist on different collations make one that no comparison takes.
    fn with(self, other: Collated) -> Collated {
        use std::cmp::Ordering::*;
        match self.coercibility.cmp(&other.coercibility) {
            Less => self,
            Greater => other,
            Equal if self.collation == other.collation => self,
            Equal => match (self.collation, other.collation) {
                _ if self.coercibility == Coercibility::Explicit => {
                    Collated { collation: Some(Collation::Bytes), coercibility: Coercibility::None }
                }
                (Some(Collation::Bytes), _) => self,
                (_, Some(Collation::Bytes)) => other,
                // The connection's is one that the other may well be.
                (None, _) => self,
                (_, None) => other,
                _ => Collated { collation: Some(Collation::Bytes), coercibility: Coercibility::None },
            },
        }
    }

    /// Of the result of a function of these: only texts take part.
    pub(crate) fn of_all<'t>(values: impl IntoIterator<Item = &'t Typed>) -> Collated {
        let texts = values.into_iter().filter(|value| value.family() == Family::Text).map(Typed::collated);
        texts.reduce(Collated::with).unwrap_or(Collated::NUMBER)
    }
}

impl Typed {
    pub(crate) fn collated(&self) -> Collated {
        // JSON compares by its bytes.
        if self.ty == SqlType::Json { Collated::column(Collation::Bytes) } else { self.collation }
    }
}

/// The key of a text under a collation, known by its name in plans.
pub(crate) fn key(value: Typed, collation: Collation) -> Result<Typed, SqlError> {
    let name = Typed::text(collation.name());
    call(collate::collation_key(), vec![value, name], SqlType::Blob(LobSize::Long))
}

/// Key and text in one, for the least and the greatest of texts.
fn pair(value: Typed, collation: Collation) -> Result<Typed, SqlError> {
    let name = Typed::text(collation.name());
    call(collate::collation_pair(), vec![value, name], SqlType::Blob(LobSize::Long))
}

/// The text of a pair.
fn text_of_pair(value: Typed, ty: SqlType, collation: Collated) -> Result<Typed, SqlError> {
    let text = call(collate::collation_text(), vec![value], ty)?;
    Ok(Typed { collation, ..text })
}

/// Whether values are told apart by something else than themselves.
pub(crate) fn by_key(arrow: &DataType, ty: SqlType, collation: Collation) -> bool {
    !collation.is_bytes() && Family::of(arrow) == Family::Text && ty != SqlType::Json
}

impl super::convert::Rules {
    /// The collation of a value by itself.
    pub(crate) fn collation(&self, value: &Typed) -> Collation {
        match value.family() {
            Family::Text => value.collated().collation.unwrap_or(self.connection),
            _ => Collation::Bytes,
        }
    }

    /// What a column insists on that a query makes of a value: as the value does, but at most as a column.
    pub(crate) fn output(&self, value: &Typed) -> Collated {
        let own = value.collated();
        let coercibility = match own.coercibility {
            Coercibility::Explicit => Coercibility::Implicit,
            other => other,
        };
        Collated { collation: Some(self.collation(value)), coercibility }
    }

    /// The same for a column made of several.
    pub(crate) fn output_of(&self, operation: &str, values: &[&Typed]) -> Result<Collated, SqlError> {
        let collation = Some(self.common_collation(operation, values)?);
        let all = Collated::of_all(values.iter().copied());
        let coercibility = all.coercibility.max(Coercibility::Implicit);
        Ok(Collated { collation, coercibility })
    }

    /// The collation by which an operation compares these texts: 1267 if none may decide.
    pub(crate) fn common_collation(&self, operation: &str, values: &[&Typed]) -> Result<Collation, SqlError> {
        let mut all: Option<Collated> = None;
        for value in values.iter().filter(|value| value.family() == Family::Text) {
            let own = value.collated();
            // Here the connection's collation has a name.
            let own = Collated { collation: Some(own.collation.unwrap_or(self.connection)), ..own };
            let Some(before) = all else {
                all = Some(own);
                continue;
            };
            let both = before.with(own);
            if both.coercibility == Coercibility::None {
                return Err(illegal_mix(operation, before, own));
            }
            all = Some(both);
        }
        Ok(all.and_then(|all| all.collation).unwrap_or_default())
    }

    /// Two texts as what compares by bytes; anything else as it is.
    pub(crate) fn collate_pair(
        &self,
        operation: &str,
        left: Typed,
        right: Typed,
    ) -> Result<(Typed, Typed), SqlError> {
        if left.family() != Family::Text || right.family() != Family::Text {
            return Ok((left, right));
        }
        match self.common_collation(operation, &[&left, &right])? {
            Collation::Bytes => Ok((left, right)),
            collation => Ok((key(left, collation)?, key(right, collation)?)),
        }
    }

    /// What tells values apart in GROUP BY and DISTINCT: the value, or its key.
    pub(crate) fn group_value(&self, value: Typed) -> Result<Typed, SqlError> {
        let collation = self.collation(&value);
        if by_key(&value.arrow, value.ty, collation) { key(value, collation) } else { Ok(value) }
    }

    /// The result of `extreme` (MIN, MAX, GREATEST, LEAST) over values, by their common collation.
    pub(crate) fn extreme(
        &self,
        operation: &str,
        values: Vec<Typed>,
        ty: SqlType,
        extreme: impl FnOnce(Vec<Typed>) -> Result<Typed, SqlError>,
    ) -> Result<Typed, SqlError> {
        let collation = self.common_collation(operation, &values.iter().collect::<Vec<_>>())?;
        let collated = Collated::of_all(&values);
        let textual = values.iter().all(|value| by_key(&value.arrow, value.ty, collation));
        if !textual {
            return Ok(Typed { collation: collated, ..extreme(values)? });
        }
        let pairs = values.into_iter().map(|value| pair(value, collation)).collect::<Result<_, _>>()?;
        text_of_pair(extreme(pairs)?, ty, collated)
    }
}

fn illegal_mix(operation: &str, left: Collated, right: Collated) -> SqlError {
    let shown = |own: Collated| {
        let kind = match own.coercibility {
            Coercibility::Explicit => "EXPLICIT",
            Coercibility::None => "NONE",
            Coercibility::Implicit => "IMPLICIT",
            Coercibility::System => "SYSCONST",
            Coercibility::Literal => "COERCIBLE",
            Coercibility::Number => "NUMERIC",
            Coercibility::Null => "IGNORABLE",
        };
        format!("({},{kind})", own.collation.unwrap_or_default())
    };
    SqlError::new(
        ErrorKind::IllegalMixOfCollations,
        format!("Illegal mix of collations {} and {} for operation '{operation}'", shown(left), shown(right)),
    )
}

//! What a gigabyte from one site to another costs: by the model's own prices, or by the table that
//! comes with the program. Providers change their lists, and large users pay other prices: a sum is
//! an order of magnitude.

use serde::Serialize;

use super::{Link, LinkKind, Model};

/// Lines of `kind | amount | currency | day | source`.
const TABLE: &str = include_str!("../../prices.txt");

/// A price of one link.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tariff {
    /// For 10^9 bytes in one direction.
    pub per_gb: f64,
    pub currency: String,
    /// On which it was so.
    pub day: String,
    pub source: String,
}

/// The price of a link: the one that was given, the model's, the table's. Who does not say what
/// kind of link it is gets none.
pub(super) fn tariff(model: &Model, link: &Link, given: Option<f64>) -> Option<Tariff> {
    if let Some(per_gb) = given {
        return Some(Tariff {
            per_gb,
            currency: String::new(),
            day: "today".to_owned(),
            source: "as it was given".to_owned(),
        });
    }
    let kind = link.kind?;
    let of_model = model.prices.iter().find(|price| price.what == kind);
    match of_model {
        Some(price) => Some(Tariff {
            per_gb: price.amount,
            currency: price.unit.clone(),
            day: price.day.clone(),
            source: price.source.clone(),
        }),
        None => of_table(kind),
    }
}

/// The table's price.
pub fn of_table(kind: LinkKind) -> Option<Tariff> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let mut rows = lines.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let row = rows.find(|row| row.first() == Some(&kind.name()))?;
    let [_, amount, currency, day, source] = row[..] else {
        return None;
    };
    Some(Tariff {
        per_gb: amount.parse().ok()?,
        currency: currency.to_owned(),
        day: day.to_owned(),
        source: source.to_owned(),
    })
}

//! The keep rules of backups in a policy: `last`, `hourly`, `daily`, ... with a count or `all`, `within`, `within-daily`, ... with a span.
//!
//! They are judged by `retention`, over all snapshots of the policy on one volume.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PolicyError;
use crate::retention::{KeepCount, KeepOptions, KeepSpan, Period};

/// A count or a text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Amount {
    Count(u32),
    Text(String),
}

/// Keep rules; none of them: nothing is kept by them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Amount>", into = "BTreeMap<String, String>")]
pub struct Keep {
    counts: BTreeMap<Period, KeepCount>,
    within: BTreeMap<Period, KeepSpan>,
}

impl Keep {
    /// No rule at all?
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.within.is_empty()
    }

    /// As the rules of retention have it.
    pub fn options(&self) -> KeepOptions {
        KeepOptions {
            counts: self.counts.clone(),
            within: self.within.clone(),
            allow_empty: true,
            ..KeepOptions::default()
        }
    }

    /// Does a rule go by how old a snapshot is?
    pub fn goes_by_age(&self) -> bool {
        !self.within.is_empty()
    }
}

/// `last` is no word behind `within`: that is `within` alone.
fn within(period: Period) -> String {
    match period {
        Period::Each => "within".to_owned(),
        period => format!("within-{}", period.as_str()),
    }
}

impl TryFrom<BTreeMap<String, Amount>> for Keep {
    type Error = PolicyError;

    fn try_from(rules: BTreeMap<String, Amount>) -> Result<Self, PolicyError> {
        let mut keep = Self::default();
        for (name, amount) in rules {
            let text = match amount {
                Amount::Count(count) => count.to_string(),
                Amount::Text(text) => text,
            };
            let key = name.replace('_', "-");
            let bad = |wanted| PolicyError::value(format!("keep {name}"), &text, wanted);
            let counted = Period::ALL.into_iter().find(|period| period.as_str() == key);
            let spanned = Period::ALL.into_iter().find(|period| within(*period) == key);
            match (counted, spanned) {
                (Some(period), _) => {
                    let count: KeepCount = text.parse().map_err(|_| bad("a count, or all"))?;
                    if count == KeepCount::Count(0) {
                        return Err(bad("a count of 1 or more, or all"));
                    }
                    keep.counts.insert(period, count);
                }
                (None, Some(period)) => {
                    let span: KeepSpan =
                        text.parse().map_err(|_| bad("a span such as 10d or 1y6m"))?;
                    if span.is_zero() {
                        return Err(bad("a span that is not 0"));
                    }
                    keep.within.insert(period, span);
                }
                (None, None) => {
                    let wanted = "last, minutely, hourly, daily, weekly, monthly, quarter-yearly, half-yearly, yearly, or within-... of them";
                    return Err(PolicyError::value("keep rule", &name, wanted));
                }
            }
        }
        Ok(keep)
    }
}

impl From<Keep> for BTreeMap<String, String> {
    fn from(keep: Keep) -> Self {
        let counts = keep
            .counts
            .iter()
            .map(|(period, count)| (period.as_str().to_owned(), count.to_string()));
        let spans = keep.within.iter().map(|(period, span)| (within(*period), span.to_string()));
        counts.chain(spans).collect()
    }
}

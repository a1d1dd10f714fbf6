//! `Objective`: what a plan shall take away, bit by bit.

use std::fmt;
use std::str::FromStr;

/// What is counted of the upsets, each of which strikes one cell of a candidate bit without protection.
///
/// Cells that protection adds do not count: a single copy or check bit that flips harms nobody. So the sum is a rate,
/// per upset of the unprotected candidates, and more cells never look like an improvement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// The sum of the error rises: what an upset adds to the mean error.
    ErrorRise,
    /// Upsets that raise the mean error at all.
    Sensitive,
    /// Upsets that raise the mean error by more than this tolerated rise.
    Above(f64),
}

/// A text that names no objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectiveError {
    /// Not the name of one.
    #[error("`{text}` is no objective; write rise, sensitive, or above:0.01 with the tolerated error rise")]
    Syntax {
        /// The text as given.
        text: String,
    },
    /// A tolerance that no bit can be compared with.
    #[error("a tolerated error rise of `{text}` is negative or not finite")]
    Tolerance {
        /// The text as given.
        text: String,
    },
}

impl Objective {
    /// What one upset of a bit counts, given its error rise; below 0 where the upset lowers the error.
    pub fn harm(self, rise: f64) -> f64 {
        match self {
            Self::ErrorRise => rise,
            Self::Sensitive => f64::from(u8::from(rise > 0.0)),
            Self::Above(tolerated) => f64::from(u8::from(rise > tolerated)),
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorRise => f.pad("rise"),
            Self::Sensitive => f.pad("sensitive"),
            Self::Above(tolerated) => write!(f, "above:{tolerated}"),
        }
    }
}

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        let syntax = || ObjectiveError::Syntax { text: text.to_owned() };
        match text.trim() {
            "rise" => Ok(Self::ErrorRise),
            "sensitive" => Ok(Self::Sensitive),
            other => {
                let tolerated = other.strip_prefix("above:").ok_or_else(syntax)?.trim();
                let value: f64 = tolerated.parse().map_err(|_| syntax())?;
                if value.is_finite() && value >= 0.0 {
                    Ok(Self::Above(value))
                } else {
                    Err(ObjectiveError::Tolerance { text: tolerated.to_owned() })
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_read_print_and_count() {
        for text in ["rise", "sensitive", "above:0.25", "above:0"] {
            assert_eq!(text.parse::<Objective>().unwrap().to_string(), text);
        }
        for (text, part) in [
            ("", "no objective"),
            ("above", "no objective"),
            ("above:x", "no objective"),
            ("above:-1", "negative"),
            ("above:inf", "not finite"),
            ("above:nan", "not finite"),
        ] {
            let message = text.parse::<Objective>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        let harms = |objective: Objective| [-1.0, 0.0, 0.25, 2.0].map(|rise| objective.harm(rise));
        assert_eq!(harms(Objective::ErrorRise), [-1.0, 0.0, 0.25, 2.0]);
        assert_eq!(harms(Objective::Sensitive), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(harms(Objective::Above(0.25)), [0.0, 0.0, 0.0, 1.0]);
    }
}

//! How one register bit can be triplicated.
//!
//! What a style does and how many parts it has; its area is the technology's, its choice the protection plan's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Triple modular redundancy of one register bit with load enable.
///
/// | style | copies | voters | a flipped copy is repaired | shared by the copies |
/// |---|---|---|---|---|
/// | `none` | 1 | 0 | at the next load | - |
/// | `unvoted` | 3 | 1 | at the next load | voter |
/// | `feedback` | 3 | 1 | at the next clock | voter, load multiplexer, clock |
/// | `feedback3` | 3 | 3 | at the next clock | nothing |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TmrStyle {
    /// One flip-flop and its load multiplexer: an upset stays until the register is loaded again.
    #[default]
    None,
    /// Three flip-flops, each with its load multiplexer, and one majority voter at the output. No voted value comes
    /// back, so an upset copy stays wrong until the next load; a second upset in the same bit by then is lost to the
    /// vote.
    Unvoted,
    /// Three flip-flops that share one voter and one load multiplexer, which feeds the voted value back: an upset copy
    /// is corrected at the next clock. A transient in the voter at the clock edge is written into all three.
    Feedback,
    /// Three flip-flops, each with its own voter, load multiplexer and clock: an upset copy is corrected at the next
    /// clock, and no single part is shared.
    Feedback3,
}

/// A text that names no style.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TmrError {
    /// Not the name of a style.
    #[error("`{text}` is no TMR style; write none, unvoted, feedback or feedback3")]
    UnknownStyle {
        /// The text as given.
        text: String,
    },
    /// Not a protection.
    #[error(
        "`{text}` is no protection; write a TMR style (none, unvoted, feedback, feedback3), with +flag for error flags"
    )]
    UnknownProtection {
        /// The text as given.
        text: String,
    },
}

impl TmrStyle {
    /// All styles, weakest first.
    pub const ALL: [Self; 4] = [Self::None, Self::Unvoted, Self::Feedback, Self::Feedback3];

    /// The name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unvoted => "unvoted",
            Self::Feedback => "feedback",
            Self::Feedback3 => "feedback3",
        }
    }

    /// Flip-flops that hold one bit.
    pub const fn copies(self) -> u8 {
        match self {
            Self::None => 1,
            Self::Unvoted | Self::Feedback | Self::Feedback3 => 3,
        }
    }

    /// Majority voters per bit.
    pub const fn voters(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Unvoted | Self::Feedback => 1,
            Self::Feedback3 => 3,
        }
    }

    /// Whether an upset copy is corrected at the next clock without a new load.
    pub const fn repairs(self) -> bool {
        matches!(self, Self::Feedback | Self::Feedback3)
    }
}

impl fmt::Display for TmrStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TmrStyle {
    type Err = TmrError;

    fn from_str(text: &str) -> Result<Self, TmrError> {
        let name = text.trim();
        let style = Self::ALL.into_iter().find(|style| style.name() == name);
        style.ok_or_else(|| TmrError::UnknownStyle { text: text.to_owned() })
    }
}

/// What protects one register bit; written `feedback3`, or `feedback3+flag` with an error flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Protection {
    /// How the bit is triplicated.
    pub style: TmrStyle,
    /// Whether each voter reports that its inputs differ (for upset counters). A bit without copies has nothing to
    /// compare, so there the flag means nothing and costs nothing.
    #[serde(default)]
    pub error_flag: bool,
}

impl Protection {
    /// One flip-flop, nothing else.
    pub const NONE: Self = Self { style: TmrStyle::None, error_flag: false };

    /// Flip-flops that hold one bit.
    pub const fn copies(self) -> u8 {
        self.style.copies()
    }

    /// Whether a disagreement of the copies is reported.
    pub const fn reports_errors(self) -> bool {
        self.error_flag && self.style.copies() > 1
    }
}

/// A style without error flags.
impl From<TmrStyle> for Protection {
    fn from(style: TmrStyle) -> Self {
        Self { style, error_flag: false }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.style, if self.error_flag { "+flag" } else { "" })
    }
}

impl FromStr for Protection {
    type Err = TmrError;

    fn from_str(text: &str) -> Result<Self, TmrError> {
        let (style, error_flag) = match text.trim().strip_suffix("+flag") {
            Some(style) => (style, true),
            None => (text, false),
        };
        let style = style.parse().map_err(|_| TmrError::UnknownProtection { text: text.to_owned() })?;
        Ok(Self { style, error_flag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for (style, name) in TmrStyle::ALL.into_iter().zip(["none", "unvoted", "feedback", "feedback3"]) {
            assert_eq!(style.to_string(), name);
            assert_eq!(name.parse(), Ok(style));
            assert_eq!(serde_json::to_string(&style).unwrap(), format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<TmrStyle>(&format!("\"{name}\"")).unwrap(), style);
            for error_flag in [false, true] {
                let protection = Protection { style, error_flag };
                assert_eq!(protection.to_string().parse(), Ok(protection));
            }
        }
        assert_eq!("tmr".parse::<TmrStyle>(), Err(TmrError::UnknownStyle { text: "tmr".to_owned() }));
        let text = "feedback+flags".to_owned();
        assert_eq!(text.parse::<Protection>(), Err(TmrError::UnknownProtection { text }));
    }

    #[test]
    fn parts_of_each_style() {
        let parts = TmrStyle::ALL.map(|style| (style.copies(), style.voters(), style.repairs()));
        assert_eq!(parts, [(1, 0, false), (3, 1, false), (3, 1, true), (3, 3, true)]);
        let flagged = TmrStyle::ALL.map(|style| Protection { style, error_flag: true }.reports_errors());
        assert_eq!(flagged, [false, true, true, true]);
        assert!(!Protection::from(TmrStyle::Feedback3).reports_errors());
        assert_eq!(Protection::default(), Protection::NONE);
        let from_json: Protection = serde_json::from_str(r#"{"style":"unvoted"}"#).unwrap();
        assert_eq!(from_json, TmrStyle::Unvoted.into());
    }
}

//! `planned`: a line of a sweep that a planner chooses, as users write it.

use super::rankings::{self, RankingName};
use crate::hw::{Protection, Technology};
use crate::num::parse_share;
use crate::protect::planner::{CheckBits, Granularity, Objective, Offer, WordCode};

/// Bits of the longest word of a code, unless said otherwise.
const WORD_BITS: usize = 64;

/// Most bits of a word.
const MOST_WORD_BITS: usize = 4096;

/// A planned line as asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedLine {
    /// As the user wrote it.
    text: String,
    /// What is taken for the error rises.
    pub by: Box<RankingName>,
    /// Which bits are protected together.
    pub granularity: Granularity,
    /// What is to be taken away.
    pub objective: Objective,
    /// What may be done; the sweep's style where nothing is named.
    offers: Vec<OfferName>,
}

/// Reads what a planner takes for the error rises: anything that ranks, but a plan.
fn read_by(text: &str) -> Result<RankingName, String> {
    match rankings::parse(text).map_err(|reason| format!("`{text}` {reason}"))? {
        RankingName::Planned(_) => Err(format!("`{text}` is a plan itself; go by oracle, a score or a file")),
        by => Ok(by),
    }
}

/// A measure with the share of harm that it leaves, where that is named.
#[derive(Debug, Clone, PartialEq)]
struct OfferName {
    measure: MeasureName,
    residual: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum MeasureName {
    Tmr(Protection),
    Code { code: WordCode, word_bits: usize, check_bits: CheckBits },
}

impl PlannedLine {
    /// Reads `planned`, with choices behind it, each after a colon and in any order: a granularity (bit, register, column,
    /// layer), an objective (rise, sensitive, above=X), by=SCORE or, at the end, by=FILE:COLUMN, and measures: a TMR style,
    /// or parity, sec or sec-ded with the most bits of a word and `+encoder`; a measure may be followed by `=` and the share of the harm that it leaves. `None`
    /// where it is something else.
    ///
    /// # Errors
    /// Says which choice is none.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let rest = text.strip_prefix("planned")?;
        let choices = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        Some(Self::read(text, choices))
    }

    fn read(text: &str, choices: Option<&str>) -> Result<Self, String> {
        let (mut by, mut granularity, mut objective) = (None, None, None);
        let mut offers: Vec<OfferName> = Vec::new();
        let twice = |what: &str| Err(format!("`{text}`: names two {what}; leave one out"));
        let is_own = |by: &str| matches!(read_by(by), Ok(RankingName::Oracle | RankingName::Score(_)));
        // Paths may hold colons, so what a planner goes by takes all that follows where that is no score.
        let (choices, ending) = match choices.and_then(|choices| choices.split_once("by=")) {
            Some((before, by)) if !by.split(':').next().is_some_and(is_own) => {
                (before.strip_suffix(':').filter(|before| !before.is_empty()), Some(by))
            }
            _ => (choices, None),
        };
        if let Some(ending) = ending {
            by = Some(read_by(ending).map_err(|reason| format!("`{text}`: {reason}"))?);
        }
        for choice in choices.into_iter().flat_map(|choices| choices.split(':')) {
            let (found_granularity, found_objective) = (choice.parse(), choice.parse());
            if let Ok(found) = found_granularity {
                if granularity.replace(found).is_some() {
                    return twice("granularities");
                }
            } else if let Some(tolerated) = choice.strip_prefix("above=") {
                let value: Option<f64> =
                    tolerated.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
                let value = value.ok_or_else(|| {
                    format!("`{text}`: `{tolerated}` is no tolerated error rise; write above=0.01, a number from 0 up")
                })?;
                if objective.replace(Objective::Above(value)).is_some() {
                    return twice("objectives");
                }
            } else if let Ok(found) = found_objective {
                if objective.replace(found).is_some() {
                    return twice("objectives");
                }
            } else if let Some(score) = choice.strip_prefix("by=") {
                let found = read_by(score).map_err(|reason| format!("`{text}`: {reason}"))?;
                if by.replace(found).is_some() {
                    return twice("scores to go by");
                }
            } else {
                let offer = OfferName::read(choice).map_err(|reason| format!("`{text}`: {reason}"))?;
                if offers.iter().any(|other| other.measure == offer.measure) {
                    return Err(format!("`{text}`: `{choice}` is named twice"));
                }
                offers.push(offer);
            }
        }
        let granularity = granularity.unwrap_or(Granularity::Bit);
        let has_code = offers.iter().any(|offer| matches!(offer.measure, MeasureName::Code { .. }));
        if has_code && granularity == Granularity::Bit {
            return Err(format!(
                "`{text}`: a code protects words, so say which bits stand in one: register, column or layer"
            ));
        }
        let objective = objective.unwrap_or(Objective::ErrorRise);
        Ok(Self {
            text: text.to_owned(),
            by: Box::new(by.unwrap_or(RankingName::Oracle)),
            granularity,
            objective,
            offers,
        })
    }

    /// As the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the planner may do, at the prices of a technology.
    pub fn offers(&self, style: Protection, technology: &Technology) -> Vec<Offer> {
        if self.offers.is_empty() {
            return vec![Offer::tmr(style, technology)];
        }
        let offer = |named: &OfferName| {
            let offer = match named.measure {
                MeasureName::Tmr(protection) => Offer::tmr(protection, technology),
                MeasureName::Code { code, word_bits, check_bits } => {
                    Offer::code(code, word_bits, check_bits, technology)
                }
            };
            match named.residual {
                Some(residual) => offer.leaving(residual),
                None => offer,
            }
        };
        self.offers.iter().map(offer).collect()
    }
}

impl OfferName {
    fn read(text: &str) -> Result<Self, String> {
        let (name, residual) = match text.split_once('=') {
            Some((name, share)) => {
                let value: Option<f64> = parse_share(share).filter(|share| (0.0..=1.0).contains(share));
                (name, Some(value.ok_or_else(|| format!("`{share}` is no share of harm from 0 to 1"))?))
            }
            None => (text, None),
        };
        if let Ok(protection) = name.parse::<Protection>() {
            if protection.copies() == 1 {
                return Err("`none` needs no mention: what gains nothing is left alone".to_owned());
            }
            return Ok(Self { measure: MeasureName::Tmr(protection), residual });
        }
        let (coded, check_bits) = match name.strip_suffix("+encoder") {
            Some(coded) => (coded, CheckBits::Encoded),
            None => (name, CheckBits::Loaded),
        };
        let (code, bits) = coded.split_at(coded.find(|c: char| c.is_ascii_digit()).unwrap_or(coded.len()));
        let code = [WordCode::Parity, WordCode::Sec, WordCode::SecDed].into_iter().find(|known| known.name() == code);
        let code = code.ok_or_else(|| {
            format!(
                "`{text}` is none of: a granularity (bit, register, column, layer), an objective (rise, sensitive, \
                 above=X), by=SCORE, a TMR style (unvoted, feedback, feedback3), a code with the bits of its words (parity8, \
                 sec8, sec-ded8)"
            )
        })?;
        let word_bits = if bits.is_empty() { Some(WORD_BITS) } else { bits.parse().ok() };
        let word_bits = word_bits.filter(|bits| (1..=MOST_WORD_BITS).contains(bits));
        let word_bits = word_bits.ok_or_else(|| format!("`{text}`: a word has 1 to {MOST_WORD_BITS} bits"))?;
        Ok(Self { measure: MeasureName::Code { code, word_bits, check_bits }, residual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Score;
    use crate::hw::TmrStyle;

    #[test]
    fn choices_stand_in_any_order() {
        let line = |text: &str| PlannedLine::parse(text).unwrap().unwrap();
        let plain = line("planned");
        assert_eq!(
            (plain.granularity, plain.objective, &*plain.by),
            (Granularity::Bit, Objective::ErrorRise, &RankingName::Oracle)
        );
        let technology = Technology::shipped("osu018").unwrap();
        let style = Protection::from(TmrStyle::Feedback3);
        assert_eq!(plain.offers(style, &technology), [Offer::tmr(style, &technology)]);
        let full = line("planned:sec8+encoder:register:above=0.5:by=bit-curve:unvoted=0.25:parity=0.125");
        assert_eq!((full.granularity, full.objective), (Granularity::Register, Objective::Above(0.5)));
        assert_eq!(*full.by, RankingName::Score(Score::BitCurve));
        let expected = [
            Offer::code(WordCode::Sec, 8, CheckBits::Encoded, &technology),
            Offer::tmr(TmrStyle::Unvoted.into(), &technology).leaving(0.25),
            Offer::code(WordCode::Parity, 64, CheckBits::Loaded, &technology).leaving(0.125),
        ];
        assert_eq!(full.offers(style, &technology), expected);
        assert_eq!(line("planned:by=oracle").by.as_ref(), &RankingName::Oracle);
        let file = tempfile::NamedTempFile::with_prefix("by=c:").unwrap();
        let path = file.path().display();
        let by = line(&format!("planned:register:by={path}:rise"));
        assert_eq!(by.granularity, Granularity::Register);
        let file = by.by.file().unwrap();
        assert_eq!(file.path().display().to_string(), path.to_string());
        let plain = tempfile::NamedTempFile::new().unwrap();
        let by = line(&format!("planned:by={}:rise", plain.path().display())).by;
        assert!(by.file().is_some(), "{by:?}");
        assert!(PlannedLine::parse("plans").is_none() && PlannedLine::parse("planned.csv").is_none());
    }

    #[test]
    fn what_is_no_choice_is_named() {
        for (text, part) in [
            ("planned:", "`` is none of"),
            ("planned:nibble", "`nibble` is none of: a granularity"),
            ("planned:by=hesian", "hesian"),
            ("planned:none", "needs no mention"),
            ("planned:register:sec0", "1 to 4096"),
            ("planned:sec99999999999999999999", "1 to 4096"),
            ("planned:sec8=2", "`2` is no share"),
            ("planned:sec:sec64", "`sec64` is named twice"),
            ("planned:above=-1", "`-1` is no tolerated error rise; write above=0.01"),
            ("planned:above=x", "`x` is no tolerated error rise"),
            ("planned:sec8", "say which bits stand in one: register, column or layer"),
            ("planned:bit:register", "names two granularities"),
            ("planned:sensitive:above=1", "names two objectives"),
            ("planned:by=msb:by=oracle", "names two scores to go by"),
            ("planned:by=planned", "`planned` is a plan itself"),
        ] {
            let error = PlannedLine::parse(text).unwrap().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

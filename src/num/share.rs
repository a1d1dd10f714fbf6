//! Shares as people write them: `5%` or `0.05`.

/// Reads a share: a number, or a percentage that ends in `%`. The nearest float to what is written, so `99.9%` is `0.999`.
///
/// `None` when it is no finite number; which shares make sense is up to whoever asks.
pub fn parse_share(text: &str) -> Option<f64> {
    let trimmed = text.trim();
    let share = match trimmed.strip_suffix('%') {
        Some(number) => parse_percentage(number.trim_end())?,
        None => trimmed.parse().ok()?,
    };
    share.is_finite().then_some(share)
}

/// The share of a percentage without its sign: `99.9` is `0.999`. `None` when it is no finite number.
pub fn parse_percentage(number: &str) -> Option<f64> {
    number.parse::<f64>().ok().filter(|number| number.is_finite())?;
    // Written with an exponent that is 2 lower and read once: a division of the number read would round twice.
    let (digits, power) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let power = power.parse::<i64>().ok()?.checked_sub(2)?;
    format!("{digits}e{power}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_the_shares_that_they_look_like() {
        for (text, share) in [
            ("5%", 0.05),
            ("0.05", 0.05),
            (" 99.9 % ", 0.999),
            ("7%", 0.07),
            ("29%", 0.29),
            ("57%", 0.57),
            ("100%", 1.0),
            ("0%", 0.0),
            ("1e1%", 0.1),
            ("2.5E-1%", 0.0025),
            (".5%", 0.005),
            ("1.%", 0.01),
            ("-3%", -0.03),
            ("250%", 2.5),
            ("1e-3", 0.001),
        ] {
            assert_eq!(parse_share(text), Some(share), "{text}");
        }
        for tenths in 0..=1000 {
            let (percent, share) = (f64::from(tenths) / 10.0, format!("{tenths}e-3"));
            assert_eq!(parse_share(&format!("{percent}%")), share.parse().ok(), "{percent}%");
        }
    }

    #[test]
    fn what_is_no_number_is_no_share() {
        for text in ["", "%", "x", "5%%", "5 %x", "% 5", "inf", "inf%", "NaN", "nan%", "1e400%", "1e", "1e%", "5e1.5%"]
        {
            assert_eq!(parse_share(text), None, "{text}");
        }
    }
}

//! Quantities as they are typed: `50k`, `1.5M`, `250ms`, `10s`.
//! Refuses what is negative, not finite or out of range with a sentence for the command line.

use std::time::Duration;

/// A number with an optional `k`, `M` or `G` (thousands).
pub(crate) fn number(text: &str) -> Result<f64, String> {
    let (digits, factor) = match text.char_indices().next_back() {
        Some((end, 'k' | 'K')) => (&text[..end], 1e3),
        Some((end, 'm' | 'M')) => (&text[..end], 1e6),
        Some((end, 'g' | 'G')) => (&text[..end], 1e9),
        _ => (text, 1.0),
    };
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number * factor),
        _ => Err(format!("`{text}` is not a number such as 500, 50k or 1.5M")),
    }
}

/// A whole number of at least one, as [`number`].
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let count = number(text)?;
    if (1.0..=9e15).contains(&count) && count.fract() == 0.0 {
        Ok(count as u64)
    } else {
        Err(format!("`{text}` is not a whole number of at least 1"))
    }
}

/// A rate above zero, as [`number`].
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match number(text)? {
        rate if rate > 0.0 && rate <= 1e9 => Ok(rate),
        _ => Err(format!("`{text}` is not a rate above 0 and up to 1G")),
    }
}

/// A share from 0 to 1, also as a percentage.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    match share {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!(
            "`{text}` is not a share from 0 to 1 (or 0% to 100%)"
        )),
    }
}

/// A length of time: `us`, `ms`, `s`, `m` or `h`; plain numbers are seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let units = [
        ("us", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let unit = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (digits, factor) = unit.unwrap_or((text, 1.0));
    match digits.trim().parse::<f64>() {
        Ok(number) if (0.0..=1e9).contains(&(number * factor)) => {
            Ok(Duration::from_secs_f64(number * factor))
        }
        _ => Err(format!(
            "`{text}` is not a length of time such as 10s, 250ms or 5m"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        assert_eq!(count("50k"), Ok(50_000));
        assert_eq!(rate("1.5M"), Ok(1.5e6));
        assert_eq!(share("10%"), Ok(0.1));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "k", "-1", "0", "1.5", "ü", "NaN", "1e99"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert!(rate("0").is_err() && share("1.1").is_err() && share("x%").is_err());
        for text in ["", "s", "-1s", "5 years", "inf"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

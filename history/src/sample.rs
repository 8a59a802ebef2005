//! Which keys a history keeps: all operations of a key or none, in every generator alike.

use std::fmt;
use std::str::FromStr;

/// Keeps about one key in so many, chosen by a hash of the record's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    one_in: u32,
}

impl Sample {
    /// Keeps every key.
    pub const ALL: Self = Self { one_in: 1 };

    /// Keeps one key in `one_in`.
    ///
    /// # Panics
    /// If that is 0.
    #[must_use]
    pub const fn one_in(one_in: u32) -> Self {
        assert!(one_in > 0);
        Self { one_in }
    }

    /// The N of 1/N.
    #[must_use]
    pub const fn denominator(self) -> u32 {
        self.one_in
    }

    /// Whether the operations of this key are kept.
    #[inline]
    #[must_use]
    pub fn keeps(self, key: u64) -> bool {
        self.one_in == 1 || mix(key).is_multiple_of(u64::from(self.one_in))
    }
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let denominator = text.strip_prefix("1/").and_then(|number| number.parse().ok());
        match denominator {
            Some(one_in) if one_in > 0 => Ok(Self { one_in }),
            _ => Err("expected 1/N, such as 1/16".to_owned()),
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "1/{}", self.one_in)
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014): every bit of the key
/// moves every bit of the result.
#[inline]
#[must_use]
pub const fn mix(key: u64) -> u64 {
    let key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_in_n_is_kept() {
        let sample: Sample = "1/16".parse().unwrap();
        let kept = (0..16_000).filter(|&key| sample.keeps(key)).count();
        assert!((900..1100).contains(&kept), "{kept}");
        assert!((0..1000).all(|key| Sample::ALL.keeps(key)));
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["1/1", "1/7"] {
            assert_eq!(text.parse::<Sample>().unwrap().to_string(), text);
        }
        for text in ["", "16", "1/0", "2/3", "1/-1", "1/x"] {
            assert!(text.parse::<Sample>().is_err(), "{text}");
        }
    }
}

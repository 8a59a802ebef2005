//! What the plots share.

use plotters::prelude::*;

/// Width and height.
pub(crate) const SIZE: (u32, u32) = (960, 480);
const FONT: &str = "sans-serif";
/// Sizes are of plotters' kind: letters come out at two thirds of them.
pub(crate) const TITLE: (&str, u32) = (FONT, 26);
pub(crate) const LABEL: (&str, u32) = (FONT, 18);
pub(crate) const MARGIN: u32 = 16;
pub(crate) const X_LABELS_HEIGHT: u32 = 48;
pub(crate) const Y_LABELS_WIDTH: u32 = 72;

/// Where an axis that begins at zero ends, so that the highest value is below the edge.
pub(crate) fn axis_end(value_max: f64) -> f64 {
    if value_max > 0.0 { value_max * 1.1 } else { 1.0 }
}

/// A number as short as a label should be: `1.5M`.
pub(crate) fn short(value: f64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")];
    for (unit, suffix) in units {
        if value >= unit {
            // At most three decimals, without the zeros at their end.
            let rounded = (value / unit * 1e3).round() / 1e3;
            return format!("{rounded}{suffix}");
        }
    }
    format!("{}", (value * 1e3).round() / 1e3)
}

/// The colour of the series with this number.
pub(crate) fn colour(series: usize) -> RGBAColor {
    Palette99::pick(series).to_rgba()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        assert_eq!(short(0.0), "0");
        assert_eq!(short(0.25), "0.25");
        assert_eq!(short(950.0), "950");
        assert_eq!(short(1500.0), "1.5k");
        assert_eq!(short(2_000_000.0), "2M");
        assert_eq!(short(1_250_000_000.0), "1.25G");
    }

    #[test]
    fn an_axis_of_zeros_has_a_length() {
        assert_eq!(axis_end(0.0), 1.0);
        assert!(axis_end(10.0) > 10.0);
    }
}

//! The median.

/// The middle of `values`, or the mean of the middle two; zero of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_odd_count_is_the_middle() {
        assert_eq!(median([9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([7.0]), 7.0);
    }

    #[test]
    fn median_of_an_even_count_is_the_mean_of_the_middle_two() {
        assert_eq!(median([10.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn median_of_none_is_zero() {
        assert_eq!(median([]), 0.0);
    }
}

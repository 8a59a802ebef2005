//! `latency.svg`: latency by percentile, the tail stretched as HdrHistogram's plots do.

use hdrhistogram::Histogram;
use plotters::prelude::*;

use super::hdr::us;
use crate::plot::{self, LABEL, MARGIN, SIZE, TITLE, X_LABELS_HEIGHT, Y_LABELS_WIDTH};

/// Points between one half of what is left and the next.
const TICKS_PER_HALF_DISTANCE: u32 = 10;

/// Draws the percentiles of a histogram of nanoseconds.
pub(super) fn draw(histogram: &Histogram<u64>) -> anyhow::Result<String> {
    let points = points(histogram);
    let one_in_max = points.iter().map(|point| point.0).fold(100.0, f64::max);
    let us_end = plot::axis_end(us(histogram.max()));

    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Latency by percentile", TITLE)
            .margin(MARGIN)
            .x_label_area_size(X_LABELS_HEIGHT)
            .y_label_area_size(Y_LABELS_WIDTH)
            .build_cartesian_2d((1.0..one_in_max).log_scale(), 0.0..us_end)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style(LABEL)
            .x_desc("percentile")
            .y_desc("µs")
            .x_label_formatter(&|one_in| percentile(*one_in))
            .y_label_formatter(&|us| plot::short(*us))
            .draw()?;
        chart.draw_series(LineSeries::new(points, plot::colour(0).stroke_width(2)))?;
        area.present()?;
    }
    Ok(svg)
}

/// For each percentile, how many operations there are for one that is slower, and the latency.
fn points(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = histogram
        .iter_quantiles(TICKS_PER_HALF_DISTANCE)
        .filter(|value| value.quantile_iterated_to() < 1.0)
        .map(|value| (1.0 / (1.0 - value.quantile_iterated_to()), us(value.value_iterated_to())))
        // The iterator goes on to fractions of one operation.
        .take_while(|(one_in, _)| *one_in < histogram.len() as f64)
        .collect();
    points.push((histogram.len() as f64, us(histogram.max())));
    points
}

/// `90%` for one in ten, `99.9%` for one in a thousand.
fn percentile(one_in: f64) -> String {
    let decimals = (one_in.log10().ceil() - 2.0).max(0.0) as usize;
    format!("{:.decimals$}%", 100.0 * (1.0 - 1.0 / one_in))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summarize::hdr;

    fn histogram(values: impl Iterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = hdr::empty();
        for value in values {
            histogram.record(value).unwrap();
        }
        histogram
    }

    #[test]
    fn percentiles_have_the_digits_they_need() {
        let labels = [1.0, 10.0, 100.0, 1000.0, 1e6].map(percentile);
        assert_eq!(labels, ["0%", "90%", "99%", "99.9%", "99.9999%"]);
    }

    #[test]
    fn the_last_point_is_the_slowest_operation() {
        let points = points(&histogram((1..=1000).map(|us| us * 1000)));
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        let (one_in, us) = *points.last().unwrap();
        assert_eq!(one_in, 1000.0);
        assert!((us - 1000.0).abs() < 1.0);
        let (_, median) = *points.iter().find(|point| point.0 >= 2.0).unwrap();
        assert!((median - 500.0).abs() < 1.0);
    }

    #[test]
    fn one_operation_and_the_widest_range_are_drawn() {
        assert!(draw(&histogram([0].into_iter())).is_ok());
        let svg = draw(&histogram([1, u64::MAX / 2].into_iter())).unwrap();
        assert!(svg.contains("99%"));
    }
}

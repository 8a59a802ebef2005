//! `NAME.svg`: medians as a line and the rounds' range as bars; for offered load, latency.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::curve::Name;
use super::results::{Measured, MeasuredPoint};
use crate::plot::{self, LABEL, MARGIN, SIZE, TITLE, X_LABELS_HEIGHT, Y_LABELS_WIDTH};

/// A line of the plot: its name, and what it shows of a point.
type Line = (&'static str, fn(&MeasuredPoint) -> f64);

const THROUGHPUT: [Line; 1] = [("median", |point| point.figures.median_ops_per_s)];
const LATENCY: [Line; 3] = [
    ("p50", |point| point.figures.p50_us),
    ("p99", |point| point.figures.p99_us),
    ("p99.9", |point| point.figures.p999_us),
];

/// Draws a curve.
pub(super) fn draw(curve: &Measured) -> anyhow::Result<String> {
    let xs = || curve.taken().map(|point| point.x);
    let x_max = xs().fold(1.0, f64::max);
    if curve.name.is_logarithmic() {
        let x_min = xs().fold(x_max, f64::min).max(1.0);
        // A range of one point has no length.
        draw_on(curve, (x_min..x_max.max(x_min * 10.0)).log_scale())
    } else {
        draw_on(curve, 0.0..plot::axis_end(x_max))
    }
}

fn draw_on<X>(curve: &Measured, x_axis: X) -> anyhow::Result<String>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    if curve.name == Name::Load {
        let all = || curve.taken().flat_map(|point| LATENCY.map(|(_, of)| of(point)));
        let us_max = all().fold(10.0, f64::max);
        let us_min = all().fold(us_max, f64::min).max(0.1);
        let y_axis = (us_min..us_max.max(us_min * 10.0)).log_scale();
        draw_lines(curve, x_axis, y_axis, "µs", &LATENCY, false)
    } else {
        let ops_max = curve.taken().map(|point| point.figures.highest_ops_per_s);
        let y_axis = 0.0..plot::axis_end(ops_max.fold(0.0, f64::max));
        draw_lines(curve, x_axis, y_axis, "op/s", &THROUGHPUT, true)
    }
}

fn draw_lines<X, Y>(
    curve: &Measured,
    x_axis: X,
    y_axis: Y,
    unit: &str,
    lines: &[Line],
    has_range: bool,
) -> anyhow::Result<String>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let title = if has_range { "Throughput" } else { "Latency" };
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("{title} against {}", curve.name.axis()), TITLE)
            .margin(MARGIN)
            .x_label_area_size(X_LABELS_HEIGHT)
            .y_label_area_size(Y_LABELS_WIDTH)
            .build_cartesian_2d(x_axis, y_axis)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style(LABEL)
            .x_desc(curve.name.axis())
            .y_desc(unit)
            .x_label_formatter(&|x| plot::short(*x))
            .y_label_formatter(&|y| plot::short(*y))
            .draw()?;
        for (index, (name, of)) in lines.iter().enumerate() {
            let style = plot::colour(index).stroke_width(2);
            let points = curve.taken().map(|point| (point.x, of(point)));
            chart
                .draw_series(LineSeries::new(points.clone(), style))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
            chart.draw_series(points.map(|at| Circle::new(at, 3, style.filled())))?;
        }
        if has_range {
            chart.draw_series(curve.taken().map(|point| {
                let figures = &point.figures;
                let ends = [figures.lowest_ops_per_s, figures.highest_ops_per_s];
                PathElement::new(ends.map(|end| (point.x, end)), BLACK.stroke_width(1))
            }))?;
        } else {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.2))
                .label_font(LABEL)
                .draw()?;
        }
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use clap::{Parser as _, ValueEnum as _};

    use super::*;
    use crate::bench::figures::{Figures, Round};
    use crate::curves::curve::Curve;
    use crate::curves::flags::Flags;

    #[test]
    fn every_curve_is_drawn_with_all_its_points_with_one_and_with_none() {
        let setting = Flags::parse_from(["curves"]).setting;
        for name in Name::value_variants() {
            let mut measured = Measured::new(&Curve::new(*name, &setting, false));
            for taken in 0..=measured.points.len() {
                if let Some(last) = taken.checked_sub(1) {
                    let round = Round { ops_per_s: 1e6, p50_us: 30.0, ..Round::default() };
                    measured.points[last].figures = Figures::of(std::slice::from_ref(&round));
                    measured.points[last].rounds.push(round);
                }
                let svg = draw(&measured).unwrap();
                assert!(svg.contains(name.axis()), "{name}");
            }
        }
    }
}

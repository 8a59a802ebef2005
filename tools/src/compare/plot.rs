//! `compare.svg`: a bar for each candidate's median, a line for its range.

use plotters::prelude::*;

use super::results::ComparisonResults;
use crate::bench::figures::rate_text;
use crate::plot::{self, LABEL, MARGIN, TITLE, X_LABELS_HEIGHT};

const WIDTH: u32 = 960;
/// Title, axis and margins.
const FRAME_HEIGHT: u32 = 120;
const ROW_HEIGHT: u32 = 40;
/// How much of its row a bar fills.
const BAR: f64 = 0.7;

/// Draws the plot; the first candidate is on top.
pub(super) fn draw(results: &ComparisonResults) -> anyhow::Result<String> {
    let rows = &results.candidates;
    let ops_max = rows.iter().map(|row| row.figures.highest_ops_per_s).fold(0.0, f64::max);
    let height = FRAME_HEIGHT + ROW_HEIGHT * rows.len() as u32;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Throughput: median, lowest and highest", TITLE)
            .margin(MARGIN)
            .x_label_area_size(X_LABELS_HEIGHT)
            .build_cartesian_2d(0.0..plot::axis_end(ops_max), 0.0..rows.len().max(1) as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(TRANSPARENT)
            .label_style(LABEL)
            .x_desc("op/s")
            .x_label_formatter(&|x| plot::short(*x))
            .draw()?;
        for (index, row) in rows.iter().enumerate() {
            let middle = (rows.len() - index) as f64 - 0.5;
            let figures = &row.figures;
            let median = figures.median_ops_per_s;
            let corners = [(0.0, middle - BAR / 2.0), (median, middle + BAR / 2.0)];
            chart.draw_series([Rectangle::new(corners, plot::colour(index).mix(0.4).filled())])?;
            let range =
                vec![(figures.lowest_ops_per_s, middle), (figures.highest_ops_per_s, middle)];
            chart.draw_series([PathElement::new(range, BLACK.stroke_width(2))])?;
            let label = match row.rounds.len() {
                0 => format!("{}: not measured", row.name),
                _ => format!("{}: {}", row.name, rate_text(median)),
            };
            chart.draw_series([Text::new(label, (0.0, middle + BAR / 2.0 - 0.1), LABEL)])?;
        }
        area.present()?;
    }
    Ok(svg)
}

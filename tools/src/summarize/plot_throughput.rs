//! `throughput.svg`: op/s of each server and of all, over time.

use host::report::ServerSample;
use plotters::prelude::*;

use super::folder::ServerFiles;
use super::window::{IntervalRate, MeasuredWindow};
use crate::plot::{self, LABEL, MARGIN, SIZE, TITLE, X_LABELS_HEIGHT, Y_LABELS_WIDTH};

/// Draws the plot, with the measured window shaded.
pub(super) fn draw(servers: &[ServerFiles], window: &MeasuredWindow) -> anyhow::Result<String> {
    let origin_ms = servers
        .iter()
        .filter_map(|server| Some(server.samples.first()?.bounds_ms().0))
        .fold(window.start_ms as f64, f64::min);
    let seconds = |time_ms: f64| (time_ms - origin_ms) / 1000.0;
    let point = |sample: &ServerSample| (seconds(middle_ms(sample)), sample.ops_per_s);

    let total: Vec<(f64, f64)> = total(servers)
        .into_iter()
        .map(|(time_ms, ops_per_s)| (seconds(time_ms), ops_per_s))
        .collect();
    let all_samples = servers.iter().flat_map(|server| &server.samples);
    let time_max = all_samples
        .clone()
        .map(|sample| seconds(sample.time_ms as f64))
        .fold(seconds(window.end_ms as f64), f64::max);
    let ops_max = all_samples
        .map(|sample| sample.ops_per_s)
        .chain(total.iter().map(|point| point.1))
        .fold(0.0, f64::max);
    let ops_end = plot::axis_end(ops_max);

    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Throughput over time", TITLE)
            .margin(MARGIN)
            .x_label_area_size(X_LABELS_HEIGHT)
            .y_label_area_size(Y_LABELS_WIDTH)
            .build_cartesian_2d(0.0..time_max, 0.0..ops_end)?;
        chart.draw_series(std::iter::once(Rectangle::new(
            [(seconds(window.start_ms as f64), 0.0), (seconds(window.end_ms as f64), ops_end)],
            BLACK.mix(0.06).filled(),
        )))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style(LABEL)
            .x_desc("seconds (measured window shaded)")
            .y_desc("op/s")
            .x_label_formatter(&|x| plot::short(*x))
            .y_label_formatter(&|y| plot::short(*y))
            .draw()?;
        for (index, server) in servers.iter().enumerate() {
            let colour = plot::colour(index);
            chart
                .draw_series(LineSeries::new(server.samples.iter().map(point), colour))?
                .label(&server.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        let style = BLACK.stroke_width(2);
        chart
            .draw_series(LineSeries::new(total, style))?
            .label("total")
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .label_font(LABEL)
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

fn middle_ms(sample: &ServerSample) -> f64 {
    sample.time_ms as f64 - sample.interval_ms / 2.0
}

/// The sum over all servers, at the times of the server with the most samples: servers take
/// their samples at different moments, so each is asked for the sample of that moment.
fn total(servers: &[ServerFiles]) -> Vec<(f64, f64)> {
    let Some(timekeeper) = servers.iter().max_by_key(|server| server.samples.len()) else {
        return Vec::new();
    };
    let times_ms = timekeeper.samples.iter().map(middle_ms);
    times_ms
        .map(|time_ms| {
            let rates = servers.iter().map(|server| rate_at(&server.samples, time_ms));
            (time_ms, rates.sum())
        })
        .collect()
}

/// The rate of the sample whose interval holds `time_ms`; zero where the server was not there.
fn rate_at(samples: &[ServerSample], time_ms: f64) -> f64 {
    let next = samples.partition_point(|sample| (sample.time_ms as f64) < time_ms);
    match samples.get(next) {
        Some(sample) if sample.bounds_ms().0 <= time_ms => sample.ops_per_s,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, first_ms: u64, rates: &[f64]) -> ServerFiles {
        let samples = rates.iter().zip(1..).map(|(rate, index)| ServerSample {
            time_ms: first_ms + 1000 * index,
            interval_ms: 1000.0,
            ops_per_s: *rate,
            ..ServerSample::default()
        });
        ServerFiles { name: name.to_owned(), samples: samples.collect() }
    }

    #[test]
    fn the_total_adds_what_every_server_did_at_that_time() {
        let servers =
            [server("server-1", 0, &[10.0, 20.0, 30.0]), server("server-2", 1300, &[1.0, 2.0])];
        // In the middle of the first second, the other server had not begun.
        assert_eq!(total(&servers), [(500.0, 10.0), (1500.0, 21.0), (2500.0, 32.0)]);
    }

    #[test]
    fn every_server_and_the_total_are_named() {
        let servers = [server("server-1", 0, &[1.0, 2.0]), server("<b>", 0, &[3.0, 4.0])];
        let svg = draw(&servers, &MeasuredWindow { start_ms: 0, end_ms: 2000 }).unwrap();
        for text in ["server-1", "&lt;b&gt;", "total", "op/s"] {
            assert!(svg.contains(text), "{text} is missing");
        }
    }

    #[test]
    fn servers_that_did_nothing_are_drawn() {
        let servers = [server("server-1", 0, &[]), server("server-2", 0, &[0.0])];
        assert!(draw(&servers, &MeasuredWindow { start_ms: 0, end_ms: 1 }).is_ok());
    }
}

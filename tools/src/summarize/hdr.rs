//! Latency histograms from a generator's log.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, anyhow};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry, Tag};
use hdrhistogram::{AdditionError, Histogram};
use host::report::{GET_TAG, PUT_TAG};

/// Longer than 64-bit values with five digits need.
const ENCODED_BYTES_MAX: usize = 64 << 20;

/// Latencies of all operations, and of the two kinds; those are empty where a log does not
/// tell them apart.
#[derive(Clone, Debug)]
pub(super) struct Histograms {
    pub(super) all: Histogram<u64>,
    pub(super) gets: Histogram<u64>,
    pub(super) puts: Histogram<u64>,
}

impl Histograms {
    pub(super) fn empty() -> Self {
        Self { all: empty(), gets: empty(), puts: empty() }
    }

    /// Adds those of another log.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), AdditionError> {
        self.all.add(&other.all)?;
        self.gets.add(&other.gets)?;
        self.puts.add(&other.puts)
    }

    /// The one that a line with this tag is a part of.
    fn tagged(&mut self, tag: Option<&str>) -> Option<&mut Histogram<u64>> {
        match tag {
            None => Some(&mut self.all),
            Some(GET_TAG) => Some(&mut self.gets),
            Some(PUT_TAG) => Some(&mut self.puts),
            Some(_) => None,
        }
    }
}

/// Reads the histograms whose interval has its middle in `measured_ms`, and merges them.
/// Values are nanoseconds.
///
/// A last line that was cut short is left out with a note. If no interval has its middle in
/// the window, all are taken, with a note: then the log's clock is not the report's.
pub(super) fn read(
    path: &Path,
    measured_ms: RangeInclusive<f64>,
    notes: &mut Vec<String>,
) -> anyhow::Result<Histograms> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut deserializer = Deserializer::new();
    let mut origin_ms = 0.0;
    let mut measured = Histograms::empty();
    let mut whole = Histograms::empty();
    // Line by line, so that an error has its place.
    for (index, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if !line.ends_with(b"\n") {
            notes.push(format!("{name}:{} is cut short and left out", index + 1));
            continue;
        }
        let place = || format!("{}:{}", path.display(), index + 1);
        match IntervalLogIterator::new(line).next() {
            Some(Ok(LogEntry::Interval(interval))) => {
                let tag = interval.tag();
                let tag = tag.as_ref().map(Tag::as_str);
                let Some(of_whole) = whole.tagged(tag) else { continue };
                let histogram =
                    decode(&mut deserializer, interval.encoded_histogram()).with_context(place)?;
                let start_ms = origin_ms + interval.start_timestamp().as_secs_f64() * 1e3;
                let middle_ms = start_ms + interval.duration().as_secs_f64() * 1e3 / 2.0;
                let mut adding = of_whole.add(&histogram);
                if measured_ms.contains(&middle_ms)
                    && let Some(of_measured) = measured.tagged(tag)
                {
                    adding = adding.and_then(|()| of_measured.add(&histogram));
                }
                adding.map_err(|error| anyhow!("{}: {error}", place()))?;
            }
            Some(Ok(LogEntry::BaseTime(time))) => origin_ms = time.as_secs_f64() * 1e3,
            Some(Ok(LogEntry::StartTime(_))) | None => {}
            Some(Err(_)) => return Err(anyhow!("{}: not a line of a histogram log", place())),
        }
    }
    if measured.all.is_empty() && !whole.all.is_empty() {
        notes.push(format!("{name} has no interval in the measured window: all of them are taken"));
        return Ok(whole);
    }
    Ok(measured)
}

/// A histogram that grows with what is added to it.
pub(super) fn empty() -> Histogram<u64> {
    Histogram::new(3).expect("three significant digits are within bounds")
}

/// Nanoseconds as microseconds.
pub(super) fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

fn decode(deserializer: &mut Deserializer, text: &str) -> anyhow::Result<Histogram<u64>> {
    let bytes = BASE64_STANDARD.decode(text).context("the histogram is not Base64")?;
    // The deserializer allocates what the header claims before it looks for the bytes.
    let claimed = bytes.get(4..8).context("the histogram is cut short")?;
    let claimed_bytes = claimed.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    if claimed_bytes > bytes.len() || claimed_bytes > ENCODED_BYTES_MAX {
        return Err(anyhow!("the histogram is cut short"));
    }
    deserializer
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| anyhow!("the histogram cannot be decoded: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
    use hdrhistogram::serialization::{Serializer, V2DeflateSerializer, V2Serializer};

    use super::*;

    fn histogram(values: &[u64]) -> Histogram<u64> {
        let mut histogram = empty();
        for value in values {
            histogram.record(*value).unwrap();
        }
        histogram
    }

    /// A log with one interval a second, from second 10 on.
    fn log(serializer: &mut impl Serializer, base_s: u64, intervals: &[&[u64]]) -> Vec<u8> {
        let mut log = Vec::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder.with_max_value_divisor(1e6);
        if base_s > 0 {
            builder.with_base_time(SystemTime::UNIX_EPOCH + Duration::from_secs(base_s));
        }
        let mut writer = builder.begin_log_with(&mut log, serializer).unwrap();
        for (index, values) in intervals.iter().enumerate() {
            let start = Duration::from_secs(10 + index as u64);
            let second = Duration::from_secs(1);
            writer.write_histogram(&histogram(values), start, second, None).unwrap();
            // The same again for GETs alone, which must not count twice.
            let tag = Tag::new("get");
            writer.write_histogram(&histogram(values), start, second, tag).unwrap();
        }
        log
    }

    fn read_log(
        content: &[u8],
        measured_ms: RangeInclusive<f64>,
    ) -> (anyhow::Result<Histogram<u64>>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client-1.hdr");
        fs::write(&path, content).unwrap();
        let mut notes = Vec::new();
        (read(&path, measured_ms, &mut notes).map(|histograms| histograms.all), notes)
    }

    #[test]
    fn intervals_of_the_measured_window_are_merged() {
        let intervals: [&[u64]; 4] = [&[1], &[1000, 1500], &[2000], &[9]];
        for log in [
            log(&mut V2Serializer::new(), 0, &intervals),
            log(&mut V2DeflateSerializer::new(), 0, &intervals),
        ] {
            let (merged, notes) = read_log(&log, 10_900.0..=13_100.0);
            let merged = merged.unwrap();
            assert_eq!((merged.len(), merged.min(), merged.max()), (3, 1000, 2000));
            assert!(notes.is_empty());
        }
    }

    #[test]
    fn gets_and_puts_are_told_apart_by_their_tags_and_others_are_passed_over() {
        let mut log = Vec::new();
        let mut serializer = V2Serializer::new();
        let mut writer =
            IntervalLogWriterBuilder::new().begin_log_with(&mut log, &mut serializer).unwrap();
        let second = Duration::from_secs(1);
        for (values, tag) in [
            (&[1, 2, 3][..], None),
            (&[1, 2], Tag::new(GET_TAG)),
            (&[3], Tag::new(PUT_TAG)),
            (&[9], Tag::new("scan")),
        ] {
            writer.write_histogram(&histogram(values), second, second, tag).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client-1.hdr");
        fs::write(&path, log).unwrap();
        let Histograms { all, gets, puts } = read(&path, 0.0..=9e9, &mut Vec::new()).unwrap();
        assert_eq!((all.len(), gets.len(), puts.len()), (3, 2, 1));
        assert_eq!((gets.max(), puts.max()), (2, 3));
    }

    #[test]
    fn times_count_from_the_base_time() {
        let log = log(&mut V2Serializer::new(), 1000, &[&[1], &[1000, 2000]]);
        let (merged, _) = read_log(&log, 1_011_000.0..=1_012_000.0);
        assert_eq!(merged.unwrap().len(), 2);
    }

    #[test]
    fn a_log_of_another_clock_is_taken_whole_and_noted() {
        let log = log(&mut V2Serializer::new(), 0, &[&[1], &[2]]);
        let (merged, notes) = read_log(&log, 5e12..=6e12);
        assert_eq!(merged.unwrap().len(), 2);
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[test]
    fn a_cut_last_line_is_left_out_and_noted() {
        let log = log(&mut V2Serializer::new(), 0, &[&[1], &[2]]);
        let last_line_start = log[..log.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        let before_start =
            log[..last_line_start - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        // Cut in the line of the second interval without a tag.
        let (merged, notes) = read_log(&log[..before_start + 30], 0.0..=1e9);
        assert_eq!(merged.unwrap().len(), 1);
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[test]
    fn a_wrong_line_is_an_error_with_its_place() {
        let claims_4_gib = "1.0,1.0,1.0,HISTE/////8AAAAA\n";
        for (wrong, reason) in [
            ("nonsense\n", "not a line of a histogram log"),
            ("1.0,1.0,1.0,***\n", "not Base64"),
            ("1.0,1.0,1.0,AAAA\n", "cut short"),
            ("1.0,1.0,1.0,AAAAAAAAAAA=\n", "cannot be decoded"),
            (claims_4_gib, "cut short"),
        ] {
            let content = format!("#comment\n{wrong}");
            let (merged, _) = read_log(content.as_bytes(), 0.0..=1e9);
            let error = format!("{:#}", merged.unwrap_err());
            assert!(error.contains("client-1.hdr:2"), "{error}");
            assert!(error.contains(reason), "{error} does not tell: {reason}");
        }
    }

    #[test]
    fn a_log_of_comments_holds_no_operations() {
        let (merged, notes) = read_log(b"#comment\n\n", 0.0..=1.0);
        assert!(merged.unwrap().is_empty());
        assert!(notes.is_empty());
    }

    #[test]
    fn latency_is_told_in_microseconds() {
        let values: Vec<u64> = (1..=1000).map(|us| us * 1000).collect();
        let latency = host::report::Latency::of(&histogram(&values));
        assert_eq!(latency.count, 1000);
        for (is, expected) in [
            (latency.p50_us, 500.0),
            (latency.p90_us, 900.0),
            (latency.p99_us, 990.0),
            (latency.p999_us, 999.0),
            (latency.max_us, 1000.0),
            (latency.mean_us, 500.5),
        ] {
            assert!((is - expected).abs() / expected < 0.002, "{is} is not {expected}");
        }
    }
}

//! A strict parser of both formats: what it does not know, or what stands in the wrong place, is
//! an error.

use std::collections::{BTreeMap, BTreeSet};

/// A sample's labels, in their order.
pub(crate) type Labels = Vec<(String, String)>;

/// A family of samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// By the name of the sample and its labels.
    pub(crate) samples: Vec<(String, Labels, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    OpenMetrics,
}

/// The families by their names: those of counters without `_total`, in both formats.
pub(crate) fn parse(text: &str, format: Format) -> Result<BTreeMap<String, Family>, String> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    if format == Format::OpenMetrics && lines.pop() != Some("# EOF") {
        return Err("it does not end in # EOF".to_owned());
    }
    let of_counter = |name: &str| match format {
        Format::Text => name.strip_suffix("_total").unwrap_or(name).to_owned(),
        Format::OpenMetrics => name.to_owned(),
    };
    for line in lines {
        let wrong = |why: &str| format!("{why}: {line:?}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            current = of_counter(name);
            let family = Family { help: help.to_owned(), ..Family::default() };
            if families.insert(current.clone(), family).is_some() {
                return Err(wrong("a family comes twice"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            let family = families.get_mut(&current).ok_or_else(|| wrong("no family"))?;
            if of_counter(name) != current || !family.kind.is_empty() || !family.samples.is_empty()
            {
                return Err(wrong("a type out of its place"));
            }
            if !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(wrong("an unknown type"));
            }
            if format == Format::Text && (kind == "counter") != name.ends_with("_total") {
                return Err(wrong("_total belongs to counters alone"));
            }
            kind.clone_into(&mut family.kind);
        } else if line.starts_with('#') || line.is_empty() {
            return Err(wrong("no line of this format"));
        } else {
            let family = families.get_mut(&current).ok_or_else(|| wrong("no family"))?;
            let sample = sample(line).ok_or_else(|| wrong("no sample"))?;
            let suffix = sample.0.strip_prefix(&current).ok_or_else(|| wrong("another family"))?;
            let is_right = match (family.kind.as_str(), suffix) {
                ("counter", "_total") => sample.2 >= 0.0,
                ("gauge", "") => true,
                ("histogram", "_sum" | "_count" | "_bucket") => sample.2 >= 0.0,
                _ => false,
            };
            if !is_right || !sample.2.is_finite() {
                return Err(wrong("no sample of its family"));
            }
            family.samples.push(sample);
        }
    }
    families.iter().try_for_each(|(name, family)| {
        whole(family).map_err(|why| format!("{name}: {why}: {family:?}"))
    })?;
    Ok(families)
}

/// `name{label="value",…} number`.
fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let is_name = |name: &str, more: &[char]| {
        let takes = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(&c);
        !name.is_empty()
            && name.chars().all(takes)
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    if !is_name(name, &[':']) {
        return None;
    }
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut characters = after.char_indices();
            let end = loop {
                match characters.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match characters.next()?.1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        _ => return None,
                    }),
                    (_, c) => value.push(c),
                }
            };
            if !is_name(label, &[]) {
                return None;
            }
            labels.push((label.to_owned(), value));
            rest = &after[end + 1..];
            match rest.split_at_checked(1)? {
                (",", more) => rest = more,
                ("}", more) => {
                    rest = more;
                    break;
                }
                _ => return None,
            }
        }
    }
    let number = rest.strip_prefix(' ')?;
    if number.contains(' ') {
        return None; // No timestamps and no exemplars.
    }
    Some((name.to_owned(), labels, number.parse().ok()?))
}

/// What a family must be as a whole.
fn whole(family: &Family) -> Result<(), &'static str> {
    if family.kind.is_empty() || family.help.is_empty() || family.samples.is_empty() {
        return Err("a part of it is missing");
    }
    let names: BTreeSet<_> =
        family.samples.iter().map(|(name, labels, _)| (name, labels)).collect();
    if names.len() != family.samples.len() {
        return Err("a sample comes twice");
    }
    if family.kind != "histogram" {
        return Ok(());
    }
    // By the labels beside the bound: its buckets, and its count.
    let mut histograms = BTreeMap::<Labels, (Vec<(f64, f64)>, Option<f64>, bool)>::new();
    for (name, labels, value) in &family.samples {
        let mut labels = labels.clone();
        let bound = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
        let histogram = histograms.entry(labels).or_default();
        match bound {
            Some(bound) if name.ends_with("_bucket") => {
                histogram.0.push((bound.parse().map_err(|_| "no bound")?, *value));
            }
            None if name.ends_with("_count") => histogram.1 = Some(*value),
            None if name.ends_with("_sum") => histogram.2 = true,
            _ => return Err("a bound out of its place"),
        }
    }
    for (buckets, count, has_sum) in histograms.values() {
        if !buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) {
            return Err("its buckets are not cumulative");
        }
        if buckets.last().map(|last| (last.0, Some(last.1))) != Some((f64::INFINITY, *count)) {
            return Err("its last bucket has not all");
        }
        if !has_sum {
            return Err("no sum");
        }
    }
    Ok(())
}

#[test]
fn what_is_not_right_is_refused() {
    let right = "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"c\"} 1\n";
    assert!(parse(right, Format::Text).is_ok());
    assert!(parse(right, Format::OpenMetrics).is_err(), "it has no end");
    let twice = format!("{right}a_total{{b=\"c\"}} 2\n");
    for wrong in [
        "a 1\n",
        "# HELP a A.\n# TYPE a counter\na 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total -1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total 1",
        "# HELP a_total A.\n# TYPE a_total counter\nb_total 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total NaN\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total{b=c} 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"c\"}1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"c\",} 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\n\na_total 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\n",
        "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n",
        "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_count 1\na_sum 1\n",
        &twice,
    ] {
        assert!(parse(wrong, Format::Text).is_err(), "{wrong}");
    }
}

//! Flags that are wrong end a program with one line, and values that flags share.

use std::fmt::Display;
use std::io::ErrorKind;

use clap::Parser;

use super::output::to_stderr;

/// Exit status for input that a program cannot work with.
pub const BAD_INPUT: i32 = 2;
/// Exit status where the text that was asked for cannot be written.
const NOT_WRITTEN: i32 = 1;

/// Parses the command line.
///
/// `--help` and `--version` print and exit with 0, as clap does. A wrong flag prints one
/// line to stderr and exits with 2: other programs start ours, and one line fits their logs.
///
/// clap takes what begins with a hyphen for a flag. A number that may be negative, if only
/// to be refused with a reason (`--theta -1`), needs `#[arg(allow_hyphen_values = true)]`.
pub fn parse<T: Parser>(program: &str) -> T {
    match T::try_parse() {
        Ok(flags) => flags,
        Err(error) if !error.use_stderr() => print_and_exit(program, &error),
        Err(error) => fail(program, format_args!("{} (see '{program} --help')", reason(&error))),
    }
}

/// The text of `--help` or `--version`.
fn print_and_exit(program: &str, text: &clap::Error) -> ! {
    match text.print() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            exit(program, format_args!("cannot write to stdout: {error}"), NOT_WRITTEN)
        }
        _ => std::process::exit(0),
    }
}

/// Prints `program: error: message` as one line to stderr and exits with 2.
pub fn fail(program: &str, message: impl Display) -> ! {
    exit(program, message, BAD_INPUT)
}

/// Prints `program: error: message` as one line to stderr and exits.
fn exit(program: &str, message: impl Display, status: i32) -> ! {
    to_stderr(format_args!("{program}: error: {}", one_line(&message.to_string())));
    std::process::exit(status)
}

/// What is wrong with a command line, in one line.
#[must_use]
pub fn reason(error: &clap::Error) -> String {
    first_sentence(&error.render().to_string())
}

/// clap's message up to its first empty line; usage and hints follow there.
fn first_sentence(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    one_line(message.split("\n\n").next().unwrap_or(message))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Skew of a Zipf distribution: a finite number, at least 0.
///
/// Its flag needs `allow_hyphen_values`, or a negative number is taken for a flag.
pub fn theta(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // Adding zero turns -0 into 0, which reads better in a report.
        Ok(theta) if theta.is_finite() && theta >= 0.0 => Ok(theta + 0.0),
        _ => Err("theta must be a finite number, at least 0 (0 is uniform)".to_owned()),
    }
}

/// A share in percent, from 0 to 100.
pub fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent + 0.0),
        _ => Err("expected percent, from 0 to 100".to_owned()),
    }
}

/// A number of bytes: `128`, `4k`, `64MiB`.
///
/// `k`, `m`, `g` and `t`, in any case and with or without `B` or `iB`, are powers of 1024.
pub fn byte_size(text: &str) -> Result<u64, String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err("a size is a number of bytes such as 128, 4k or 64MiB".to_owned()),
    };
    if digits.is_empty() {
        return Err("a size is a number of bytes such as 128, 4k or 64MiB".to_owned());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| format!("a size is at most {} bytes", u64::MAX))
}

/// A time in nanoseconds: `1500`, `20us`, `1.5ms`, `2s`.
pub fn duration_ns(text: &str) -> Result<u64, String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let unit_ns = match unit {
        "" | "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return Err("a time is a number with ns, us, ms or s, such as 1ms".to_owned()),
    };
    match digits.parse::<f64>() {
        Ok(number) if number * unit_ns < 1e18 => Ok((number * unit_ns) as u64),
        _ => Err("a time is a number with ns, us, ms or s, such as 1ms".to_owned()),
    }
}

/// A parser for numbers from 1 to `count_max`, of whichever type the flag has:
/// `#[arg(value_parser = count::<usize>(1024))]`.
pub fn count<T>(
    count_max: u64,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u64>,
{
    move |text| {
        text.parse::<u64>()
            .ok()
            .filter(|number| (1..=count_max).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("must be a number from 1 to {count_max}"))
    }
}

/// A parser for powers of two up to `power_max`.
pub fn power_of_two(
    power_max: usize,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<usize>() {
        Ok(power) if power.is_power_of_two() && power <= power_max => Ok(power),
        _ => Err(format!("must be a power of two from 1 to {power_max}")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_powers_of_two_within_the_limit_are_taken() {
        let parse = power_of_two(256);
        assert_eq!((parse("1"), parse("256")), (Ok(1), Ok(256)));
        for wrong in ["0", "3", "512", "-1", "x", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[arg(long, value_parser = theta, allow_hyphen_values = true)]
        theta: f64,
        #[arg(long, value_parser = count::<u16>(1024))]
        cores: Option<u16>,
        #[arg(long, value_parser = ["strict", "shard", "async"])]
        order: Option<String>,
    }

    fn refusal(arguments: &[&str]) -> String {
        let arguments = std::iter::once("gen").chain(arguments.iter().copied());
        let error = Flags::try_parse_from(arguments).unwrap_err();
        first_sentence(&error.render().to_string())
    }

    #[test]
    fn a_wrong_flag_is_told_in_one_line() {
        assert_eq!(
            refusal(&["--theta", "-1"]),
            "invalid value '-1' for '--theta <THETA>': theta must be a finite number, at least 0 (0 is uniform)"
        );
        assert_eq!(
            refusal(&[]),
            "the following required arguments were not provided: --theta <THETA>"
        );
        assert_eq!(
            refusal(&["--theta", "0", "--order", "none"]),
            "invalid value 'none' for '--order <ORDER>' [possible values: strict, shard, async]"
        );
        assert_eq!(refusal(&["--sped", "3"]), "unexpected argument '--sped' found");
        assert!(!refusal(&["--theta", "a\nb"]).contains('\n'));
    }

    #[test]
    fn flags_that_are_right_are_taken() {
        let flags = Flags::try_parse_from(["gen", "--theta", "0.99", "--cores", "1024"]).unwrap();
        assert_eq!((flags.theta, flags.cores, flags.order), (0.99, Some(1024), None));
    }

    #[test]
    fn theta_is_finite_and_not_negative() {
        assert_eq!(theta("0"), Ok(0.0));
        assert_eq!(theta("1.2"), Ok(1.2));
        assert!(theta("-0").unwrap().is_sign_positive());
        for wrong in ["-0.1", "nan", "inf", "1e999", "", "x"] {
            assert!(theta(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(byte_size("0"), Ok(0));
        assert_eq!(byte_size("128"), Ok(128));
        assert_eq!(byte_size("128b"), Ok(128));
        assert_eq!(byte_size("4k"), Ok(4096));
        assert_eq!(byte_size("64MiB"), Ok(64 << 20));
        assert_eq!(byte_size("2GB"), Ok(2 << 30));
        assert_eq!(byte_size("1T"), Ok(1 << 40));
    }

    #[test]
    fn sizes_that_are_none_or_too_large_are_refused() {
        for wrong in
            ["", "k", "-1", "1.5k", "4 k", "4x", "4kk", "é", "16777216t", "99999999999999999999"]
        {
            assert!(byte_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_units_and_are_nanoseconds_without() {
        assert_eq!(duration_ns("0"), Ok(0));
        assert_eq!(duration_ns("1500"), Ok(1500));
        assert_eq!(duration_ns("20us"), Ok(20_000));
        assert_eq!(duration_ns("1.5ms"), Ok(1_500_000));
        assert_eq!(duration_ns("2s"), Ok(2_000_000_000));
        for wrong in ["", "ms", "-1", "1 ms", "1m", "1.2.3s", "9999999999s"] {
            assert!(duration_ns(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_count_tells_its_limits() {
        assert_eq!(count::<u16>(1024)("1"), Ok(1));
        assert_eq!(count::<u64>(1024)("1024"), Ok(1024));
        for wrong in ["0", "1025", "-1", "many", "", "1.0"] {
            assert_eq!(
                count::<u64>(1024)(wrong),
                Err("must be a number from 1 to 1024".to_owned())
            );
        }
        assert!(count::<u8>(1024)("300").is_err());
    }
}

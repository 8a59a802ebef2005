//! The flags and commands of `kvctl`, on its command line and at its prompt.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use host::flags::duration_ns;
use proto::limits::{MTU_BYTES_MAX, MTU_BYTES_MIN};

use crate::limits::TIME_MAX;

/// The program's name.
pub const PROGRAM: &str = "kvctl";
/// The variable that replaces `--servers`.
pub const SERVERS_VARIABLE: &str = "KV_SERVERS";
/// The server where none is named.
pub const SERVER_DEFAULT: &str = "127.0.0.1:7400";
/// The name of a file that is stdin.
pub const STDIN: &str = "-";

const CONNECTION: &str = "Connection";

const AFTER_HELP: &str = "\
Examples:
  kvctl put greeting 'hello, world'      kvctl get greeting
  kvctl put photo --file cat.jpg         kvctl get photo >cat.jpg
  date | kvctl put now                   kvctl --json get now greeting
  kvctl put --escapes 'a\\x00b' 1         kvctl get --hex 610062
  kvctl load records.jsonl               kvctl stats --watch
  kvctl --servers db1:7400,db2:7400 ping

Without a command: a prompt on a terminal, with history and quotes as in a shell; otherwise a
command a line from stdin. 'help' there names the commands.

Exit status:
  0    done
  1    not found
  2    wrong usage, no server, or refused: nothing was changed
  3    indeterminate: a write was sent and not answered, so it may or may not have happened
  130  interrupted
Several commands or records end with the worst, of which 3 is the worst of all.";

/// Reads and writes a `kv` store from a shell.
#[derive(Clone, Debug, Parser)]
#[command(name = PROGRAM, version, after_help = AFTER_HELP)]
pub struct Flags {
    /// The servers, and how to connect to them.
    #[command(flatten)]
    pub connection: ConnectionFlags,

    /// Print JSON, an object a line; bytes that are not UTF-8 are in fields that end with _base64
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The servers, and how to connect to them.
#[derive(Clone, Debug, Args)]
pub struct ConnectionFlags {
    /// HOST:PORT of the first worker of each server, in the same order for every program. The
    /// default is the environment's KV_SERVERS, or 127.0.0.1:7400
    #[arg(short, long, global = true, help_heading = CONNECTION, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub servers: Option<Vec<String>>,

    /// How long an operation may take, such as 500ms
    #[arg(long, global = true, help_heading = CONNECTION, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub timeout: Duration,

    /// How long to wait for a server to open a session
    #[arg(long, global = true, help_heading = CONNECTION, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub connect_timeout: Duration,

    /// Largest datagram, in bytes of UDP payload. The default is what Ethernet carries: 1472,
    /// or 1452 to servers with an IPv6 address
    #[arg(long, global = true, help_heading = CONNECTION, value_name = "BYTES",
          value_parser = clap::value_parser!(u16).range(MTU_BYTES_MIN as i64..=MTU_BYTES_MAX as i64))]
    pub mtu: Option<u16>,
}

/// A line at the prompt.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    disable_version_flag = true,
    help_template = "{subcommands}\n\nCOMMAND --help has the flags of a command. Quotes \
                           are as in a shell; \\xNN, \\n, \\r\nand \\t outside of '…' are bytes. \
                           Ctrl-C cancels a line, Ctrl-D ends."
)]
pub struct Line {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: LineCommand,
}

/// A command at the prompt.
#[derive(Clone, Debug, Subcommand)]
pub enum LineCommand {
    /// The same as on the command line.
    #[command(flatten)]
    Command(Command),
    /// End
    #[command(alias = "quit")]
    Exit,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Prints the values of keys.
    ///
    /// One key's value is printed as it is, followed by a newline only on a terminal. Several
    /// keys are printed as KEY, a tab and the value, with escapes (\xNN, \n, \r, \t, \\), a line
    /// each: `kvctl load --format tsv` takes that. Exit status 1 if a key is not found.
    Get(GetFlags),
    /// Writes a value to a key.
    ///
    /// Prints nothing, except on a terminal or with --json. A value is stored whole or not at
    /// all. It has to fit into a datagram: 1424 bytes with the default --mtu and a key of 8 bytes.
    Put(PutFlags),
    /// Prints the counters of servers and workers.
    ///
    /// docs/COUNTERS.md explains each counter; those that are zero are left out.
    Stats(StatsFlags),
    /// Measures the round trip to each worker.
    ///
    /// One GET a time and worker. Prints a line for each answer, and at the end the percentiles
    /// of each worker; Ctrl-C ends it earlier. Exit status 2 if a worker did not answer.
    Ping(PingFlags),
    /// Writes records from a file.
    ///
    /// Many are under way at a time; records with equal keys are written in their order. It stops
    /// where a record could not be written, names its line, and says from which line on to
    /// load again (--from-line).
    ///
    /// Formats:
    ///   jsonl  {"key":"a","value":"b"} a line; key_base64 and value_base64 for bytes that are
    ///          no UTF-8; other fields are ignored. `kvctl --json get` prints that
    ///   tsv    KEY, a tab and VALUE a line, with escapes: \xNN, \n, \r, \t and \\
    ///   csv    a header with the columns `key` and `value`, then a record a row (RFC 4180)
    #[command(verbatim_doc_comment)]
    Load(LoadFlags),
    /// Prints a script that completes kvctl's commands and flags in a shell.
    ///
    /// For example, in ~/.bashrc: source <(kvctl completions bash)
    Completions(CompletionsFlags),
}

/// How keys and values are written.
#[derive(Clone, Copy, Debug, Args)]
pub struct Notation {
    /// Keys and values as arguments have escapes: \xNN, \n, \r, \t and \\
    #[arg(short, long, conflicts_with = "hex")]
    pub escapes: bool,

    /// Keys and values as arguments are hexadecimal digits
    #[arg(long)]
    pub hex: bool,
}

/// The flags of `get`.
#[derive(Clone, Debug, Args)]
pub struct GetFlags {
    /// Keys, of 1 to 512 bytes
    #[arg(value_name = "KEY", allow_negative_numbers = true,
          required_unless_present_any = ["key_file", "keys_file"])]
    pub keys: Vec<OsString>,

    /// Take the key from this file, to the byte; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keys", "keys_file"])]
    pub key_file: Option<PathBuf>,

    /// A key a line of this file, with escapes; `-` is stdin
    #[arg(long = "keys", value_name = "FILE", conflicts_with = "keys")]
    pub keys_file: Option<PathBuf>,

    /// How the keys are written.
    #[command(flatten)]
    pub notation: Notation,
}

/// The flags of `put`.
#[derive(Clone, Debug, Args)]
#[command(override_usage = "kvctl put [OPTIONS] KEY [VALUE]\n       \
                            kvctl put [OPTIONS] KEY --file FILE\n       \
                            kvctl put [OPTIONS] --key-file FILE [VALUE]")]
pub struct PutFlags {
    /// The key, of 1 to 512 bytes
    #[arg(value_name = "KEY", allow_negative_numbers = true, required_unless_present = "key_file")]
    pub key: Option<OsString>,

    /// The value; `-` or none is what stdin holds, to the byte. Behind `--`, it may begin with
    /// a hyphen
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    pub value: Option<OsString>,

    /// Take the value from this file, to the byte; `-` is stdin
    #[arg(short, long, value_name = "FILE", conflicts_with = "value")]
    pub file: Option<PathBuf>,

    /// Take the key from this file, to the byte; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// How the key and the value are written.
    #[command(flatten)]
    pub notation: Notation,
}

/// The flags of `stats`.
#[derive(Clone, Debug, Args)]
pub struct StatsFlags {
    /// Show what each worker does in a second, again and again until Ctrl-C: a table on a
    /// terminal, else a line for each worker
    #[arg(short, long, value_name = "TIME", num_args = 0..=1, require_equals = true,
          default_missing_value = "1s", value_parser = time)]
    pub watch: Option<Duration>,

    /// With --watch: how many times
    #[arg(short, long, value_name = "N", requires = "watch",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// The flags of `ping`.
#[derive(Clone, Debug, Args)]
pub struct PingFlags {
    /// How many times; 0 is until Ctrl-C
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    pub count: u64,

    /// Time from one round to the next
    #[arg(short, long, value_name = "TIME", default_value = "100ms", value_parser = time)]
    pub interval: Duration,

    /// Print the percentiles only
    #[arg(short, long)]
    pub quiet: bool,
}

/// The flags of `load`.
#[derive(Clone, Debug, Args)]
pub struct LoadFlags {
    /// The file; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The default follows the end of the file's name, or is jsonl
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Skip the records before this line
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub from_line: u64,

    /// Go on after records that could not be written
    #[arg(long = "continue")]
    pub goes_on: bool,

    /// Only look whether each line is sound; no server is asked
    #[arg(long)]
    pub check: bool,
}

/// How records are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object a line.
    #[value(alias = "json", alias = "ndjson")]
    Jsonl,
    /// A key, a tab and a value a line, with escapes.
    Tsv,
    /// A header, and a record a row.
    Csv,
}

/// The flags of `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsFlags {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// A time with its unit: without one, 5 would be nanoseconds.
fn time(text: &str) -> Result<Duration, String> {
    let time = duration_ns(text).map(Duration::from_nanos);
    match time {
        Ok(time) if !text.ends_with(|last: char| last.is_ascii_digit() || last == '.') => {
            if (Duration::from_micros(1)..=TIME_MAX).contains(&time) {
                Ok(time)
            } else {
                Err("must be from 1us to a day".to_owned())
            }
        }
        _ => Err("a time is a number with us, ms or s, such as 500ms".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Flags::command().debug_assert();
        Line::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit_and_is_not_zero() {
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1500)));
        for wrong in ["5", "0s", "1.", "-1s", "s", "200000s", ""] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_may_be_negative_numbers_and_flags_are_known_by_their_names() {
        let parse = |arguments: &[&str]| {
            Flags::try_parse_from([&["kvctl", "put"], arguments].concat()).map(|flags| {
                let Some(Command::Put(put)) = flags.command else { panic!("{:?}", flags.command) };
                put.value
            })
        };
        assert_eq!(parse(&["k", "-5"]).unwrap(), Some("-5".into()));
        assert_eq!(parse(&["k", "-"]).unwrap(), Some("-".into()));
        assert_eq!(parse(&["k", "--", "--json"]).unwrap(), Some("--json".into()));
        assert!(parse(&["k", "--jsno"]).is_err());
    }

    #[test]
    fn watch_takes_a_time_or_none() {
        let parse = |arguments: &[&str]| {
            let flags = Flags::try_parse_from([&["kvctl", "stats"], arguments].concat()).ok()?;
            let Some(Command::Stats(stats)) = flags.command else { return None };
            Some(stats.watch)
        };
        assert_eq!(parse(&[]), Some(None));
        assert_eq!(parse(&["--watch"]), Some(Some(Duration::from_secs(1))));
        assert_eq!(parse(&["--watch=250ms"]), Some(Some(Duration::from_millis(250))));
        assert_eq!(parse(&["--watch", "1s"]), None);
        assert_eq!(parse(&["--count", "1"]), None);
    }
}

//! The servers of the candidates: started once, loaded once, and up until the end.

use std::path::Path;

use anyhow::{Result, bail};
use proto::limits::WINDOW_MAX;

use super::candidates::{Candidate, Chosen, ECHO, ServerKind, Way, default_table, table_name};
use super::flags::Flags;
use super::search::{CONNECTIONS_DEFAULT, Knobs};
use crate::bench::baselines::Baseline;
use crate::bench::flags::load_arguments;
use crate::bench::folder::ResultsFolder;
use crate::bench::generator::GeneratorProgram;
use crate::bench::processes::{Interrupted, StopSignal};
use crate::bench::progress::RoundsProgress;
use crate::bench::servers::{Kv, RunningServer};

/// A server that holds the records.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) server: RunningServer,
    /// Resident memory with all records.
    pub(super) loaded_bytes: u64,
}

/// Why a candidate is not measured.
#[derive(Clone, Debug)]
pub(super) enum Missing {
    /// It is not on this machine.
    Absent(String),
    /// It is, and failed.
    Failed(String),
}

/// A candidate, and the place of its server among [`Field::servers`].
#[derive(Debug)]
pub(super) struct Entrant {
    pub(super) candidate: Candidate,
    pub(super) server: Result<usize, Missing>,
}

/// Everybody, ready.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) entrants: Vec<Entrant>,
    pub(super) servers: Vec<Loaded>,
    /// For the yardstick: the default table's server, if the echo was chosen.
    pub(super) beside_echo: Option<Result<usize, Missing>>,
    /// Cores of servers and of the generator.
    pub(super) cores: (usize, usize),
}

impl Field {
    /// Starts and loads the servers one by one. One that fails does not keep the others from it.
    pub(super) fn start(
        flags: &Flags,
        chosen: Chosen,
        kv: &Path,
        generator: &GeneratorProgram,
        folder: &ResultsFolder,
        progress: &RoundsProgress,
        stop: &StopSignal,
    ) -> Result<Self> {
        let cores = cores(flags, progress);
        let mut field =
            Self { entrants: Vec::new(), servers: Vec::new(), beside_echo: None, cores };
        let mut tried: Vec<(ServerKind, Result<usize, Missing>)> = Vec::new();
        let beside_echo = chosen.echo.then(|| Candidate {
            name: ECHO.to_owned(),
            server: ServerKind::Kv(default_table()),
            way: Way::Kv(proto::order::Order::Strict),
        });
        for candidate in chosen.candidates.into_iter().chain(beside_echo) {
            let known = tried.iter().find(|(kind, _)| *kind == candidate.server);
            let server = match known {
                Some((_, server)) => server.clone(),
                None => {
                    progress.note(&format!("starting and loading {}", candidate.server));
                    let started = start(flags, &candidate, kv, generator, folder, cores.0, stop);
                    let server = field.keep(started, candidate.server, progress)?;
                    tried.push((candidate.server, server.clone()));
                    server
                }
            };
            if candidate.name == ECHO {
                field.beside_echo = Some(server);
            } else {
                field.entrants.push(Entrant { candidate, server });
            }
        }
        Ok(field)
    }

    fn keep(
        &mut self,
        started: Result<Result<Loaded, Missing>>,
        server: ServerKind,
        progress: &RoundsProgress,
    ) -> Result<Result<usize, Missing>> {
        let missing = match started {
            Ok(Ok(loaded)) => {
                self.servers.push(loaded);
                return Ok(Ok(self.servers.len() - 1));
            }
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => Missing::Failed(format!("{error:#}")),
            Ok(Err(missing)) => missing,
        };
        progress.note(&match &missing {
            Missing::Absent(reason) => reason.clone(),
            Missing::Failed(reason) => format!("{server} failed: {reason}"),
        });
        Ok(Err(missing))
    }
}

/// Servers take the first core, the generator's threads the last ones.
fn cores(flags: &Flags, progress: &RoundsProgress) -> (usize, usize) {
    let allowed = udp::pin::allowed_cores();
    if allowed.len() < 1 + flags.setting.threads {
        progress.note(&format!(
            "warning: a server and {} generator threads share {} cores",
            flags.setting.threads,
            allowed.len()
        ));
    }
    (allowed[0], allowed[allowed.len() - 1])
}

fn start(
    flags: &Flags,
    candidate: &Candidate,
    kv: &Path,
    generator: &GeneratorProgram,
    folder: &ResultsFolder,
    core: usize,
    stop: &StopSignal,
) -> Result<Result<Loaded, Missing>> {
    let setting = &flags.setting;
    let logs = folder.logs()?;
    let mut server = match candidate.server {
        ServerKind::Kv(table) => {
            let name = candidate.server.to_string();
            let server = Kv {
                program: kv.to_owned(),
                table: Some(table_name(table)),
                records: setting.records,
                value_size: setting.value_size,
                // Sessions are granted what is searched.
                window: flags.search_kv.then_some(WINDOW_MAX),
                core: Some(core),
            };
            server.start(&name, &logs.join(format!("{name}.log")), stop)?
        }
        ServerKind::Baseline(baseline) => {
            let Some(program) = baseline.find() else {
                return Ok(Err(Missing::Absent(baseline.absent())));
            };
            let record_bytes = setting.records * (setting.value_size + 8 + 50);
            baseline.start(&program, core, record_bytes, &logs, stop)?
        }
    };
    // Whatever way a baseline is asked, it is loaded over a stream: no datagram is too short then.
    let way = match candidate.server {
        ServerKind::Kv(_) => candidate.way,
        ServerKind::Baseline(Baseline::Memcached) => Way::Target("memcached"),
        ServerKind::Baseline(Baseline::Redis | Baseline::Valkey) => Way::Target("redis"),
    };
    let mut arguments = way.arguments(&server.address);
    arguments.extend(setting.arguments());
    if !candidate.is_ours() {
        arguments.extend(Knobs::BASELINE.arguments([100, CONNECTIONS_DEFAULT]));
    }
    arguments.extend(load_arguments());
    let loaded = generator.run(&arguments, &[])?;
    if loaded.refused > 0 {
        bail!("{} records were refused", loaded.refused);
    }
    server.check()?;
    let loaded_bytes = server.mem_bytes()?;
    Ok(Ok(Loaded { server, loaded_bytes }))
}

impl Way {
    /// Whom the generator asks, and how.
    pub(super) fn arguments(self, address: &str) -> Vec<String> {
        match self {
            Self::Kv(order) => {
                ["--servers", address, "--order", &order.to_string()].map(str::to_owned).to_vec()
            }
            Self::Target(scheme) => {
                ["--target".to_owned(), format!("{scheme}://{address}")].to_vec()
            }
        }
    }
}

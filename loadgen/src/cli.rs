//! The command line, and how it becomes a plan. Everything that can be wrong with it is said here,
//! before anything starts.

use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use proto::message::LookupMode;
use proto::peer::NodeName;

use crate::keyspace::{KeyPicker, Popularity};
use crate::payload::ValueSizes;
use crate::plan::{Confirm, Data, Load, Mix, Plan, Protocol, Target};
use crate::quantity::{count, duration, rate, share};
use crate::schedule::Arrivals;

/// Measures the latency and the hop counts of a live Chordite ring.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Puts load on one or more nodes and reports what they made of it
    Run(Box<RunArgs>),
}

/// A run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Targets, `HOST:PORT`, repeated or separated by commas; connections are dealt out in turn
    #[arg(
        short,
        long = "target",
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    targets: Vec<String>,
    /// p2p addresses of nodes, exactly as they advertise them, for the native protocol over TLS
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "HOST:P2P",
        requires = "identity"
    )]
    native: Vec<String>,
    /// Folder with key.pem, cert.pem and ca.pem of a client, for --native
    #[arg(long, value_name = "DIR", requires = "native")]
    identity: Option<PathBuf>,
    /// What is spoken to --target
    #[arg(long, value_enum, default_value_t = TargetProtocol::Dht)]
    protocol: TargetProtocol,
    /// Size of a frame of --protocol echo
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    frame_bytes: u32,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// Folder for summary.json, latency.hlog and latency.hgrm
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Exit with 1 when any error occurred, not only for wrong or lost values
    #[arg(long)]
    pub strict: bool,
    /// No progress and no table
    #[arg(short, long)]
    pub quiet: bool,
}

/// How requests are paced.
#[derive(Debug, Args)]
#[command(next_help_heading = "Pace")]
struct PaceArgs {
    /// Open loop: this many requests a second, whatever the targets do (closed loop without it)
    #[arg(short, long, value_parser = rate, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// How arrivals of an open loop are distributed
    #[arg(long, value_enum, default_value_t = ArrivalArg::Poisson, requires = "rate")]
    arrivals: ArrivalArg,
    /// Connections in all
    #[arg(short, long, value_parser = count, default_value = "8")]
    connections: u64,
    /// Requests under way on a connection: exactly in a closed loop [default: 1], at most in an
    /// open loop [default: 1024]
    #[arg(short, long, value_parser = count)]
    depth: Option<u64>,
    /// Threads, at most one for each connection
    #[arg(long, value_parser = count, default_value = "1")]
    threads: u64,
    /// Load before the measurement
    #[arg(short, long, value_parser = duration, default_value = "2s")]
    warmup: Duration,
    /// Length of the measurement [default: 10s, without --requests]
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Number of requests of the measurement
    #[arg(short = 'n', long, value_parser = count)]
    requests: Option<u64>,
    /// Seed of arrivals, of the choice of keys and of the mix
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is read and written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
struct DataArgs {
    /// Number of keys
    #[arg(short, long, value_parser = count, default_value = "10k")]
    keys: u64,
    /// How often each key is asked for
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    distribution: Distribution,
    /// Exponent of the Zipf distribution
    #[arg(long, default_value_t = 0.99)]
    theta: f64,
    /// Bytes of a value: `64`, evenly `16-1024`, or one of `64,256,1024`
    #[arg(long, default_value = "64", value_name = "BYTES")]
    value_size: ValueSizes,
    /// Share of writes among reads and writes, 0 to 1 or in percent
    #[arg(long, value_parser = share, default_value = "0.1", value_name = "SHARE")]
    puts: f64,
    /// Share of lookups among all requests, --native only
    #[arg(long, value_parser = share, default_value = "0", value_name = "SHARE")]
    lookups: f64,
    /// Ways of lookups, taken in turn
    #[arg(long, value_enum, value_delimiter = ',', default_value = "cached")]
    lookup_modes: Vec<LookupArg>,
    /// Write every key before the run
    #[arg(long)]
    preload: bool,
    /// How writes over the DHT API, which have no answer, are confirmed
    #[arg(long, value_enum, default_value_t = ConfirmArg::Each)]
    confirm: ConfirmArg,
    /// Lifetime of values in seconds; 0 leaves it to the node
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    ttl: u16,
    /// Replicas asked for; 0 leaves it to the ring. No effect yet: nodes do not replicate
    #[arg(long, default_value_t = 0)]
    replication: u8,
    /// Seed of keys and values: runs with the same one share their data
    #[arg(long, default_value_t = 1)]
    data_seed: u64,
}

/// Limits of the generator.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// How long an answer may take
    #[arg(long, value_parser = duration, default_value = "5s")]
    deadline: Duration,
    /// How close to its time an arrival is waited for by spinning instead of sleeping
    #[arg(long, default_value_t = 20, value_name = "MICROSECONDS")]
    spin_us: u64,
    /// Send lag (p99) from which on the generator calls itself the bottleneck
    #[arg(long, value_parser = duration, default_value = "1ms")]
    lag_max: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum TargetProtocol {
    /// The DHT API, messages 650 to 653
    Dht,
    /// GET and SET of redis and valkey
    Resp,
    /// get and set of memcached, as text
    Memcached,
    /// Frames that come back as they are
    Echo,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum ArrivalArg {
    Constant,
    Poisson,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Distribution {
    Uniform,
    Zipf,
    /// 90 % of the requests ask for a tenth of the keys
    HotCold,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum LookupArg {
    /// Recursive, arc cache first
    Cached,
    /// Recursive, without the arc cache
    Recursive,
    /// Iterative
    Iterative,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum ConfirmArg {
    /// A GET behind every PUT ends the write
    Each,
    /// One GET behind all PUTs that are sent at once ends them all
    Turn,
}

impl RunArgs {
    /// Checks the arguments and makes them a plan; the error is one sentence for the operator.
    pub fn plan(&self, command: Vec<String>) -> Result<Plan, String> {
        let protocol = self.protocol()?;
        let is_native = matches!(protocol, Protocol::Native { .. });
        let names = if is_native {
            &self.native
        } else {
            &self.targets
        };
        if names.is_empty() {
            return Err("no target: give --target HOST:PORT or --native HOST:P2P".to_owned());
        }
        let pace = &self.pace;
        let connections = bounded("--connections", pace.connections, CONNECTIONS_MAX)?;
        let threads = bounded("--threads", pace.threads, connections.into())?;
        let load = self.load();
        let depth_default = if load == Load::Closed { 1 } else { OPEN_DEPTH };
        let depth = bounded("--depth", pace.depth.unwrap_or(depth_default), DEPTH_MAX)?;
        if self.limits.deadline.is_zero() {
            return Err("--deadline must be above zero".to_owned());
        }
        let duration = match (pace.duration, pace.requests) {
            (None, None) => Some(DURATION),
            (Some(Duration::ZERO), _) => return Err("--duration must be above zero".to_owned()),
            (duration, _) => duration,
        };
        Ok(Plan {
            targets: names
                .iter()
                .map(|name| target(name, is_native))
                .collect::<Result<_, _>>()?,
            preload: self.data.preload && !matches!(protocol, Protocol::Echo { .. }),
            protocol,
            load,
            connections,
            depth,
            threads,
            warmup: pace.warmup,
            duration,
            requests: pace.requests,
            data: self.data.data()?,
            mix: self.mix(is_native)?,
            confirm: match self.data.confirm {
                ConfirmArg::Each => Confirm::Each,
                ConfirmArg::Turn => Confirm::Turn,
            },
            deadline: self.limits.deadline,
            spin: Duration::from_micros(self.limits.spin_us),
            lag_max: self.limits.lag_max,
            seed: pace.seed,
            out: self.out.clone(),
            quiet: self.quiet,
            command,
        })
    }

    fn protocol(&self) -> Result<Protocol, String> {
        if let Some(identity) = &self.identity {
            if !self.targets.is_empty() {
                return Err("--target and --native exclude each other".to_owned());
            }
            return Ok(Protocol::Native {
                identity: identity.clone(),
            });
        }
        match self.protocol {
            TargetProtocol::Dht => Ok(Protocol::Dht),
            TargetProtocol::Resp => Ok(Protocol::Resp),
            TargetProtocol::Memcached => Ok(Protocol::Memcached),
            TargetProtocol::Echo if (1..=FRAME_BYTES_MAX).contains(&self.frame_bytes) => {
                Ok(Protocol::Echo {
                    frame_bytes: self.frame_bytes,
                })
            }
            TargetProtocol::Echo => Err(format!("--frame-bytes must be 1 to {FRAME_BYTES_MAX}")),
        }
    }

    fn load(&self) -> Load {
        match self.pace.rate {
            None => Load::Closed,
            Some(rate_per_s) => Load::Open {
                rate_per_s,
                arrivals: match self.pace.arrivals {
                    ArrivalArg::Constant => Arrivals::Constant,
                    ArrivalArg::Poisson => Arrivals::Poisson,
                },
            },
        }
    }

    fn mix(&self, is_native: bool) -> Result<Mix, String> {
        if self.data.lookups > 0.0 && !is_native {
            return Err("--lookups needs --native: other protocols cannot ask".to_owned());
        }
        let mode = |mode: &LookupArg| match mode {
            LookupArg::Cached => LookupMode::Cached,
            LookupArg::Recursive => LookupMode::Recursive,
            LookupArg::Iterative => LookupMode::Iterative,
        };
        Ok(Mix {
            put_ratio: self.data.puts,
            lookup_ratio: self.data.lookups,
            lookup_modes: self.data.lookup_modes.iter().map(mode).collect(),
        })
    }
}

impl DataArgs {
    fn data(&self) -> Result<Data, String> {
        let popularity = match self.distribution {
            Distribution::Uniform => Popularity::Uniform,
            Distribution::Zipf => Popularity::Zipf { theta: self.theta },
            Distribution::HotCold => Popularity::HotCold,
        };
        if self.keys > KEYS_MAX {
            return Err(format!("--keys is at most {KEYS_MAX}"));
        }
        if KeyPicker::new(self.keys, popularity).is_none() {
            return Err(format!("--theta {} is not 0 or more", self.theta));
        }
        Ok(Data {
            keys: self.keys,
            popularity,
            data_seed: self.data_seed,
            sizes: self.value_size.clone(),
            ttl_s: self.ttl,
            replication: self.replication,
        })
    }
}

fn target(name: &str, is_native: bool) -> Result<Target, String> {
    let node = NodeName::parse(name).map_err(|error| error.to_string())?;
    let address = (node.host(), node.port())
        .to_socket_addrs()
        .map_err(|error| format!("`{name}`: {error}"))?
        .next()
        .ok_or_else(|| format!("`{name}` has no address"))?;
    Ok(Target {
        name: name.to_owned(),
        address,
        node: is_native.then_some(node),
    })
}

fn bounded(flag: &str, value: u64, max: u64) -> Result<u32, String> {
    match u32::try_from(value) {
        Ok(value) if u64::from(value) <= max => Ok(value),
        _ => Err(format!("{flag} {value} is above {max}")),
    }
}

const DURATION: Duration = Duration::from_secs(10);
const OPEN_DEPTH: u64 = 1_024;
const CONNECTIONS_MAX: u64 = 60_000;
const DEPTH_MAX: u64 = 65_536;
/// One bit a key is kept: 1.25 GB.
const KEYS_MAX: u64 = 10_000_000_000;
/// As the largest value.
const FRAME_BYTES_MAX: u32 = proto::limits::VALUE_BYTES_MAX as u32;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn plan(arguments: &str) -> Result<Plan, String> {
        let words = ["loadgen", "run"]
            .into_iter()
            .chain(arguments.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        let Command::Run(run) = cli.command;
        run.plan(Vec::new())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn targets_are_listed_or_repeated() {
        let plan = plan("--target 127.0.0.1:1,127.0.0.1:2 -t [::1]:3").unwrap();
        let names: Vec<_> = plan.targets.iter().map(|target| &*target.name).collect();
        assert_eq!(names, ["127.0.0.1:1", "127.0.0.1:2", "[::1]:3"]);
        assert_eq!((plan.load, plan.depth), (Load::Closed, 1));
        assert_eq!(plan.duration, Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_rate_makes_it_an_open_loop() {
        let plan = plan("-t 127.0.0.1:1 --rate 5k --arrivals constant -n 100").unwrap();
        let arrivals = Arrivals::Constant;
        assert_eq!(
            plan.load,
            Load::Open {
                rate_per_s: 5_000.0,
                arrivals
            }
        );
        assert_eq!((plan.requests, plan.duration), (Some(100), None));
    }

    #[test]
    fn mistakes_are_named() {
        for (arguments, word) in [
            ("", "no target"),
            ("-t 127.0.0.1", "port"),
            (
                "-t 127.0.0.1:1 --native 127.0.0.1:2 --identity x",
                "exclude",
            ),
            ("--native 127.0.0.1:2", "--identity"),
            ("-t 127.0.0.1:1 --threads 9", "--threads 9 is above 8"),
            ("-t 127.0.0.1:1 --lookups 0.5", "--native"),
            ("-t 127.0.0.1:1 --rate 0", "rate"),
            ("-t 127.0.0.1:1 --value-size 0", "value size"),
            ("-t 127.0.0.1:1 --distribution zipf --theta=-1", "--theta"),
            (
                "-t 127.0.0.1:1 --protocol echo --frame-bytes 0",
                "--frame-bytes",
            ),
            ("-t 127.0.0.1:1 --deadline 0", "--deadline"),
        ] {
            let error = plan(arguments).unwrap_err();
            assert!(error.contains(word), "{arguments}: {error}");
        }
    }
}

//! `chordite serve`: reads the configuration from its four layers, then hands over to the node.
//! Nothing is opened before the configuration is known to be right.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use node::config::{Config, ENVIRONMENT_PREFIX, Flag, keys};
use node::exit::Exit;
use node::trust;
use rustix::process::{Pid, Signal};

use super::failure::Failure;
use super::print;

/// Run a node
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The configuration file (INI)
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Print every configuration key with its meaning, range and default, and exit
    #[arg(long)]
    help_config: bool,
    /// Check configuration, key and certificates, and exit
    #[arg(long)]
    check: bool,
    /// End together with this process, which must be the parent (`chordite dev` gives its own)
    #[arg(long, value_name = "PID", hide = true)]
    parent_pid: Option<i32>,
}

/// Settings on the command line, above those of file and environment.
#[derive(Args, Debug, Default)]
pub(crate) struct SettingArgs {
    /// Set any configuration key; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where the DHT API is listened for
    #[arg(long, value_name = "ADDRESS")]
    api_address: Option<String>,
    /// Where peers are listened for
    #[arg(long, value_name = "ADDRESS")]
    p2p_address: Option<String>,
    /// Where the admin HTTP server is listened for
    #[arg(long, value_name = "ADDRESS")]
    admin_address: Option<String>,
    /// The node's name, HOST:PORT
    #[arg(long, value_name = "NAME")]
    advertise: Option<String>,
    /// Members to join through, separated by commas
    #[arg(long, value_name = "NAMES")]
    bootstrapper: Option<String>,
    /// Worker threads
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// The least important messages that are logged
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Serve {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        if self.help_config {
            print::text(&keys::reference())?;
            return Ok(Exit::Ok);
        }
        if let Some(parent) = self.parent_pid {
            end_with_parent(parent)?;
        }
        let config = load(self.config.as_deref(), &self.settings)?;
        if self.check {
            trust::node_links(&config)?;
            return Ok(Exit::Ok);
        }
        serve(config)
    }
}

/// The configuration from all four layers.
pub(crate) fn load(
    file: Option<&std::path::Path>,
    settings: &SettingArgs,
) -> Result<Config, Failure> {
    let environment = environment(std::env::vars_os())?;
    Ok(Config::load(file, environment, &settings.flags()?)?)
}

/// The variables that may be ours. One that is not Unicode is passed over when it is somebody
/// else's and refused when it is ours, because nobody may believe it in force.
fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, Failure> {
    let ours = variables.filter(|(name, _)| {
        let bytes = name.as_encoded_bytes();
        bytes.starts_with(ENVIRONMENT_PREFIX.as_bytes())
    });
    let unicode = |(name, value): (OsString, OsString)| {
        let shown = name.display().to_string();
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => Ok((name, value)),
            _ => Err(Failure::usage(format!(
                "environment variable {shown}: its name or value is not Unicode"
            ))),
        }
    };
    ours.map(unicode).collect()
}

impl SettingArgs {
    fn flags(&self) -> Result<Vec<Flag>, Failure> {
        let named = [
            ("api_address", &self.api_address),
            ("p2p_address", &self.p2p_address),
            ("admin_address", &self.admin_address),
            ("advertise", &self.advertise),
            ("bootstrapper", &self.bootstrapper),
            ("shards", &self.shards),
            ("log_level", &self.log_level),
        ];
        let mut flags = parse_set(&self.set)?;
        let given = named
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.as_deref()?)));
        flags.extend(given.map(|(key, value)| Flag::named(key, value)));
        Ok(flags)
    }
}

/// The assignments of `--set`.
pub(crate) fn parse_set(assignments: &[String]) -> Result<Vec<Flag>, Failure> {
    let parse = |text: &String| {
        Flag::set(text)
            .ok_or_else(|| Failure::usage(format!("flag --set: `{text}` is not KEY=VALUE")))
    };
    assignments.iter().map(parse).collect()
}

/// Runs the node until it is told to end.
fn serve(config: Config) -> Result<Exit, Failure> {
    match node::runtime::serve(config) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(Failure::new(error.exit(), error.to_string())),
    }
}

/// Asks the kernel to kill this process when its parent ends. The parent may have ended before the
/// kernel was asked, so it is compared afterwards.
fn end_with_parent(parent: i32) -> Result<(), Failure> {
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    asked.map_err(|error| Failure::new(Exit::Bug, format!("cannot follow the parent: {error}")))?;
    if rustix::process::getppid() == Pid::from_raw(parent) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--parent-pid {parent} is not the parent of this process"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    #[test]
    fn only_variables_of_ours_have_to_be_unicode() {
        let broken = || OsString::from_vec(vec![0xff]);
        let read = |name: &str| environment([(OsString::from(name), broken())].into_iter());
        assert_eq!(read("UNRELATED").ok(), Some(vec![]));
        let refused = read("CHORDITE_SHARDS").unwrap_err().message;
        assert!(refused.contains("CHORDITE_SHARDS"), "{refused}");
    }
}

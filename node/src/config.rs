//! The configuration of a node: one INI file, typed and checked.
//!
//! Layers: defaults < file < environment (`CHORDITE_…`) < flags. The table in [`keys`] is the only
//! place that knows the keys; parsing, ranges, errors and the reference text all follow from it.
//! Every error is one line that names where the setting came from (file and line, variable or
//! flag). Nothing here opens keys, certificates or sockets.

mod error;
mod ini;
pub mod keys;
mod layers;
mod nearest;
mod relations;
mod value;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::peer::{NodeName, RingParams};

use crate::engine::wal::settings::SyncPolicy;

pub use error::ConfigError;
pub use layers::{ENVIRONMENT_PREFIX, Flag};
pub(crate) use value::show_sync;
pub use value::{IoDriver, LogFormat, LogLevel, parse_duration};

/// All settings of a node; [`keys::KEYS`] documents each with its unit, default and range.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    missing_docs,
    reason = "the fields carry the names of the keys, documented in KEYS"
)]
pub struct Config {
    pub hostkey: PathBuf,
    pub api_address: SocketAddr,
    pub p2p_address: SocketAddr,
    pub admin_address: SocketAddr,
    pub advertise: NodeName,
    pub bootstrapper: Vec<NodeName>,
    pub hostcert: PathBuf,
    pub ca_cert: Vec<PathBuf>,
    pub data_dir: Option<PathBuf>,
    pub ring: String,
    pub shards: u8,
    pub replication: u8,
    pub write_quorum: u8,
    pub successors: u8,
    pub virtual_nodes: u16,
    pub virtual_nodes_max: u16,
    pub finger_bits: u8,
    pub stabilize_interval: Duration,
    pub request_deadline: Duration,
    pub ttl_default: Duration,
    pub ttl_min: Duration,
    pub ttl_max: Duration,
    pub value_max: u32,
    pub memory_max: u64,
    pub fsync: SyncPolicy,
    pub segment_bytes: u32,
    pub wal_space_percent: u32,
    pub io_driver: IoDriver,
    pub busy_poll_us: u32,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
    pub log_file: Option<PathBuf>,
    /// Where each key was set, see [`Config::place_of`].
    pub places: Places,
}

/// Where keys were set.
pub type Places = BTreeMap<&'static str, String>;

impl Config {
    /// Reads `file`, when there is one, below `environment` and `flags`, and checks the whole.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[Flag],
    ) -> Result<Self, ConfigError> {
        let settings = layers::merge(file, environment, flags)?;
        let mut config = Self::blank();
        for key in keys::KEYS {
            if let Some(setting) = settings.get(key.name) {
                key.apply(&mut config, setting)?;
                config.places.insert(key.name, setting.at.clone());
            }
        }
        relations::complete(&mut config, &settings)?;
        relations::check(&config, &settings)?;
        Ok(config)
    }

    /// Where `key` was set: file and line, variable or flag, or `default`. For errors that show
    /// only when a value is used, such as an address that is taken.
    #[must_use]
    pub fn place_of(&self, key: &str) -> &str {
        self.places.get(key).map_or("default", String::as_str)
    }

    /// What every member of the ring must agree on.
    #[must_use]
    pub fn ring_params(&self) -> RingParams {
        RingParams {
            ring: Arc::from(self.ring.as_str()),
            successors: self.successors,
            replication: self.replication,
            virtual_nodes_max: self.virtual_nodes_max,
            value_max: self.value_max,
        }
    }

    /// All defaults, for tests and tools that start a node from code: the paths of key and
    /// certificates are empty.
    ///
    /// # Panics
    /// Never, as long as the defaults of the table are valid, which a test asserts.
    #[must_use]
    pub fn defaults() -> Self {
        let mut config = Self::blank();
        for key in keys::KEYS.iter().filter(|key| !key.is_required()) {
            let setting = layers::Setting::by_default(key);
            let applied = key.apply(&mut config, &setting);
            assert!(applied.is_ok(), "the default of `{}` is valid", key.name);
        }
        config
    }

    /// A value in every field for the table to overwrite.
    fn blank() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let advertise = NodeName::parse(DEFAULT_P2P_ADDRESS);
        Self {
            hostkey: PathBuf::new(),
            api_address: nowhere,
            p2p_address: nowhere,
            admin_address: nowhere,
            advertise: advertise.expect("the default p2p_address names a node"),
            bootstrapper: Vec::new(),
            hostcert: PathBuf::new(),
            ca_cert: Vec::new(),
            data_dir: None,
            ring: String::new(),
            shards: 0,
            replication: 0,
            write_quorum: 0,
            successors: 0,
            virtual_nodes: 0,
            virtual_nodes_max: 0,
            finger_bits: 0,
            stabilize_interval: Duration::ZERO,
            request_deadline: Duration::ZERO,
            ttl_default: Duration::ZERO,
            ttl_min: Duration::ZERO,
            ttl_max: Duration::ZERO,
            value_max: 0,
            memory_max: 0,
            fsync: SyncPolicy::Always,
            segment_bytes: 0,
            wal_space_percent: 0,
            io_driver: IoDriver::Auto,
            busy_poll_us: 0,
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
            log_file: None,
            places: Places::new(),
        }
    }
}

/// Where peers are listened for when nothing else is said.
const DEFAULT_P2P_ADDRESS: &str = "127.0.0.1:7501";

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "hostkey = key.pem\n[dht]\nhostcert = cert.pem\nca_cert = ca.pem\n";

    fn load(
        text: &str,
        environment: &[(&str, &str)],
        flags: &[Flag],
    ) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.ini");
        std::fs::write(&file, text).unwrap();
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(&file), environment, flags)
    }

    /// The error of `text` as one line, the folder of the file taken off.
    fn error(text: &str, environment: &[(&str, &str)], flags: &[Flag]) -> String {
        let error = load(text, environment, flags).expect_err(text).to_string();
        match (error.find("/"), error.find("node.ini")) {
            (Some(folder), Some(file)) if folder < file => {
                format!("{}{}", &error[..folder], &error[file..])
            }
            _ => error,
        }
    }

    #[test]
    fn defaults_are_those_of_the_table() {
        let config = Config::defaults();
        assert_eq!(config.api_address.to_string(), "127.0.0.1:7401");
        assert_eq!(
            (config.replication, config.write_quorum, config.successors),
            (3, 2, 16)
        );
        assert_eq!(config.advertise.as_str(), "127.0.0.1:7501");
        assert_eq!(config.data_dir, None);
        assert!((1..=64).contains(&config.shards));
    }

    #[test]
    fn every_layer_goes_above_the_one_before() {
        let text = format!("{MINIMAL}successors = 4\nreplication = 4\nshards = 4\n");
        let environment = [("CHORDITE_REPLICATION", "5"), ("CHORDITE_SHARDS", "5")];
        let flags = [Flag::set("shards=6").unwrap()];
        let config = load(&text, &environment, &flags).unwrap();
        assert_eq!(
            (config.successors, config.replication, config.shards),
            (4, 5, 6)
        );
    }

    #[test]
    fn a_shared_windows_file_is_read() {
        let text = "\u{feff}hostkey = \"/k/key.pem\"\r\n[gossip]\r\ncache_size = 50\r\n[dht]\r\n\
                    ; ours\r\nhostcert = sub/cert.pem\r\nca_cert = a.pem, /b.pem\r\n\
                    bootstrapper = one.example.org:7501, [::1]:7502\r\nttl_max = 90d\r\n\
                    memory_max = 64MiB\r\n[onion]\r\nhostkey = x\r\n";
        let config = load(text, &[], &[]).unwrap();
        assert_eq!(config.hostkey, PathBuf::from("/k/key.pem"));
        assert!(config.hostcert.is_absolute() && config.hostcert.ends_with("sub/cert.pem"));
        assert_eq!(config.ca_cert[1], PathBuf::from("/b.pem"));
        assert_eq!(config.bootstrapper[1].as_str(), "[::1]:7502");
        assert_eq!(config.ttl_max, Duration::from_secs(90 * 86_400));
        assert_eq!(config.memory_max, 64 << 20);
    }

    #[test]
    fn only_lists_of_paths_are_split_at_commas() {
        let text = "hostkey = a,b.pem\n[dht]\nhostcert = c, d.pem\nca_cert = e.pem, f.pem\n\
                    data_dir = g,h\n";
        let config = load(text, &[], &[]).unwrap();
        assert!(config.hostkey.ends_with("a,b.pem"), "{:?}", config.hostkey);
        assert!(config.hostcert.ends_with("c, d.pem"));
        assert!(config.data_dir.unwrap().ends_with("g,h"));
        assert_eq!(config.ca_cert.len(), 2);
        assert!(config.ca_cert.iter().all(|path| path.is_absolute()));
    }

    #[test]
    fn the_own_name_is_no_bootstrapper_and_follows_the_address() {
        let text = format!("{MINIMAL}p2p_address = localhost:9\nbootstrapper = localhost:9\n");
        let config = load(&text, &[], &[]).unwrap();
        assert_eq!(config.advertise.as_str(), "localhost:9");
        assert!(config.bootstrapper.is_empty());
    }

    #[test]
    fn foreign_variables_of_our_prefix_are_passed_over() {
        let environment = [
            ("CHORDITE_SERVICE_HOST", "10.0.0.1"),
            ("CHORDITE_PORT", "tcp://x:1"),
        ];
        assert!(load(MINIMAL, &environment, &[]).is_ok());
    }

    /// One row a wrong line: what is appended to the minimal file (as line 5) and the error after
    /// `node.ini:5: `.
    const WRONG_LINES: &[(&str, &str)] = &[
        (
            "nonsense",
            "`nonsense` is neither `key = value` nor `[section]` nor a comment",
        ),
        ("[dth]", "unknown section [dth]; did you mean [dht]?"),
        (
            "[colours]",
            "unknown section [colours]; the node's own is [dht]",
        ),
        (
            "[security]",
            "unknown section [security]; this version does not have that capability",
        ),
        (
            "replicaton = 3",
            "unknown key `replicaton`; did you mean `replication`?",
        ),
        (
            "colour = red",
            "unknown key `colour`; `chordite serve --help-config` lists all keys",
        ),
        (
            "hostkey = b.pem",
            "`hostkey` belongs before the first section",
        ),
        (
            "ca_cert = b.pem",
            "`ca_cert` is set a second time; the first is on line 4",
        ),
        (
            "api_address = here",
            "api_address = here: there is no port; allowed: ADDRESS:PORT, [IPv6]:PORT or \
             HOST:PORT, port 1 to 65535",
        ),
        (
            "p2p_address = 127.0.0.1:0",
            "p2p_address = 127.0.0.1:0: the port is not a number from 1 to 65535; allowed: \
             ADDRESS:PORT, [IPv6]:PORT or HOST:PORT, port 1 to 65535",
        ),
        (
            "admin_address = ::1:80",
            "admin_address = ::1:80: the host is no IPv4 address, [IPv6] address or DNS name; \
             allowed: ADDRESS:PORT, [IPv6]:PORT or HOST:PORT, port 1 to 65535",
        ),
        (
            "advertise = a b:1",
            "advertise = a b:1: the host is no IPv4 address, [IPv6] address or DNS name; allowed: \
             HOST:PORT, port 1 to 65535, or blank",
        ),
        (
            "bootstrapper = a:1, b",
            "bootstrapper = a:1, b: there is no port; allowed: HOST:PORT, several separated by \
             commas, or blank",
        ),
        (
            "ring = my ring",
            "ring = my ring: not a name of a ring; allowed: 1 to 64 letters, digits, `-`, `_` and \
             `.`",
        ),
        (
            "shards = 65",
            "shards = 65: too large; allowed: `cores` or a whole number from 1 to 64",
        ),
        (
            "replication = 0",
            "replication = 0: too small; allowed: a whole number from 1 to 16",
        ),
        (
            "replication = 3 ; three",
            "replication = 3 ; three: not a whole number (a comment needs a line of its own); \
             allowed: a whole number from 1 to 16",
        ),
        (
            "write_quorum = two",
            "write_quorum = two: not a whole number; allowed: a whole number from 1 to 16",
        ),
        (
            "successors = 65",
            "successors = 65: too large; allowed: a whole number from 1 to 64",
        ),
        (
            "virtual_nodes = -1",
            "virtual_nodes = -1: not a whole number; allowed: a whole number from 1 to 256",
        ),
        (
            "virtual_nodes_max = 257",
            "virtual_nodes_max = 257: too large; allowed: a whole number from 1 to 256",
        ),
        (
            "finger_bits = 3",
            "finger_bits = 3: not one of these; allowed: 1 | 2 | 4 | 8",
        ),
        (
            "stabilize_interval = 5ms",
            "stabilize_interval = 5ms: too small; allowed: a duration from 10ms to 10m (units ms, \
             s, m, h, d; plain numbers are seconds)",
        ),
        (
            "request_deadline = soon",
            "request_deadline = soon: not a duration; allowed: a duration from 50ms to 5m (units \
             ms, s, m, h, d; plain numbers are seconds)",
        ),
        (
            "ttl_default = 0",
            "ttl_default = 0: too small; allowed: a duration from 1s to 3650d (units ms, s, m, h, \
             d; plain numbers are seconds)",
        ),
        (
            "value_max = 65496",
            "value_max = 65496: too large; allowed: a size from 1 to 65495 (units KiB, MiB, GiB, \
             TiB; plain numbers are bytes)",
        ),
        (
            "memory_max = 1GB",
            "memory_max = 1GB: not a size; allowed: a size from 64KiB to 16TiB (units KiB, MiB, \
             GiB, TiB; plain numbers are bytes)",
        ),
        (
            "fsync = maybe",
            "fsync = maybe: not one of these; allowed: always | interval | interval(MS), MS from 1 \
             to 60000, 100 where none is given | never",
        ),
        (
            "fsync = interval(0)",
            "fsync = interval(0): too small; allowed: always | interval | interval(MS), MS from 1 \
             to 60000, 100 where none is given | never",
        ),
        (
            "segment_bytes = 300000",
            "segment_bytes = 300000: not such a multiple; allowed: a size from 256KiB to 256MiB, a \
             multiple of 4KiB (units KiB, MiB, GiB, TiB; plain numbers are bytes)",
        ),
        (
            "segment_bytes = 1GiB",
            "segment_bytes = 1GiB: too large; allowed: a size from 256KiB to 256MiB, a multiple of \
             4KiB (units KiB, MiB, GiB, TiB; plain numbers are bytes)",
        ),
        (
            "wal_space_percent = 100",
            "wal_space_percent = 100: too small; allowed: a whole number from 150 to 1000",
        ),
        (
            "io_driver = iouring",
            "io_driver = iouring: not one of these; allowed: auto | io_uring | epoll",
        ),
        (
            "busy_poll_us = 1ms",
            "busy_poll_us = 1ms: not a whole number; allowed: a whole number from 0 to 1000000",
        ),
        (
            "log_level = loud",
            "log_level = loud: not one of these; allowed: error | warn | info | debug | trace",
        ),
        (
            "log_format = xml",
            "log_format = xml: not one of these; allowed: text | json",
        ),
        (
            "write_quorum = 4",
            "write_quorum = 4: must be at most replication = 3 (default)",
        ),
        (
            "successors = 1",
            "replication = 3: must be at most successors = 1 + 1 (node.ini:5)",
        ),
        (
            "virtual_nodes = 65",
            "virtual_nodes = 65: must be at most virtual_nodes_max = 64 (default)",
        ),
        (
            "ttl_min = 13h",
            "ttl_min = 13h: must be at most ttl_default = 12h (default)",
        ),
        (
            "ttl_max = 1h",
            "ttl_default = 12h: must be at most ttl_max = 1h (node.ini:5)",
        ),
        (
            "memory_max = 64KiB\nshards = 2",
            "memory_max = 64KiB: each of 2 shards gets 32KiB, which must be above value_max = \
             65495 (default)",
        ),
        (
            "api_address = 127.0.0.1:7501",
            "api_address = 127.0.0.1:7501: must differ from p2p_address = 127.0.0.1:7501 (default)",
        ),
        (
            "p2p_address = 0.0.0.0:7501",
            "p2p_address = 0.0.0.0:7501: names no host that others could reach; set `advertise` \
             to HOST:PORT",
        ),
    ];

    #[test]
    fn every_wrong_line_is_one_error_with_file_and_line() {
        for (line, want) in WRONG_LINES {
            let found = error(&format!("{MINIMAL}{line}\n"), &[], &[]);
            let folder_off = |text: &str| match text.find("(/") {
                Some(at) => format!("{}({}", &text[..at], &text[text.rfind('/').unwrap() + 1..]),
                None => text.to_owned(),
            };
            assert_eq!(folder_off(&found), format!("node.ini:5: {want}"), "{line}");
            assert!(!found.contains('\n'));
        }
    }

    #[test]
    fn every_ranged_key_has_a_row_among_the_wrong_lines() {
        let unranged = ["hostkey", "hostcert", "ca_cert", "data_dir", "log_file"];
        for key in keys::KEYS
            .iter()
            .filter(|key| !unranged.contains(&key.name))
        {
            let has_row = WRONG_LINES
                .iter()
                .any(|(line, _)| line.starts_with(key.name));
            assert!(has_row, "{}", key.name);
        }
    }

    #[test]
    fn what_is_missing_or_blank_is_named() {
        assert_eq!(
            error("[dht]\nhostcert = a\nca_cert = b\n", &[], &[]),
            "node.ini: `hostkey` is not set (The node's private key (PEM: PKCS#8, SEC1 or \
             PKCS#1)); set it before the first section, or CHORDITE_HOSTKEY"
        );
        assert_eq!(
            error("hostkey = a\n[dht]\nhostcert =\nca_cert = b\n", &[], &[]),
            "node.ini:3: hostcert = : no path; allowed: the path of a file"
        );
        let nowhere = Path::new("/nowhere/node.ini");
        assert_eq!(
            Config::load(Some(nowhere), [], &[])
                .unwrap_err()
                .to_string(),
            "/nowhere/node.ini: cannot read the configuration: No such file or directory (os \
             error 2)"
        );
    }

    #[test]
    fn variables_and_flags_are_named_in_their_errors() {
        assert_eq!(
            error(MINIMAL, &[("CHORDITE_SHARDS", "0")], &[]),
            "environment variable CHORDITE_SHARDS: shards = 0: too small; allowed: `cores` or a \
             whole number from 1 to 64"
        );
        assert_eq!(
            error(MINIMAL, &[("CHORDITE_SHARD", "1")], &[]),
            "environment variable CHORDITE_SHARD: unknown key `shard`; did you mean `shards`?"
        );
        assert_eq!(
            error(MINIMAL, &[], &[Flag::set("shrads=1").unwrap()]),
            "flag --set: unknown key `shrads`; did you mean `shards`?"
        );
        assert_eq!(
            error(MINIMAL, &[], &[Flag::named("api_address", "x")]),
            "flag --api-address: api_address = x: there is no port; allowed: ADDRESS:PORT, \
             [IPv6]:PORT or HOST:PORT, port 1 to 65535"
        );
    }

    #[test]
    fn the_largest_value_of_every_range_fits_its_field() {
        for (key, value) in [
            ("shards", "64"),
            ("replication", "16"),
            ("write_quorum", "16"),
            ("successors", "64"),
            ("virtual_nodes", "256"),
            ("virtual_nodes_max", "256"),
            ("value_max", "65495"),
            ("memory_max", "16TiB"),
            ("segment_bytes", "256MiB"),
            ("wal_space_percent", "1000"),
            ("busy_poll_us", "1000000"),
        ] {
            let setting = layers::Setting {
                text: value.into(),
                at: String::new(),
            };
            let key = keys::find(key).unwrap();
            assert_eq!(key.apply(&mut Config::blank(), &setting), Ok(()));
        }
    }
}

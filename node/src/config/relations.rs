//! Relations between settings: what one leaves to another, and what must hold between two that are
//! each in their range. The error names the one that somebody set, and the other one with its
//! place.

use std::fmt::Display;

use proto::peer::NodeName;

use super::Config;
use super::error::ConfigError;
use super::layers::Settings;
use super::value::{show_duration, show_size};

/// Fills in what follows from other settings.
pub(super) fn complete(config: &mut Config, settings: &Settings) -> Result<(), ConfigError> {
    if settings
        .get("advertise")
        .is_none_or(|setting| setting.text.is_empty())
    {
        config.advertise = name_of_p2p(config, settings)?;
    }
    let own = config.advertise.clone();
    config.bootstrapper.retain(|name| *name != own);
    Ok(())
}

/// Checks every relation; the first that does not hold is the error.
pub(super) fn check(config: &Config, settings: &Settings) -> Result<(), ConfigError> {
    let c = config;
    let rules = [
        Rule::new(
            "write_quorum",
            "replication",
            c.write_quorum <= c.replication,
        )
        .above(c.replication),
        Rule::new(
            "replication",
            "successors",
            c.replication <= c.successors + 1,
        )
        .above(format!("{} + 1", c.successors)),
        Rule::new(
            "virtual_nodes",
            "virtual_nodes_max",
            c.virtual_nodes <= c.virtual_nodes_max,
        )
        .above(c.virtual_nodes_max),
        Rule::new("ttl_min", "ttl_default", c.ttl_min <= c.ttl_default)
            .above(show_duration(c.ttl_default)),
        Rule::new("ttl_default", "ttl_max", c.ttl_default <= c.ttl_max)
            .above(show_duration(c.ttl_max)),
        memory_rule(c),
        Rule::new("api_address", "p2p_address", c.api_address != c.p2p_address)
            .equal(c.p2p_address),
        Rule::new(
            "admin_address",
            "p2p_address",
            c.admin_address != c.p2p_address,
        )
        .equal(c.p2p_address),
        Rule::new(
            "admin_address",
            "api_address",
            c.admin_address != c.api_address,
        )
        .equal(c.api_address),
    ];
    let broken = rules.into_iter().find(|rule| !rule.holds);
    broken.map_or(Ok(()), |rule| Err(rule.error(settings)))
}

/// The name that `p2p_address` gives the node, as written: a host name keeps its place on the ring
/// when the address behind it changes.
fn name_of_p2p(config: &Config, settings: &Settings) -> Result<NodeName, ConfigError> {
    let setting = &settings["p2p_address"];
    if config.p2p_address.ip().is_unspecified() {
        return Err(ConfigError::Relation {
            at: setting.at.clone(),
            key: "p2p_address",
            value: setting.text.clone(),
            why: "names no host that others could reach; set `advertise` to HOST:PORT".into(),
        });
    }
    Ok(NodeName::parse(&setting.text).expect("an address that was parsed is a name"))
}

fn memory_rule(c: &Config) -> Rule {
    let shard_bytes = c.memory_max / u64::from(c.shards);
    let needed = u64::from(c.value_max);
    Rule {
        key: "memory_max",
        other: "value_max",
        holds: shard_bytes > needed,
        why: format!(
            "each of {} shards gets {}, which must be above value_max = {}",
            c.shards,
            show_size(shard_bytes),
            show_size(needed),
        ),
    }
}

/// One relation between `key` and `other`.
struct Rule {
    key: &'static str,
    other: &'static str,
    holds: bool,
    why: String,
}

impl Rule {
    const fn new(key: &'static str, other: &'static str, holds: bool) -> Self {
        Self {
            key,
            other,
            holds,
            why: String::new(),
        }
    }

    fn above(self, limit: impl Display) -> Self {
        let why = format!("must be at most {} = {limit}", self.other);
        Self { why, ..self }
    }

    fn equal(self, other: impl Display) -> Self {
        let why = format!("must differ from {} = {other}", self.other);
        Self { why, ..self }
    }

    /// The place to mend is the key's own, unless only the other one was set by somebody.
    fn error(self, settings: &Settings) -> ConfigError {
        let (own, other) = (&settings[self.key], &settings[self.other]);
        let at = if own.is_default() && !other.is_default() {
            other
        } else {
            own
        };
        let why = format!("{} ({})", self.why, other.at);
        ConfigError::Relation {
            at: at.at.clone(),
            key: self.key,
            value: own.text.clone(),
            why,
        }
    }
}

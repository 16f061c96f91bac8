//! The values of settings: words, whole numbers, durations and sizes, read from text and written
//! as text. Ranges are the business of the key table; here a text either has a meaning or not.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crate::engine::wal::settings::SyncPolicy;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every choice.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// The words of the choices, in the same order.
            pub const WORDS: &[&str] = &[$($word,)+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)+ })
            }
        }
    };
}

words! {
    /// How a core talks to the kernel (`io_driver`).
    IoDriver {
        /// io_uring, or epoll with one line saying why not.
        Auto = "auto",
        /// io_uring or an error.
        IoUring = "io_uring",
        /// epoll.
        Epoll = "epoll",
    }
}

words! {
    /// The least important messages that are logged (`log_level`).
    LogLevel {
        /// What went wrong.
        Error = "error",
        /// What looks wrong.
        Warn = "warn",
        /// What an operator wants to know.
        Info = "info",
        /// What a developer wants to know.
        Debug = "debug",
        /// Every message.
        Trace = "trace",
    }
}

words! {
    /// The form of a log line (`log_format`).
    LogFormat {
        /// For people.
        Text = "text",
        /// For machines.
        Json = "json",
    }
}

/// `250ms`, `1s`, `5m`, `2h`, `7d`; a plain number is seconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let ms_per_unit = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => MINUTE_MS,
        "h" => 60 * MINUTE_MS,
        "d" => DAY_MS,
        _ => return None,
    };
    number.checked_mul(ms_per_unit).map(Duration::from_millis)
}

/// The shortest text that [`parse_duration`] reads back.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let units = [
        (DAY_MS, "d"),
        (60 * MINUTE_MS, "h"),
        (MINUTE_MS, "m"),
        (1_000, "s"),
        (1, "ms"),
    ];
    let fits = units
        .iter()
        .find(|(unit_ms, _)| ms > 0 && ms.is_multiple_of(*unit_ms));
    fits.map_or_else(
        || "0s".into(),
        |(unit_ms, unit)| format!("{}{unit}", ms / unit_ms),
    )
}

/// `4096`, `64KiB`, `64MiB`, `2GiB`, `1TiB`; a plain number is bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// The shortest text that [`parse_size`] reads back.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = units
        .iter()
        .find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    fits.map_or_else(
        || format!("{bytes}"),
        |(shift, unit)| format!("{}{unit}", bytes >> shift),
    )
}

/// `always`, `never`, `interval` or `interval(MS)`.
pub(super) fn parse_sync(text: &str) -> Result<SyncPolicy, &'static str> {
    match text {
        "always" => return Ok(SyncPolicy::Always),
        "never" => return Ok(SyncPolicy::Never),
        "interval" => return Ok(SyncPolicy::Interval(SYNC_INTERVAL)),
        _ => {}
    }
    let inside = text
        .strip_prefix("interval(")
        .and_then(|rest| rest.strip_suffix(')'));
    let ms = parse_count(inside.ok_or("not one of these")?).ok_or("not a whole number")?;
    if ms < SYNC_INTERVAL_MS_MIN {
        return Err("too small");
    }
    if ms > SYNC_INTERVAL_MS_MAX {
        return Err("too large");
    }
    Ok(SyncPolicy::Interval(Duration::from_millis(ms)))
}

/// The text that [`parse_sync`] reads back.
pub(crate) fn show_sync(policy: SyncPolicy) -> String {
    match policy {
        SyncPolicy::Always => "always".into(),
        SyncPolicy::Interval(interval) => format!("interval({})", interval.as_millis()),
        SyncPolicy::Never => "never".into(),
    }
}

/// What [`parse_sync`] reads.
pub(super) fn sync_allowed() -> String {
    let (min, max) = (SYNC_INTERVAL_MS_MIN, SYNC_INTERVAL_MS_MAX);
    let ms = SYNC_INTERVAL.as_millis();
    format!(
        "always | interval | interval(MS), MS from {min} to {max}, {ms} where none is given | never"
    )
}

/// Digits only: no sign, no space, no separator.
pub(super) fn parse_count(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The socket address of `host:port`. A host name is resolved; its first IPv4 address is taken, the
/// first of all where it has none, because that is what the defaults on loopback use.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let name = proto::peer::NodeName::parse(text).map_err(|error| error.why.to_owned())?;
    let resolved = name.as_str().to_socket_addrs();
    let addresses: Vec<SocketAddr> = match resolved {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(format!("the host name cannot be resolved ({error})")),
    };
    let first_v4 = addresses.iter().find(|address| address.is_ipv4());
    let chosen = first_v4.or(addresses.first()).copied();
    chosen.ok_or_else(|| "the host name has no address".into())
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((parse_count(number)?, unit.trim_start()))
}

/// Time between two syncs when none is given.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
const SYNC_INTERVAL_MS_MIN: u64 = 1;
const SYNC_INTERVAL_MS_MAX: u64 = 60_000;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ms) in [
            ("250ms", 250),
            ("1s", 1_000),
            ("5m", 300_000),
            ("2 h", 7_200_000),
            ("7", 7_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "1w",
            "99999999999999999999",
            "18446744073709551615d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size("65495"), Some(65_495));
        assert_eq!(
            parse_size("1MB"),
            None,
            "powers of ten would be a trap beside powers of two"
        );
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for ms in [1, 250, 1_000, 61_000, 3_600_000, 86_400_000 * 30] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }
        for bytes in [1, 1024, 65_495, 64 << 20, 1 << 40] {
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
    }

    #[test]
    fn an_interval_has_milliseconds() {
        for (text, ms) in [
            ("interval", 100),
            ("interval(1)", 1),
            ("interval(60000)", 60_000),
        ] {
            let interval = SyncPolicy::Interval(Duration::from_millis(ms));
            assert_eq!(parse_sync(text), Ok(interval));
            assert_eq!(parse_sync(&show_sync(interval)), Ok(interval));
        }
        for text in [
            "interval()",
            "interval(0)",
            "interval(60001)",
            "interval(5",
            "Always",
        ] {
            assert!(parse_sync(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_name_is_resolved_to_ipv4_first() {
        assert_eq!(
            parse_address("localhost:80"),
            Ok("127.0.0.1:80".parse().unwrap())
        );
        assert_eq!(parse_address("[::1]:80"), Ok("[::1]:80".parse().unwrap()));
        assert!(parse_address("127.0.0.1:0").is_err());
    }
}

//! The rows of DHT_API.md that take time: lifetimes, stalled messages, idle connections; and the
//! addresses that the API may have.

use std::thread;
use std::time::{Duration, Instant};

use harness::certs::Authority;
use harness::deadline::{self, millis, secs};
use harness::dht::{self, Client, End, KeyBytes};
use harness::serve::{Plan, Serve};

use crate::targets::Target;

#[test]
fn lifetimes_are_clamped_and_kept() {
    let bounds = ["ttl_min = 2s", "ttl_default = 3s", "ttl_max = 4s"];
    let node = Serve::single("lifetimes", &bounds);
    let given_and_kept = [(1, 2), (0, 3), (u16::MAX, 4), (3, 3)];
    thread::scope(|scope| {
        for (ttl, kept) in given_and_kept {
            let node = &node;
            scope.spawn(move || {
                let (mut client, key) = (node.client(), dht::key(&format!("ttl {ttl}")));
                let sent = Instant::now();
                client.send(&dht::put_with(&key, ttl, 1, 0, b"mortal"));
                let lived = lifetime(&mut client, &key, sent);
                let early = secs(kept) - millis(20);
                let late = secs(kept) + EXPIRY_SLACK;
                assert!(
                    lived > early && lived < late,
                    "TTL {ttl}: lived {lived:?}, not {kept} s"
                );
            });
        }
    });
}

#[test]
fn a_second_put_replaces_the_expiry() {
    let node = Serve::single("expiry", &["ttl_min = 1s"]);
    thread::scope(|scope| {
        for (first, second) in [(1, 3), (60, 2)] {
            let node = &node;
            scope.spawn(move || {
                let (mut client, key) = (node.client(), dht::key(&format!("again {first}")));
                client.send(&dht::put_with(&key, first, 1, 0, b"first"));
                let sent = Instant::now();
                client.send(&dht::put_with(&key, second, 1, 0, b"second"));
                let lived = lifetime(&mut client, &key, sent);
                let kept = secs(u64::from(second));
                assert!(
                    lived > kept - millis(20) && lived < kept + EXPIRY_SLACK,
                    "{lived:?}"
                );
            });
        }
    });
}

/// How long `key` is still there, counted from `sent`.
fn lifetime(client: &mut Client, key: &KeyBytes, sent: Instant) -> Duration {
    assert!(
        client.read(key).is_some(),
        "a PUT is seen by the GET behind it"
    );
    let gone = || client.read(key).is_none().then(|| sent.elapsed());
    deadline::until("the value expires", secs(10), gone)
}

#[test]
fn a_stalled_message_is_closed_after_one_deadline() {
    let target = Target::single();
    let put = dht::put(&target.key("stalled"), &[1; 1000]);
    thread::scope(|scope| {
        // Silent after a few bytes, inside the header, inside the value.
        for length in [1, 3, 20, 500] {
            let (target, put) = (&target, &put);
            scope.spawn(move || {
                let mut client = target.client();
                client.send(&put[..length]);
                assert_eq!(
                    client.watch(FRAME_DEADLINE_MAX),
                    End::Closed,
                    "{length} bytes"
                );
            });
        }
        // One byte every half second: each read succeeds, the message as a whole is too slow.
        scope.spawn(|| {
            let (mut client, started) = (target.client(), Instant::now());
            let mut bytes = put.iter();
            loop {
                let sent = client.try_send(&[*bytes.next().expect("closed long before the end")]);
                if sent.is_err() || client.watch(millis(500)) == End::Closed {
                    break;
                }
                assert!(
                    started.elapsed() < FRAME_DEADLINE_MAX,
                    "a slow message is not closed"
                );
            }
        });
    });
    assert_eq!(target.client().read(&target.key("stalled")), None);
}

#[test]
fn an_idle_connection_is_kept_for_a_minute() {
    let (single, gateway) = (Target::single(), Target::gateway());
    thread::scope(|scope| {
        for target in [&single, &gateway] {
            for used in [false, true] {
                scope.spawn(move || {
                    let (mut client, key) = (target.client(), target.key("idle"));
                    if used {
                        client.write(&key, b"before");
                    }
                    assert_eq!(client.watch(secs(61)), End::Silence, "kept for 61 s");
                    client.write(&key, b"after");
                });
            }
        }
    });
}

#[test]
fn the_api_listens_on_ipv6_and_on_host_names() {
    for host in ["[::1]", "localhost"] {
        let mut plan = Plan::local("hosts");
        plan.host = host.to_owned();
        plan.write(&Authority::create("hosts"));
        let ports = plan.ports;
        let node = plan.start();
        let address = |port: u16| {
            use std::net::ToSocketAddrs as _;
            let mut found = format!("{host}:{port}")
                .to_socket_addrs()
                .expect("a local name");
            found.next().expect("an address")
        };
        deadline::until("the node is ready", secs(20), || {
            let reply = harness::http::get(address(ports[2]), "/readyz", secs(2)).ok()?;
            (reply.status == 200).then_some(())
        });
        let mut client = Client::connect(address(ports[0]));
        client.write(&dht::key("host"), host.as_bytes());
        drop(node);
    }
}

const EXPIRY_SLACK: Duration = Duration::from_millis(1500);
/// The node's deadline is 10 s; two busy cores may add to it.
const FRAME_DEADLINE_MAX: Duration = Duration::from_secs(14);

//! The ID-mapping attack: a member that names an id of its own choice, for itself or for others, is
//! refused, and so is one that speaks for somebody else. Nobody's neighbours change.

use std::net::TcpListener;

use harness::certs::{Authority, Subject};
use harness::circle;
use harness::deadline::secs;
use harness::http;
use harness::native::{Native, Own};
use harness::serve::{Plan, Serve};
use proto::codec;
use proto::message::{
    FindSuccessor, Found, Join, JoinAnswer, Leave, Message, Neighbours, NextHopAnswer, Notify,
    RequestId, Role,
};
use proto::peer::{NodeName, Peer};

/// A ring of one, and an attacker whose certificate is in order.
struct Rig {
    node: Serve,
    authority: Authority,
    attacker: Peer,
}

impl Rig {
    fn start() -> Self {
        let authority = Authority::create("attack");
        let node = Serve::signed_by(&authority, RING, &[]);
        Self {
            node,
            authority,
            attacker: peer("127.0.0.1:1"),
        }
    }

    fn dial(&self) -> Native {
        let name = self.attacker.name();
        let pems = self.authority.issue(&Subject::node(RING, name));
        let own = Own::new(pems, RING, name, Role::Node);
        let victim = self.node.plan.name();
        let addr = victim.as_str().parse().expect("an address");
        Native::dial(addr, &own, Some(&victim)).expect("a member in order is welcome")
    }

    fn expect_unmoved(&self) {
        let ring = http::get(self.node.plan.admin(), "/ring", secs(5))
            .expect("an answer")
            .json();
        assert_eq!(ring.as_array().map(Vec::len), Some(1), "{ring}");
        let status = http::get(self.node.plan.admin(), "/status", secs(5)).expect("an answer");
        let named = status.body.contains(&self.attacker.id().to_string());
        assert!(
            !named,
            "the attacker has a place in the ring: {}",
            status.body
        );
    }
}

#[test]
fn an_id_that_does_not_follow_from_its_name_is_refused() {
    let rig = Rig::start();
    let me = rig.attacker.clone();
    let messages = [
        Message::Notify(Notify {
            vnode: 0,
            candidate: me.clone(),
        }),
        Message::Join(Join {
            vnode: 0,
            joiner: me.clone(),
        }),
        Message::FindSuccessor(FindSuccessor {
            target: me.id(),
            origin: me.clone(),
            lookup: RequestId(7),
            hops: 1,
            timeouts: 0,
            path: None,
        }),
        Message::Leave(Leave {
            vnode: 0,
            leaver: me.clone(),
            predecessor: Some(me.clone()),
            successors: vec![me.clone()],
        }),
    ];
    for message in messages {
        let mut link = rig.dial();
        link.send_bytes(&with_chosen_id(&message, &me));
        let reason = link.expect_refused();
        assert!(reason.contains("id"), "the attacker is told why: {reason}");
        rig.node.wait_log(&["id", "127.0.0.1:1"]);
        rig.expect_unmoved();
    }
}

#[test]
fn who_speaks_for_another_member_is_refused() {
    let rig = Rig::start();
    let other = peer("127.0.0.1:2");
    let messages = [
        Message::Notify(Notify {
            vnode: 0,
            candidate: other.clone(),
        }),
        Message::Join(Join {
            vnode: 0,
            joiner: other.clone(),
        }),
        Message::Leave(Leave {
            vnode: 0,
            leaver: other.clone(),
            predecessor: None,
            successors: Vec::new(),
        }),
    ];
    for message in messages {
        let mut link = rig.dial();
        link.send(&message);
        let reason = link.expect_refused();
        assert!(
            reason.contains("127.0.0.1:2"),
            "the attacker is told why: {reason}"
        );
        rig.node.wait_log(&["127.0.0.1:2"]);
        rig.expect_unmoved();
        let status = http::get(rig.node.plan.admin(), "/status", secs(5)).expect("an answer");
        assert!(
            !status.body.contains(&other.id().to_string()),
            "{}",
            status.body
        );
    }
}

#[test]
fn an_answer_with_a_chosen_id_is_refused() {
    let authority = Authority::create("attack");
    let listener = TcpListener::bind(("127.0.0.1", harness::ports::reserve(1))).expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let attacker = peer(&address);
    let mut plan = Plan::local(RING);
    plan.bootstrapper = vec![address];
    plan.write(&authority);
    let node = plan.start();

    let pems = authority.issue(&Subject::node(RING, attacker.name()));
    let own = Own::new(pems, RING, attacker.name(), Role::Node);
    let mut link = Native::accept(&listener, &own, secs(20)).expect("the node trusts us so far");
    let asked =
        link.receive(|request, message| lie(&attacker, message).map(|answer| (request, answer)));
    let (request, answer) = asked.expect("a joining node asks something");
    let mut frame = with_chosen_id(&answer, &attacker);
    frame[8..16].copy_from_slice(&request.0.to_le_bytes());
    link.send_bytes(&frame);

    let reason = link.expect_refused();
    assert!(reason.contains("id"), "the attacker is told why: {reason}");
    node.wait_log(&["id", attacker.name().as_str()]);
    let ready = http::get(node.plan.admin(), "/readyz", secs(5)).expect("an answer");
    assert_eq!(
        ready.status, 503,
        "it has not joined through a lie: {}",
        ready.body
    );
}

/// What a liar answers to a joining node, on the link it was asked on.
fn lie(me: &Peer, asked: &Message<'_>) -> Option<Message<'static>> {
    let (me, predecessor) = (me.clone(), Some(me.clone()));
    Some(match asked {
        Message::FindSuccessor(find) => Message::Found(Found {
            lookup: find.lookup,
            owner: me,
            predecessor,
            hops: 1,
            timeouts: 0,
            path: None,
        }),
        Message::NextHop(_) => Message::NextHopAnswer(NextHopAnswer::Owner {
            owner: me,
            predecessor,
        }),
        Message::GetNeighbours(_) => {
            let successors = vec![me.clone()];
            Message::Neighbours(Neighbours {
                member: me,
                predecessor,
                successors,
            })
        }
        Message::Join(_) => {
            let successors = vec![me.clone()];
            Message::JoinAnswer(JoinAnswer::Accepted {
                predecessor: me,
                successors,
            })
        }
        _ => return None,
    })
}

/// The frame of `message` with one bit of `of`'s id turned, wherever it stands.
fn with_chosen_id(message: &Message<'_>, of: &Peer) -> Vec<u8> {
    let mut frame = Vec::new();
    codec::encode(&mut frame, RequestId(1), message);
    let id = *of.id().as_bytes();
    // The target of a lookup is nobody's id and may be chosen.
    let skipped = usize::from(matches!(message, Message::FindSuccessor(_)));
    let places: Vec<usize> = (0..frame.len() - 31)
        .filter(|at| frame[*at..*at + 32] == id)
        .collect();
    assert!(places.len() > skipped, "the frame names the id");
    for at in &places[skipped..] {
        frame[at + 31] ^= 1;
    }
    frame
}

fn peer(name: &str) -> Peer {
    let name = NodeName::parse(name).expect("a name");
    Peer::derive(&circle::params(RING), &name, 0).expect("index 0 always exists")
}

const RING: &str = "attack";

//! Rules about ZMTP hold for what real applications speak in TCP through the interface: what a flow turns out to be that no rule
//! accepts is reset at both ends.
//!
//! ```text
//!  alpha: SUB, PULL, PLAIN, plain TCP ── lockgate0 ══ tunnel ══ lockgate0 ── beta: PUB, PUSH, a listener
//!    5555: SUB and PUB only      5600: any ZMTP but NULL
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use lockgate_tests::network::{Lab, Namespace, SOON, eventually};

use super::{Net, PROMISE, Role, now};

/// There is no `[[allow]]`: these alone decide.
const POLICY: &str = "default = \"deny\"\nrules = '''\n\
    accept ipprotocol tcp and ( dport 5555 or sport 5555 ) and zmtp socket-type SUB;\n\
    drop ipprotocol tcp and ( dport 5555 or sport 5555 );\n\
    drop ipprotocol tcp and ( dport 5600 or sport 5600 ) and zmtp mechanism NULL;\n\
    accept ipprotocol tcp and ( dport 5600 or sport 5600 ) and zmtp;\n\
    drop;\n'''\n[tags]\nrole = [\"edge\"]\n[nodes]\nalpha = { role = \"edge\" }\nbeta = { role = \"edge\" }\n";

/// What libzmq says of an end of a connection.
const ENDS: [u32; 4] = [0x0200, 0x0800, 0x2000, 0x4000];

/// A real application: its threads are in the namespace.
struct App {
    context: zmq::Context,
    socket: zmq::Socket,
    monitor: zmq::Socket,
}

impl App {
    /// `set` gives the socket its options, and a place.
    fn start(
        host: &Namespace,
        kind: zmq::SocketType,
        set: impl FnOnce(&zmq::Socket) -> zmq::Result<()> + Send,
    ) -> Self {
        let millis = i32::try_from(SOON.as_millis()).expect("half a minute");
        host.enter(|| {
            let context = zmq::Context::new();
            let make = || -> zmq::Result<Self> {
                let (socket, monitor) = (context.socket(kind)?, context.socket(zmq::PAIR)?);
                socket.monitor("inproc://monitor", zmq::SocketEvent::ALL.to_raw().into())?;
                monitor.connect("inproc://monitor")?;
                for socket in [&socket, &monitor] {
                    socket.set_rcvtimeo(millis)?;
                    socket.set_sndtimeo(millis)?;
                    socket.set_linger(0)?;
                }
                // One connection is looked at, not what comes after it.
                socket.set_reconnect_ivl(-1)?;
                set(&socket)?;
                Ok(Self { context: context.clone(), socket, monitor })
            };
            make().expect("a socket at its place")
        })
    }

    /// Answers the first question about a password (ZAP, RFC 27).
    fn let_everybody_in(&self) {
        let gate = self.context.socket(zmq::REP).expect("a socket");
        gate.bind("inproc://zeromq.zap.01").expect("nobody else asks");
        std::thread::spawn(move || {
            // The context may end before anybody asks.
            let Ok(question) = gate.recv_multipart(0) else { return };
            let answer = [&question[0][..], &question[1], b"200", b"OK", b"", b""];
            gate.send_multipart(answer, 0).expect("it waits for the answer");
        });
    }

    /// Waits until the connection has ended.
    fn await_end(&self) {
        loop {
            let parts = self.monitor.recv_multipart(0).expect("an end in time");
            let event = u16::from_le_bytes([parts[0][0], parts[0][1]]);
            if ENDS.contains(&u32::from(event)) {
                return;
            }
        }
    }
}

fn at(address: SocketAddr) -> String {
    format!("tcp://{address}")
}

fn net(lab: &Lab) -> Net<2> {
    Net::start(lab, ["alpha", "beta"].map(Role::named), POLICY)
}

#[test]
fn an_allowed_socket_type_talks_and_another_is_reset_at_both_ends() {
    let Some(lab) = Lab::open(&[]) else { return };
    let net = net(&lab);
    let [alpha, beta] = &net.hosts;
    let place = at(beta.at(5555));
    let publisher = App::start(&beta.namespace, zmq::XPUB, |socket| socket.bind(&place));
    let subscriber = App::start(&alpha.namespace, zmq::SUB, |socket| {
        socket.set_subscribe(b"")?;
        socket.connect(&place)
    });
    assert_eq!(publisher.socket.recv_bytes(0).expect("the subscription"), [1]);
    for number in 0..1000_u32 {
        publisher.socket.send(&number.to_be_bytes()[..], 0).expect("a subscriber is there");
        assert_eq!(subscriber.socket.recv_bytes(0).expect("the message"), number.to_be_bytes());
    }
    assert_eq!(alpha.count("/discards/wrong_speech") + beta.count("/discards/wrong_speech"), 0);
    drop((publisher, subscriber));

    let begun = now();
    let pusher = App::start(&beta.namespace, zmq::PUSH, |socket| socket.bind(&place));
    let puller = App::start(&alpha.namespace, zmq::PULL, |socket| socket.connect(&place));
    puller.await_end();
    pusher.await_end();
    let took = begun.elapsed();
    eprintln!("a PULL in the place of a SUB was cut off at both ends after {took:?}");
    assert!(took <= PROMISE * 2, "it took {took:?}");
    assert_eq!(pusher.socket.send("secret", zmq::DONTWAIT), Err(zmq::Error::EAGAIN), "nobody is there");
    let refused = || alpha.count("/discards/wrong_speech") + beta.count("/discards/wrong_speech");
    eventually("counted", SOON, || (refused() >= 1).then_some(()));
    net.assert_no_errors();
}

#[test]
fn a_mechanism_that_a_rule_drops_is_reset_and_another_talks() {
    let Some(lab) = Lab::open(&[]) else { return };
    let net = net(&lab);
    let [alpha, beta] = &net.hosts;
    let place = at(beta.at(5600));
    let pusher = App::start(&beta.namespace, zmq::PUSH, |socket| {
        socket.set_plain_server(true)?;
        socket.bind(&place)
    });
    pusher.let_everybody_in();
    let puller = App::start(&alpha.namespace, zmq::PULL, |socket| {
        socket.set_plain_username(Some("reader"))?;
        socket.set_plain_password(Some("of the test"))?;
        socket.connect(&place)
    });
    for number in 0..100_u32 {
        pusher.socket.send(&number.to_be_bytes()[..], 0).expect("somebody is there");
        assert_eq!(puller.socket.recv_bytes(0).expect("the message"), number.to_be_bytes());
    }
    drop((pusher, puller));

    let pusher = App::start(&beta.namespace, zmq::PUSH, |socket| socket.bind(&place));
    let puller = App::start(&alpha.namespace, zmq::PULL, |socket| socket.connect(&place));
    puller.await_end();
    pusher.await_end();
    assert_eq!(pusher.socket.send("secret", zmq::DONTWAIT), Err(zmq::Error::EAGAIN), "nobody is there");
    net.assert_no_errors();
}

#[test]
fn plain_tcp_where_rules_accept_zmtp_is_reset_at_both_ends() {
    let Some(lab) = Lab::open(&[]) else { return };
    let net = net(&lab);
    let [alpha, beta] = &net.hosts;
    #[expect(clippy::disallowed_methods, reason = "the application")]
    let listener = beta.namespace.enter(|| TcpListener::bind(beta.at(5600))).expect("a free port");
    let target = beta.at(5600);
    let mut client =
        alpha.namespace.enter(|| TcpStream::connect_timeout(&target, SOON)).expect("undecided yet");
    let (mut server, _) = listener.accept().expect("it is connected");
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(SOON)).expect("a valid time");
    }
    let begun = now();
    client.write_all(b"GET / HTTP/1.1\r\nHost: beta\r\n\r\n").expect("it is open yet");
    let mut came = [0; 64];
    for (who, stream) in [("client", &mut client), ("server", &mut server)] {
        let error = loop {
            match stream.read(&mut came) {
                Ok(0) => panic!("the {who} sees a clean end"),
                Ok(length) => panic!("the {who} gets {:?}", String::from_utf8_lossy(&came[..length])),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the {who}: {error}");
    }
    let took: Duration = begun.elapsed();
    eprintln!("plain TCP was reset at both ends after {took:?}");
    assert!(took <= PROMISE, "it took {took:?}");
    assert_eq!(alpha.count("/discards/wrong_speech"), 1, "{}", alpha.node.status());
    net.assert_no_errors();
}

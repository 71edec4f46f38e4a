//! The applications: libzmq sockets in processes of their own, which print what they measured.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::{Duration, Instant};

use zmq::{Context, Socket, SocketType};

/// What ends a stream: no measured message is this short.
const END: &[u8] = b"end";
/// Part of each run that is not counted, at its start.
const WARM_UP: f64 = 0.2;
/// When an application gives up on its peer.
const STUCK_MS: i32 = 60_000;

/// Plays `role`: `pull ENDPOINT`, `push ENDPOINT BYTES SECONDS`, `rep ENDPOINT` or `req ENDPOINT BYTES TRIPS`.
pub(crate) fn be(role: &str, arguments: &[String]) {
    let argument =
        |at: usize| arguments.get(at).unwrap_or_else(|| panic!("{role} lacks an argument")).as_str();
    let number = |at: usize| argument(at).parse::<f64>().expect("a number");
    match role {
        "pull" => pull(argument(0)),
        "push" => push(argument(0), number(1) as usize, number(2)),
        "rep" => rep(argument(0)),
        "req" => req(argument(0), number(1) as usize, number(2) as u64),
        _ => panic!("no application is called {role}"),
    }
}

fn socket(kind: SocketType) -> Socket {
    let socket = Context::new().socket(kind).expect("libzmq makes a socket");
    socket.set_linger(STUCK_MS).expect("an option");
    socket.set_rcvtimeo(STUCK_MS).expect("an option");
    socket.set_sndtimeo(STUCK_MS).expect("an option");
    socket
}

fn listening(kind: SocketType, endpoint: &str) -> Socket {
    let socket = socket(kind);
    socket.bind(endpoint).expect("a free endpoint");
    println!("listening");
    socket
}

/// Counts from the end of the warm-up, which the sender marks with a message of one byte, to the end mark.
fn pull(endpoint: &str) {
    let socket = listening(zmq::PULL, endpoint);
    let mut message = zmq::Message::new();
    let mut receive = || {
        socket.recv(&mut message, 0).expect("the sender sends");
        (message.len(), &message[..] == END)
    };
    while receive().0 != 1 {}
    println!("measuring");
    let start = Instant::now();
    let mut count = 0_u64;
    while !receive().1 {
        count += 1;
    }
    println!("{count} {}", start.elapsed().as_secs_f64());
}

fn push(endpoint: &str, size: usize, seconds: f64) {
    let socket = socket(zmq::PUSH);
    socket.connect(endpoint).expect("an endpoint");
    let payload = vec![b'x'; size];
    let send_for = |time: f64| {
        let end = Instant::now() + Duration::from_secs_f64(time);
        while Instant::now() < end {
            for _ in 0..32 {
                socket.send(payload.as_slice(), 0).expect("the receiver takes it");
            }
        }
    };
    send_for(seconds * WARM_UP);
    socket.send("m", 0).expect("the receiver takes it");
    send_for(seconds);
    socket.send(END, 0).expect("the receiver takes it");
}

fn rep(endpoint: &str) {
    let socket = listening(zmq::REP, endpoint);
    loop {
        let request = socket.recv_msg(0).expect("the client asks");
        let end = &request[..] == END;
        socket.send(request, 0).expect("the client waits");
        if end {
            return;
        }
    }
}

fn req(endpoint: &str, size: usize, trips: u64) {
    let socket = socket(zmq::REQ);
    socket.connect(endpoint).expect("an endpoint");
    let payload = vec![b'x'; size];
    let trip = |payload: &[u8]| {
        let start = Instant::now();
        socket.send(payload, 0).expect("the server takes it");
        socket.recv_msg(0).expect("the server answers");
        start.elapsed().as_secs_f64() * 1e6
    };
    for _ in 0..trips / 5 {
        trip(&payload);
    }
    println!("measuring");
    let mut times: Vec<f64> = (0..trips).map(|_| trip(&payload)).collect();
    times.sort_by(f64::total_cmp);
    let at = |quantile: f64| times[((times.len() - 1) as f64 * quantile) as usize];
    println!("{} {}", at(0.50), at(0.99));
    trip(END);
}

//! REQ/REP: a reply for each request, to the one that asked.

use crate::apps::{Bridge, receive_text};

#[test]
fn each_request_gets_its_own_reply() {
    let bridge = Bridge::tcp("command", "rep", "");
    let server = bridge.host(zmq::REP);
    let serving = std::thread::spawn(move || {
        for _ in 0..400 {
            let request = receive_text(&server);
            server.send(format!("re:{request}").as_str(), 0).expect("the client waits");
        }
    });
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let socket = bridge.user(zmq::REQ);
            std::thread::spawn(move || {
                for number in 0..100 {
                    let request = format!("{client}.{number}");
                    socket.send(request.as_str(), 0).expect("a server is there");
                    assert_eq!(receive_text(&socket), format!("re:{request}"));
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("each client got its replies");
    }
    serving.join().expect("the server answered them all");
    bridge.assert_no_errors();
}

#[test]
fn requests_and_replies_of_many_parts_pass_over_unix_sockets() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bridge = Bridge::ipc("command", "rep", "", dir.path());
    let server = bridge.host(zmq::REP);
    let client = bridge.user(zmq::REQ);
    client.send_multipart(["a", "", "c"], 0).expect("a server is there");
    assert_eq!(receive_text(&server), "a||c");
    server.send_multipart(["", "2"], 0).expect("the client waits");
    assert_eq!(receive_text(&client), "|2");
}

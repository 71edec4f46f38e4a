//! Real applications on real sockets: libzmq at both ends, `lockgate` processes between them.
//!
//! ```text
//!  libzmq app ── tcp/ipc ── lockgate up (alpha) ══ UDP, loopback ══ lockgate up (beta) ── tcp/ipc ── libzmq app
//! ```

mod apps;
mod zmq_client;

mod big;
mod dealer_router;
mod demo;
mod hostile;
mod narrow_path;
mod old_peers;
mod pair;
mod pipeline;
mod pubsub;
mod reload;
mod reqrep;
mod restarts;
mod staging;
mod stalled_subscriber;
mod stopping;
mod xpub_xsub;

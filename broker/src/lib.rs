//! The messages of Lockgate: local applications, the services they offer and use, and the links to other nodes.
#![forbid(unsafe_code)]

//! What applications speak: ZMTP. (A stand-in: the codec is built elsewhere.)

mod socket_type;

pub use socket_type::SocketType;

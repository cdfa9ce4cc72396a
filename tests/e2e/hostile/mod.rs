//! Clients that break the rules, by mistake or on purpose. Each is refused with the reason that the specification names, and
//! bystanders keep exchanging messages meanwhile.

mod before_connect;
mod limits;
mod packets;
mod storms;

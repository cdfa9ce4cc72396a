//! A client that keeps no rule at all: whatever it sends, in whatever order, the session neither panics nor breaks its
//! invariants, and what it sends itself stays within the protocol.

#[path = "session/noise.rs"]
mod noise;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_packets_breaks_the_session(bytes in proptest::collection::vec(any::<u8>(), 1..600)) {
        noise::run(&bytes);
    }
}

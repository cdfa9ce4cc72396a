//! The scenarios that come with the program, each a TOML file of the same format as a user's.

/// A scenario's name and text.
pub(crate) struct Builtin {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// The TOML.
    pub(crate) text: &'static str,
}

macro_rules! builtins {
    ($($name:literal),+ $(,)?) => {
        /// All of them, in the order in which they are listed.
        pub(crate) const BUILTINS: &[Builtin] =
            &[$(Builtin { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) }),+];
    };
}

builtins![
    "conn-10k-100",
    "p2p-1k-1k-1k-1k",
    "fanout-1-1k-1-1k",
    "sharesub-1k-5-1k-1k",
    "conn-tcp-1M-5K",
    "p2p-50K-50K-50K-50K",
    "fanout-5-1000-5-250K",
    "sharesub-50K-500-50K-50K",
    "pair",
    "pairs-50",
    "pairs-1000",
    "fanout-500",
    "fanin-100",
    "shared-100-20",
    "retained-storm",
    "reconnect-storm",
    "wildcard-heavy",
    "offline-drain",
    "durable",
    "large-payloads",
];

/// The text of the scenario of that name.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    BUILTINS.iter().find(|b| b.name == name).map(|b| b.text)
}

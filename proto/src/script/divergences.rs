//! Where this compiler does not do what ZeroTier's does.

/// What ZeroTier's compiler takes and this one refuses in ZeroTier's dialect: the name of a recorded script, or a script
/// that shows it, and why. What both take means the same.
pub const DIVERGENCES: &[(&str, &str)] = &[
    ("q01_or_first", OR_FIRST),
    ("accept or dport 22;", OR_FIRST),
    ("q30_unconditional_in_cap_then_more", LEAK),
    ("cap c id 1 break; accept dport 80; ; accept;", LEAK),
    ("cap c id 1; accept dport 80; ; accept;", LEAK),
    ("cap c id 1 accept dport 1; ; accept dport 2; ; accept;", LEAK),
    ("macro m accept; drop dport 80; ; accept dport 1;", LEAK),
    ("q32_include_semicolon_in_cap_leaks", LEAK),
    (
        "accept dport 80 and tag ;",
        "the unfilled block at the end is thrown away, and the action stays without its matches",
    ),
    (
        "drop dport 80; accept dport 22 not drop ",
        "an unfilled block that is thrown away, with all that is open around it",
    ),
    ("accept chr inbound,multicast;", LOST_BITS),
    ("accept chr 31,0;", LOST_BITS),
    ("q20_chr_empty", "a chr of nothing never holds"),
    ("q06_number_garbage", GARBAGE),
    ("accept dport 1e3;", GARBAGE),
    ("cap c id 1x accept dport 80; ;", GARBAGE),
    ("tag t id 1 flag 3x hi; accept;", GARBAGE),
    ("accept tand 1x 3;", GARBAGE),
    ("accept dport 22;#all", "a comment that is glued to a ; swallows it"),
    ("q12_icmp_code_garbage", "a code that cannot be read becomes any code"),
    ("tee all deadbeef11 dport 80;", "a length that cannot be read becomes -1, the whole packet"),
    ("q09_ip_mask_garbage", MASK),
    ("accept ipdest 10.0.0.0/abc;", MASK),
    ("accept ipdest 10.0.0.0/;", MASK),
    ("accept ipdest 10.0.0.0/99;", MASK),
    (
        "accept ipdest x10.0.0.1y/8;",
        "an address is found anywhere in a word, and what the controller makes of the word is another",
    ),
    ("accept random 50;", "a probability above 1 becomes 1, and one that cannot be read 0"),
    (
        "tag t id 1 enum 5 yes default Yes; accept;",
        "a default that is not known by its own spelling becomes 0",
    ),
    ("q14_default_high", "a negative default becomes its absolute value"),
    ("tag t id 1 flag , none; accept;", "a flag of no bits"),
    ("tag t id 1; tag u id 1; accept;", "of two tags with one id the controller keeps the last"),
    ("accept dport 80 and not;", "a not that stands before nothing is ignored"),
    ("accept dport 80 or;", "an or that stands before nothing is ignored"),
    ("q34_cap_over_64", "the controller cuts a capability off behind 64 entries, and the base behind 1024"),
    ("q36_macro_extra_args", "values that a macro does not take are ignored"),
    (
        "macro m($a) accept dport $a; ; include m(443)x accept;",
        "what stands behind the values of a macro is ignored",
    ),
    (
        "macro m(port) accept dport $port; ; include m(1)",
        "a parameter that does not begin with $ is never replaced",
    ),
];

const OR_FIRST: &str = "an or before the first match makes the rule true for everything";
const LEAK: &str =
    "rules leak out of a capability or macro that ended before its author meant it, and count for everybody";
const LOST_BITS: &str = "bits 63 and 31 are taken for a sign, and bits are lost or gained";
const GARBAGE: &str = "what stands behind the digits of a number is ignored";
const MASK: &str = "bits that cannot be read become 0, every address; too many become all";

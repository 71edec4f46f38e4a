//! Where we do not do what ZeroTier's compiler does, and why.

/// Scripts that upstream takes and we refuse: the line of the first mistake, and the reason.
pub(crate) const REFUSED: [(&str, u32, &str); 10] = [
    ("q01_or_first", 1, "an `or` that stands first makes its rule true for everything"),
    ("q06_number_garbage", 1, "garbage behind a number is ignored: `80abc` is 80"),
    (
        "q09_ip_mask_garbage",
        1,
        "bits that are no number are 0: the rule is for every IPv4 packet; garbage around an address is 0.0.0.0",
    ),
    ("q12_icmp_code_garbage", 1, "a code that is no number is any code"),
    ("q14_default_high", 3, "a negative default loses its sign: -5 is 5"),
    ("q20_chr_empty", 1, "a list of nothing holds nothing: under `not` it holds everything"),
    ("q30_unconditional_in_cap_then_more", 4, "the rest of the capability becomes a rule for everybody"),
    ("q32_include_semicolon_in_cap_leaks", 7, "the rest of the capability becomes a rule for everybody"),
    ("q34_cap_over_64", 2, "the controller cuts off what is behind the 64th entry, without a word"),
    (
        "q36_macro_extra_args",
        4,
        "a value without a parameter is ignored: one of the two is not what was meant",
    ),
];

/// Scripts that upstream refuses and our own dialect takes.
pub(crate) const OURS: [(&str, &str); 3] = [
    ("e45_tee_bad_target", "nodes have names"),
    ("e55_parens", "there are parentheses"),
    ("e76_redirect_bad", "nodes have names"),
];

/// Scripts that only ZeroTier's dialect refuses.
pub(crate) const ZEROTIER_ONLY: [&str; 1] = ["q34_cap_over_64"];

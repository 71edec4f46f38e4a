//! Where we do not do what ZeroTier's compiler does, and why.

/// Scripts that upstream takes and we refuse, and the line of the first mistake; the reasons are in
/// [`lockgate_proto::script::DIVERGENCES`].
pub(crate) const REFUSED: [(&str, u32); 10] = [
    ("q01_or_first", 1),
    ("q06_number_garbage", 1),
    ("q09_ip_mask_garbage", 1),
    ("q12_icmp_code_garbage", 1),
    ("q14_default_high", 3),
    ("q20_chr_empty", 1),
    ("q30_unconditional_in_cap_then_more", 4),
    ("q32_include_semicolon_in_cap_leaks", 7),
    ("q34_cap_over_64", 2),
    ("q36_macro_extra_args", 4),
];

/// Scripts that upstream refuses and our own dialect takes.
pub(crate) const OURS: [(&str, &str); 3] = [
    ("e45_tee_bad_target", "nodes have names"),
    ("e55_parens", "there are parentheses"),
    ("e76_redirect_bad", "nodes have names"),
];

/// Scripts that only ZeroTier's dialect refuses.
pub(crate) const ZEROTIER_ONLY: [&str; 1] = ["q34_cap_over_64"];

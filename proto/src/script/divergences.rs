//! Where this compiler does not do what ZeroTier's does.

/// What ZeroTier's compiler takes and this one refuses in ZeroTier's dialect: the name of a script of the vectors, or a
/// script that shows it, and why.
pub const DIVERGENCES: &[(&str, &str)] = &[];

//! Mathematical functions.
//!
//! Transcendental functions are those of fdlibm, which Java's `StrictMath` runs, so that results agree to the last digit.

mod bases;
mod bits;
mod doubles;
mod integers;
mod rounding;

pub(crate) use bases::parse_hex;

use crate::registry::{BuildScalar, Function};

/// The function of this name, in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    let build: BuildScalar = match name {
        "ceil" | "ceiling" | "floor" => rounding::ceil_floor,
        "round" | "bround" => rounding::round,
        "pow" | "power" | "hypot" | "atan2" => doubles::binary,
        "log" => doubles::log,
        "e" | "pi" => doubles::constant,
        "sign" | "signum" => doubles::signum,
        "factorial" => integers::factorial,
        "width_bucket" => integers::width_bucket,
        "conv" => bases::conv,
        "hex" => bases::hex,
        "unhex" => bases::unhex,
        "bin" => bases::bin,
        "shiftleft" | "shiftright" | "shiftrightunsigned" | "<<" | ">>" | ">>>" => bits::shift,
        "bit_count" => bits::bit_count,
        "getbit" | "bit_get" => bits::get_bit,
        name if doubles::unary_of(name).is_some() => doubles::unary,
        _ => return None,
    };
    Some(Function::Scalar(build))
}

#[cfg(test)]
mod tests;

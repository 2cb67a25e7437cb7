//! The polynomial of a repository: irreducible, of degree 53, over F2.
//!
//! It stands in `config` as a hexadecimal number whose bit `i` is the coefficient of `x^i`. Every value of [`Polynomial`] has
//! been tested, so that what computes with it may rely on a field: `x` can be divided by, and no table entry leaves its 53 bits.
//!
//! Nothing here is fast, and nothing needs to be: tables are made once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The degree that every repository's polynomial has.
pub const DEGREE: u32 = 53;

/// An irreducible polynomial of degree 53 over F2. Two repositories find the same chunks only with the same polynomial.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Polynomial(u64);

/// A text or number that is not an irreducible polynomial of degree 53.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a chunker polynomial: it must be a hexadecimal number that is irreducible and of degree {DEGREE}"
)]
pub struct NotAPolynomial {
    /// What was read instead.
    pub text: String,
}

impl Polynomial {
    /// The polynomial with these coefficients.
    ///
    /// # Errors
    /// [`NotAPolynomial`] when its degree is not 53 or when it is a product.
    pub fn new(coefficients: u64) -> Result<Self, NotAPolynomial> {
        match degree(coefficients) == Some(DEGREE) && irreducible(coefficients) {
            true => Ok(Self(coefficients)),
            false => Err(NotAPolynomial { text: format!("{coefficients:x}") }),
        }
    }

    /// A random one, from the operating system's random numbers. One in 27 candidates is irreducible.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        loop {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes)?;
            if let Ok(found) = Self::new(candidate(bytes)) {
                return Ok(found);
            }
        }
    }

    /// Its coefficients: bit `i` belongs to `x^i`. Bits 53 and 0 are set, none above.
    pub fn coefficients(self) -> u64 {
        self.0
    }

    /// `value * x^8 mod P`, for a `value` below `2^53`.
    pub(super) fn shift_byte(self, value: u64) -> u64 {
        (0..8).fold(value, |value, _| self.times_x(value))
    }

    /// `value * x mod P`, for a `value` below `2^53`.
    pub(super) fn times_x(self, value: u64) -> u64 {
        let moved = value << 1;
        if moved >> DEGREE & 1 == 1 { moved ^ self.0 } else { moved }
    }

    /// `value / x mod P`, for a `value` below `2^53`. The lowest coefficient of P is 1, so that there is always exactly one.
    pub(super) fn over_x(self, value: u64) -> u64 {
        if value & 1 == 1 { (value ^ self.0) >> 1 } else { value >> 1 }
    }
}

/// Eight random bytes as a polynomial worth testing: degree 53, not divisible by `x`.
fn candidate(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes) & ((1 << (DEGREE + 1)) - 1) | 1 << DEGREE | 1
}

/// The degree; none for zero.
fn degree(a: u64) -> Option<u32> {
    a.checked_ilog2()
}

/// The remainder of `a` by `b`; `a` itself for a `b` of zero.
fn remainder(mut a: u64, b: u64) -> u64 {
    let Some(low) = degree(b) else { return a };
    while let Some(over) = degree(a).and_then(|high| high.checked_sub(low)) {
        a ^= b << over;
    }
    a
}

/// `a * b mod p`, for factors of a lower degree than `p`, whose degree is at most 62.
fn multiply(mut a: u64, b: u64, p: u64) -> u64 {
    let mut product = 0;
    for bit in 0..64 - b.leading_zeros() {
        if b >> bit & 1 == 1 {
            product ^= a;
        }
        a = remainder(a << 1, p);
    }
    product
}

/// The greatest common divisor.
fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, remainder(a, b)) }
}

/// Ben-Or's test: `p` has a factor of degree `i` exactly if it shares one with `x^(2^i) - x`, and a product has one of at most
/// half its degree.
fn irreducible(p: u64) -> bool {
    let Some(degree) = degree(p).filter(|degree| (1..63).contains(degree)) else { return false };
    let x = 2;
    let mut power = remainder(x, p);
    (1..=degree / 2).all(|_| {
        power = multiply(power, power, p);
        gcd(p, power ^ x) == 1
    })
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Polynomial {
    type Err = NotAPolynomial;

    fn from_str(text: &str) -> Result<Self, NotAPolynomial> {
        let wrong = || NotAPolynomial { text: text.chars().take(80).collect() };
        if text.starts_with('+') {
            return Err(wrong());
        }
        u64::from_str_radix(text, 16).ok().and_then(|value| Self::new(value).ok()).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Polynomial {
    type Error = NotAPolynomial;

    fn try_from(text: String) -> Result<Self, NotAPolynomial> {
        text.parse()
    }
}

impl From<Polynomial> for String {
    fn from(polynomial: Polynomial) -> String {
        polynomial.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether some polynomial of a lower degree divides it: tries all.
    fn has_divisor(p: u64) -> bool {
        (2..1 << degree(p).unwrap()).any(|b| remainder(p, b) == 0)
    }

    #[test]
    fn irreducible_means_without_divisors() {
        for p in 2..2048 {
            assert_eq!(irreducible(p), !has_divisor(p), "{p:b}");
        }
        assert!(!irreducible(0) && !irreducible(1));
    }

    #[test]
    fn as_many_of_degree_11_as_the_formula_says() {
        assert_eq!((1 << 11..1 << 12).filter(|p| irreducible(*p)).count(), (2048 - 2) / 11);
    }

    #[test]
    fn text_and_number_agree() {
        let p: Polynomial = "2fad7ab11efe19".parse().unwrap();
        assert_eq!(
            (p.coefficients(), p.to_string()),
            (0x2f_ad7a_b11e_fe19, "2fad7ab11efe19".into())
        );
        assert_eq!(serde_json::to_string(&p).unwrap(), r#""2fad7ab11efe19""#);
        assert_eq!(serde_json::from_str::<Polynomial>(r#""2FAD7AB11EFE19""#).unwrap(), p);
        for wrong in [
            "",
            "+2fad7ab11efe19",
            "0x2fad7ab11efe19",
            "2fad7ab11efe18",
            "3",
            "é",
            "fffffffffffffffff",
        ] {
            assert!(wrong.parse::<Polynomial>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn random_ones_are_irreducible_and_differ() {
        let (a, b) = (Polynomial::random().unwrap(), Polynomial::random().unwrap());
        assert_ne!(a, b);
        for p in [a, b] {
            assert_eq!(Polynomial::new(p.coefficients()), Ok(p));
            assert_eq!((p.coefficients() >> DEGREE, p.coefficients() & 1), (1, 1));
        }
        assert_eq!(candidate([0; 8]), 1 << 53 | 1);
        assert_eq!(candidate([255; 8]), (1 << 54) - 1);
    }

    #[test]
    fn x_is_multiplied_and_divided_by() {
        let p: Polynomial = "2fad7ab11efe19".parse().unwrap();
        for value in [0, 1, 2, 0x1f_ffff_ffff_ffff, 0x16_5bd5_5d20_0000] {
            assert_eq!(p.times_x(value), multiply(value, 2, p.coefficients()));
            assert_eq!(p.over_x(p.times_x(value)), value);
            assert_eq!(p.shift_byte(value), multiply(value, 256, p.coefficients()));
        }
    }
}

//! A BIT's two forms: the number that storage and plans have, and the bytes that it is as a string: the most
//! significant first, as many as its declared width takes.

/// The bytes of a BIT of this width.
pub fn bytes(number: u64, width: u8) -> Bytes {
    Bytes { all: number.to_be_bytes(), from: 8 - usize::from(width.clamp(1, 64)).div_ceil(8) }
}

/// Up to eight bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    all: [u8; 8],
    from: usize,
}

impl Bytes {
    pub fn as_slice(&self) -> &[u8] {
        &self.all[self.from..]
    }
}

/// The number whose bytes these are. `None`: it has more than 64 bits.
pub fn number(bytes: &[u8]) -> Option<u64> {
    let significant = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())..];
    (significant.len() <= 8)
        .then(|| significant.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_back() {
        for (value, width, wanted) in [
            (5, 3, &[5][..]),
            (0, 1, &[0]),
            (0x0102, 9, &[1, 2]),
            (5, 16, &[0, 5]),
            (u64::MAX, 64, &[0xff; 8]),
            (1, 57, &[0, 0, 0, 0, 0, 0, 0, 1]),
        ] {
            assert_eq!(bytes(value, width).as_slice(), wanted);
            assert_eq!(number(wanted), Some(value));
        }
        assert_eq!(number(&[]), Some(0));
        assert_eq!(number(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 7]), Some(7));
        assert_eq!(number(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}

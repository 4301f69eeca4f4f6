//! Numbers and strings of a segment's footer: variable-length integers, least significant seven
//! bits first, the top bit of a byte set if more follow; signed ones zigzag (0, -1, 1, -2, ..);
//! strings with their length in front.

#[derive(Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn number(&mut self, value: impl Into<u128>) {
        let mut value: u128 = value.into();
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub fn signed(&mut self, value: impl Into<i128>) {
        let value: i128 = value.into();
        self.number((value << 1 ^ value >> 127) as u128);
    }

    pub fn string(&mut self, value: &[u8]) {
        self.number(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }
}

/// Every read is checked; errors name what was expected.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

pub type Read<T> = Result<T, &'static str>;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub fn byte(&mut self) -> Read<u8> {
        let byte = *self.bytes.get(self.at).ok_or("the footer ends early")?;
        self.at += 1;
        Ok(byte)
    }

    pub fn wide(&mut self) -> Read<u128> {
        let mut value = 0u128;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7f);
            if shift > 126 || (shift == 126 && part > 3) {
                return Err("a number of the footer is too long");
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(value)
    }

    pub fn number<T: TryFrom<u128>>(&mut self) -> Read<T> {
        T::try_from(self.wide()?).map_err(|_| "a number of the footer is out of range")
    }

    pub fn signed<T: TryFrom<i128>>(&mut self) -> Read<T> {
        let zigzag = self.wide()?;
        let value = (zigzag >> 1) as i128 ^ -((zigzag & 1) as i128);
        T::try_from(value).map_err(|_| "a number of the footer is out of range")
    }

    pub fn string(&mut self) -> Read<&'a [u8]> {
        let length: usize = self.number()?;
        let rest = &self.bytes[self.at..];
        let value = rest.get(..length).ok_or("a string of the footer is too long")?;
        self.at += length;
        Ok(value)
    }

    pub fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let value = self.bytes[self.at..].get(..length).ok_or("the footer ends early")?;
        self.at += length;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        let numbers = [0, 1, 127, 128, u128::from(u64::MAX), u128::MAX];
        let signed = [0, -1, 1, i128::from(i64::MIN), i128::MIN, i128::MAX];
        let mut writer = Writer::default();
        numbers.iter().for_each(|n| writer.number(*n));
        signed.iter().for_each(|n| writer.signed(*n));
        writer.string(b"abc");
        let mut reader = Reader::new(&writer.bytes);
        for n in numbers {
            assert_eq!(reader.number::<u128>(), Ok(n));
        }
        for n in signed {
            assert_eq!(reader.signed::<i128>(), Ok(n));
        }
        assert_eq!(reader.string(), Ok(b"abc".as_slice()));
        assert!(reader.is_at_end());
        assert!(reader.byte().is_err());
        assert!(Reader::new(&[0xff; 40]).wide().is_err());
        assert!(Reader::new(&[0xff, 0x7f]).number::<u8>().is_err());
        assert!(Reader::new(&[9, 1]).string().is_err());
    }
}

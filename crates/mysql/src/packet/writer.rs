//! Writes the fields of a payload to the end of a buffer.

pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// A length-encoded integer.
pub fn put_lenenc(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_le_bytes();
    match value {
        0..=250 => out.push(bytes[0]),
        251..=0xffff => out.extend_from_slice(&[0xfc, bytes[0], bytes[1]]),
        0x1_0000..=0xff_ffff => out.extend_from_slice(&[0xfd, bytes[0], bytes[1], bytes[2]]),
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&bytes);
        }
    }
}

/// A length-encoded string.
#[inline]
pub fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() <= 250 {
        out.push(bytes.len() as u8);
    } else {
        put_lenenc(out, bytes.len() as u64);
    }
    out.extend_from_slice(bytes);
}

/// A string with a zero byte behind it.
pub fn put_null_terminated(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::reader::FieldReader;

    #[test]
    fn length_encoded_integers_round_trip_at_their_borders() {
        for (value, len) in [
            (0, 1),
            (250, 1),
            (251, 3),
            (0xffff, 3),
            (0x1_0000, 4),
            (0xff_ffff, 4),
            (0x100_0000, 9),
            (u64::MAX, 9),
        ] {
            let mut out = Vec::new();
            put_lenenc(&mut out, value);
            assert_eq!(out.len(), len, "{value}");
            assert_eq!(FieldReader::new(&out).lenenc(), Ok(value));
        }
        let mut out = Vec::new();
        put_lenenc_bytes(&mut out, &[7; 300]);
        assert_eq!(FieldReader::new(&out).lenenc_bytes(), Ok(&[7; 300][..]));
    }
}

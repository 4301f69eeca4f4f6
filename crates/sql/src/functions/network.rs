//! Addresses of the Internet: INET_ATON and its family.

use super::kernel::{
    Arguments, Function, Nulls, Returns, build_binary, build_booleans, build_numbers, build_text, functions,
};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

const BOOLEAN: Returns = Returns::Type(DataType::Boolean);

functions! {
    inet_aton, "inet_aton", Returns::Type(DataType::Int64), Always, |args| {
        let texts = args.texts(0)?;
        build_numbers::<Int64Type>(args, |row| Ok(texts.get(row).and_then(dotted_number)))
    };
    inet_ntoa, "inet_ntoa", Returns::Type(DataType::Utf8View), Always, |args| {
        let numbers = args.numbers::<Int64Type>(0)?;
        build_text(args.rows, |row, out| {
            let address = numbers.get(row).and_then(|number| u32::try_from(number).ok());
            Ok(address.map(|address| out.push_str(&Ipv4Addr::from(address).to_string())))
        })
    };
    inet6_aton, "inet6_aton", Returns::Type(DataType::BinaryView), Always, |args| {
        let texts = args.texts(0)?;
        build_binary(args.rows, |row, out| {
            Ok(texts.get(row).and_then(|text| text.parse::<IpAddr>().ok()).map(|address| match address {
                IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
            }))
        })
    };
    inet6_ntoa, "inet6_ntoa", Returns::Type(DataType::Utf8View), Always, |args| {
        let values = args.blobs(0)?;
        build_text(args.rows, |row, out| {
            let Some(bytes) = values.get(row) else { return Ok(None) };
            if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
                out.push_str(&Ipv4Addr::from(octets).to_string());
            } else if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
                out.push_str(&Ipv6Addr::from(octets).to_string());
            } else {
                return Ok(None);
            }
            Ok(Some(()))
        })
    };
    is_ipv4, "is_ipv4", BOOLEAN, Never, |args| {
        let texts = args.texts(0)?;
        build_booleans(args.rows, |row| {
            Ok(Some(texts.get(row).is_some_and(|text| text.parse::<Ipv4Addr>().is_ok())))
        })
    };
    is_ipv6, "is_ipv6", BOOLEAN, Never, |args| {
        let texts = args.texts(0)?;
        build_booleans(args.rows, |row| {
            Ok(Some(texts.get(row).is_some_and(|text| text.parse::<Ipv6Addr>().is_ok())))
        })
    };
    is_ipv4_compat, "is_ipv4_compat", BOOLEAN, Never, |args| {
        // ::a.b.c.d, but neither :: nor ::1.
        of_ipv6(args, |address| {
            let octets = address.octets();
            octets[..12].iter().all(|octet| *octet == 0) && u128::from_be_bytes(octets) > 0xffff
        })
    };
    is_ipv4_mapped, "is_ipv4_mapped", BOOLEAN, Never, |args| {
        of_ipv6(args, |address| address.to_ipv4_mapped().is_some())
    };
}

fn of_ipv6(args: &Arguments<'_>, test: impl Fn(Ipv6Addr) -> bool) -> Result<ArrayRef> {
    let values = args.blobs(0)?;
    build_booleans(args.rows, |row| {
        let octets = values.get(row).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        Ok(Some(octets.is_some_and(|octets| test(Ipv6Addr::from(octets)))))
    })
}

/// `10.0.5.9`; with fewer parts the last one stands at the end: `127.1` is 127.0.0.1.
fn dotted_number(text: &str) -> Option<i64> {
    let parts = text.split('.').map(|part| part.parse::<u8>().ok()).collect::<Option<Vec<u8>>>()?;
    let (last, head) = parts.split_last()?;
    if head.len() > 3 {
        return None;
    }
    let mut octets = [0u8; 4];
    octets[..head.len()].copy_from_slice(head);
    octets[3] = *last;
    Some(i64::from(u32::from_be_bytes(octets)))
}

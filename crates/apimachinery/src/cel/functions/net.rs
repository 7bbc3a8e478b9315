//! IP addresses and ranges of them.

use std::{fmt, net::IpAddr};

use super::{
    super::{eval::EvalError, value::Value},
    Row, no_overload,
};

type Out<'a> = Result<Value<'a>, EvalError>;

/// A range of addresses, with the address it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u32,
}

pub(super) const FUNCTIONS: &[Row] = &[
    (
        "ip",
        "(string)->ip cidr.()->ip",
        |values, _| match &values[0] {
            Value::Str(text) => parse_ip(text).map(Value::Ip),
            Value::Cidr(cidr) => Ok(Value::Ip(cidr.address)),
            _ => no_overload(),
        },
    ),
    ("isIP", "(string)->bool", |values, _| match &values[0] {
        Value::Str(text) => Ok(Value::Bool(parse_ip(text).is_ok())),
        _ => no_overload(),
    }),
    (
        "ip.isCanonical",
        "(string)->bool",
        |values, _| match &values[0] {
            Value::Str(text) => {
                let address = parse_ip(text)?;
                Ok(Value::Bool(address.to_string() == *text))
            }
            _ => no_overload(),
        },
    ),
    ("family", "ip.()->int", |values, _| match &values[0] {
        Value::Ip(address) => Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })),
        _ => no_overload(),
    }),
    ("isUnspecified", "ip.()->bool", |values, _| {
        is(values, IpAddr::is_unspecified)
    }),
    ("isLoopback", "ip.()->bool", |values, _| {
        is(values, IpAddr::is_loopback)
    }),
    ("isLinkLocalMulticast", "ip.()->bool", |values, _| {
        is(values, |address| match address {
            IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
            IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
        })
    }),
    ("isLinkLocalUnicast", "ip.()->bool", |values, _| {
        is(values, is_link_local)
    }),
    ("isGlobalUnicast", "ip.()->bool", |values, _| {
        is(values, |address| {
            let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
            !(broadcast
                || address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || is_link_local(address))
        })
    }),
    ("cidr", "(string)->cidr", |values, _| match &values[0] {
        Value::Str(text) => parse_cidr(text).map(Value::Cidr),
        _ => no_overload(),
    }),
    ("isCIDR", "(string)->bool", |values, _| match &values[0] {
        Value::Str(text) => Ok(Value::Bool(parse_cidr(text).is_ok())),
        _ => no_overload(),
    }),
    (
        "containsIP",
        "cidr.(string)->bool cidr.(ip)->bool",
        |values, _| match (&values[0], &values[1]) {
            (Value::Cidr(cidr), Value::Ip(address)) => Ok(Value::Bool(cidr.contains(*address))),
            (Value::Cidr(cidr), Value::Str(text)) => {
                Ok(Value::Bool(cidr.contains(parse_ip(text)?)))
            }
            _ => no_overload(),
        },
    ),
    (
        "containsCIDR",
        "cidr.(string)->bool cidr.(cidr)->bool",
        |values, _| {
            let (outer, inner) = match (&values[0], &values[1]) {
                (Value::Cidr(outer), Value::Cidr(inner)) => (*outer, *inner),
                (Value::Cidr(outer), Value::Str(text)) => (*outer, parse_cidr(text)?),
                _ => return no_overload(),
            };
            let within = outer.bits <= inner.bits && outer.contains(inner.address);
            Ok(Value::Bool(within))
        },
    ),
    ("prefixLength", "cidr.()->int", |values, _| {
        match &values[0] {
            Value::Cidr(cidr) => Ok(Value::Int(i64::from(cidr.bits))),
            _ => no_overload(),
        }
    }),
    ("masked", "cidr.()->cidr", |values, _| match &values[0] {
        Value::Cidr(cidr) => Ok(Value::Cidr(cidr.masked())),
        _ => no_overload(),
    }),
];

impl Cidr {
    fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && (Self {
                address,
                bits: self.bits,
            })
            .masked()
            .address
                == self.masked().address
    }

    fn masked(&self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        };
        Self {
            address,
            bits: self.bits,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn is<'a>(values: &[Value<'a>], holds: impl Fn(&IpAddr) -> bool) -> Out<'a> {
    match &values[0] {
        Value::Ip(address) => Ok(Value::Bool(holds(address))),
        _ => no_overload(),
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, EvalError> {
    let quoted = crate::field::quote(text);
    if text.contains('%') {
        return Err(EvalError::new(format!(
            "IP address {quoted} with zone value is not allowed"
        )));
    }
    match text.parse() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => Err(EvalError::new(format!(
            "IPv4-mapped IPv6 address {quoted} is not allowed"
        ))),
        Ok(address) => Ok(address),
        Err(_) => Err(EvalError::new(format!(
            "IP Address {quoted} parse error during conversion from string: ParseAddr({quoted}): \
             unable to parse IP"
        ))),
    }
}

fn parse_cidr(text: &str) -> Result<Cidr, EvalError> {
    let wrong = |why: &str| {
        let quoted = crate::field::quote(text);
        EvalError::new(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({quoted}): \
             {why}"
        ))
    };
    let (address, bits) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
    let address: IpAddr = address.parse().map_err(|_| wrong("unable to parse IP"))?;
    let proper = !bits.is_empty()
        && bits.chars().all(|c| c.is_ascii_digit())
        && (bits == "0" || !bits.starts_with('0'));
    let bits: u32 = bits
        .parse()
        .ok()
        .filter(|_| proper)
        .ok_or_else(|| wrong("bad bits after slash"))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    if bits > most {
        return Err(wrong("prefix length out of range"));
    }
    if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(wrong("IPv4-mapped IPv6 addresses are not allowed"));
    }
    Ok(Cidr { address, bits })
}

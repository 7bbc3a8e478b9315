//! Pod addresses: 127.N.128.0/17, one per pod.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::config::{LoopbackOctet, NodeError};

/// The first host number given out; the network's own address stays free.
const FIRST: u16 = 0x8001;
/// The last one; the broadcast address stays free.
const LAST: u16 = 0xfffe;

/// Which addresses are taken. What is taken is on disk in the pods' records; this is its index.
#[derive(Debug)]
pub(crate) struct Addresses {
    octet: LoopbackOctet,
    taken: BTreeSet<u16>,
    next: u16,
}

impl Addresses {
    /// Starts from the addresses pods have already.
    pub(crate) fn new(octet: LoopbackOctet, taken: impl Iterator<Item = Ipv4Addr>) -> Self {
        let taken: BTreeSet<u16> = taken.map(host_number).collect();
        // Going on after the highest keeps a fresh address from being one that was just in use.
        let next = taken.last().map_or(FIRST, |last| last.saturating_add(1));
        Self { octet, taken, next }
    }

    /// Takes a free address; the longest unused ones come first.
    pub(crate) fn take(&mut self) -> Result<Ipv4Addr, NodeError> {
        let count = LAST - FIRST + 1;
        let start = if (FIRST..=LAST).contains(&self.next) {
            self.next
        } else {
            FIRST
        };
        let candidate = |step: u16| FIRST + (start - FIRST).wrapping_add(step) % count;
        let free = (0..count)
            .map(candidate)
            .find(|number| !self.taken.contains(number));
        let number = free.ok_or(NodeError::AddressesExhausted(self.octet))?;
        self.taken.insert(number);
        self.next = number.saturating_add(1);
        let [high, low] = number.to_be_bytes();
        Ok(Ipv4Addr::new(127, self.octet.get(), high, low))
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        self.taken.remove(&host_number(address));
    }
}

fn host_number(address: Ipv4Addr) -> u16 {
    let [_, _, high, low] = address.octets();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn octet() -> LoopbackOctet {
        LoopbackOctet::new(20).unwrap()
    }

    #[test]
    fn a_released_address_is_not_the_next_one_given() {
        let mut addresses = Addresses::new(octet(), std::iter::empty());
        let first = addresses.take().unwrap();
        assert_eq!(first, Ipv4Addr::new(127, 20, 128, 1));
        addresses.release(first);
        assert_eq!(addresses.take().unwrap(), Ipv4Addr::new(127, 20, 128, 2));
    }

    proptest! {
        #[test]
        fn no_address_is_given_twice(releases in proptest::collection::vec(any::<bool>(), 1..200)) {
            let mut addresses = Addresses::new(octet(), [Ipv4Addr::new(127, 20, 255, 253)].into_iter());
            let mut held = BTreeSet::new();
            for release in releases {
                let address = addresses.take().unwrap();
                prop_assert!(held.insert(address));
                prop_assert!(address.octets()[2] >= 128 && host_number(address) <= LAST);
                if release {
                    held.remove(&address);
                    addresses.release(address);
                }
            }
        }
    }
}

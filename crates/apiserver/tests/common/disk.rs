//! A disk in memory whose power fails.
//!
//! It promises what the database asks of a disk and nothing more: what was synchronised stays;
//! of what was not, any part may be there after a cut, in any order and with torn sectors; bytes
//! outside of what was written do not change, and a length is one that was asked for.

use std::{
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use windlass_apiserver::store::{Medium, StoreError};

use super::chance::Chance;

/// What a disk writes as a whole, or nearly so.
const SECTOR: usize = 512;

/// Nothing waits longer than this at the gate, unless for ever.
const PATIENCE: Duration = Duration::from_mins(1);

/// The disk; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether there is a finished file.
    exists: bool,
    file: Bytes,
    /// The file in the making; its name is not the final one yet.
    partial: Bytes,
    /// Operations that change something, since the power is on.
    operations: u64,
    /// The operation that is not done any more, and what becomes of it.
    trouble: Option<(When, Trouble)>,
    dead: bool,
    gate_closed: bool,
    waiting: usize,
    /// All operations ever, so that two runs can be told apart.
    digest: u64,
}

/// The operation that something goes wrong at, counted from the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    At(u64),
    /// The first synchronisation from there on: all that a transaction writes has been told to
    /// the disk then, and nothing of it is safe.
    SynchronisingFrom(u64),
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The power fails.
    Cut,
    /// One operation fails, and the disk goes on.
    Glitch,
}

/// How much of what was not synchronised is still there after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survives {
    Nothing,
    /// The first operations, and a part of the next.
    Beginning,
    /// Any sectors of any operations.
    Anything,
    Everything,
}

/// A file: what is safe, what the system shows, and the way from the one to the other.
#[derive(Default)]
struct Bytes {
    safe: Vec<u8>,
    shown: Vec<u8>,
    pending: Vec<Operation>,
}

enum Operation {
    Resize(usize),
    Write(usize, Vec<u8>),
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Makes something go wrong.
    pub(crate) fn plan(&self, when: When, trouble: Trouble) {
        let mut state = self.lock();
        state.operations = 0;
        state.trouble = Some((when, trouble));
    }

    /// Whether the power is off.
    pub(crate) fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// A number that follows from all operations there ever were.
    pub(crate) fn digest(&self) -> u64 {
        self.lock().digest
    }

    /// The power goes, if it has not, and comes back; what was not synchronised is in part lost.
    pub(crate) fn restart(&self, survives: Survives, chance: &mut Chance) {
        let mut state = self.lock();
        state.file.lose(survives, chance);
        // A name that was not given before the cut is not given later.
        state.partial = Bytes::default();
        state.dead = false;
        state.trouble = None;
        state.gate_closed = false;
        self.0.changed.notify_all();
    }

    /// From now on operations that change something wait.
    pub(crate) fn close_gate(&self) {
        self.lock().gate_closed = true;
    }

    /// Lets everything go on.
    pub(crate) fn open_gate(&self) {
        self.lock().gate_closed = false;
        self.0.changed.notify_all();
    }

    /// Whether an operation waits at the gate.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.lock().waiting > 0
    }

    /// Counts an operation, once it may happen; the state is the one to do it in, if it is to be
    /// done.
    fn enter(&self, synchronises: bool) -> io::Result<(MutexGuard<'_, State>, Option<Trouble>)> {
        let mut state = self.lock();
        let deadline = Instant::now() + PATIENCE;
        state.waiting += 1;
        while state.gate_closed && !state.dead {
            let (again, _) = self.0.changed.wait_timeout(state, PATIENCE).unwrap();
            state = again;
            assert!(Instant::now() < deadline, "the gate was not opened");
        }
        state.waiting -= 1;
        if state.dead {
            return Err(io::Error::other("the power is off"));
        }
        state.operations += 1;
        let now = state.operations;
        let is_due = |when| match when {
            When::At(operation) => operation == now,
            When::SynchronisingFrom(operation) => synchronises && operation <= now,
        };
        let trouble = state.trouble.take_if(|(when, _)| is_due(*when));
        let trouble = trouble.map(|(_, trouble)| trouble);
        if trouble == Some(Trouble::Cut) {
            state.dead = true;
            self.0.changed.notify_all();
        }
        Ok((state, trouble))
    }
}

fn failure(trouble: Trouble) -> io::Error {
    io::Error::other(match trouble {
        Trouble::Cut => "the power has failed",
        Trouble::Glitch => "the disk has failed once",
    })
}

impl State {
    fn note(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.digest = Chance::of(self.digest ^ number).next();
        }
    }
}

impl Bytes {
    fn do_now(&mut self, operation: Operation) {
        match &operation {
            Operation::Resize(length) => self.shown.resize(*length, 0),
            Operation::Write(offset, data) => {
                self.shown[*offset..*offset + data.len()].copy_from_slice(data);
            }
        }
        self.pending.push(operation);
    }

    fn synchronise(&mut self) {
        self.safe.clone_from(&self.shown);
        self.pending.clear();
    }

    /// Loses what is not safe, but for what survives by chance.
    fn lose(&mut self, survives: Survives, chance: &mut Chance) {
        let pending = std::mem::take(&mut self.pending);
        let kept = match survives {
            Survives::Nothing => 0,
            Survives::Beginning => chance.below(pending.len() as u64 + 1) as usize,
            Survives::Anything | Survives::Everything => pending.len(),
        };
        // The length is found out before anything is written: it is metadata and has an order of
        // its own.
        let mut lengths = vec![self.safe.len()];
        for operation in &pending[..kept] {
            if let Operation::Resize(length) = operation {
                lengths.push(*length);
            }
        }
        let length = match survives {
            Survives::Anything => *chance.pick(&lengths),
            _ => lengths[lengths.len() - 1],
        };
        self.safe.resize(length, 0);
        for (at, operation) in pending.into_iter().enumerate() {
            let Operation::Write(offset, data) = operation else {
                continue;
            };
            let torn = at == kept && survives == Survives::Beginning;
            if at >= kept && !torn {
                break;
            }
            let any = torn || survives == Survives::Anything;
            self.write_in_part(
                offset,
                &data,
                |chance| if any { chance.below(4) } else { 3 },
                chance,
            );
        }
        self.shown.clone_from(&self.safe);
    }

    /// Writes sector by sector: 0 and 1 leave one out, 2 tears it, 3 writes it.
    fn write_in_part(
        &mut self,
        offset: usize,
        data: &[u8],
        mut fate: impl FnMut(&mut Chance) -> u64,
        chance: &mut Chance,
    ) {
        let mut start = 0;
        while start < data.len() {
            let to_boundary = SECTOR - (offset + start) % SECTOR;
            let end = data.len().min(start + to_boundary);
            let written = match fate(chance) {
                0 | 1 => start,
                2 => start + chance.below((end - start) as u64 + 1) as usize,
                _ => end,
            };
            for (at, byte) in (offset + start..).zip(&data[start..written]) {
                if let Some(safe) = self.safe.get_mut(at) {
                    *safe = *byte;
                }
            }
            start = end;
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk of the test")
    }
}

impl Medium for Disk {
    /// As with a file: a new one gets its name when it is complete.
    fn open(&self, builder: &redb::Builder) -> Result<redb::Database, StoreError> {
        if !self.lock().exists {
            self.lock().partial = Bytes::default();
            drop(builder.create_with_backend(self.backend(Which::Partial))?);
            let (mut state, trouble) = self.enter(false)?;
            if let Some(trouble) = trouble {
                return Err(failure(trouble).into());
            }
            state.file = std::mem::take(&mut state.partial);
            state.exists = true;
        }
        Ok(builder.create_with_backend(self.backend(Which::Final))?)
    }
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Partial,
    Final,
}

/// What the database holds.
struct Backend {
    disk: Disk,
    which: Which,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} file of {}", self.which, self.disk)
    }
}

impl Disk {
    fn backend(&self, which: Which) -> Backend {
        Backend {
            disk: self.clone(),
            which,
        }
    }
}

impl Backend {
    fn file<'a>(&self, state: &'a mut State) -> &'a mut Bytes {
        match self.which {
            Which::Partial => &mut state.partial,
            Which::Final => &mut state.file,
        }
    }

    fn change(&self, operation: Operation) -> io::Result<()> {
        let (mut state, trouble) = self.disk.enter(false)?;
        match &operation {
            Operation::Resize(length) => state.note(&[1, *length as u64]),
            Operation::Write(offset, data) => {
                let sum = data.iter().fold(0_u64, |sum, byte| {
                    sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
                });
                state.note(&[2, *offset as u64, data.len() as u64, sum]);
            }
        }
        // Of a write that was under way when the power failed, a part may have happened.
        if trouble != Some(Trouble::Glitch) {
            self.file(&mut state).do_now(operation);
        }
        trouble.map_or(Ok(()), |trouble| Err(failure(trouble)))
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.lock();
        Ok(self.file(&mut state).shown.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        if state.dead {
            return Err(io::Error::other("the power is off"));
        }
        let start = offset as usize;
        let bytes = self.file(&mut state).shown.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Operation::Resize(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut state, trouble) = self.disk.enter(true)?;
        state.note(&[3]);
        match trouble {
            None => self.file(&mut state).synchronise(),
            Some(Trouble::Cut) => {}
            // The system forgets what it could not write, and says so only this once.
            Some(Trouble::Glitch) => {
                let mut chance = Chance::of(state.digest);
                self.file(&mut state).lose(Survives::Anything, &mut chance);
            }
        }
        trouble.map_or(Ok(()), |trouble| Err(failure(trouble)))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Operation::Write(offset as usize, data.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use redb::StorageBackend as _;

    use super::*;

    /// Two sectors of ones are safe; then a sector of twos and the file's growth are not.
    fn half_done() -> (Disk, Backend) {
        let disk = Disk::default();
        let backend = disk.backend(Which::Final);
        backend.set_len(1024).unwrap();
        backend.write(0, &[1; 1024]).unwrap();
        backend.sync_data().unwrap();
        backend.set_len(2048).unwrap();
        backend.write(512, &[2; 1024]).unwrap();
        (disk, backend)
    }

    #[test]
    fn what_was_synchronised_is_there_after_any_cut() {
        for seed in 0..200 {
            let mut chance = Chance::of(seed);
            let choices = [
                Survives::Nothing,
                Survives::Beginning,
                Survives::Anything,
                Survives::Everything,
            ];
            for survives in choices {
                let (disk, backend) = half_done();
                disk.restart(survives, &mut chance);
                let length = backend.len().unwrap();
                let mut bytes = vec![0; length as usize];
                backend.read(0, &mut bytes).unwrap();
                assert_eq!(bytes[..512], [1; 512]);
                assert!(bytes[512..1024].iter().all(|byte| [1, 2].contains(byte)));
                match survives {
                    Survives::Nothing => assert_eq!(bytes, [1; 1024]),
                    Survives::Everything => {
                        assert_eq!(bytes[512..1536], [2; 1024]);
                        assert_eq!(bytes[1536..], [0; 512]);
                    }
                    _ => assert!([1024, 2048].contains(&length)),
                }
            }
        }
    }

    #[test]
    fn every_outcome_of_a_sector_happens() {
        let (mut old, mut new, mut torn, mut grown) = (0, 0, 0, 0);
        let mut chance = Chance::of(1);
        for _ in 0..500 {
            let (disk, backend) = half_done();
            disk.restart(Survives::Anything, &mut chance);
            let mut sector = [0; 512];
            backend.read(512, &mut sector).unwrap();
            match sector.iter().map(|byte| u32::from(*byte) - 1).sum() {
                0 => old += 1,
                512 => new += 1,
                _ => torn += 1,
            }
            grown += u64::from(backend.len().unwrap() == 2048);
        }
        for times in [old, new, torn, grown] {
            assert!(times > 50, "{old} {new} {torn} {grown}");
        }
    }

    #[test]
    fn after_a_cut_nothing_works_until_the_power_is_back() {
        let (disk, backend) = half_done();
        disk.plan(When::At(2), Trouble::Cut);
        backend.write(0, &[3; 10]).unwrap();
        assert!(backend.sync_data().is_err());
        assert!(backend.write(0, &[4; 10]).is_err());
        assert!(backend.read(0, &mut [0; 4]).is_err());
        disk.restart(Survives::Nothing, &mut Chance::of(0));
        let mut start = [0; 4];
        backend.read(0, &mut start).unwrap();
        assert_eq!(start, [1; 4], "the failed synchronisation has kept nothing");
    }
}

//! Asks the kernel who holds which sockets without touching anybody's descriptors; see the program of the same name.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::error::Error;
use std::io::Read;

use aya::maps::{Array, HashMap as BpfMap, MapData};
use aya::programs::Iter;
use aya::{Btf, Ebpf};
use portwitness_ebpf_common::{Holder, SETTING_DESCRIPTORS_FROM, SPAN};

use super::load::{Loaded, program};

/// Tables of descriptors are no longer than this: fs.nr_open is 2^20 unless somebody raised it.
const LONGEST_TABLE: u32 = 1 << 20;

/// Loads the program; an error says why nobody can be asked here.
pub(super) fn load(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), Box<dyn Error>> {
    let program: &mut Iter = program(ebpf, "holders")?;
    Ok(program.load("task", btf)?)
}

impl Loaded {
    /// Who holds these sockets, by inode number.
    pub(super) fn holders(&mut self, sockets: &HashSet<u64>) -> Result<HashMap<u64, Holder>, Box<dyn Error>> {
        if sockets.is_empty() {
            return Ok(HashMap::new());
        }
        let mut asked = map::<u64, [u8; size_of::<Holder>()]>(&mut self.ebpf, "HOLDERS")?;
        for socket in sockets {
            asked.insert(socket, [0; size_of::<Holder>()], 0)?;
        }
        let looked = self.look();
        let mut asked = map::<u64, [u8; size_of::<Holder>()]>(&mut self.ebpf, "HOLDERS")?;
        let mut found = HashMap::new();
        for socket in sockets {
            let holder = Holder::from_bytes(&asked.get(socket, 0)?);
            asked.remove(socket)?;
            found.extend(holder.filter(|holder| holder.tgid != 0).map(|holder| (*socket, holder)));
        }
        looked.map(|()| found)
    }

    /// How many descriptors of each of these processes are sockets.
    pub(super) fn sockets_held(&mut self, processes: &BTreeSet<u32>) -> Result<HashMap<u32, u64>, Box<dyn Error>> {
        let mut counts = map::<u32, u64>(&mut self.ebpf, "HELD")?;
        for process in processes {
            counts.insert(process, 0, 0)?;
        }
        let looked = self.look();
        let mut counts = map::<u32, u64>(&mut self.ebpf, "HELD")?;
        let mut found = HashMap::new();
        for process in processes {
            found.insert(*process, counts.get(process, 0)?);
            counts.remove(process)?;
        }
        looked.map(|()| found)
    }

    /// Lets the program look at every descriptor of every process.
    fn look(&mut self) -> Result<(), Box<dyn Error>> {
        self.looks.clone()?;
        let mut largest = Array::<_, u32>::try_from(self.ebpf.map_mut("LARGEST_TABLE").ok_or("no map LARGEST_TABLE")?)?;
        largest.set(0, 0, 0)?;
        let mut from = 0;
        loop {
            self.settings.set(SETTING_DESCRIPTORS_FROM, from, 0)?;
            let program: &mut Iter = program(&mut self.ebpf, "holders")?;
            let link = program.attach()?;
            let mut visits = program.take_link(link)?.into_file()?;
            // It writes nothing: to read to the end is to visit every task.
            while visits.read(&mut [0; 8])? > 0 {}
            let largest = Array::<_, u32>::try_from(self.ebpf.map("LARGEST_TABLE").ok_or("no map LARGEST_TABLE")?)?;
            from += SPAN;
            if from >= largest.get(&0, 0)?.min(LONGEST_TABLE) {
                return Ok(());
            }
        }
    }
}

fn map<'a, K: aya::Pod, V: aya::Pod>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<BpfMap<&'a mut MapData, K, V>, Box<dyn Error>> {
    Ok(BpfMap::try_from(ebpf.map_mut(name).ok_or_else(|| format!("no map {name}"))?)?)
}

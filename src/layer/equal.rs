//! What of a layer the layers below have already.

use bstr::BString;

use super::{
    Kind, Layer, LayerError, Lower, code,
    links::groups,
    listing::Listing,
    lower::Node,
    order::is_below,
    records::{Sorter, join},
};
use crate::model::Scratch;

impl Lower {
    /// `layer` without what the layers have already: everything equal once both times are clamped to `epoch_s`. A hard
    /// link is equal if path and target are names of one file there. The names of one file stay or go together, and what
    /// lies above what stays stays too: an engine that unpacks a layer by itself would else make the directories anew,
    /// with other modes. Whiteouts stay.
    ///
    /// # Errors
    /// Those of `scratch`.
    pub fn without_equal(
        &self,
        layer: Layer,
        epoch_s: i64,
        scratch: &dyn Scratch,
    ) -> Result<Layer, LayerError> {
        let mut stays = self.changed(&layer.0, epoch_s, scratch)?;
        groups(&layer.0, scratch, |names| {
            let any = names.iter().any(|name| stays[*name]);
            for name in names {
                stays[*name] = any;
            }
        })?;
        keep_above(&layer.0, &mut stays)?;
        Ok(Layer(layer.0.only(&stays)))
    }

    /// For each entry, whether the layers have it otherwise or not at all.
    fn changed(&self, layer: &Listing, epoch_s: i64, scratch: &dyn Scratch) -> Result<Vec<bool>, LayerError> {
        let mut changed = Vec::new();
        let mut links = Sorter::new(scratch); // By target: which entry, and which file its path is a name of.
        join(layer.read()?, self.nodes.read()?, |record, found| {
            changed.push(true);
            let (Some(found), false) = (found, is_whiteout(record.key)) else { return Ok(()) };
            let (entry, node) = (code::decode(record.key, record.value)?, Node::from_bytes(found.value)?);
            if entry.kind != Kind::Hardlink {
                changed[record.ordinal] = !node.same(&Node::of(&entry), epoch_s);
            } else if node.inode != 0 {
                let value = [record.ordinal.to_le_bytes(), node.inode.to_le_bytes()].concat();
                links.push(&entry.link, &value)?;
            }
            Ok(())
        })?;
        join(links.finish()?.read()?, self.nodes.read()?, |link, found| {
            let inode = found.map(|found| Node::from_bytes(found.value)).transpose()?.map(|node| node.inode);
            let (ordinal, own) = link.value.split_at(size_of::<usize>());
            let entry =
                ordinal.try_into().ok().and_then(|bytes| changed.get_mut(usize::from_le_bytes(bytes)));
            if let Some(changed) = entry {
                *changed = inode.is_none_or(|inode| inode.to_le_bytes() != own);
            }
            Ok(())
        })?;
        Ok(changed)
    }
}

fn is_whiteout(path: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().starts_with(b".wh.")
}

/// Whatever lies above what stays, stays.
fn keep_above(layer: &Listing, stays: &mut [bool]) -> Result<(), LayerError> {
    let mut records = layer.read()?;
    let mut above: Vec<(BString, usize)> = Vec::new(); // Not to stay, as far as is known.
    while let Some(record) = records.next()? {
        while above.last().is_some_and(|(path, _)| !is_below(record.key, path)) {
            above.pop();
        }
        if stays[record.ordinal] {
            above.drain(..).for_each(|(_, ordinal)| stays[ordinal] = true);
        } else {
            above.push((record.key.into(), record.ordinal));
        }
    }
    Ok(())
}

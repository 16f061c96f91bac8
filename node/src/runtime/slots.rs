//! Numbered places for connections and links: found by index, reused after they are free, with a
//! generation in the number so that an old number never finds the new tenant.

/// Places of `T`.
pub(crate) struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

struct Place<T> {
    generation: u32,
    tenant: Option<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Takes a place for what `make` makes of its number.
    pub(crate) fn insert(&mut self, make: impl FnOnce(u64) -> T) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                generation: 0,
                tenant: None,
            });
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.places[index as usize];
        let number = u64::from(place.generation) << 32 | u64::from(index);
        place.tenant = Some(make(number));
        number
    }

    /// The tenant of `number`.
    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        let place = self.places.get(index_of(number))?;
        place
            .tenant
            .as_ref()
            .filter(|_| place.generation == generation_of(number))
    }

    /// Frees the place of `number`.
    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let place = self.places.get_mut(index_of(number))?;
        if place.generation != generation_of(number) {
            return None;
        }
        let tenant = place.tenant.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(number as u32);
        Some(tenant)
    }

    /// The tenant of a place, whatever its generation: for tenants that stay until the last use of
    /// their place.
    pub(crate) fn get_place(&self, place: u32) -> Option<&T> {
        self.places.get(place as usize)?.tenant.as_ref()
    }

    /// Frees a place, whatever its generation.
    pub(crate) fn remove_place(&mut self, place: u32) -> Option<T> {
        let generation = self.places.get(place as usize)?.generation;
        self.remove(u64::from(generation) << 32 | u64::from(place))
    }

    /// How many places are taken.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Every tenant.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.tenant.as_ref())
    }
}

const fn index_of(number: u64) -> usize {
    number as u32 as usize
}

const fn generation_of(number: u64) -> u32 {
    (number >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_number_does_not_find_the_new_tenant() {
        let mut slots = Slots::default();
        let a = slots.insert(|_| 'a');
        assert_eq!(slots.remove(a), Some('a'));
        let b = slots.insert(|_| 'b');
        assert_ne!(a, b);
        assert_eq!((slots.get(a), slots.get(b)), (None, Some(&'b')));
        assert_eq!((slots.remove(a), slots.len()), (None, 1));
    }
}

//! What a recipe says of drift, read where the build's source is.

use super::{Ports, SharedCheckout, evidence::chain};
use crate::{
    attest::BuildDefinition,
    drift::{self, Drift},
    host,
    model::{Digest, limits::RECIPE_SIZE_BYTES_MAX},
    progress::{Progress, Update},
    recipe::{Acceptance, Recipe},
};

/// What the recipe that `definition` names accepts; nothing where it cannot be read, which is said.
pub(super) fn of_recipe(
    ports: &Ports,
    checkout: &SharedCheckout,
    definition: &BuildDefinition,
) -> Vec<Acceptance> {
    let Some(file) = &definition.external.recipe else { return Vec::new() };
    let read = checkout.lock().read(&file.path, RECIPE_SIZE_BYTES_MAX);
    let found = match read {
        Ok(Some(bytes)) if Digest::of(&bytes) == file.digest => {
            Recipe::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| chain(&error))
        }
        Ok(_) => Err("the source has another one than was recorded, or none".to_owned()),
        Err(error) => Err(chain(&error)),
    };
    let unread = |why: String| {
        let text = format!("no drift is accepted: cannot read `{}`: {why}", file.path);
        ports.progress.update(Update::Warning(&text));
        Vec::new()
    };
    found.map_or_else(unread, |recipe| recipe.accept)
}

/// Marks what is accepted today, and says what would be, had it not expired.
pub fn mark(progress: &dyn Progress, drifts: &mut [Drift], acceptances: &[Acceptance]) {
    let now = host::now();
    let today = now.split('T').next().unwrap_or_default();
    for expired in drift::accept(drifts, acceptances, today) {
        let what = [&expired.cause, &expired.path].into_iter().flatten().cloned().collect::<Vec<_>>();
        let until = expired.until.as_deref().unwrap_or_default();
        let what = what.join(" at ");
        let text = format!(
            "drift that was accepted until {until} is still there: {what}; mend it, or accept it anew"
        );
        progress.update(Update::Warning(&text));
    }
}

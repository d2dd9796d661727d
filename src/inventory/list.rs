//! A file with one reference a line.

use super::InventoryError;
use crate::model::{ImageName, ReferenceError, limits::INVENTORY_IMAGES_MAX, path::printable};

/// The images of `text`: one a line; `#` begins a comment, empty lines are passed over. Each with its line.
///
/// # Errors
/// [`InventoryError::Line`] for the first that names none; [`InventoryError::TooMany`] past
/// [`INVENTORY_IMAGES_MAX`].
pub fn references(text: &str) -> Result<Vec<(usize, ImageName)>, InventoryError> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if found.len() == INVENTORY_IMAGES_MAX {
            return Err(InventoryError::TooMany(INVENTORY_IMAGES_MAX));
        }
        let name = image(line).map_err(|reason| {
            let text = printable(&line.chars().take(100).collect::<String>());
            InventoryError::Line { line: index + 1, text, reason }
        })?;
        found.push((index + 1, name));
    }
    Ok(found)
}

/// An image of a registry or layout; why not.
pub(super) fn image(text: &str) -> Result<ImageName, String> {
    text.parse::<ImageName>().map_err(|error| match error {
        // The remedy of the Dockerfile (`[from]`) does not help here.
        ReferenceError::NoRegistry(_) => {
            "it names no registry; write HOST/REPOSITORY:TAG or oci:DIR:TAG".to_owned()
        }
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines() {
        let text =
            "# all of web\n\nregistry.example.org/web:1  # the old one\n\tregistry.example.org/web:2\r\n";
        let found = references(text).unwrap();
        let shown: Vec<_> = found.iter().map(|(line, name)| format!("{line} {name}")).collect();
        assert_eq!(shown, ["3 registry.example.org/web:1", "4 registry.example.org/web:2"]);
    }

    #[test]
    fn refuses() {
        let error = references("registry.example.org/web:1\n\nweb\n").unwrap_err().to_string();
        assert_eq!(error, "line 3: `web`: it names no registry; write HOST/REPOSITORY:TAG or oci:DIR:TAG");
        let many = "registry.example.org/web:1\n".repeat(INVENTORY_IMAGES_MAX + 1);
        assert_eq!(references(&many), Err(InventoryError::TooMany(INVENTORY_IMAGES_MAX)));
    }
}
